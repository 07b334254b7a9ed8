"""Signals that end a process: its runs end with it, and it ends as it would have without us."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

# What a batch system, a shutdown, a closed terminal or a limit sends. Their default, to end the process, stays what
# happens. Ctrl-C is not among them: Python makes an exception of it.
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
# Python runs handlers in the main thread, between two of its own instructions. While that is inside C code (an
# operation of all ranks that waits for a dead one), a signal that would have ended the process would not.
GRACE_SECONDS = 1.0

EndRuns = Callable[[int], None]


class EndingSignals:
    """Handlers for `ENDING_SIGNALS`, where nobody else has any, and a thread for when they are not called."""

    def __init__(self, end_runs: EndRuns) -> None:
        self._end_runs = end_runs
        self._ours: list[signal.Signals] = []
        self._pipe: tuple[int, int] | None = None
        self._has_begun = threading.Event()

    def install(self) -> None:
        """Take the signals, once; only the main thread may."""
        if self._ours or threading.current_thread() is not threading.main_thread():
            return
        caught = _caught_signals()
        for number in ENDING_SIGNALS:
            # A handler of the user's is the user's business. Python knows nothing of those that C code has set, such as
            # `faulthandler.register`.
            if signal.getsignal(number) is signal.SIG_DFL and not caught >> (number - 1) & 1:
                signal.signal(number, self._handle)
                self._ours.append(number)
        if self._ours:
            self._watch()

    def give_back_in_child(self) -> None:
        """A forked child gets the defaults back: its end is not the end of its parent's runs."""
        for number in self._ours:
            if signal.getsignal(number) == self._handle:
                with contextlib.suppress(ValueError):  # forked by a thread of an interpreter that is not the main one
                    signal.signal(number, signal.SIG_DFL)
        self._ours = []
        if self._pipe is not None:
            with contextlib.suppress(ValueError):
                found = signal.set_wakeup_fd(-1)
                if found not in (-1, self._pipe[1]):
                    signal.set_wakeup_fd(found)
            for descriptor in self._pipe:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            self._pipe = None

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._has_begun.set()
        self._end_runs(number)
        # The process ends as it would have without us: by the signal itself. The courier ships what is left.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _watch(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(reading, True)
        found = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        if found != -1:  # somebody's event loop: that is Python, where handlers are called
            signal.set_wakeup_fd(found)
            os.close(reading)
            os.close(writing)
            return
        self._pipe = (reading, writing)
        threading.Thread(target=self._wait_for_signal, args=(reading,), name="cloister-signals", daemon=True).start()

    def _wait_for_signal(self, reading: int) -> None:
        while True:
            heard = os.read(reading, 1)
            if not heard:
                return
            if heard[0] in self._ours and signal.getsignal(heard[0]) == self._handle:
                break
        if self._has_begun.wait(GRACE_SECONDS):
            return
        import ctypes  # spares the start of a run

        number = heard[0]
        self._end_runs(number)
        # `signal.signal` is for the main thread alone, which is not there.
        ctypes.pythonapi.PyOS_setsig(number, None)
        os.kill(os.getpid(), number)


def _caught_signals() -> int:
    """The signals that have a handler in this process, as bits from signal 1 on; none where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("SigCgt:"):
                return int(line.split()[1], 16)
    return 0
