"""Shipping the console of one run: records become pieces, each exactly once, small neighbours as one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .console_store import PIECE_LINES, piece_key, piece_place, read_piece, split_text
from .console_text import tail_text
from .database_faults import is_refused_document
from .encryption.run_sealing import NOT_HERE, SEALED
from .journal_records import JournalRecord
from .overtaking import named
from .run_record import CONSOLE_NEXT
from .run_update import Overtaken

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

MERGED_BYTES = 64 * 1024  # what the capture records at once at most
MERGED_SECONDS = 0.25  # a piece has one time, which is shown beside its lines
CAPTURED_OUT_BYTES = 256 * 1024  # what Sacred's readers get of the console
CAPTURED_OUT_SECONDS = 10.0  # as often as Sacred rewrites it
_DUPLICATE = 11000


@dataclass
class _OpenPiece:
    segment: int
    first: int  # place
    last: int
    stream: str
    began: float
    parts: list[Any]  # text, or what is encrypted by `key`
    size: int
    lines: int
    key: bytes | None = None

    def takes(self, segment: int, stream: str, wall_time: float, size: int, lines: int, key: bytes | None) -> bool:
        return (
            (segment, stream, key) == (self.segment, self.stream, self.key)
            and self.size + size <= MERGED_BYTES
            and self.lines + lines <= PIECE_LINES
            and 0 <= wall_time - self.began <= MERGED_SECONDS
        )


class ConsoleShipper:
    """Takes console records in the order of the journal and stores them as pieces.

    The pieces of a segment cover it without a gap from its start on: each is inserted after all before it, under the
    place of its first record. So however a replay, or another shipper of the same segment, cuts its batches: the newest
    piece says how far the text is stored, and of two that add the same next piece one is refused and looks again.
    """

    def __init__(self, database: Database[dict[str, Any]], run: dict[str, Any], *, is_new: bool) -> None:
        """
        Args:
            run: its document, at least `_id` and `cloister`.
            is_new: nothing of the run can be stored yet, so nothing needs to be looked up.
        """
        self._database = database
        self._run = run
        self._run_id = run["_id"]
        self._uid = run["cloister"]["uid"]
        self._is_new = is_new
        self._covered: dict[int, int] = {}  # by segment: the place up to which its text is stored
        self._pieces: list[_OpenPiece] = []
        self._lines = self._bytes = 0
        # Bytes that `captured_out` does not know. Whoever shipped before us may have died before it was its time.
        self._behind = 0 if is_new else int((run["cloister"].get("console") or {}).get("bytes") or 0)
        self._captured: int | None = None  # bytes that it holds
        # A filter of Sacred's may take back what was printed, which pieces cannot: its user has set the text then.
        self._is_set = bool((run["cloister"].get("console") or {}).get("captured"))
        self._rewritten = time.monotonic()

    def take(self, segment: int, record: JournalRecord) -> None:
        """Add what was printed; text that is stored already only counts."""
        if SEALED in record.fields:
            self._take_sealed(segment, record)
            return
        text = str(record.fields.get("text", ""))
        stream = "stderr" if record.fields.get("stream") == "stderr" else "stdout"
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        self._lines += text.count("\n")
        self._bytes += size
        self._behind += size
        covered = self._covered_place(segment)
        for part, piece in enumerate(split_text(text)):
            place = piece_place(record.sequence, part)
            if place > covered:
                self._add(segment, place, stream, record.time, piece, size=len(piece), lines=piece.count("\n"))

    def _take_sealed(self, segment: int, record: JournalRecord) -> None:
        """A record that nobody here can read: it is one part, and says itself how much it is."""
        lines, size = int(record.fields.get("lines") or 0), int(record.fields.get("bytes") or 0)
        self._lines += lines
        self._bytes += size
        self._behind += size
        place = piece_place(record.sequence, 0)
        if place > self._covered_place(segment):
            stream = "stderr" if record.fields.get("stream") == "stderr" else "stdout"
            sealed, key = record.fields[SEALED], record.fields.get("key")
            self._add(segment, place, stream, record.time, sealed, size=len(sealed), lines=lines, key=key)

    def store(self) -> None:
        """Insert the pieces.

        Raises:
            Overtaken: another shipper stored some of them meanwhile.
        """
        from pymongo.errors import BulkWriteError

        pieces, self._pieces = self._pieces, []
        if not pieces:
            return
        first = self._reserve(len(pieces))
        documents = [self._document(piece, number) for number, piece in enumerate(pieces, first)]
        try:
            # Ordered: a page that follows the console asks for what comes after the last piece that it saw; and no
            # piece may be stored whose predecessor was refused.
            self._database["console"].insert_many(documents, ordered=True)
        except BulkWriteError as error:
            if any(entry.get("code") == _DUPLICATE for entry in error.details.get("writeErrors") or []):
                raise Overtaken(self._run_id) from error
            raise
        self._covered.update((piece.segment, piece.last) for piece in pieces)

    def note_fields(self, fields: Mapping[str, Any]) -> None:
        """Leave `captured_out` alone from now on if it is among `fields`, which are set by the run itself."""
        self._is_set = self._is_set or "captured_out" in fields

    def count_changes(self) -> dict[str, int]:
        """How many lines and bytes came since the last call."""
        counted = {"lines": self._lines, "bytes": self._bytes}
        self._lines = self._bytes = 0
        return {name: count for name, count in counted.items() if count}

    def is_captured_out_late(self) -> bool:
        """Whether what Sacred's readers see waits to be rewritten although nothing new is printed. Asks no database."""
        return self._captured is not None and self._is_captured_out_due()

    def _is_captured_out_due(self) -> bool:
        if not self._behind or self._is_set or time.monotonic() - self._rewritten < CAPTURED_OUT_SECONDS:
            return False
        return self._behind >= self._captured_bytes()

    def refresh_captured_out(self, *, force: bool) -> None:
        """Rewrite what Sacred's readers see of the console, when it has doubled or is all new: a bounded price."""
        if not (self._behind and not self._is_set if force else self._is_captured_out_due()):
            return
        text = tail_text(reversed(self._newest_pieces()), CAPTURED_OUT_BYTES)
        try:
            self._database["runs"].update_one(named(self._run), {"$set": {"captured_out": text}})
        except Exception as error:  # refusals are of several classes, of the driver and of BSON; all else goes on up
            if not is_refused_document(error):
                raise
            # The run's document is full. Our own readers have the pieces.
            logger.warning("Run %s has no room for its captured_out: %s", self._run_id, error)
        self._captured, self._behind = len(text), 0
        self._rewritten = time.monotonic()

    # ---- pieces

    def _add(
        self,
        segment: int,
        place: int,
        stream: str,
        wall_time: float,
        part: Any,
        *,
        size: int,
        lines: int,
        key: bytes | None = None,
    ) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is None or not last.takes(segment, stream, wall_time, size, lines, key):
            self._pieces.append(_OpenPiece(segment, place, place, stream, wall_time, [part], size, lines, key))
            return
        last.parts.append(part)
        last.last = place
        last.size += size
        last.lines += lines

    def _document(self, piece: _OpenPiece, number: int) -> dict[str, Any]:
        return {
            "_id": piece_key(self._uid, piece.segment, piece.first),
            "run_id": self._run_id,
            "n": number,
            "last": piece.last,
            "stream": piece.stream,
            "time": datetime.fromtimestamp(piece.began, timezone.utc),
            **self._content(piece),
        }

    @staticmethod
    def _content(piece: _OpenPiece) -> dict[str, Any]:
        if piece.key is None:
            return {"text": "".join(piece.parts)}
        return {SEALED: piece.parts, "key": piece.key, "lines": piece.lines}

    def _covered_place(self, segment: int) -> int:
        covered = self._covered.get(segment)
        if covered is None:
            covered = self._covered[segment] = 0 if self._is_new else self._look_up_covered(segment)
        return covered

    def _look_up_covered(self, segment: int) -> int:
        between = {"$gte": piece_key(self._uid, segment, 0), "$lte": piece_key(self._uid, segment, 2**64 - 1)}
        newest = self._database["console"].find_one({"_id": between}, {"last": 1}, sort=[("_id", -1)])
        return int(newest["last"]) if newest else 0

    def _reserve(self, count: int) -> int:
        """Numbers for so many pieces, given to nobody else: the places of the pieces in the run's console."""
        from pymongo import ReturnDocument

        run = self._database["runs"].find_one_and_update(
            named(self._run),
            {"$inc": {CONSOLE_NEXT: count}},
            projection={CONSOLE_NEXT: 1},
            return_document=ReturnDocument.AFTER,
        )
        if run is None:
            raise Overtaken(self._run_id)
        return int(run["cloister"]["console"]["next"]) - count

    # ---- captured_out

    def _captured_bytes(self) -> int:
        if self._captured is None:
            run = self._database["runs"].find_one({"_id": self._run_id}, {"captured_out": 1}) or {}
            self._captured = len(run.get("captured_out") or "")
        return self._captured

    def _newest_pieces(self) -> list[Any]:
        pieces, size = [], 0
        newest_first = self._database["console"].find({"run_id": self._run_id}).sort("n", -1)
        for document in newest_first.batch_size(64):  # the later batches of a cursor are 16 MB unless it is told
            if SEALED in document:
                document = {**document, "text": f"{NOT_HERE}\n"}
                pieces.append(read_piece(document))
                break
            pieces.append(read_piece(document))
            size += len(pieces[-1].text)
            if size > CAPTURED_OUT_BYTES:
                break
        return pieces
