"""What can be wrong with what `cloister adopt` was pointed at, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import CloisterError


class NothingThere(CloisterError, LookupError):
    """There is neither a folder nor a database of this name."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"{given!r} is neither a file or folder here nor the address of a database. Give "
            "mongodb://host:27017/sacred (or host:27017:sacred, as Sacred's -m has it), a folder of Sacred's "
            "FileStorageObserver or TinyDbObserver, or the failure_dir of its MongoObserver."
        )


class NoDatabaseNamed(CloisterError, ValueError):
    """A URI names a server and no database on it."""

    def __init__(self, shown_uri: str, found: Sequence[str]) -> None:
        known = f"It has {', '.join(found)}." if found else "None on it looks like one of Sacred's."
        super().__init__(
            f"{shown_uri} names no database. {known} Put its name behind the server's, as in "
            f"mongodb://host:27017/{found[0] if found else 'sacred'}."
        )


class NoRunsThere(CloisterError, LookupError):
    """A database has no runs of Sacred's under the names that were asked for."""

    def __init__(self, database: str, runs: str, others: Sequence[str]) -> None:
        hint = "Is it the right database?"
        if others:
            options = ", ".join(f"--collections {other}" if other else "no --collections" for other in others)
            hint = f"There are runs under other names: try {options}."
        super().__init__(f"The database {database!r} has no runs in its collection {runs!r}. {hint}")


class ForeignFolder(CloisterError, ValueError):
    """A folder holds nothing that an observer of Sacred's has written."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} holds nothing that Sacred has written: no folders with a run.json (FileStorageObserver), no "
            "metadata.json with runs (TinyDbObserver), no sacred_mongo_fail_*.pickle (MongoObserver's failure_dir)."
        )


class NoSuchRun(CloisterError, LookupError):
    """A run was asked for that the source does not have."""

    def __init__(self, words: Sequence[str], source: str, known: Sequence[str]) -> None:
        has = f"It has {', '.join(known[:10])}{' and more' if len(known) > 10 else ''}." if known else "It has none."
        super().__init__(
            f"{source} has no run {', '.join(words)}. {has} A text is written id:<text>, an ObjectId oid:<it>."
        )


class NoRightToWrite(CloisterError, PermissionError):
    """The database lets us read and not write."""

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(
            f"We may not write to the database {database!r} ({reason}). Give a URI whose user has the role readWrite "
            "on it; --dry-run and --into, which copies the runs elsewhere, only need to read it."
        )


class NotConfirmed(CloisterError, RuntimeError):
    """A database would be changed, and nobody is there to agree."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"The runs of {database} would be upgraded in place, and there is no terminal to ask whether they should. "
            "Add --yes, or --dry-run to see what would be done; --into copies them instead and leaves it as it is."
        )


class SameDatabase(CloisterError, ValueError):
    """Source and destination of a copy are one."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database} cannot be copied into itself. Leave --into out to upgrade its runs in place, or name another "
            "database, or other --collections."
        )


class NoRoomForCopies(CloisterError, OSError):
    """The temporary folder has no room for a file on its way."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            f"The temporary folder {folder} has no room for a file on its way into the database. Make room, or name "
            "another folder by TMPDIR, and run the same command again: it goes on where it stopped."
        )


class AdoptionStopped(CloisterError, RuntimeError):
    """The database refuses what adoption needs to store."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason} What was adopted stays so; the same command goes on with the rest.")


class AdoptionIncomplete(CloisterError, RuntimeError):
    """Some runs could not be adopted; the others were."""

    def __init__(self, runs: Sequence[str]) -> None:
        shown = ", ".join(runs[:20]) + (f" and {len(runs) - 20} more" if len(runs) > 20 else "")
        super().__init__(
            f"Not adopted: {shown}. The reasons stand above; what was adopted stays so, and the same command goes on "
            "with the rest once they are mended."
        )
