"""Shipping from the training itself what no folder takes: from memory straight into the database."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .fork_guard import import_beside
from .journal_memory import JournalMemory
from .journal_segments import has_segments, segments_in
from .lent_client import LentClient
from .settings import Settings
from .shippable_segment import SegmentFile

if TYPE_CHECKING:
    from pymongo.database import Database

    from .run_shipper import RunShipper
    from .stop_state import StopRequest

logger = logging.getLogger("cloister")

SHIP_SECONDS = 0.3
BACKOFF_SECONDS = (0.5, 5.0)  # less than a courier's: what waits here is in memory only
OLDER_BYTES = 16 * 1024 * 1024  # of older files: what memory could wait for before it is full
IDLE_SECONDS = 5.0  # a full disk that takes a little now and then should not connect anew each time
# Of our own: a training that seeds `random` must not get other numbers because we drew some.
_JITTER = random.Random()  # noqa: S311


class DirectShipping:
    """A thread that ships what is in the memory of one journal, while there is anything.

    The same work as the courier's, on segments that are not files; others may ship for the same run meanwhile.
    """

    def __init__(self, settings: Settings, folders: Sequence[Path], lent: LentClient | None = None) -> None:
        """
        Args:
            folders: where the run's files lie, for what the records in memory name.
            lent: a client to ship through, instead of one for the URI of the settings.
        """
        self._lent = lent
        self._settings = settings
        self._folders = tuple(folders)
        self._thread: threading.Thread | None = None
        self.run_id: Any = None  # as the database gave it, once this has shipped something
        self.stop: StopRequest | None = None

    def ensure(self, memory: JournalMemory) -> None:
        """Have the thread at work. In a forked child, which has none of its parent's threads, it is another."""
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._work, args=(memory,), name="cloister-direct", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is shutting down
                logger.debug("Nothing is shipped from memory: %s", error)
                return
            self._thread = thread

    def clear_folders(self) -> None:
        """Once all of an ended run is stored: remove what shipping it has left in folders that took no segment."""
        if not any(has_segments(folder) for folder in self._folders):
            from .courier import remove_folders

            remove_folders(self._folders)

    def _work(self, memory: JournalMemory) -> None:
        import_beside("pymongo", "numpy", f"{__package__}.run_shipper", f"{__package__}.indexes")
        failures = 0
        while memory:
            try:
                self._ship_while_it_works(memory)
            except Exception as error:
                # Wide on purpose: whatever the database or the network does, what is in memory is tried again.
                failures += 1
                logger.debug("Shipping from memory failed (attempt %d): %s", failures, error)
                low, high = BACKOFF_SECONDS
                time.sleep(min(high, low * 2 ** min(failures - 1, 10)) * _JITTER.uniform(0.5, 1.0))
            else:
                failures = 0

    def _ship_while_it_works(self, memory: JournalMemory) -> None:
        from .indexes import ensure_indexes
        from .run_shipper import RunShipper

        with self._open() as database:
            ensure_indexes(database)
            shipper = RunShipper(database, self._folders)
            idle = 0.0
            while idle < IDLE_SECONDS:
                idle = 0.0 if memory else idle + SHIP_SECONDS
                self._ship(shipper, memory)
                self.run_id, self.stop = shipper.run_id, shipper.stop
                time.sleep(SHIP_SECONDS)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Database[dict[str, Any]]]:
        from .mongo import connect, database_name, resolve_uri

        if self._lent is not None:
            with self._lent.open() as database:
                yield database
            return
        uri = resolve_uri(self._settings)
        with connect(replace(self._settings, uri=uri)) as client:
            yield client[database_name(uri, self._settings)]

    def _ship(self, shipper: RunShipper, memory: JournalMemory) -> None:
        """Ship what is in memory, behind the older files that no courier has shipped yet: lines keep their order."""
        segments = memory.segments()
        try:
            older = [SegmentFile(path) for path in segments_in(*self._folders)]
            older = [file for file in older if segments and file.number < segments[0].number]
            if sum(file.size() for file in older) <= OLDER_BYTES:
                shipper.ship([*older, *segments])
                return
        except OSError as error:  # a dying disk
            logger.debug("Older files are left to the courier: %s", error)
        shipper.ship(segments)
