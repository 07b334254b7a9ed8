"""The output of runs that Sacred recorded: one text in the run's document, `captured_out`, shown as pieces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .console_store import PAGE_CHARACTERS, PIECE_LINES, BadCursor, ConsolePage, ConsolePiece
from .foreign_runs import is_foreign

if TYPE_CHECKING:
    from pymongo.database import Database

PIECE_CHARACTERS = 64 * 1024
BYTES = "_captured_bytes"  # in a run's document instead of `captured_out`
_IS_TEXT = {"$eq": [{"$type": "$captured_out"}, "string"]}
WITHOUT_CAPTURED: list[dict[str, Any]] = [
    {"$set": {BYTES: {"$cond": [_IS_TEXT, {"$strLenBytes": "$captured_out"}, 0]}}},
    {"$unset": "captured_out"},
]


def load_captured(
    database: Database[dict[str, Any]], run_id: Any, *, after: str | None, before: str | None, limit: int
) -> ConsolePage | None:
    """Pieces of `captured_out` as `load_console` gives those of ours; None where something of ours has recorded it.

    A cursor is the place in the text where a piece ends. All pieces have the time at which the run started, since
    nothing says when a line was written, and are of stdout, with which Sacred mixes stderr.
    """
    asked = {"captured_out": 1, "start_time": 1, "cloister.uid": 1}
    run = database["runs"].find_one({"_id": run_id}, asked)
    if run is None or not is_foreign(run):
        return None
    text, started = run.get("captured_out"), run.get("start_time")
    time = started if isinstance(started, datetime) else datetime.fromtimestamp(0, timezone.utc)
    pieces = _cut(text if isinstance(text, str) else "", time, after, before)
    chosen, more = _within(pieces, max(1, limit), from_start=after is not None)
    return ConsolePage(
        tuple(chosen),
        first=chosen[0].cursor if chosen else before or after or "0",
        last=chosen[-1].cursor if chosen else after or before or "0",
        more=more,
    )


def _cut(text: str, time: datetime, after: str | None, before: str | None) -> list[ConsolePiece]:
    """The pieces behind `after`, or before the piece that ends at `before`.

    Borders follow from the text's beginning alone, so that pages of a text that grows fit to each other.
    """
    low = _parse(after) if after else 0
    high = len(text) + 1 if before is None else _parse(before)
    pieces = []
    for start, end in _borders(text):
        if end > low and end < high:
            pieces.append(ConsolePiece(str(end), "stdout", time, text[max(start, low) : end]))
    return pieces


def _borders(text: str) -> Iterator[tuple[int, int]]:
    """Pieces of at most `PIECE_LINES` lines; longer than `PIECE_CHARACTERS` only where a single line is."""
    start = 0
    while start < len(text):
        end = start
        for _ in range(PIECE_LINES):
            found = text.find("\n", end, start + PIECE_CHARACTERS)
            if found < 0:
                end = _without_newline(text, start, end)
                break
            end = found + 1
        yield start, end
        start = end


def _without_newline(text: str, start: int, end: int) -> int:
    """Where a piece ends that has fewer lines than it may, and whole ones up to `end`."""
    if len(text) - start <= PIECE_CHARACTERS:
        return len(text)
    return end if end > start else start + PIECE_CHARACTERS


def _within(pieces: list[ConsolePiece], limit: int, *, from_start: bool) -> tuple[list[ConsolePiece], bool]:
    """As many pieces as make a page, from one end, and whether there are further ones."""
    ordered = pieces if from_start else pieces[::-1]
    chosen: list[ConsolePiece] = []
    characters = 0
    for piece in ordered:
        if len(chosen) == limit or characters > PAGE_CHARACTERS:
            break
        chosen.append(piece)
        characters += len(piece.text)
    return (chosen if from_start else chosen[::-1]), len(chosen) < len(pieces)


def _parse(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadCursor(cursor)
    return int(cursor)
