"""What a run printed, out of Sacred's one text, as pieces of our console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..console_store import piece_key, piece_place, split_text
from ..metric_shipper import HISTORY_SEGMENT

if TYPE_CHECKING:
    from pymongo.database import Database

PIECE_CHARACTERS = 64 * 1024  # as many as the capture records at once; a progress bar may have no line end for hours
PIECES_AT_ONCE = 128


def console_pieces(text: str) -> Iterator[str]:
    """The text in pieces of some hundred lines, cut behind line ends where there are any."""
    for part in split_text(text):
        start = 0
        while len(part) - start > PIECE_CHARACTERS:
            end = part.rfind("\n", start, start + PIECE_CHARACTERS) + 1 or start + PIECE_CHARACTERS
            yield part[start:end]
            start = end
        if start < len(part):
            yield part[start:]


def console_counts(text: str) -> dict[str, int]:
    pieces = sum(1 for _ in console_pieces(text))
    return {"lines": text.count("\n"), "bytes": len(text.encode("utf-8", "replace")), "next": pieces}


def piece_documents(uid: str, run_id: Any, text: str, when: datetime | None) -> Iterator[dict[str, Any]]:
    """The pieces as they are stored. Sacred keeps no times and does not tell streams apart: all have the run's."""
    moment = when or datetime.fromtimestamp(0, timezone.utc)
    for number, piece in enumerate(console_pieces(text)):
        place = piece_place(number + 1, 0)
        yield {
            "_id": piece_key(uid, HISTORY_SEGMENT, place),
            "run_id": run_id,
            "n": number,
            "last": place,
            "stream": "stdout",
            "time": moment,
            "text": piece,
        }


def store_consoles(database: Database[dict[str, Any]], texts: Mapping[str, tuple[Any, str, datetime | None]]) -> None:
    """Store what runs printed, by uid: (id of the run, text, time). Whatever else is stored under these ids goes.

    That is what an earlier adoption stored of a longer text, and the console of a deleted run whose number Sacred has
    given away again: a console is looked up by the run's number.
    """
    from pymongo import DeleteMany, ReplaceOne

    writes: list[Any] = []
    for uid, (run_id, text, when) in texts.items():
        count = 0
        for document in piece_documents(uid, run_id, text, when):
            writes.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
            count += 1
            if len(writes) >= PIECES_AT_ONCE:
                database["console"].bulk_write(writes, ordered=False)
                writes = []
        first, last = (piece_key(uid, HISTORY_SEGMENT, piece_place(number, 0)) for number in (1, count))
        ours = {"$gte": first, "$lte": last}
        writes.append(DeleteMany({"run_id": {"$eq": run_id}, "_id": {"$not": ours} if count else {"$exists": True}}))
    if writes:
        database["console"].bulk_write(writes, ordered=False)
