"""A piece of disk that is set aside while there is some, so that the end of a run fits when there is none left."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from .fork_guard import import_beside
from .journal_segments import RESERVE_SUFFIX
from .segment_files import OpenSegment, create_file

RESERVE_BYTES = 64 * 1024  # an end is a few hundred bytes, with a traceback some thousand
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: blocks behind the end of the file, which is empty to whoever reads it


class EndReserve:
    """An empty file with disk blocks of its own, which becomes a segment when no place takes the end of the run.

    Works on ext4, XFS, Btrfs, tmpfs and others that know `fallocate`; elsewhere `set_aside` raises.
    """

    def __init__(self, file: OpenSegment, size_bytes: int) -> None:
        self._file = file
        self.size_bytes = size_bytes

    @classmethod
    def set_aside(cls, folder: Path, number: int, size_bytes: int) -> EndReserve:
        """Set `size_bytes` aside in `folder`. Takes milliseconds on some file systems.

        Raises:
            OSError: the disk has no such space, or cannot set any aside.
        """
        file = create_file(folder / f"{number:016x}{RESERVE_SUFFIX}")
        reserve = cls(file, size_bytes)
        try:
            _allocate(file.descriptor, size_bytes)
        except BaseException:  # by Ctrl-C too, nothing may stay behind that nobody will ever remove
            reserve.give_back()
            raise
        return reserve

    @property
    def folder(self) -> Path:
        return self._file.path.parent

    def become_segment(self, name: str) -> OpenSegment:
        """Turn it into the empty segment `name` beside it.

        Raises:
            OSError: it is gone with its folder, or somebody has closed its descriptor.
        """
        if not self._file.is_ours():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        path = self._file.path.with_name(name)
        self._file.path.rename(path)
        return replace(self._file, path=path)

    def give_back(self) -> None:
        """Free the space."""
        with contextlib.suppress(OSError):  # a folder that became read-only; whoever ships the run clears it
            self._file.path.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Let go of a copy of the descriptor: in a forked child the file is its parent's."""
        self._file.close()


def get_ready() -> None:
    """Load what setting space aside takes: 2 ms, from a thread, before anybody waits for it."""
    import_beside("ctypes")
    with contextlib.suppress(AttributeError, OSError):  # a C library without it: `set_aside` says so
        _fallocate()


def _allocate(descriptor: int, size_bytes: int) -> None:
    # os.posix_fallocate makes the file longer, and where the file system cannot do it, writes zeros: a reader of the
    # segment would take them for damage.
    import ctypes

    allocate = _fallocate()
    if allocate(descriptor, _KEEP_SIZE, 0, size_bytes) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@cache
def _fallocate() -> Any:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "fallocate64", None) or library.fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return function
