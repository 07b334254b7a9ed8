"""The courier: ships the journals of one destination into MongoDB, in order and exactly once."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .indexes import ensure_indexes
from .journal import BLOBS_FOLDER, is_held, segments_in
from .run_shipper import RunShipper

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

_NOT_LET_IN = (13, 18)  # Unauthorized, AuthenticationFailed: the same for every run


class Courier:
    """Ships all runs whose journals lie in `folder`. One courier at a time works on a folder."""

    def __init__(self, database: Database[dict[str, Any]], folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._shippers: dict[Path, RunShipper] = {}
        self._has_indexes = False

    def ship(self, *, due: bool = True) -> bool:
        """Ship what is new; of runs that go on only where `due`, of ended ones at once.

        Returns:
            Whether journals are left: of running trainings, or more than one round ships.

        Raises:
            pymongo.errors.PyMongoError: the database does not answer. The next call starts from what is durable.
        """
        if not self._has_indexes:
            ensure_indexes(self._database)
            self._has_indexes = True
        folders = run_folders(self._folder)
        for folder in folders:
            self._ship_run(folder, due)
        self._shippers = {folder: shipper for folder, shipper in self._shippers.items() if folder in folders}
        return bool(run_folders(self._folder))

    def _ship_run(self, folder: Path, due: bool) -> None:
        # Asked before reading: a segment that was free then has all its records on disk now.
        free = [path for path in segments_in(folder) if not is_held(path)]
        held = len(segments_in(folder)) > len(free)
        if held and not due:
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
            logger.exception("The journal in %s cannot be shipped; it is kept and tried again.", folder)
            return
        if complete and not held and not segments_in(folder):
            self._remove(folder)

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
        for leftover in (folder / "run.json", folder / "run.json.new"):
            leftover.unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError as error:
            logger.debug("Journal folder %s stays: %s", folder, error)


def run_folders(destination: Path) -> list[Path]:
    """The folders of runs with anything left to ship, oldest first (a run's uid begins with its time)."""
    try:
        return sorted(path for path in destination.iterdir() if path.is_dir() and segments_in(path))
    except FileNotFoundError:
        return []
