"""How runs end with their process: its last line, an uncaught exception, a signal; and waiting for the courier."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

from ..observer.amounts import size_of
from ..observer.settings import load_settings
from .ending_signals import EndingSignals
from .main_interrupt import prepare_interrupts

PROGRESS_AFTER_SECONDS = 1.0


class EndingRun(Protocol):
    """What ends with its process: a `Run`, or the recording of a Sacred experiment."""

    def end_as(self, error: BaseException | None) -> None: ...

    def end_by_signal(self, number: int) -> None: ...

    def settle(self, timeout_seconds: float, on_wait: Callable[[int], None], on_waited: Callable[[], None]) -> bool: ...

    def say_where_it_is(self) -> None: ...

    @property
    def destination(self) -> Path: ...


_open: list[EndingRun] = []
_ended: list[EndingRun] = []
_installed_in: int | None = (
    None  # the process that has the hooks; a forked child inherits them and they do nothing there
)
_uncaught: BaseException | None = None


def end_with_process(run: EndingRun) -> None:
    """Have `run` ended, in the right way, when its process ends before somebody has ended it."""
    _install_once()
    _open.append(run)


def settle_at_exit(run: EndingRun) -> None:
    """Have the process wait at its exit, within limits, until the ended `run` is in the database."""
    if run in _open:
        _open.remove(run)
    _ended.append(run)


def _install_once() -> None:
    global _installed_in
    _signals.install()  # later, if the first run is started by another thread than the main one
    prepare_interrupts()
    if _installed_in == os.getpid():
        return
    if _installed_in is not None:  # a forked child that starts a run of its own: the others are its parent's
        _open.clear()
        _ended.clear()
    _installed_in = os.getpid()
    atexit.register(_at_exit)
    _note_uncaught(sys.excepthook)


def _note_uncaught(previous: Callable[[type[BaseException], BaseException, TracebackType | None], Any]) -> None:
    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        global _uncaught
        if _ends_the_process():
            _uncaught = error
        previous(kind, error, trace)

    sys.excepthook = hook


def _ends_the_process() -> bool:
    """Whether the exception that is shown ends the process. At a prompt, and in a program that offers one, it does
    not."""
    if hasattr(sys, "ps1"):
        return False
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:  # at the end of a process there is nothing left but hooks that call each other
        if frame.f_code.co_name == "<module>":
            return False
        frame = frame.f_back
    return True


def end_stopped_process(*, at_last: bool) -> None:
    """End this process, whose run was stopped and did not end. Called from a thread beside the training.

    Args:
        at_last: it has not ended by SIGTERM either.
    """
    number = signal.SIGKILL if at_last else signal.SIGTERM
    if at_last or signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _end_by_signal(number)  # nobody else would record the end
    os.kill(os.getpid(), number)


def _end_by_signal(number: int) -> None:
    for run in (*reversed(_open), *_ended):  # of the ended ones, one may be in the middle of ending
        run.end_by_signal(number)


def _at_exit() -> None:
    if os.getpid() != _installed_in:
        return
    for run in reversed(_open):
        run.end_as(_uncaught)
    limit = load_settings().exit_wait
    started = time.monotonic()
    progress = _Progress(started)
    away: set[Path] = set()
    for run in _ended:
        if run.destination in away:
            continue  # waiting for it would be waiting for the same thing once more
        left = max(0.0, limit - (time.monotonic() - started))
        try:
            stored = run.settle(left, progress.show, progress.clear)
        except KeyboardInterrupt:  # nobody wants to wait: the script has done its work, and its record is on disk
            progress.clear()
            run.say_where_it_is()
            return
        if not stored:
            away.add(run.destination)


class _Progress:
    """What somebody at a terminal sees of a wait that takes longer than a second."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._shown = ""

    def show(self, left_bytes: int) -> None:
        stream = sys.stderr
        if time.monotonic() - self._started < PROGRESS_AFTER_SECONDS or stream is None:
            return
        left = f" ({size_of(left_bytes)})" if left_bytes else ""
        words = f"Cloister: storing the rest of the run{left}. Ctrl-C leaves it to the next run on this machine."
        with contextlib.suppress(OSError, ValueError):  # a terminal that has gone
            if words != self._shown and stream.isatty():
                stream.write(f"\r{words.ljust(len(self._shown))}")
                stream.flush()
                self._shown = words

    def clear(self) -> None:
        stream = sys.stderr
        if self._shown and stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.write(f"\r{' ' * len(self._shown)}\r")
                stream.flush()
            self._shown = ""


_signals = EndingSignals(_end_by_signal)
os.register_at_fork(after_in_child=_signals.give_back_in_child)
