"""Reading a file that a hostile folder may have made: a plain one, up to a size, or a reason why not."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

FILE_LIMIT_BYTES = 1_000_000  # what issue 2 allows for one source or one file's diff


@dataclass(frozen=True)
class PlainFile:
    """What reading gave: the content, or None and the reason in words."""

    content: bytes | None
    size_bytes: int | None
    reason: str | None = None


def read_plain_file(path: Path, *, limit_bytes: int = FILE_LIMIT_BYTES, follow_links: bool = False) -> PlainFile:
    """Read `path` whole when it is a regular file of at most `limit_bytes`; never block, never raise an OSError."""
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever. Devices are refused before a byte is read.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow_links else os.O_NOFOLLOW)
    try:
        if not follow_links and path.is_symlink():
            return PlainFile(None, None, "a link")
        if not stat.S_ISREG(path.stat().st_mode):
            return PlainFile(None, None, "not a plain file")
        descriptor = os.open(path, flags)
    except OSError as error:
        return PlainFile(None, None, f"unreadable: {error.strerror}")
    with os.fdopen(descriptor, "rb") as file:
        try:
            return _read_open_file(file.fileno(), limit_bytes)
        except OSError as error:
            return PlainFile(None, None, f"unreadable: {error.strerror}")


def _read_open_file(descriptor: int, limit_bytes: int) -> PlainFile:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return PlainFile(None, None, "not a plain file")
    too_large = PlainFile(None, status.st_size, f"larger than {limit_bytes / 1e6:g} MB")
    if status.st_size > limit_bytes:
        return too_large
    # One byte more than allowed: the file may grow while it is read, and files of /proc say 0.
    pieces, left = [], limit_bytes + 1
    while left > 0 and (piece := os.read(descriptor, left)):
        pieces.append(piece)
        left -= len(piece)
    return PlainFile(b"".join(pieces), limit_bytes + 1 - left) if left > 0 else too_large


def size_on_disk(path: Path) -> int | None:
    """A file's size, a link's own, or None where there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return None  # deleted
