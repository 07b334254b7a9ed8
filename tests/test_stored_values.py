"""The encoders under every record: names, values, points. Whatever goes in comes out, or a mark that says why not."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from cloister.observer.bson_values import ITEMS_LIMIT, to_bson
from cloister.observer.field_names import decode_field_name, encode_field_name
from cloister.observer.metric_chunks import (
    DamagedChunk,
    chunk_key,
    chunk_keys_of,
    metric_id,
    pack_points,
    unpack_points,
)
from cloister.observer.points import Points
from cloister.observer.thinning import thin
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

UID = "01a1fd6d-8b44-7339-9421-c3edac2c77f5"
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_any_name_comes_back_from_its_field_name(name: str) -> None:
    field = encode_field_name(name)
    assert decode_field_name(field) == name
    assert field
    assert not set(field) & set(".$\x00")
    bson.encode({field: 1})


@given(st.lists(ANY_TEXT, unique=True))
def test_different_names_have_different_field_names(names: list[str]) -> None:
    assert len({encode_field_name(name) for name in names}) == len(names)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ANY_TEXT, st.binary(), st.complex_numbers()),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.one_of(ANY_TEXT, st.integers(), st.tuples(st.integers())), inner),
        st.tuples(inner),
    ),
    max_leaves=30,
)


@given(VALUES)
def test_any_value_becomes_something_that_bson_holds(value: object) -> None:
    bson.encode({"value": to_bson(value)})


def test_values_with_a_plain_form_keep_it() -> None:
    class Colour(enum.Enum):
        RED = "red"

    @dataclass
    class Size:
        width: int
        height: int

    moment = datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone.utc)
    plain = to_bson(
        {
            "path": Path("a/b"),
            "enum": Colour.RED,
            "size": Size(1, 2),
            "set": {3, 1, 2},
            "tuple": (1, [2]),
            "time": moment,
            "float32": np.float32(0.5),
            "array": np.arange(4).reshape(2, 2),
            1: "one",
            "1": "text one",
        }
    )
    assert plain == {
        "path": "a/b",
        "enum": "red",
        "size": {"width": 1, "height": 2},
        "set": [1, 2, 3],
        "tuple": [1, [2]],
        "time": moment,
        "float32": 0.5,
        "array": [[0, 1], [2, 3]],
        "1": "one",
        "1'": "text one",
    }


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_values_without_a_plain_form_leave_a_mark_and_their_neighbours_whole() -> None:
    cycle: dict[str, Any] = {"deep": [1]}
    cycle["self"] = cycle
    deep: Any = "bottom"
    for _ in range(200):
        deep = [deep]
    stored = to_bson({"cycle": cycle, "deep": deep, "lambda": lambda: 1, "object": Hostile(), "big": 2**5000, "ok": 1})

    assert stored["cycle"] == {"deep": [1], "self": "<contains itself>"}
    assert "<nested too deeply>" in str(stored["deep"])
    assert stored["lambda"].startswith("<builtins.function")
    assert "Hostile" in stored["object"]
    assert stored["big"] == "<an int of 5001 bits>"
    assert stored["ok"] == 1
    bson.encode(stored)


def test_a_huge_list_is_cut_with_a_mark() -> None:
    stored = to_bson(list(range(ITEMS_LIMIT + 10)))
    assert len(stored) == ITEMS_LIMIT + 1
    assert stored[-1].startswith("<10 more, which do not fit into a document")


@given(
    hnp.arrays(np.int64, st.shared(st.integers(0, 60), key="n")),
    hnp.arrays(np.float64, st.shared(st.integers(0, 60), key="n")),
    hnp.arrays(np.float64, st.shared(st.integers(0, 60), key="n"), elements=st.floats(0, 4e9)),
)
def test_points_come_back_from_their_chunk(steps: Any, values: Any, times: Any) -> None:
    points = unpack_points(pack_points(Points(steps, values, times)), len(steps))
    assert points.steps.tobytes() == steps.tobytes()
    assert points.values.tobytes() == values.tobytes()
    assert np.abs(points.wall_times - times).max(initial=0.0) < 1e-6


def test_regular_points_cost_about_twelve_bytes() -> None:
    clock = 1.7e9 + np.cumsum(np.random.default_rng(0).uniform(0.01, 0.02, 4096))
    packed = pack_points(Points(np.arange(4096), np.random.default_rng(1).normal(size=4096), clock))
    assert len(packed) / 4096 <= 12.1


@given(st.binary(max_size=200), st.integers(0, 100))
def test_damaged_chunks_are_named_as_such_and_never_read_wrong_in_length(packed: bytes, count: int) -> None:
    try:
        points = unpack_points(packed, count)
    except DamagedChunk:
        return
    assert len(points) == len(points.values) == len(points.wall_times) == count


def test_chunks_of_a_metric_sort_by_segment_and_place() -> None:
    metric = metric_id(UID, "loss")
    keys = [chunk_key(metric, segment, index) for segment in (1, 2, 2**63) for index in (0, 1, 2**31)]
    assert keys == sorted(keys)
    bounds = chunk_keys_of(metric)
    assert all(bounds["$gte"] <= key <= bounds["$lte"] for key in keys)
    assert not bounds["$gte"] <= chunk_key(metric_id(UID, "other"), 1, 0) <= bounds["$lte"]


@given(st.integers(10, 5000), st.integers(2, 300), st.data())
def test_a_thinned_curve_keeps_a_planted_spike_and_both_ends(count: int, pixels: int, data: st.DataObject) -> None:
    values = np.sin(np.arange(count) / 7)
    spike = data.draw(st.integers(0, count - 1))
    values[spike] = 1e6
    chosen = thin(np.arange(count, dtype=np.float64), values, pixels)

    assert spike in chosen
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    assert np.all(np.diff(chosen) > 0)
    assert len(chosen) <= 2 * pixels + 2


def test_a_gap_in_a_curve_is_kept() -> None:
    values = np.ones(10_000)
    values[5_000:5_100] = np.nan
    chosen = thin(np.arange(10_000, dtype=np.float64), values, 100)
    assert np.isnan(values[chosen]).sum() == 1


@pytest.mark.parametrize(("count", "pixels"), [(5, 1), (5, 0)])
def test_too_few_pixels_are_refused(count: int, pixels: int) -> None:
    with pytest.raises(ValueError, match="at least 2 pixels"):
        thin(np.arange(count, dtype=np.float64), np.ones(count), pixels)
