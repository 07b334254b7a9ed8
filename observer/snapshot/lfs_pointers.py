"""Git LFS: a commit holds a small pointer (digest and size) in place of a large file."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from .deadline import Deadline

MAX_POINTER_BYTES = 1_024
PIECE_BYTES = 1_048_576

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n"
)


def is_file_of_pointer(path: Path, pointer: bytes, deadline: Deadline) -> bool:
    """Whether `path` holds what the pointer names. False when it is none, or when time runs out while reading."""
    match = _POINTER.fullmatch(pointer)
    if match is None:
        return False
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != int(match[2]):
            return False
        return _sha256(path, deadline) == match[1].decode("ascii")
    except OSError:
        return False


def _sha256(path: Path, deadline: Deadline) -> str | None:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            if deadline.is_over():
                return None
            digest.update(piece)
    return digest.hexdigest()
