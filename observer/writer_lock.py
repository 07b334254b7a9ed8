"""Who may write a run that several processes could take for theirs: one process of this machine for each rank."""

from __future__ import annotations

import fcntl
import json
import os
import weakref
from pathlib import Path
from typing import Any

from .process_facts import this_process

LOCKS_FOLDER = "locks"  # beside the runs' folders: theirs go as soon as they are shipped


class WriterLock:
    """The right to write one rank of a run, held until `release` or the end of the process."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        _held.add(self)

    def release(self) -> None:
        """Give the right back; does nothing the second time."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)  # first: whoever opens it now makes a new one and finds it free
            os.close(self._descriptor)
            self._descriptor = -1

    def _forget(self) -> None:
        # A forked child has a copy of the descriptor, and would hold the lock after its parent's death.
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take_writer_lock(destination: Path, uid: str, rank: int) -> WriterLock | None:
    """The right to write `rank` of run `uid`, None if another process of this machine (or this one already) has it.

    Raises:
        OSError: no lock can be held here (a read-only folder, a file system without locks).
    """
    folder = destination / LOCKS_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{uid}.{rank}"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:  # whatever else it is, the descriptor must not keep the file open
            os.close(descriptor)
            raise
        if _is_still_there(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(this_process()).encode())
            return WriterLock(descriptor, path)
        os.close(descriptor)  # its holder has removed it between our open and our lock


def holder(destination: Path, uid: str, rank: int) -> dict[str, Any]:
    """The process that holds the lock, as `this_process` describes it; empty if none does or it cannot be told."""
    try:
        found = json.loads((destination / LOCKS_FOLDER / f"{uid}.{rank}").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in list(_held):
        lock._forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
