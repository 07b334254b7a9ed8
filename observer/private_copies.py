"""Private copies of a run's files: what a file was when it was logged, kept until the database has it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from .blobs import Digests, digest_stream
from .errors import CloisterError
from .journal_allowance import JournalAllowance
from .journal_places import Place
from .journal_segments import BLOBS_FOLDER
from .segment_files import force_file, force_folder

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FICLONE = 0x40049409  # <linux/fs.h>: share the blocks of another file until one of the two is written


class CopyNotKept(CloisterError, OSError):
    """There is no room for the private copy of a file."""

    def __init__(self, name: object, size_bytes: int, reason: str) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"File {str(name)!r} ({size_bytes:,} bytes) is not recorded: {reason}")


def open_to_copy(path: Path) -> BinaryIO:
    """A file to be copied, open; the caller closes it.

    Raises:
        OSError: it cannot be read, or is no file: of a pipe one would wait for ever, and a device has no end.
    """
    stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is a pipe or a device, no file", str(path))
    return stream


class PrivateCopies:
    """The copies of one run, each under its digest in the first of the run's folders that takes it. Thread-safe.

    They are no hard links: a file that is written in place would change under us. Where the file system can share
    blocks (Btrfs, XFS), a copy costs neither time nor space.
    """

    def __init__(self, places: Sequence[Place], allowance: JournalAllowance, *, forces_each: bool = False) -> None:
        self._places = tuple(places)
        self._allowance = allowance
        self._forces_each = forces_each
        self._unforced: deque[Path] = deque()  # without a lock, which a fork could leave locked in the child

    def keep(self, stream: BinaryIO, name: object) -> Digests:
        """Copy `stream` to its end, and say what the copy holds, whatever is written to the original meanwhile.

        Raises:
            CopyNotKept: no folder takes it; nothing is left of it.
            OSError: `stream` cannot be read.
        """
        size = _size_of(stream)
        if not self._allowance.has_room_for(size):
            limit = f"{self._allowance.limit_bytes:,} bytes"
            reason = f"with it, more than {limit} would wait to be shipped. Raise CLOISTER_JOURNAL_LIMIT."
            raise CopyNotKept(name, size, reason)
        reasons = []
        for place in self._places:
            try:
                return self._keep_in(place, stream, size)
            except _NotTaken as refusal:
                reasons.append(f"{place.folder} ({refusal})")
                stream.seek(0)
        tried = "; ".join(reasons)
        advice = "Make room, or set CLOISTER_HOME to a folder on a larger disk."
        raise CopyNotKept(name, size, f"no folder takes a copy of it: {tried}. {advice}")

    def force(self) -> None:
        """Have the disk keep the copies that were made since the last call."""
        folders = set()
        while self._unforced:
            path = self._unforced.popleft()
            force_file(path)
            folders.add(path.parent)
        for folder in folders:
            force_folder(folder)

    def _keep_in(self, place: Place, stream: BinaryIO, size: int) -> Digests:
        folder = place.folder / BLOBS_FOLDER
        with _writing():
            place.claim()
            folder.mkdir(mode=0o700, exist_ok=True)
            room = place.room_bytes()
            if room is not None and size > room:
                raise _NotTaken("in memory, where there is too little room")
            unfinished = folder / f"{os.urandom(8).hex()}.unfinished"
            descriptor = os.open(unfinished, _NEW_FILE, 0o600)
        try:
            with _CopyFile(descriptor) as copy:
                digests = _share(stream, copy) or digest_stream(stream, copy)
                if self._forces_each:
                    with _writing():
                        os.fsync(descriptor)
            kept = folder / digests.sha256
            with _writing():
                unfinished.replace(kept)
        except BaseException:  # Ctrl-C too: no half copy may stay
            unfinished.unlink(missing_ok=True)
            raise
        if self._forces_each:
            force_folder(folder)
        else:
            self._unforced.append(kept)
        return digests


class _NotTaken(Exception):
    """A folder does not take a copy."""


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Tell the errors of the folder that is written to from those of the file that is read."""
    try:
        yield
    except OSError as error:
        raise _NotTaken(error.strerror or str(error)) from error


class _CopyFile(io.FileIO):
    """The file that is written to."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb+")

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        view = memoryview(data)
        with _writing():
            while view:
                view = view[super().write(view) or 0 :]
        return len(data)


def _share(stream: BinaryIO, copy: io.FileIO) -> Digests | None:
    """Have the copy share the blocks of the original, and read what it holds; None where that cannot be done."""
    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, stream.fileno())
    except OSError:  # no file (`io.UnsupportedOperation`), another disk, or a file system that shares no blocks
        return None
    return digest_stream(copy)


def _size_of(stream: BinaryIO) -> int:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size
