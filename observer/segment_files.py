"""Segment files while they are written: made and locked, known again, rescued when somebody removes them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .journal_segments import SUFFIX

# Somebody who closes "all" descriptors (a daemon, os.closerange) has the next file opened under our number, and would
# have our records written into it. So high up no number is given out again soon.
HIGH_DESCRIPTOR = 900
LOCK_TRIES = 100
WRITING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True)
class OpenSegment:
    """A segment that this process made and holds locked.

    Attributes:
        device, inode: what the descriptor stood for when it was opened.
    """

    descriptor: int
    path: Path
    device: int
    inode: int

    def is_ours(self) -> bool:
        """Whether the descriptor still stands for this file: somebody may have closed it, and opened another."""
        try:
            facts = os.fstat(self.descriptor)
        except OSError:
            return False
        return (facts.st_dev, facts.st_ino) == (self.device, self.inode)

    def is_removed(self) -> bool:
        """Whether the file has no name any more, so that nobody will ever find what is in it."""
        return os.fstat(self.descriptor).st_nlink == 0

    def close(self) -> None:
        """Release it, unless its descriptor is somebody else's by now."""
        if self.is_ours():
            with contextlib.suppress(OSError):
                os.close(self.descriptor)


def create_segment(folder: Path, next_number: Callable[[], int]) -> OpenSegment:
    """Make an empty segment in `folder`, locked, under a number that no other has there.

    Raises:
        OSError: as `create_file`.
    """
    while True:
        try:
            return create_file(folder / f"{next_number():016x}{SUFFIX}")
        except FileExistsError:  # another process of the run in the same millisecond
            continue


def write_whole_segment(path: Path, content: bytes) -> None:
    """Make the segment `path` with all its records.

    Raises:
        OSError: it does not fit; nothing is left of it.
    """
    segment = create_file(path)
    try:
        write_all(segment.descriptor, content)
        os.fdatasync(segment.descriptor)
    except BaseException:  # by Ctrl-C too: half of its records would pass for all of them
        path.unlink(missing_ok=True)
        raise
    finally:
        segment.close()


def rescue_segment(removed: OpenSegment) -> OpenSegment:
    """Give a segment whose file was removed a file again, in the same folder and under the same number.

    Its records are shipped from where the removed one was left off.

    Raises:
        OSError: there is no folder or no room.
    """
    import shutil  # hardly anybody ever needs it

    rescued = create_file(removed.path)
    try:
        # Our descriptor is for writing alone; the file behind it can be opened again as long as it is open.
        kept = Path(f"/proc/self/fd/{removed.descriptor}")
        with kept.open("rb") as source, os.fdopen(os.dup(rescued.descriptor), "wb") as target:
            shutil.copyfileobj(source, target)
    except BaseException:  # by Ctrl-C too: half of its records would pass for all of them
        removed.path.unlink(missing_ok=True)
        rescued.close()
        raise
    removed.close()
    return rescued


def write_all(descriptor: int, data: bytes) -> None:
    """Append `data` whole, or nothing of it.

    Raises:
        OSError: there is no room.
    """
    written = os.write(descriptor, data)
    if written < len(data):
        cut_back(descriptor, written)


def cut_back(descriptor: int, torn_bytes: int) -> None:
    """Take back what was written of a record that did not fit, and say so.

    Raises:
        OSError: always: the disk is full.
    """
    os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_END) - torn_bytes)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def force_folder(folder: Path) -> None:
    """Have the disk keep the names in `folder`."""
    _force(folder, os.O_DIRECTORY)


def force_file(path: Path) -> None:
    """Have the disk keep the bytes of the file at `path`."""
    _force(path, os.O_NOFOLLOW)


def _force(path: Path, flags: int) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    except OSError:  # shipped and removed meanwhile
        return
    try:
        os.fsync(descriptor)
    except OSError:  # a failing disk, or one that cannot: what there is, is still with the kernel
        return
    finally:
        os.close(descriptor)


def create_file(path: Path) -> OpenSegment:
    """Make the file `path`, ours alone (0600), opened for appending and locked.

    Raises:
        OSError: it cannot be made or locked; nothing is left of it.
    """
    descriptor = os.open(path, WRITING, 0o600)
    try:
        _lock(descriptor)
        descriptor = _moved_high(descriptor)
        facts = os.fstat(descriptor)
        return OpenSegment(descriptor, path, facts.st_dev, facts.st_ino)
    except BaseException:  # by Ctrl-C too, nothing may stay behind that nobody will ever remove
        path.unlink(missing_ok=True)
        os.close(descriptor)
        raise


def _lock(descriptor: int) -> None:
    """Lock a file that we have just made: nobody else writes it, but somebody may be looking whether it is held."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.001)
        else:
            return
    raise BlockingIOError(errno.EWOULDBLOCK, "Somebody else holds a lock on the new segment")


def _moved_high(descriptor: int) -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = min(HIGH_DESCRIPTOR, most // 2) if most > 0 else HIGH_DESCRIPTOR
    try:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError:  # all numbers up there are taken
        return descriptor
    os.close(descriptor)  # the lock belongs to the open file, which both stand for
    return high
