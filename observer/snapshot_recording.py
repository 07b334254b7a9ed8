"""Recording what surrounds a run, in the background of its first second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from .recorder import Recorder

logger = logging.getLogger("cloister")


def start_snapshot(recorder: Recorder, main_file: Path | None) -> Callable[[float], None]:
    """Record git, sources, packages and machine in a thread of their own.

    Returns:
        A function to call at the run's end: it waits for the thread up to so many seconds.
    """
    thread = threading.Thread(target=_record, args=(recorder, main_file), name="cloister-snapshot", daemon=True)
    thread.start()

    def finish(timeout_seconds: float) -> None:
        thread.join(timeout_seconds)

    return finish


def _record(recorder: Recorder, main_file: Path | None) -> None:
    pass
