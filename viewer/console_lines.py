"""Console pieces as numbered lines to draw, within a budget, in one form for the page and for its live tail.

A piece ends where the capture cut it, so a line may begin in one answer and end in the next. The first line that an
answer has of a stream says how it goes on from what the reader already shows of it, and an unended line says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from ..observer.console_store import ConsolePiece, Stream
from ..observer.console_text import ansi_to_spans, fold_carriage_returns

LINES_BUDGET = 3_000  # of one answer: a thousand pieces of a chatty run would be a hundred thousand lines
CHARS_BUDGET = 2_000_000
LINE_LIMIT_CHARS = 4_000  # longer lines are data; they are cut here and whole in the download

Side = Literal["first", "last"]
TextSpan = tuple[str, str]  # text, CSS classes

TRACEBACK_START = re.compile(r"^\s*(?:[+|] ?)*(?:Exception Group )?Traceback \(most recent call last\):")
BETWEEN_TRACEBACKS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)


@dataclass(frozen=True)
class ConsoleLine:
    """One line as it is drawn.

    Attributes:
        cursor: of the piece that begins with this line, None where the line begins inside a piece. Only before such
            a line may a page be cut: what came earlier is then found again by its cursor.
        number: counted from 1; None where the reader's page counts on from what it has.
        continues: the first line of its stream in this answer: it may go on from an unended line shown before.
        replaces: there was a carriage return, so what an unended line showed before is overwritten.
        ended: a newline came.
        returned: unended, and the cursor stands at its start: what comes next overwrites it.
        failure: part of a traceback.
        cut_chars: left out at the end.
    """

    cursor: str | None
    stream: Stream
    time: datetime
    spans: tuple[TextSpan, ...]
    number: int | None
    continues: bool
    replaces: bool
    ended: bool
    returned: bool
    failure: bool
    cut_chars: int


@dataclass(frozen=True)
class ConsoleLines:
    """Lines of neighbouring pieces.

    Attributes:
        first, last: cursors of the pieces that the lines are made of; other pieces did not fit the budget.
        traceback: the stream whose traceback is not over at the end; to be handed in for the pieces that follow.
    """

    lines: tuple[ConsoleLine, ...]
    first: str | None
    last: str | None
    dropped_pieces: int
    traceback: Stream | None

    def numbered(self, first: int) -> ConsoleLines:
        """The same lines, counted from `first`."""
        return replace(self, lines=tuple(replace(line, number=number) for number, line in enumerate(self.lines, first)))


def read_lines(
    pieces: Sequence[ConsolePiece], *, keep: Side, traceback: Stream | None = None, budget: int = LINES_BUDGET
) -> ConsoleLines:
    """The lines of `pieces`, in the order in which they begin.

    Args:
        keep: which end to keep where the budget is too small for all.
        traceback: the stream that is in the middle of a traceback.
        budget: how many lines at most; whole pieces are left out until they fit, but for the last one.
    """
    kept = _within_budget(pieces, keep, budget)
    begun = _join(kept)
    if len(begun) > LINES_BUDGET:  # one piece alone may hold more
        begun = begun[-LINES_BUDGET:] if keep == "last" else begun[:LINES_BUDGET]
    tracker = _TracebackTracker(traceback)
    return ConsoleLines(
        tuple(_draw(raw, tracker) for raw in begun),
        first=kept[0].cursor if kept else None,
        last=kept[-1].cursor if kept else None,
        dropped_pieces=len(pieces) - len(kept),
        traceback=tracker.stream,
    )


def _within_budget(pieces: Sequence[ConsolePiece], keep: Side, budget: int) -> Sequence[ConsolePiece]:
    lines = chars = 0
    for count, piece in enumerate(reversed(pieces) if keep == "last" else pieces):
        lines += piece.text.count("\n")
        chars += len(piece.text)
        if count and (lines > budget or chars > CHARS_BUDGET):
            return pieces[-count:] if keep == "last" else pieces[:count]
    return pieces


@dataclass
class _RawLine:
    cursor: str | None
    stream: Stream
    time: datetime
    continues: bool
    parts: list[str] = field(default_factory=list)
    ended: bool = False


def _join(pieces: Iterable[ConsolePiece]) -> list[_RawLine]:
    """The lines in the order in which they begin; what a stream writes next goes on with its own unended line."""
    lines: list[_RawLine] = []
    unended: dict[Stream, _RawLine] = {}
    seen: set[Stream] = set()
    for piece in pieces:
        for place, part in enumerate(re.findall(r"[^\n]*\n|[^\n]+", piece.text)):
            line = unended.get(piece.stream)
            if line is None:
                cursor = piece.cursor if place == 0 else None
                line = _RawLine(cursor, piece.stream, piece.time, continues=piece.stream not in seen)
                lines.append(line)
                seen.add(piece.stream)
                unended[piece.stream] = line
            line.parts.append(part)
            if "\r" in part:
                line.time = piece.time  # a progress bar was last drawn now
            if part.endswith("\n"):
                line.ended = True
                del unended[piece.stream]
    return lines


def _draw(raw: _RawLine, tracker: _TracebackTracker) -> ConsoleLine:
    text = "".join(raw.parts).removesuffix("\n")
    shown = fold_carriage_returns(text)
    spans, cut_chars = _cut(ansi_to_spans(shown[: 4 * LINE_LIMIT_CHARS]), max(0, len(shown) - 4 * LINE_LIMIT_CHARS))
    return ConsoleLine(
        cursor=raw.cursor,
        stream=raw.stream,
        time=raw.time,
        spans=spans,
        number=None,
        continues=raw.continues,
        replaces="\r" in text.rstrip("\r"),
        ended=raw.ended,
        returned=not raw.ended and text.endswith("\r"),
        failure=tracker.take(raw.stream, "".join(text for text, _ in spans)),
        cut_chars=cut_chars,
    )


def _cut(spans: Iterable[TextSpan], cut_before: int) -> tuple[tuple[TextSpan, ...], int]:
    room = LINE_LIMIT_CHARS
    kept: list[TextSpan] = []
    for text, classes in spans:
        if room > 0:
            kept.append((text[:room], classes))
        room -= len(text)
    return tuple(kept), cut_before + max(0, -room)


class _TracebackTracker:
    """Tells which lines belong to a traceback: from its first line to the error's own, chained ones included."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def take(self, stream: Stream, text: str) -> bool:
        if TRACEBACK_START.match(text):
            self.stream = stream
            return True
        if text.strip() in BETWEEN_TRACEBACKS:
            return True
        if stream != self.stream:
            return False
        if text[:1].isspace() or text.lstrip()[:1] in ("+", "|"):  # frames, source lines, exception groups
            return True
        self.stream = None  # the line that names the error is the last
        return bool(text)
