"""What a training keeps in memory while no folder takes its journal: the same segments, a bounded number of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from .journal_records import FORMAT, Kind, decode_records, encode_record

MEMORY_LIMIT_BYTES = 16 * 1024 * 1024
SEGMENT_BYTES = 256 * 1024  # shipped and let go piece by piece
LAST_WORDS_BYTES = 256 * 1024  # beyond the limit, for what is no bulk: how the run ended, its tags


class MemorySegment:
    """One segment, written by the training and read by whoever ships it. See `ShippableSegment`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sequence = 0
        self._data = bytearray()
        self._is_held = True
        self._is_gone = False
        self._read_from = 0

    def __repr__(self) -> str:
        return f"segment {self.number:016x} in memory"

    def append(self, kind: Kind, fields: Mapping[str, Any], wall_time: float) -> None:
        self.sequence += 1
        self._data += encode_record(kind, self.sequence, wall_time, fields)

    def content(self) -> bytes:
        return bytes(self._data)

    def close(self) -> None:
        """Nothing is appended any more."""
        self._is_held = False

    def size(self) -> int:
        return 0 if self._is_gone else len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        if self._is_gone:
            raise FileNotFoundError(2, "This part of the journal is on disk by now")
        self._read_from = offset  # whoever ships asks for what follows once the database has what stands before
        return bytes(self._data[offset : offset + size])

    def is_held(self) -> bool:
        return self._is_held

    @property
    def is_gone(self) -> bool:
        return self._is_gone

    def remove(self) -> None:
        self._is_gone = True

    def set_aside(self) -> None:
        self._is_gone = True  # nobody damages it in between

    def count_unshipped(self, count: Callable[[str, Mapping[str, Any]], None]) -> None:
        """Call `count` for each record that the database is not known to have."""
        for record in decode_records(bytes(self._data[self._read_from :])):
            count(record.kind, record.fields)


class JournalMemory:
    """The segments in memory of one journal, oldest first.

    One thread at a time may change it; another may ship what `segments` gives.
    """

    def __init__(self, header: Mapping[str, Any], next_number: Callable[[], int]) -> None:
        self._header = header
        self._next_number = next_number
        self._segments: list[MemorySegment] = []

    def __bool__(self) -> bool:
        return bool(self.segments())

    def record(self, kind: Kind, fields: Mapping[str, Any], wall_time: float) -> bool:
        """Append a record, unless the bound is reached.

        Raises:
            RecordTooLarge, OverflowError, bson.errors.InvalidDocument: as `Journal.record`.
        """
        is_bulk = kind in ("points", "column", "console")
        limit = MEMORY_LIMIT_BYTES if is_bulk else MEMORY_LIMIT_BYTES + LAST_WORDS_BYTES
        if sum(segment.size() for segment in self.segments()) >= limit:
            return False
        self._open_segment().append(kind, fields, wall_time)
        return True

    def segments(self) -> list[MemorySegment]:
        """Those that neither the database nor a folder has yet."""
        return [segment for segment in self._segments if not segment.is_gone]

    def close(self) -> None:
        """Let all that is there be shipped to its end; the next record opens another segment."""
        for segment in self._segments:
            segment.close()

    def clear(self) -> None:
        for segment in self._segments:
            segment.remove()
        self._segments = []

    def _open_segment(self) -> MemorySegment:
        newest = self._segments[-1] if self._segments else None
        if newest is not None and newest.is_held() and not newest.is_gone and newest.size() < SEGMENT_BYTES:
            return newest
        if newest is not None:
            newest.close()
        segment = MemorySegment(self._next_number())
        self._segments = self.segments()
        segment.append("header", {"format": FORMAT, "pid": os.getpid(), "run": self._header}, time.time())
        self._segments.append(segment)
        return segment
