"""Journals and forks: a child gets each of them whole, and goes on in a segment of its own."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

# A disk that hangs under another thread's record must not hang a fork: that journal is then taken as it is.
PATIENCE_SECONDS = 1.0


class ForkAware(Protocol):
    """What must not be copied half-way."""

    lock: threading.RLock

    def continue_after_fork(self) -> None:
        """Go on in the child, with a lock of its own."""


_alive: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_forking = threading.local()  # several threads may fork at once


def guard_forks(journal: ForkAware) -> None:
    """From now on no fork finds another thread inside `journal`."""
    _alive.add(journal)


def _before_fork() -> None:
    _forking.held = [journal for journal in list(_alive) if journal.lock.acquire(timeout=PATIENCE_SECONDS)]


def _after_fork_in_parent() -> None:
    for journal in _forking.__dict__.pop("held", []):
        journal.lock.release()


def _after_fork_in_child() -> None:
    _forking.__dict__.pop("held", None)
    for journal in list(_alive):
        journal.continue_after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
