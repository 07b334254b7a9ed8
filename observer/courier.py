"""The courier: ships the journals of one destination into MongoDB, in order and exactly once."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .indexes import ensure_indexes
from .journal_segments import BLOBS_FOLDER, NUMBER_FILE, is_held, is_running, run_folders, segments_in
from .run_shipper import RunShipper

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

RETRY_SECONDS = (1.0, 60.0)  # between tries of one run's journal that the database refuses
_NOT_LET_IN = (13, 18)  # Unauthorized, AuthenticationFailed: the same for every run


@dataclass(frozen=True)
class _Failure:
    wait_seconds: float
    retry_at: float  # on the monotonic clock


class Courier:
    """Ships all runs whose journals lie in `folder`. One courier at a time works on a folder."""

    def __init__(self, database: Database[dict[str, Any]], folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._shippers: dict[Path, RunShipper] = {}
        self._failures: dict[Path, _Failure] = {}
        self._has_indexes = False

    def ship(self, *, due: bool = True) -> bool:
        """Ship what is new; of runs that go on only where `due`, of ended ones at once.

        Returns:
            Whether there is more to come: a training that runs, or a journal that has not failed to be shipped.

        Raises:
            pymongo.errors.PyMongoError: the database does not answer. The next call starts from what is durable.
        """
        if not self._has_indexes:
            ensure_indexes(self._database)
            self._has_indexes = True
        folders = run_folders(self._folder)
        for folder in folders:
            self._ship_run(folder, due)
        left = run_folders(self._folder)
        self._shippers = {folder: shipper for folder, shipper in self._shippers.items() if folder in left}
        self._failures = {folder: failure for folder, failure in self._failures.items() if folder in left}
        return any(folder not in self._failures or is_running(folder) for folder in left)

    def _ship_run(self, folder: Path, due: bool) -> None:
        # Asked before reading: a segment that was free then has all its records on disk now.
        free = [path for path in segments_in(folder) if not is_held(path)]
        held = len(segments_in(folder)) > len(free)
        failure = self._failures.get(folder)
        if (held and not due) or (failure is not None and time.monotonic() < failure.retry_at):
            return
        shipper = self._shippers.get(folder)
        if shipper is None:
            shipper = self._shippers[folder] = RunShipper(self._database, folder)
        try:
            complete = shipper.ship(free)
        except BaseException as error:
            # What was applied of the batch is unknown: start again from the database's checkpoint.
            del self._shippers[folder]
            if not self._is_this_run_alone(error):
                raise
            self._note_failure(folder, error)
            return
        self._failures.pop(folder, None)
        if complete and not held and not segments_in(folder):
            self._remove(folder)

    def _note_failure(self, folder: Path, error: BaseException) -> None:
        """Keep the journal and try again, less and less often: it may wait for rights, or a newer version."""
        known = self._failures.get(folder)
        wait = RETRY_SECONDS[0] if known is None else min(2 * known.wait_seconds, RETRY_SECONDS[1])
        self._failures[folder] = _Failure(wait, time.monotonic() + wait)
        trace = error if known is None else None  # once is enough to find the cause
        logger.error("The journal in %s cannot be shipped and is kept: %r", folder, error, exc_info=trace)

    @staticmethod
    def _is_this_run_alone(error: BaseException) -> bool:
        """Whether other runs can be shipped although this one failed: the database refused it."""
        from pymongo.errors import OperationFailure, PyMongoError

        if isinstance(error, OperationFailure):
            return error.code not in _NOT_LET_IN and not error.has_error_label("RetryableWriteError")
        return isinstance(error, Exception) and not isinstance(error, PyMongoError)

    def _remove(self, folder: Path) -> None:
        """Remove a shipped run's folder. A segment that a forked child opens meanwhile keeps it."""
        del self._shippers[folder]
        shutil.rmtree(folder / BLOBS_FOLDER, ignore_errors=True)
        for leftover in (folder / NUMBER_FILE, folder / f"{NUMBER_FILE}.new"):
            leftover.unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError as error:
            logger.debug("Journal folder %s stays: %s", folder, error)
