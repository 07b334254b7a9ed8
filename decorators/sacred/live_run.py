"""Sacred's own object of a run that begins: found above us on the stack."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any

FRAMES_SEARCHED = 20
TEE_SECONDS = 0.05  # for the `tee` of Sacred's capture to write what was flushed


def find_live_run() -> Any:
    """The `sacred.run.Run` that is calling us; None if it is not Sacred who does, or one that we do not know."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(FRAMES_SEARCHED):
        if frame is None:
            return None
        owner = frame.f_locals.get("self") if frame.f_code.co_name in ("_emit_started", "__call__") else None
        if owner is not None and type(owner).__module__ == "sacred.run" and hasattr(owner, "captured_out"):
            return owner
        frame = frame.f_back
    return None


def beat_once(run: Any) -> None:
    """What Sacred does at each beat, and once more with what was still in Python's buffers."""
    run._emit_heartbeat()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    time.sleep(TEE_SECONDS)
    run._emit_heartbeat()
