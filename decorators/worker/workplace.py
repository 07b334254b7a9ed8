"""The private folder in which a queued run is made: its code as it was stored, and nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ...observer.blobs import open_blob
from ...observer.encryption.opened import is_withheld, opened_document, why_document_locked
from ...observer.errors import CloisterError
from ...observer.settings import Settings
from .job_file import CODE_FOLDER, entry_of_document, relative_path, write_job

if TYPE_CHECKING:
    from pymongo.database import Database

WORK_FOLDER = "work"  # in the data folder
LOCK_FILE = "lock"  # held by the worker and the process that it starts; a folder without one is never swept
MOST_FILES = 5_000
LIMIT_BYTES = 128_000_000


class UnusableSources(CloisterError, ValueError):
    """The stored code of a run is not what was queued, or cannot be rebuilt."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The run's code is not rebuilt: {problem}. Nothing of it was executed; queue the run again.")


@dataclass(frozen=True)
class Workplace:
    """A folder that exists as long as the run is made.

    Attributes:
        lock: an open descriptor, to be inherited by the process that works here: while anybody has it, nobody sweeps.
    """

    folder: Path
    lock: int

    @property
    def code(self) -> Path:
        return self.folder / CODE_FOLDER


@contextlib.contextmanager
def workplace(
    database: Database[dict[str, Any]], document: Mapping[str, Any], settings: Settings, *, keep: bool = False
) -> Iterator[Workplace]:
    """Rebuild the code of a taken run in a folder of its own.

    Args:
        keep: leave the folder as it is afterwards.

    Raises:
        UnusableSources, BadEntry, BlobNotFound, DamagedBlob: the code is not there, not what its digests say, or would
            leave the folder.
    """
    document = opened_document(database, dict(document))
    if is_withheld(document):
        raise UnusableSources("its config or code was to be encrypted, and there was no key: it was not recorded")
    if locked := why_document_locked(document):
        raise UnusableSources(f"parts of it are encrypted. {locked}")
    parent = work_folder(settings)
    number = document["_id"] if isinstance(document["_id"], int) else "other"  # text may be anything, a path too
    folder = Path(tempfile.mkdtemp(prefix=f"run-{number}-", dir=parent))  # 0700
    lock = _locked(folder)
    try:
        rebuild(database, document, folder / CODE_FOLDER)
        write_job(folder, document)
        yield Workplace(folder, lock)
    finally:
        os.close(lock)
        if keep:
            (folder / LOCK_FILE).unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int:
    new = folder / f"{LOCK_FILE}.new"
    lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    new.rename(folder / LOCK_FILE)  # from here on another worker's sweep looks at it, and finds it held
    return lock


def work_folder(settings: Settings) -> Path:
    """Where workers have their folders."""
    folder = settings.data_folder / WORK_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def sweep(settings: Settings) -> None:
    """Remove the folders of workers that were killed, once the runs in them have ended too."""
    for folder in work_folder(settings).glob("run-*"):
        try:
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # kept without a lock, or just being made
            continue
        with contextlib.closing(os.fdopen(descriptor)), contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def rebuild(database: Database[dict[str, Any]], document: Mapping[str, Any], code: Path) -> None:
    """Write the stored sources below `code`, each only if its bytes have the digest that the run names.

    Raises:
        UnusableSources, BadEntry, BlobNotFound, DamagedBlob: see `workplace`.
    """
    sources = _sources_of(document)
    entry = entry_of_document(document)
    code.mkdir(mode=0o700)
    (code / entry.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    written: dict[str, PurePosixPath] = {}
    left = LIMIT_BYTES
    for source in sources:
        path = relative_path(source.get("path") if isinstance(source, Mapping) else None)
        twin = written.setdefault(unicodedata.normalize("NFC", str(path)).casefold(), path)
        if twin is not path:
            raise UnusableSources(f"{str(path)!r} and {str(twin)!r} would be one file")
        content = _read(database, source, str(path), left)
        left -= len(content)
        _write(code / path, content)
    if entry.file not in written.values():
        raise UnusableSources(f"its script {str(entry.file)!r} is not among the stored sources")


def _sources_of(document: Mapping[str, Any]) -> list[Any]:
    ours = (document.get("cloister") or {}).get("sources")
    if ours is None:
        pairs = (document.get("experiment") or {}).get("sources")
        if isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            ours = [{"path": path, "file_id": file_id, "is_sacreds": True} for path, file_id in pairs]
    if not isinstance(ours, list):
        raise UnusableSources("its list of sources is damaged")
    if len(ours) > MOST_FILES:
        raise UnusableSources(f"it has {len(ours):,} files, and at most {MOST_FILES:,} are rebuilt")
    return ours


def _read(database: Database[dict[str, Any]], source: Mapping[str, Any], path: str, limit: int) -> bytes:
    blob = open_blob(database, source.get("file_id"))
    if blob.size > limit:
        raise UnusableSources(f"with {path!r}, it is larger than {LIMIT_BYTES / 1e6:g} MB")
    content = blob.read()
    if source.get("is_sacreds"):  # Sacred's own: GridFS has an MD5 of it, or nothing to tell by
        if blob.md5 not in (None, hashlib.md5(content, usedforsecurity=False).hexdigest()):
            raise UnusableSources(f"the stored bytes of {path!r} are not those that Sacred stored (their MD5 differs)")
    elif hashlib.sha256(content).hexdigest() != source.get("sha256"):
        raise UnusableSources(f"the stored bytes of {path!r} are not those that were queued (their SHA-256 differs)")
    return content


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except (FileExistsError, NotADirectoryError) as error:  # a source below another that is a file
        raise UnusableSources(f"{path.name!r} lies where another source is") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
