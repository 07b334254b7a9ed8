"""How runs end with their process: its last line, an uncaught exception, a signal; and waiting for the courier."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from ..observer.settings import load_settings

if TYPE_CHECKING:
    from .run import Run

PROGRESS_AFTER_SECONDS = 1.0
# What a batch system, a shutdown or a closed terminal sends. Their default, to end the process, stays what happens.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)

_open: list[Run] = []
_ended: list[Run] = []
_installed_in: int | None = (
    None  # the process that has the hooks; a forked child inherits them and they do nothing there
)
_uncaught: BaseException | None = None


def end_with_process(run: Run) -> None:
    """Have `run` ended, in the right way, when its process ends before somebody has ended it."""
    _open.append(run)
    _install_once()


def settle_at_exit(run: Run) -> None:
    """Have the process wait at its exit, within limits, until the ended `run` is in the database."""
    if run in _open:
        _open.remove(run)
    _ended.append(run)


def _install_once() -> None:
    global _installed_in
    if _installed_in == os.getpid():
        return
    _installed_in = os.getpid()
    atexit.register(_at_exit)
    _note_uncaught(sys.excepthook)
    if threading.current_thread() is threading.main_thread():
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:  # a handler of the user's is the user's business
                signal.signal(number, _on_signal)


def _note_uncaught(previous: Callable[[type[BaseException], BaseException, TracebackType | None], Any]) -> None:
    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        global _uncaught
        _uncaught = error
        previous(kind, error, trace)

    sys.excepthook = hook


def _on_signal(number: int, _frame: FrameType | None) -> None:
    for run in reversed(_open):
        run.end_by_signal(number)
    # The process ends as it would have without us: by the signal itself. The courier ships what is left.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _at_exit() -> None:
    if os.getpid() != _installed_in:
        return
    for run in reversed(_open):
        run.end_as(_uncaught)
    limit = load_settings().exit_wait
    started = time.monotonic()
    for run in _ended:
        left = max(0.0, limit - (time.monotonic() - started))
        if not run.settle(left, _show_progress(started)):
            break  # the same database: waiting for the next run would be waiting for the same thing


def _show_progress(started: float) -> Callable[[float], None]:
    told = False

    def tell(_waited: float) -> None:
        nonlocal told
        if not told and time.monotonic() - started > PROGRESS_AFTER_SECONDS and sys.stderr is not None:
            told = True
            if sys.stderr.isatty():
                sys.stderr.write(
                    "Cloister: storing the rest of the run. Ctrl-C leaves it to the next run on this machine.\n"
                )

    return tell
