"""Files of a folder that somebody else has filled: opened by names in it only, never through a link out of it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..errors import CloisterError

NAME_LIMIT = 4096
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
_FOLDER = _READ | os.O_DIRECTORY


class RefusedPath(CloisterError, OSError):
    """A name leads out of its folder, or to something that is not a plain file in it."""

    def __init__(self, name: str, reason: str) -> None:
        shown = name if len(name) < 200 else f"{name[:200]}..."
        super().__init__(f"{shown!r} is not read: {reason}")


class Folder:
    """A folder whose files are opened by their path in it. Thread-safe; holds nothing open."""

    def __init__(self, path: Path, *, may_be_link: bool = True) -> None:
        """
        Args:
            may_be_link: whether `path` itself may be one; the user has named it then.
        """
        self.path = path
        self._opened_as = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY if may_be_link else _FOLDER

    def child(self, name: str) -> Folder:
        return Folder(self.path / name, may_be_link=False)

    def names(self) -> list[str]:
        """What lies in it, links left out, sorted."""
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if not entry.is_symlink())

    def has(self, name: str) -> bool:
        """Whether a plain file of that name lies directly in it."""
        with contextlib.suppress(OSError, ValueError):
            return stat.S_ISREG((self.path / name).lstat().st_mode)
        return False

    def is_folder(self, name: str) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return stat.S_ISDIR((self.path / name).lstat().st_mode)
        return False

    def size(self, relative: str) -> int:
        """Of a plain file in it.

        Raises:
            RefusedPath: there is none.
        """
        with self.open(relative) as file:
            return os.fstat(file.fileno()).st_size

    @contextlib.contextmanager
    def open(self, relative: str) -> Iterator[BinaryIO]:
        """A plain file in it, for reading.

        Raises:
            RefusedPath: the path leaves the folder, goes through a link, or leads to no plain file.
        """
        with os.fdopen(self._descriptor(relative), "rb") as file:
            yield file

    def read(self, relative: str, limit_bytes: int) -> bytes:
        """All of a plain file.

        Raises:
            RefusedPath: as `open`; also if it has more than `limit_bytes`.
        """
        with self.open(relative) as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise RefusedPath(relative, f"it has more than {limit_bytes / 1e6:,.0f} MB")
        return data

    def _descriptor(self, relative: str) -> int:
        parts = _parts(relative)
        # Name by name, each opened in the folder before it: a link that is put there meanwhile leads nowhere either.
        try:
            descriptor = os.open(self.path, self._opened_as)
        except OSError as error:
            raise RefusedPath(relative, _reason(error)) from error
        try:
            for name in parts[:-1]:
                below = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            # O_NONBLOCK: a FIFO that nobody writes to would be waited for.
            found = os.open(parts[-1], _READ | os.O_NONBLOCK, dir_fd=descriptor)
        except UnicodeEncodeError as error:
            raise RefusedPath(relative, "that is no file's name") from error
        except OSError as error:
            raise RefusedPath(relative, _reason(error)) from error
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise RefusedPath(relative, "it is no plain file")
        return found


def _parts(relative: str) -> tuple[str, ...]:
    path = PurePosixPath(relative)
    if not relative or "\0" in relative or len(relative) > NAME_LIMIT:
        raise RefusedPath(relative, "that is no file's name")
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise RefusedPath(relative, "it leads out of the folder")
    return path.parts


def _reason(error: OSError) -> str:
    import errno

    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "it is a link, or lies behind one"
    return "it is not there" if error.errno == errno.ENOENT else (error.strerror or str(error)).lower()
