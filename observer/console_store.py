"""The console of a run: pieces of what it wrote to stdout and stderr, in order, each with its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from .encryption.opened import open_piece
from .encryption.run_sealing import SEALED
from .errors import CloisterError

if TYPE_CHECKING:
    from bson import Binary
    from pymongo.database import Database

Stream = Literal["stdout", "stderr"]
PAGE_LIMIT = 5000
PAGE_CHARACTERS = 3_000_000
BATCH_PIECES = 64  # 4 MiB at most
PIECE_LINES = 500  # in one stored piece: pages are cut between pieces, and show about 3,000 lines
_PARTS = 1 << 16  # of one record at most, in the places of pieces


class BadCursor(CloisterError, ValueError):
    """A place in the console that no page has given out."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"{cursor!r} is not a place in this console. Use the cursor of a piece, a whole number.")


@dataclass(frozen=True)
class ConsolePiece:
    """Text of one stream, raw: ANSI escapes and carriage returns are kept. It need not end with a newline.

    Attributes:
        locked: why its text cannot be read, where it is encrypted and `text` only says so.
    """

    cursor: str
    stream: Stream
    time: datetime
    text: str
    locked: str = ""


@dataclass(frozen=True)
class ConsolePage:
    """Pieces in order. `more` says that there are further ones on the side that was asked for."""

    pieces: tuple[ConsolePiece, ...]
    first: str
    last: str
    more: bool


def piece_key(run_uid: str, segment: int, place: int) -> Binary:
    """The `_id` of a piece: where in the journal it begins, so that a replay finds it."""
    from uuid import UUID

    from bson import Binary

    key: Binary = Binary(UUID(run_uid).bytes + segment.to_bytes(8, "big") + place.to_bytes(8, "big"))
    return key


def piece_place(sequence: int, part: int) -> int:
    """Where in its segment a part of a record stands: places sort as the text was written, from 1 on."""
    return sequence * _PARTS + part


def split_text(text: str) -> Iterable[str]:
    """One record's text as parts of at most `PIECE_LINES` lines: a fast loop prints thousands of them in one."""
    if text.count("\n") <= PIECE_LINES:
        return (text,)
    *lines, rest = text.split("\n")  # not splitlines: a carriage return ends no line
    parts = ["\n".join([*lines[at : at + PIECE_LINES], ""]) for at in range(0, len(lines), PIECE_LINES)]
    return [*parts, rest] if rest else parts


def load_console(
    database: Database[dict[str, Any]], run_id: Any, *, after: str | None, before: str | None, limit: int
) -> ConsolePage:
    """Up to `limit` pieces after or before a cursor; with neither, the newest. Always in writing order.

    `after` an empty cursor they begin with the first.
    A page ends early, and says that there is more, once it holds `PAGE_CHARACTERS`.
    """
    limit = max(1, min(limit, PAGE_LIMIT))
    condition: dict[str, Any] = {"run_id": run_id}
    if after is not None:
        condition["n"] = {"$gt": _parse_cursor(after) if after else -1}
    elif before is not None:
        condition["n"] = {"$lt": _parse_cursor(before)}
    direction = 1 if after is not None else -1
    found: list[dict[str, Any]] = []
    characters, more = 0, False
    # In batches: of a chatty run a thousand pieces are 64 MB, more than anybody shows.
    for document in database["console"].find(condition).sort("n", direction).limit(limit + 1).batch_size(BATCH_PIECES):
        more = len(found) == limit or characters > PAGE_CHARACTERS
        if more:
            break
        if SEALED in document:
            document = dict(open_piece(database, document))
        found.append(document)
        characters += len(document.get("text") or "")
    if direction < 0:
        found.reverse()
    pieces = tuple(read_piece(document) for document in found)
    return ConsolePage(
        pieces,
        first=pieces[0].cursor if pieces else before or after or "0",
        last=pieces[-1].cursor if pieces else after or before or "0",
        more=more,
    )


def _parse_cursor(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise BadCursor(cursor)
    return int(cursor)


def read_piece(document: Mapping[str, Any]) -> ConsolePiece:
    """A stored piece; fields that are missing become empty."""
    when = document.get("time")
    return ConsolePiece(
        cursor=str(document.get("n", 0)),
        stream="stderr" if document.get("stream") == "stderr" else "stdout",
        time=when if isinstance(when, datetime) else datetime.fromtimestamp(0, timezone.utc),
        text=str(document.get("text", "")),
        locked=str(document.get("locked") or ""),
    )
