"""The courier: ships the journals of one destination into MongoDB, in order and exactly once."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .database_faults import is_refused_document, is_refused_login
from .indexes import ensure_indexes
from .journal_places import run_folders
from .journal_segments import (
    BLOBS_FOLDER,
    NUMBER_FILE,
    RESERVE_SUFFIX,
    clear_reserves,
    has_held_reserve,
    segments_in,
)
from .kept_policy import keep_policy
from .run_shipper import RunShipper
from .shippable_segment import SegmentFile

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

RETRY_SECONDS = (1.0, 60.0)  # between tries of one run's journal that the database refuses
POLICY_SECONDS = 20.0  # between two looks at the database's policy
FILE_SECONDS = 0.5  # of a round for large files, of all runs together: the others' points wait meanwhile


@dataclass(frozen=True)
class _Failure:
    error: BaseException
    wait_seconds: float
    retry_at: float  # on the monotonic clock


class Courier:
    """Ships all runs whose journals lie in `places`. One courier at a time works on them."""

    def __init__(
        self,
        database: Database[dict[str, Any]],
        places: Sequence[Path],
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            places: the destination's folders, see `journal_places`.
            on_stored: called after each batch that the database has for good.
        """
        self._database = database
        self._places = tuple(places)
        self._on_stored = on_stored
        self._shippers: dict[str, RunShipper] = {}
        self._failures: dict[str, _Failure] = {}
        self._unfinished: set[str] = set()  # runs with large files on their way
        self._has_indexes = False
        self._policy_due = -POLICY_SECONDS
        self.had_news = False  # whether the last round found anything

    @property
    def is_busy(self) -> bool:
        """Whether the next round has work that waits for nothing."""
        return bool(self._unfinished)

    def ship(self) -> bool:
        """Ship what is new.

        Returns:
            Whether there is more to come: a training that runs, or a journal that has not failed to be shipped.

        Raises:
            pymongo.errors.PyMongoError: the database does not answer, or refuses all that it is given. The next call
                starts from what is durable.
        """
        if not self._has_indexes:
            ensure_indexes(self._database)
            self._has_indexes = True
            remove_left_folders(self._places)
        self._keep_policy()
        runs = run_folders(self._places)
        for known in (self._shippers, self._failures):
            for uid in known.keys() - runs.keys():  # removed by somebody else
                del known[uid]
        self._unfinished &= runs.keys()
        self.had_news = False
        tried = [self._ship_run(uid, folders) for uid, folders in runs.items()]
        if False in tried and True not in tried:
            raise max(self._failures.values(), key=lambda failure: failure.retry_at).error
        # What is of no run that we know is kept for people to look at; nobody waits for it.
        ours = {uid for uid, shipper in self._shippers.items() if shipper.run_id is not None}
        return any(uid in ours or is_running(runs[uid]) for uid in runs)

    def _keep_policy(self) -> None:
        """Leave the database's policy where the next run that is recorded here finds it."""
        from pymongo.errors import OperationFailure

        if time.monotonic() < self._policy_due:
            return
        self._policy_due = time.monotonic() + POLICY_SECONDS
        try:
            keep_policy(self._database, self._places[0])
        except (OSError, OperationFailure) as error:
            # A full disk, or an account that may not read it: runs are redacted by it when they are shipped.
            logger.debug("The database's policy is not kept here: %s", error)

    def _ship_run(self, uid: str, folders: tuple[Path, ...]) -> bool | None:
        """Ship one run; says whether the database took what it was given, None if it was given nothing."""
        failure = self._failures.get(uid)
        if failure is not None and time.monotonic() < failure.retry_at:
            return None
        segments = [SegmentFile(path) for path in segments_in(*folders)]
        shipper = self._shippers.get(uid)
        if shipper is None:
            shipper = self._shippers[uid] = RunShipper(self._database, folders, self._on_stored)
        has_news = shipper.has_news(segments)
        if not has_news and all(segment.is_held() for segment in segments):
            return None
        self.had_news = self.had_news or has_news
        try:
            complete = shipper.ship(segments, file_seconds=FILE_SECONDS / max(1, len(self._unfinished)))
        except Exception as error:
            # What was applied of the batch is unknown: start again from the database's checkpoint.
            del self._shippers[uid]
            if not self._is_this_run_alone(error):
                raise
            self._note_failure(uid, folders, error)
            return False
        self._failures.pop(uid, None)
        (self._unfinished.discard if complete else self._unfinished.add)(uid)
        if complete and not segments_in(*folders):
            del self._shippers[uid]
            remove_folders(folders)
        return True

    def _note_failure(self, uid: str, folders: tuple[Path, ...], error: BaseException) -> None:
        """Keep the journal and try again, less and less often: it may wait for rights, or a newer version."""
        known = self._failures.get(uid)
        wait = RETRY_SECONDS[0] if known is None else min(2 * known.wait_seconds, RETRY_SECONDS[1])
        self._failures[uid] = _Failure(error, wait, time.monotonic() + wait)
        trace = error if known is None else None  # once is enough to find the cause
        logger.error("The journal in %s cannot be shipped and is kept: %r", folders[0], error, exc_info=trace)

    @staticmethod
    def _is_this_run_alone(error: BaseException) -> bool:
        """Whether other runs can perhaps be shipped although this one failed."""
        from pymongo.errors import OperationFailure, PyMongoError

        if is_refused_document(error):
            return True
        if isinstance(error, OperationFailure):
            return not is_refused_login(error) and not error.has_error_label("RetryableWriteError")
        return not isinstance(error, PyMongoError)


def remove_folders(folders: Sequence[Path]) -> None:
    """Remove a shipped run's folders. A segment that a forked child opens meanwhile keeps its own."""
    if any(has_held_reserve(folder) for folder in folders):
        return  # a training on a full disk: it has all that it records in memory, and comes back
    for folder in folders:
        clear_reserves(folder)
        shutil.rmtree(folder / BLOBS_FOLDER, ignore_errors=True)
        for leftover in (folder / NUMBER_FILE, folder / f"{NUMBER_FILE}.new"):
            with contextlib.suppress(OSError):  # a place that was never a folder, or became read-only
                leftover.unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError as error:
            logger.debug("Journal folder %s stays: %s", folder, error)


def remove_left_folders(places: Sequence[Path]) -> None:
    """Remove the folders of trainings that were killed while a full disk left them nothing but a reserve there."""
    waiting = run_folders(places)
    for place in places:
        for reserve in place.glob(f"*/*{RESERVE_SUFFIX}"):
            if reserve.parent.name not in waiting:
                remove_folders([other / reserve.parent.name for other in places])


def is_running(folders: Sequence[Path]) -> bool:
    """Whether a process still writes this run's journal."""
    return any(SegmentFile(path).is_held() for path in segments_in(*folders))
