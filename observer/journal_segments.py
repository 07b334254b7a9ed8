"""Journal segments on disk: their names, who holds them, and the folders of runs that wait to be shipped."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

from .journal_records import RECORD_LIMIT_BYTES, decode_records

SUFFIX = ".journal"
RESERVE_SUFFIX = ".reserve"  # disk space set aside for the end of the run; see journal_reserve.py
BLOBS_FOLDER = "blobs"
NUMBER_FILE = "run.json"  # left by the courier: the number that the database gave the run
_RANDOM_BITS = 20  # a thousand ranks that start in one second are given the same number once in 2,000 such starts


def new_segment_number(after: int = 0) -> int:
    """A segment's name as a number: milliseconds since 1970 and 20 random bits, so that segments sort by creation.

    Args:
        after: the number of the same writer's last segment; the new one is larger, also after the clock was set back.
    """
    milliseconds = max(time.time_ns() // 1_000_000, (after >> _RANDOM_BITS) + 1)
    return milliseconds << _RANDOM_BITS | int.from_bytes(os.urandom(4), "big") % (1 << _RANDOM_BITS)


def segments_in(*folders: Path) -> list[Path]:
    """A run's journal segments in all its folders, oldest first."""
    return sorted((path for folder in folders for path in folder.glob(f"*{SUFFIX}")), key=lambda path: path.name)


def has_segments(folder: Path) -> bool:
    """Whether anything in a run's folder waits to be shipped."""
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(SUFFIX) for entry in entries)
    except OSError:  # shipped and removed meanwhile
        return False


def segment_number(path: Path) -> int:
    return int(path.stem, 16)


def is_held(path: Path) -> bool:
    """Whether the process that writes this segment still lives."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_header(path: Path) -> dict[str, Any] | None:
    """The run that a segment belongs to, None if its first record is not whole (yet), or the segment gone."""
    try:
        with path.open("rb") as file:
            record = next(decode_records(file.read(RECORD_LIMIT_BYTES)), None)
    except FileNotFoundError:  # shipped and removed meanwhile
        return None
    run = record.fields.get("run") if record is not None and record.kind == "header" else None
    return run if isinstance(run, dict) else None


def has_held_reserve(folder: Path) -> bool:
    """Whether a living process keeps space for its end in a run's folder."""
    return any(is_held(path) for path in folder.glob(f"*{RESERVE_SUFFIX}"))


def clear_reserves(folder: Path) -> None:
    """Remove the disk space that dead processes had set aside in a run's folder."""
    for path in folder.glob(f"*{RESERVE_SUFFIX}"):
        if not is_held(path):
            path.unlink(missing_ok=True)
