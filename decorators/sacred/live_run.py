"""Sacred's own object of a run that begins: found above us on the stack."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

FRAMES_SEARCHED = 20
BEATS_SECONDS = 60.0  # millions of points take some seconds
IDLE_SECONDS = 1.0
TEE_SECONDS = 0.05  # for the `tee` of Sacred's capture to write what was flushed


def find_live_run() -> Any:
    """The `sacred.run.Run` that is calling us; None if it is not Sacred who does, or one that we do not know."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(FRAMES_SEARCHED):
        if frame is None:
            return None
        if frame.f_globals.get("__name__") == "sacred.run":
            owner = frame.f_locals.get("self")
            return owner if hasattr(owner, "captured_out") else None
        frame = frame.f_back
    return None


def wait_for_beats(run: Any, is_busy: Callable[[], bool]) -> None:
    """Wait for the last beat, which Sacred gives 2 s before it ends a run: what comes with it would be lost.

    Args:
        is_busy: whether that beat is with us now. One that is held up elsewhere is waited for as Sacred does.
    """
    beats = getattr(run, "_heartbeat", None)
    if not isinstance(beats, threading.Thread) or beats is threading.current_thread():
        return
    idle_since = started = time.monotonic()
    while beats.is_alive() and time.monotonic() - started < BEATS_SECONDS:
        if is_busy():
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since > IDLE_SECONDS:
            return
        beats.join(0.02)


def beat_once(run: Any) -> None:
    """What Sacred does at each beat, and once more with what was still in Python's buffers."""
    run._emit_heartbeat()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    time.sleep(TEE_SECONDS)
    run._emit_heartbeat()
