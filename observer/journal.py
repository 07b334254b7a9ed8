"""The journal: what a run has logged, on local disk, until MongoDB has it."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .journal_records import FORMAT, Kind, encode_record
from .journal_segments import SUFFIX, new_segment_number

logger = logging.getLogger("cloister")

SEGMENT_LIMIT_BYTES = 64 * 1024 * 1024  # a shipped segment frees its disk space while the run goes on


class Journal:
    """Appends records to a segment of its own, which it holds locked while it lives.

    Thread-safe. A forked child goes on in a segment of its own. `record` never raises for a full or broken disk: what
    could not be written is counted in `lost`.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Open a first segment in `folder`, which is made if need be (0700).

        Args:
            folder: the run's own folder.
            header: what the first record of every segment says of the run.

        Raises:
            OSError: the folder or the segment cannot be made.
        """
        self.folder = folder
        self.lost = {"points": 0, "lines": 0, "bytes": 0}
        self._header = dict(header)
        # Reentrant: a SIGTERM that arrives inside `record` ends the run from the signal handler, in the same thread.
        self._lock = threading.RLock()
        self._descriptor = -1
        self._written = 0
        self._sequence = 0
        self._closed = False
        self._warned = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open_segment()
        _alive.add(self)

    def record(self, kind: Kind, fields: Mapping[str, Any], wall_time: float | None = None) -> None:
        """Append one record: when this returns, the kernel has it and a killed process loses nothing.

        Raises:
            RecordTooLarge, OverflowError, bson.errors.InvalidDocument: `fields` is no BSON that the database takes.
        """
        with self._lock:
            if self._closed:
                count_lost(self.lost, kind, fields)
                return
            try:
                if self._descriptor < 0 or self._written > SEGMENT_LIMIT_BYTES:
                    self._open_segment()
                self._sequence += 1
                data = encode_record(kind, self._sequence, time.time() if wall_time is None else wall_time, fields)
                self._append(data)
            except OSError as error:
                count_lost(self.lost, kind, fields)
                self._warn_once(error)

    def sync(self) -> None:
        """Have the disk keep what was recorded, also through a power cut."""
        descriptor = self._descriptor
        if descriptor >= 0:
            try:
                os.fdatasync(descriptor)
            except OSError as error:  # closed meanwhile, or a failing disk: the records are still with the kernel
                logger.debug("fdatasync of %s: %s", self.folder, error)

    def close(self) -> None:
        """Release the segment; the courier may ship the rest of it and delete it."""
        with self._lock:
            self._closed = True
            self._close_segment()

    def _append(self, data: bytes) -> None:
        written = os.write(self._descriptor, data)
        if written < len(data):  # the disk is full: a torn record would hide nothing, but it would waste space
            os.ftruncate(self._descriptor, self._written)
            raise OSError(28, "No space left on device")
        self._written += written

    def _open_segment(self) -> None:
        self._close_segment()
        path = self.folder / f"{new_segment_number():016x}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._written = 0
        self._sequence = 1
        header = {"format": FORMAT, "pid": os.getpid(), "run": self._header}
        self._append(encode_record("header", self._sequence, time.time(), header))

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _warn_once(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "The journal in %s cannot be written (%s). Training goes on; what it logs from now on is counted as "
                "lost until there is space again.",
                self.folder,
                error.strerror or error,
            )

    def _continue_after_fork(self) -> None:
        # The child shares the parent's descriptor: two writers would interleave sequences. Closing our copy keeps the
        # parent's lock, which belongs to the open file; the next record opens a segment of the child's own.
        self._lock = threading.RLock()
        self._close_segment()
        self.lost = {"points": 0, "lines": 0, "bytes": 0}


class NowhereJournal:
    """Takes the place of a journal where nothing can be written: counts what is lost, so that the training goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = {"points": 0, "lines": 0, "bytes": 0}

    def record(self, kind: Kind, fields: Mapping[str, Any], wall_time: float | None = None) -> None:
        count_lost(self.lost, kind, fields)

    def sync(self) -> None:
        """There is nothing to sync."""

    def close(self) -> None:
        """There is nothing to close."""


def count_lost(lost: dict[str, int], kind: Kind, fields: Mapping[str, Any]) -> None:
    """Add to `lost` what a record that cannot be written would have held."""
    if kind == "points":
        lost["points"] += len(fields.get("v", ()))
    elif kind == "console":
        lost["lines"] += str(fields.get("text", "")).count("\n")
        lost["bytes"] += len(str(fields.get("text", "")))


_alive: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for journal in list(_alive):
        journal._continue_after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
