"""Imports beside the training that a fork does not cut in two.

A fork copies one thread. What another thread was importing in that moment stays locked in the child for ever: the first
line of the child that needs the module hangs, in a data loader's worker for instance. So our threads import under this
guard, for which a fork waits; it takes a fifth of a second, once, in the first moments of a run.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from importlib import import_module

PATIENCE_SECONDS = 2.0  # what a fork waits at most: a module on a slow network may take longer, and is then a risk

_importing = threading.Lock()
_forking_thread: int | None = None  # that holds `_importing`


@contextlib.contextmanager
def no_fork() -> Iterator[None]:
    """No thread forks while the block runs. For imports in threads of ours; not for anything that waits."""
    with _importing:
        yield


def import_beside(*names: str) -> None:
    """Import modules from a thread, so that none of them has to be imported outside of the guard afterwards.

    One that is missing or broken is left out: whoever needs it says so.
    """
    for name in names:
        with no_fork(), contextlib.suppress(Exception):
            # Wide on purpose: a broken package may raise anything, and here nobody needs it yet.
            import_module(name)


def _before_fork() -> None:
    global _forking_thread
    if _importing.acquire(timeout=PATIENCE_SECONDS):
        _forking_thread = threading.get_ident()


def _after_fork_in_parent() -> None:
    global _forking_thread
    if _forking_thread == threading.get_ident():
        _forking_thread = None
        _importing.release()


def _after_fork_in_child() -> None:
    global _importing, _forking_thread
    _importing = threading.Lock()
    _forking_thread = None


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
