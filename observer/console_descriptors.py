"""Recording a file descriptor: it is led through a pipe, and a thread passes everything on to where it went before."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import fcntl
import os
import select
import sys
import threading
from collections.abc import Callable

READ_BYTES = 64 * 1024  # what a Linux pipe holds


class DescriptorTee:
    """Descriptor 1 or 2 through a pipe: what is written to it goes to the original and, as text, to a listener.

    Invalid UTF-8 is heard as replacement characters, wherever it is cut. When the original refuses to take more (a
    closed pipe), the tee's pipe closes too, so the writer gets the error that it would have got.
    """

    def __init__(self, descriptor: int, hear: Callable[[str], None]) -> None:
        """Begin at once. OSError where the descriptor is not open."""
        self._descriptor = descriptor
        self._hear = hear
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_closing = False
        self._drained = threading.Event()
        self._pid = os.getpid()
        _flush(descriptor)
        self._original = _lift(os.dup(descriptor))
        try:
            self._source, sink = map(_lift, os.pipe())
            self._wake_source, self._wake_sink = map(_lift, os.pipe())
        except OSError:
            os.close(self._original)
            raise
        os.set_blocking(self._source, False)
        os.dup2(sink, descriptor, inheritable=True)
        os.close(sink)
        threading.Thread(target=self._pass_everything_on, name="cloister-console-fd", daemon=True).start()

    def close(self, timeout_seconds: float) -> None:
        """Give the descriptor back and wait until everything written so far was passed on, but not for ever.

        A child process that outlives us may keep the pipe: its output is passed on, unrecorded, while we live.
        """
        if os.getpid() != self._pid:
            return
        _flush(self._descriptor)
        with contextlib.suppress(OSError):  # the script closed the descriptor, or the original is gone
            os.dup2(self._original, self._descriptor, inheritable=True)
        self._is_closing = True
        with contextlib.suppress(OSError):  # the thread has ended and closed it
            os.write(self._wake_sink, b"x")
        self._drained.wait(timeout_seconds)

    def abandon(self) -> None:
        """Let go of our ends in a forked child, where they would keep a writer waiting for a dead parent."""
        if not self._drained.is_set():
            self._close_ends()

    def _close_ends(self) -> None:
        for descriptor in (self._source, self._wake_source, self._wake_sink, self._original):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _pass_everything_on(self) -> None:
        poll = select.poll()  # not select: a training with 2,000 open files has descriptors that it cannot take
        poll.register(self._source, select.POLLIN)
        poll.register(self._wake_source, select.POLLIN)
        left_to_drain = READ_BYTES  # whatever else keeps writing, ours is within the first pipe-full after closing
        while True:
            poll.poll()
            was_closing = self._is_closing  # asked before reading: what was read before the closing does not count
            try:
                data = os.read(self._source, READ_BYTES)
            except BlockingIOError:
                data = None
            if data == b"" or (data and not self._write(data)):
                break
            if not self._drained.is_set():
                if data:
                    self._tell(self._decoder.decode(data))
                if was_closing:
                    left_to_drain -= len(data or b"")
                    if data is None or left_to_drain <= 0:
                        poll.unregister(self._wake_source)
                        self._finish()
        self._finish()
        self._close_ends()

    def _finish(self) -> None:
        if not self._drained.is_set():
            self._tell(self._decoder.decode(b"", final=True))
            self._drained.set()

    def _tell(self, text: str) -> None:
        if text:
            self._hear(text)

    def _write(self, data: bytes) -> bool:
        """Pass `data` on, all of it; False when nobody takes it any more."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._original, view) :]
            except BlockingIOError:  # somebody made the terminal non-blocking
                waiter = select.poll()
                waiter.register(self._original, select.POLLOUT)
                waiter.poll()
            except BrokenPipeError:
                return False
            except OSError:  # a full disk under a redirected file: the record goes on, as the training would
                return True
        return True


def _lift(descriptor: int) -> int:
    """The same descriptor as 3 or above: in a process that closed its stdin or stderr, ours would take their place."""
    if descriptor > 2:
        return descriptor
    lifted = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(descriptor)
    return lifted


def _flush(descriptor: int) -> None:
    """Let everything buffered for a descriptor go where it went when it was printed."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(Exception):  # closed, replaced, broken: the script's own business
            if stream is not None and stream.fileno() == descriptor:
                stream.flush()
    with contextlib.suppress(OSError, AttributeError):  # no C library to be found by this name
        ctypes.CDLL(None).fflush(None)
