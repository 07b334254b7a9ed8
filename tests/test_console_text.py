"""Console text for those who show it: whatever a run prints, what comes out is safe and means what a terminal shows."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from cloister.observer.console_text import (
    COLOUR_NAMES,
    ConsoleLine,
    StreamName,
    ansi_to_spans,
    fold_carriage_returns,
    join_pieces,
    plain_text,
    tail_text,
)
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
FRAGMENTS = ["\x1b", "\x1b[", "\x1b[3", "1;4m", "38;5;", "48:2::9:", "m", "\x1b]8;;http://x", "\x07", "\x1b\\", "\x9b"]
FRAGMENTS += ["\x9c", "\x90", "\x1b(B", "\r", "\b", "\x00", "\t", "é", "\ud800", "\u202e", "text", "\x1b[?25l", "\x1bP"]
TERMINAL_TEXT = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=3)), max_size=30).map("".join)


@dataclass(frozen=True)
class Printed:
    stream: StreamName
    text: str
    time: datetime = NOON


def later(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain\ntext", "plain\ntext"),
        (" 0%\r 50%\r100%\n", "100%\n"),
        (" 0%\r 50%\r", " 50%"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("\r\r\n", "\n"),
        ("a\rb\nc\rd", "b\nd"),
        ("", ""),
    ],
)
def test_a_line_is_folded_to_what_a_terminal_leaves(printed: str, shown: str) -> None:
    assert fold_carriage_returns(printed) == shown


def test_pieces_of_two_streams_become_lines_in_the_order_in_which_they_began() -> None:
    pieces = [
        Printed("stderr", " 10%\r", later(0)),
        Printed("stdout", "epoch 1\nepoch", later(1)),
        Printed("stderr", " 90%\r100%\nwarning\n", later(2)),
        Printed("stdout", " 2\n\nepo", later(3)),
    ]
    assert join_pieces(pieces) == [
        ConsoleLine("stderr", later(0), "100%", finished=True),
        ConsoleLine("stdout", later(1), "epoch 1", finished=True),
        ConsoleLine("stdout", later(1), "epoch 2", finished=True),
        ConsoleLine("stderr", later(2), "warning", finished=True),
        ConsoleLine("stdout", later(3), "", finished=True),
        ConsoleLine("stdout", later(3), "epo", finished=False),
    ]


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(alphabet="ab\r\n", max_size=6))))
def test_however_a_stream_is_cut_its_lines_are_the_same(cuts: list[tuple[StreamName, str]]) -> None:
    lines = join_pieces([Printed(stream, text) for stream, text in cuts])
    for name in ("stdout", "stderr"):
        whole = "".join(text for stream, text in cuts if stream == name)
        expected = fold_carriage_returns(whole).split("\n")
        assert [line.text for line in lines if line.stream == name and line.finished] == expected[:-1]
        assert "".join(line.text for line in lines if line.stream == name and not line.finished) == expected[-1]


def test_the_tail_begins_at_a_line_and_never_cuts_a_character() -> None:
    pieces = [Printed("stdout", "first line\n"), Printed("stderr", "zweite Zeile: äöü\n"), Printed("stdout", "end\n")]
    assert tail_text(pieces, 1000) == "first line\nzweite Zeile: äöü\nend\n"
    assert tail_text(pieces, 10) == "end\n"
    assert tail_text(pieces, 4) == "end\n"
    assert tail_text(pieces, 0) == ""
    assert tail_text([Printed("stdout", "ä" * 10)], 5) == "ää"
    assert tail_text([], 5) == ""


@given(st.lists(st.text(max_size=8)), st.integers(min_value=1, max_value=20))
def test_the_tail_fits_its_limit_and_is_an_end(texts: list[str], limit: int) -> None:
    tail = tail_text([Printed("stdout", text) for text in texts], limit)
    assert len(tail.encode("utf-8")) <= limit
    assert fold_carriage_returns("".join(texts)).encode("utf-8", "replace").endswith(tail.encode("utf-8"))


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        ("plain", [("plain", "")]),
        ("\x1b[31mred\x1b[0m rest", [("red", "ansi-red"), (" rest", "")]),
        (
            "\x1b[1;92mok\x1b[22m.\x1b[39m.",
            [("ok", "ansi-bright-green ansi-bold"), (".", "ansi-bright-green"), (".", "")],
        ),
        ("\x1b[2;3;4;7mx\x1b[m", [("x", "ansi-dim ansi-inverse ansi-italic ansi-underline")]),
        ("\x1b[44mx\x1b[103my\x1b[49mz", [("x", "ansi-on-blue"), ("y", "ansi-on-bright-yellow"), ("z", "")]),
        ("\x1b[38;5;9mx\x1b[38;5;196my", [("xy", "ansi-bright-red")]),
        ("\x1b[38;5;244mx", [("x", "ansi-bright-black")]),
        ("\x1b[38;2;0;0;0;48;2;250;250;250mx", [("x", "ansi-black ansi-on-bright-white")]),
        ("\x1b[38:2::205:0:0mx\x1b[38:2:0:205:0my", [("x", "ansi-red"), ("y", "ansi-green")]),
        ("\x1b[4:3mwave\x1b[4:0m.", [("wave", "ansi-underline"), (".", "")]),
        ("\x1b[58;5;1;32mx", [("x", "ansi-green")]),
        ("\x1b[38;5mx", [("x", "")]),
        ("\x1b[38;5;999;1mx", [("x", "ansi-bold")]),
        ("\x1b[" + "9" * 5000 + "mx", [("x", "")]),
        ("\x1b[;;31mx", [("x", "ansi-red")]),
        ("\x1b[>4;1mx\x1b[?25ly\x1b[1 qz", [("xyz", "")]),
        ("\x1b[31", []),
        ("a\x1b[3é", [("aé", "")]),
        ("\x9b32mx", [("x", "ansi-green")]),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x07!", [("link!", "")]),
        ("\x1b]52;c;c2VjcmV0\x07x\x1bPq#0;2;0\x1b\\y\x9d0;t\x9cz", [("xyz", "")]),
        ("\x1b]0;cut \x1b[31mx", [("x", "ansi-red")]),
        ("\x1b(Ba\x1b7b\x1bcc\x1b", [("abc", "")]),
        ("a\x00\x07\x08\x0b\x7f\x85b\tc", [("ab\tc", "")]),
        ("a\ud800b\u202ec", [("a\ufffdbc", "")]),
        ("<script>&", [("<script>&", "")]),
        ("", []),
    ],
)
def test_colours_become_classes_and_every_other_escape_is_dropped(line: str, spans: list[tuple[str, str]]) -> None:
    assert ansi_to_spans(line) == spans


@given(TERMINAL_TEXT)
def test_no_output_has_a_control_character_or_an_unknown_class(line: str) -> None:
    known = {f"ansi-{name}" for name in COLOUR_NAMES} | {f"ansi-on-{name}" for name in COLOUR_NAMES}
    known |= {f"ansi-{name}" for name in ("bold", "dim", "italic", "underline", "inverse")}
    spans = ansi_to_spans(line)
    for text, classes in spans:
        assert text
        assert not [c for c in text if c != "\t" and unicodedata.category(c) in ("Cc", "Cs")]
        assert set(classes.split()) <= known
    assert all(before[1] != after[1] for before, after in pairwise(spans))


@given(TERMINAL_TEXT)
def test_what_stands_on_its_own_behind_a_reset_is_never_garbled(line: str) -> None:
    # \x18 (CAN) ends any sequence on a terminal; \n ends the line here.
    assert ansi_to_spans(line + "\x18\x1b[0mrest")[-1:][0][0].endswith("rest")


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs", "Cf"))))
def test_text_without_escapes_stays_as_it_is(text: str) -> None:
    assert plain_text(text) == text


def test_a_long_hostile_line_is_scanned_once() -> None:
    """Each repeats the beginning of a sequence that never ends: a scan that starts over would take hours."""
    for beginning in ("\x1b[", "\x1b]", "\x1bP", "\x1b[1;", "\x1b ", "\x9b", "\x1b[38;5;"):
        assert len(plain_text(beginning * 200_000 + "x" * 200_000)) <= 200_000
    assert len(ansi_to_spans("\x1b[31mx\x1b[32my" * 50_000)) == 100_000
    assert ansi_to_spans("\x1b[" + "1;" * 200_000 + "mx") == [("x", "")]
