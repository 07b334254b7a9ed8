"""Interrupting the main thread as Ctrl-C does, from a thread beside it, also where Ctrl-C itself is ignored."""

from __future__ import annotations

import signal
import threading
from types import FrameType

# Nobody else uses it in Python, and by default it does nothing: for processes whose SIGINT is ignored, as a shell
# without a terminal starts them (`train.py &` in a script, nohup).
_STAND_IN = signal.SIGURG

_wanted = threading.Event()


def prepare_interrupts() -> None:
    """Have a signal that interrupts where Ctrl-C would do nothing. Only the main thread can."""
    if threading.current_thread() is not threading.main_thread() or not _is_deaf():
        return
    if signal.getsignal(_STAND_IN) is signal.SIG_DFL:
        signal.signal(_STAND_IN, _interrupt)


def interrupt_main_thread() -> None:
    """Raise KeyboardInterrupt in the main thread, or have its own handler of Ctrl-C called.

    A real signal, so that it also ends a wait in the system: for a lock, a socket, a data loader's queue. What computes
    in C code is interrupted when it comes back to Python, as by Ctrl-C.
    """
    main = threading.main_thread().ident
    assert main is not None
    if not _is_deaf():
        signal.pthread_kill(main, signal.SIGINT)
    elif signal.getsignal(_STAND_IN) is _interrupt:
        _wanted.set()
        signal.pthread_kill(main, _STAND_IN)
    else:
        import ctypes  # spares the start of a run

        # The run was begun by another thread, which cannot set a handler: between two of its instructions, at least.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(KeyboardInterrupt))


def _is_deaf() -> bool:
    """Whether SIGINT would do nothing, or end the process without a word to Python."""
    return signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if _wanted.is_set():
        _wanted.clear()
        raise KeyboardInterrupt
