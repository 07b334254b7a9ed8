"""Console capture: what a run prints to stdout and stderr, handed on in pieces while it is printed."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING

from .console_pieces import GATHER_SECONDS, NEVER, PieceMaker
from .console_streams import RecordedStream, fall_silent, find_original, is_patched
from .console_text import StreamName
from .settings import CaptureMode

if TYPE_CHECKING:
    from .console_descriptors import DescriptorTee

LOGGER = logging.getLogger("cloister")
STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")
STOP_SECONDS = 2.0  # what stop waits at most for a thread of ours
DEFERRED_LIMIT = 1024 * 1024  # characters printed by the recorder itself, or by a signal handler while we record

RecordPiece = Callable[[StreamName, str, float], None]


class ConsoleCapture:
    """Records what is printed between `start` and `stop`. The script sees no difference; nothing of ours reaches it.

    `record(stream, text, wall_time)` is called with one piece at a time, in order, by the printing thread or a timer
    thread: at most 64 KiB of text, ANSI escapes kept, progress bars as states followed by carriage returns. Complete
    lines are recorded before `print` returns (beyond 1,000 pieces a second: within 20 ms), unfinished ones within
    0.5 s. Threads may print at once. A forked child goes on recording by itself, through its copy of `record`.

    Modes:
        "sys": `sys.stdout` and `sys.stderr` are replaced by streams that behave like the originals, `buffer` included.
            Logging handlers that hold the original streams are moved over and back again. Not seen: output of C code
            and of child processes, and whoever kept `sys.stdout` (or uses `sys.__stdout__`) from before the start.
        "fd": file descriptors 1 and 2 are led through pipes, so output of C code and of child processes is seen too.
            The price: for the script `isatty()` is false (no colours, other buffering), and what is still in the pipe,
            or printed by the interpreter's last gasp (a segfault), is lost when the process is killed.
        "none": nothing is captured.

    What `record` raises is logged once and never reaches the script. What `record` itself prints is recorded, but not
    what it prints while that is recorded.
    """

    def __init__(self, record: RecordPiece, mode: CaptureMode = "sys") -> None:
        self._record = record
        self._mode = mode
        self._streams: dict[StreamName, RecordedStream] = {}
        self._tees: list[DescriptorTee] = []
        self._handlers: list[tuple[weakref.ref[logging.Handler], RecordedStream]] = []
        self._is_running = False
        self._has_failed = False
        self._is_forked = False
        self._timer: threading.Thread | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        """State of this process. A forked child begins with its own: the parent records what the parent printed."""
        # Reentrant, because a signal handler may print while its thread is in here. It is never held by a thread that a
        # fork does not copy: the child makes another one.
        self._lock = threading.RLock()
        self._is_inside: Callable[[], bool] = self._lock._is_owned  # type: ignore[attr-defined]
        self._makers: dict[StreamName, PieceMaker] = {name: PieceMaker() for name in STREAMS}
        self._deferred: deque[tuple[StreamName, str]] = deque()
        self._deferred_length = 0
        self._is_recording_deferred = False
        self._alarm = NEVER  # when the timer thread wakes up next
        self._bell: SimpleQueue[None] = SimpleQueue()  # wakes it earlier; unlike an Event it may be rung from anywhere

    def __enter__(self) -> ConsoleCapture:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to record. Captures may be nested: the inner one's text reaches the outer one too."""
        if self._is_running or self._mode == "none":
            return
        self._is_running = True
        _RUNNING.add(self)
        atexit.register(self.stop)  # a script that never stops us keeps its last words, in the pipe or unfinished
        try:
            self._start_timer()
            if self._mode == "fd":
                self._tees = [tee for name in STREAMS if (tee := self._open_tee(name))]
            else:
                self._replace_streams()
        except Exception as error:
            # Wide on purpose: a console that cannot be recorded (a stream of an odd kind) is no reason not to train.
            LOGGER.warning("The console is not recorded: %s: %s", type(error).__name__, error)

    def stop(self) -> None:
        """Record what is left and give the streams back. Later output goes to the originals as if we had not been."""
        if not self._is_running:
            return
        for tee in self._tees:
            tee.close(STOP_SECONDS)
        self._restore_streams()
        self._is_running = False
        _RUNNING.discard(self)
        atexit.unregister(self.stop)
        try:
            with self._lock:
                now = time.monotonic()
                self._hear_deferred(now)
                for name in STREAMS:
                    self._record_pieces(name, self._makers[name].take_all(now))
        except Exception:
            # Wide on purpose: the end of a run is not the moment to fail over its console.
            LOGGER.warning("The end of the console could not be recorded.", exc_info=True)
        self._bell.put(None)
        if self._timer is not None and self._timer is not threading.current_thread():
            self._timer.join(STOP_SECONDS)
        self._timer = None

    # Streams ----------------------------------------------------------------------------------------------------------

    def _replace_streams(self) -> None:
        for name in STREAMS:
            original = find_original(getattr(sys, name))
            if original is None:  # a process without a console
                continue
            stream = RecordedStream(original, partial(self._hear, name), partial(self._note_flush, name))
            self._streams[name] = stream
            setattr(sys, name, stream)
            self._move_handlers(original, stream)

    def _move_handlers(self, original: object, stream: RecordedStream) -> None:
        """Logging set up before the start holds the original; without this, most scripts' log lines were missing."""
        for handler in _iter_stream_handlers():
            if handler.__dict__.get("stream") is original:
                handler.setStream(stream)
                self._handlers.append((weakref.ref(handler), stream))

    def _restore_streams(self) -> None:
        for stream in self._streams.values():
            fall_silent(stream)
        for name, stream in self._streams.items():
            # Whatever the script put there meanwhile stays; whoever still holds our stream has a silent one.
            if getattr(sys, name) is stream and not is_patched(stream):
                setattr(sys, name, find_original(stream))
        for reference, stream in self._handlers:
            handler = reference()
            if isinstance(handler, logging.StreamHandler) and handler.__dict__.get("stream") is stream:
                with contextlib.suppress(Exception):  # flushing a stream that the script closed meanwhile
                    handler.setStream(find_original(stream))
        self._streams, self._handlers, self._tees = {}, [], []

    def _open_tee(self, name: StreamName) -> DescriptorTee | None:
        from .console_descriptors import DescriptorTee  # spares the other mode ctypes

        try:
            return DescriptorTee(STREAMS.index(name) + 1, partial(self._hear, name))
        except OSError as error:  # the descriptor is closed, as in a daemon
            LOGGER.info("%s is not recorded: %s", name, error)
            return None

    # Recording --------------------------------------------------------------------------------------------------------

    def _hear(self, name: StreamName, text: str) -> None:
        """Take what was just printed. Called by whoever prints, a signal handler or our own recorder included."""
        try:
            if self._is_inside():
                self._defer(name, text)
                return
            with self._lock:
                now = time.monotonic()
                maker = self._makers[name]
                pieces = maker.add(text, now)
                if pieces:
                    other = STREAMS[name == "stdout"]
                    self._record_pieces(other, self._makers[other].take_lines(now))
                    self._record_pieces(name, pieces)
                if self._deferred:
                    self._ring(now + GATHER_SECONDS)
                elif maker.due < self._alarm:
                    self._ring(maker.due)
        except Exception as error:
            # Wide on purpose: print must not fail over its record. Ctrl-C is not an Exception and still ends the run.
            self._report_once(error)

    def _note_flush(self, name: StreamName) -> None:
        """In a forked child a flush may be the last thing that is heard: multiprocessing then leaves by `os._exit`."""
        if not self._is_forked or self._is_inside():
            return
        try:
            with self._lock:
                self._record_pieces(name, self._makers[name].take_all(time.monotonic()))
        except Exception as error:
            # Wide on purpose: see `_hear`.
            self._report_once(error)

    def _defer(self, name: StreamName, text: str) -> None:
        if not self._is_recording_deferred and self._deferred_length < DEFERRED_LIMIT:
            self._deferred.append((name, text))
            self._deferred_length += len(text)

    def _hear_deferred(self, now: float) -> None:
        """Record what was printed while we were recording; what that prints again is let go, or it would never end."""
        self._is_recording_deferred = True
        try:
            self._deferred_length = 0
            while self._deferred:
                name, text = self._deferred.popleft()
                self._record_pieces(name, self._makers[name].add(text, now))
        finally:
            self._is_recording_deferred = False

    def _record_pieces(self, name: StreamName, pieces: list[str]) -> None:
        for piece in pieces:
            try:
                self._record(name, piece, time.time())
            except Exception as error:
                # Wide on purpose: see `_hear`. The other pieces may go through.
                self._report_once(error)

    def _report_once(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            LOGGER.warning("A piece of the console could not be recorded.", exc_info=error)

    # The timer --------------------------------------------------------------------------------------------------------

    def _ring(self, when: float) -> None:
        self._alarm = when
        if self._timer is None:
            self._start_timer()
        self._bell.put(None)

    def _start_timer(self) -> None:
        self._timer = threading.Thread(target=self._record_in_time, name="cloister-console", daemon=True)
        try:
            self._timer.start()
        except RuntimeError:  # no more threads, or the interpreter is ending: `stop` and complete lines do without
            self._timer = None

    def _record_in_time(self) -> None:
        """Record unfinished lines and gathered ones when they are due, though nobody prints."""
        lock, bell = self._lock, self._bell
        while self._is_running:
            try:
                with lock:
                    now = time.monotonic()
                    # Only at the alarm. A line is mostly finished long before its alarm, and to forget it would
                    # have the next print ring again, and two threads would fight for the interpreter at every print.
                    if now >= self._alarm:
                        self._record_due(now)
                    pause = None if self._alarm == NEVER else max(0.0, self._alarm - now)
            except Exception as error:
                # Wide on purpose: without this thread unfinished lines were recorded only at the end.
                self._report_once(error)
                pause = 1.0
            with contextlib.suppress(Empty):
                bell.get(timeout=pause)

    def _record_due(self, now: float) -> None:
        self._hear_deferred(now)
        for name, maker in self._makers.items():
            self._record_pieces(name, maker.take_due(now))
        self._alarm = min(maker.due for maker in self._makers.values())
        if self._deferred:
            self._alarm = min(self._alarm, now + GATHER_SECONDS)


def _iter_stream_handlers() -> list[logging.StreamHandler]:  # type: ignore[type-arg]
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]


# Forked children ------------------------------------------------------------------------------------------------------

_RUNNING: weakref.WeakSet[ConsoleCapture] = weakref.WeakSet()


def _renew_after_fork() -> None:
    for capture in list(_RUNNING):
        capture._timer = None  # threads are not copied; the first unfinished line starts one here
        capture._is_forked = True
        capture._begin_anew()
        for tee in capture._tees:
            tee.abandon()


os.register_at_fork(after_in_child=_renew_after_fork)
