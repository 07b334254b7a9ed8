"""Times, durations, numbers, sizes and counts read as VISUAL section 8 writes them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest
from cloister.viewer.wording import (
    MINUS,
    MISSING,
    count_noun,
    format_ago,
    format_clock_time,
    format_column,
    format_config_value,
    format_date,
    format_difference,
    format_duration,
    format_iso,
    format_number,
    format_size,
)
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (59, "just now"),
        (12 * 60, "12 min ago"),
        (5 * 3600, "5 h ago"),
        (25 * 3600, "yesterday"),
        (3 * 86400, "3 days ago"),
        (7 * 86400, "7 days ago"),
    ],
)
def test_a_time_in_a_table_says_how_long_ago(seconds: int, words: str) -> None:
    assert format_ago(NOON - timedelta(seconds=seconds), NOON) == words


def test_a_time_of_more_than_a_week_ago_is_a_date() -> None:
    long_ago = NOON - timedelta(days=40)
    assert format_ago(long_ago, NOON) == format_date(long_ago) == long_ago.astimezone().strftime("%Y-%m-%d %H:%M")


def test_a_time_of_today_is_the_time_of_day_alone() -> None:
    assert format_clock_time(NOON, NOON) == NOON.astimezone().strftime("%H:%M")
    assert format_clock_time(NOON - timedelta(days=1), NOON).startswith("yesterday ")
    assert format_clock_time(NOON - timedelta(days=3), NOON) == format_date(NOON - timedelta(days=3))


def test_the_title_of_a_time_has_seconds_and_the_zone() -> None:
    assert datetime.fromisoformat(format_iso(NOON)) == NOON


def test_a_missing_time_is_an_en_dash() -> None:
    assert (format_ago(None), format_clock_time(None), format_iso(None), format_duration(None)) == (
        MISSING,
        MISSING,
        "",
        MISSING,
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0s"), (41, "41s"), (728, "12m 08s"), (6728, "1h 52m"), (3600, "1h 00m"), (187200, "2d 4h")],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == format_duration(seconds) == words


def test_a_column_has_the_fewest_digits_that_tell_its_values_apart() -> None:
    assert format_column([0.982, 0.978, 0.5]) == ["0.982", "0.978", "0.500"]
    assert format_column([0.87421, 0.87419]) == ["0.87421", "0.87419"]
    assert format_column([0.8742, 0.8741]) == ["0.8742", "0.8741"]


def test_a_few_close_pairs_do_not_cost_a_long_column_its_brevity() -> None:
    assert format_column([0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.9400001])[4] == "0.940"


def test_the_best_two_values_of_a_column_never_read_the_same() -> None:
    assert format_column([0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98001, 0.98002])[-2:] == [
        "0.98001",
        "0.98002",
    ]


def test_a_column_never_has_more_than_six_digits() -> None:
    assert format_column([0.12345678, 0.12345679]) == ["0.123457", "0.123457"]


def test_whole_numbers_are_grouped_and_have_no_decimals() -> None:
    assert format_column([1284, 3.0, None]) == ["1,284", "3", MISSING]


def test_small_values_are_scientific_and_negative_ones_have_a_real_minus() -> None:
    assert format_column([0.00031, -0.5]) == ["3.1e-4", f"{MINUS}0.500"]


def test_what_is_not_a_number_is_said_in_words() -> None:
    assert format_column([math.nan, math.inf, -math.inf, None, "late"]) == [
        "NaN",
        "Infinity",
        f"{MINUS}Infinity",
        MISSING,
        "late",
    ]


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers())))
def test_every_column_of_numbers_can_be_written(values: list[float | int | None]) -> None:
    cells = format_column(values)
    assert len(cells) == len(values)
    assert all(cells)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.8742, "0.8742"),
        (0.5, "0.5"),
        (0, "0"),
        (1204880, "1,204,880"),
        (2.5e-5, "2.5e-5"),
        (True, "True"),
        (None, MISSING),
    ],
)
def test_a_number_alone_has_four_digits(value: object, words: str) -> None:
    assert format_number(value) == words


def test_a_difference_is_signed() -> None:
    assert (format_difference(0.0131), format_difference(-0.0308), format_difference(0.0)) == (
        "+0.013",
        f"{MINUS}0.031",
        "0",
    )


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (18637, "18.2 KiB"),
        (97_937_000, "93.4 MiB"),
        (1024**2 - 1, "1.0 MiB"),
        (None, MISSING),
    ],
)
def test_sizes_are_in_binary_units(size: int | None, words: str) -> None:
    assert format_size(size) == words


def test_counts_are_grouped_and_agree_with_their_noun() -> None:
    assert (count_noun(1284, "run"), count_noun(1, "run"), count_noun(2, "branch", "branches")) == (
        "1,284 runs",
        "1 run",
        "2 branches",
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.003, "3e-3"),
        (0.25, "0.25"),
        (0.1, "0.1"),
        (0.01, "1e-2"),
        (2.0, "2.0"),
        (1e-8, "1e-8"),
        (100000.0, "1e5"),
        (12345.678, "12345.678"),
        (1000.0, "1000.0"),
        (-0.0, "-0.0"),
        (16, "16"),
        (True, "true"),
        (None, "none"),
        ("resnet34", "resnet34"),
        ([256, 256], "[256, 256]"),
        ({"a": "b"}, '{a: "b"}'),
    ],
)
def test_config_values_are_written_as_people_type_them(value: object, words: str) -> None:
    assert format_config_value(value) == words


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_shorter_spelling_of_a_float_is_the_same_float(value: float) -> None:
    assert float(format_config_value(value)) == pytest.approx(value, rel=1e-11, abs=0)


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.1 + 0.2, "0.3"), (3e-4 / 10, "3e-5"), (1 / 3, repr(1 / 3)), (0.123456789012345, "0.123456789012345")],
)
def test_what_reckoning_leaves_in_the_last_digits_is_not_written(value: float, words: str) -> None:
    assert format_config_value(value) == words
