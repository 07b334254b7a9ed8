"""The runs that are active in this process, and which of them is the current one where the script is now."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError

if TYPE_CHECKING:
    from .run import Run

_current: ContextVar[Run | None] = ContextVar("cloister_current_run", default=None)
_active: list[Run] = []  # innermost last; for threads, which do not inherit their starter's context


class NoRun(CloisterError, RuntimeError):
    """Something asked for the current run and there is none."""

    def __init__(self) -> None:
        super().__init__(
            "No run is active. Call this in a function under @experiment or inside 'with cloister.start_run(...):'."
        )


def current_run() -> Run:
    """The innermost run that is active here.

    Raises:
        NoRun: there is none.
    """
    run = _current.get()
    if run is not None and not run.ended:
        return run
    if _active:
        return _active[-1]
    raise NoRun()


def find_active(uid: str) -> Run | None:
    """The run with this uid, if it is active in this process."""
    return next((run for run in _active if run.uid == uid), None)


def log(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Record metrics in the current run; see `Run.log`.

    Raises:
        NoRun: no run is active.
    """
    current_run().log(metrics, step)


def enter(run: Run) -> Token[Run | None]:
    """Make `run` the current one here; the token is for `leave`."""
    _active.append(run)
    return _current.set(run)


def leave(run: Run, token: Token[Run | None]) -> None:
    """Make the run before `run` the current one again."""
    if run in _active:
        _active.remove(run)
    try:
        _current.reset(token)
    except ValueError:  # ended in another thread than the one that started it
        _current.set(None)
