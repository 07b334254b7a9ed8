"""A journal segment as the courier reads it: a file, or what a training without any disk left keeps in memory."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Protocol

from .journal_segments import is_held, segment_number

logger = logging.getLogger("cloister")

DAMAGED_SUFFIX = ".damaged"  # of a segment that was shipped as far as it could be read
LOCKED_WITHIN_SECONDS = 60.0  # between making a file and locking it there are microseconds, or a suspended laptop


class ShippableSegment(Protocol):
    """Bytes in the journal's format, growing at their end while somebody writes them.

    Implementations: `SegmentFile` here, and the memory of a training that ships by itself. One thread ships.
    """

    @property
    def number(self) -> int:
        """Its name: sorts by creation, and is part of every `_id` made of its records."""

    def size(self) -> int:
        """How many bytes it holds by now; 0 if it is gone."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on; nothing at its end.

        Raises:
            FileNotFoundError: it is gone.
        """

    def is_held(self) -> bool:
        """Whether records may still come. Once False it stays False, and all records can be read."""

    def remove(self) -> None:
        """Let go of it: the database has all of it, durably."""

    def set_aside(self) -> None:
        """Let go of it, but keep its bytes for people: the database has all that could be read of it, durably."""


class SegmentFile:
    """A segment on disk, whose writer holds a lock on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = segment_number(path)

    def __repr__(self) -> str:
        return str(self.path)

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def is_held(self) -> bool:
        # A writer makes the file, then locks it, then writes: an empty one that is young may be about to be locked.
        # Asked in this order, because what has bytes was locked before.
        return self._is_new() or is_held(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def set_aside(self) -> None:
        kept = self.path.with_suffix(DAMAGED_SUFFIX)
        try:
            self.path.replace(kept)
        except FileNotFoundError:  # by another shipper, or removed by hand
            return
        logger.warning("A part of %s could not be read and is lost; it is kept as %s.", self.path, kept.name)

    def _is_new(self) -> bool:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return False
        return facts.st_size == 0 and abs(time.time() - facts.st_mtime) < LOCKED_WITHIN_SECONDS
