"""A run that somebody asks to stop: interrupting the training, ending its process if that does not help, saying so."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..observer.recorder import Recorder
from ..observer.stop_state import GRACE_SECONDS, STOP_HEARD, StopRequest
from .main_interrupt import interrupt_main_thread
from .run_ending import end_stopped_process

logger = logging.getLogger("cloister")

LAST_SECONDS = 5.0  # that a process has after SIGTERM


class Stopping:
    """What one run does about being asked to stop. Called by the recorder's pulse, about once a second."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self._name = name
        self._interrupted_at: float | None = None
        self._ended_at: float | None = None  # when the process was asked to end
        self._request: StopRequest | None = None

    @property
    def has_interrupted(self) -> bool:
        return self._request is not None

    def obey(self, request: StopRequest) -> None:
        """Do what is asked, as far as it is not done: the main thread is interrupted once, the process ended later."""
        self._request = request
        now = time.monotonic()
        if self._interrupted_at is None:
            self._interrupted_at = now
            who = request.by or "somebody"
            logger.warning("Run %r is stopped by %s.", self._name, who)
            self._recorder.record_fields({STOP_HEARD: datetime.now(timezone.utc)})
            self._recorder.record_event("stop-heard", "The training was interrupted, as by Ctrl-C")
            interrupt_main_thread()
        elif request.level == "kill" and self._ended_at is None and now - self._interrupted_at >= GRACE_SECONDS:
            self._ended_at = now
            logger.warning("Run %r has not ended; %s ends its process.", self._name, request.by or "somebody")
            self._recorder.record_event("stop-heard", f"It went on for {GRACE_SECONDS:g} s; its process is ended")
            end_stopped_process(at_last=False)
        elif self._ended_at is not None and now - self._ended_at >= LAST_SECONDS:
            end_stopped_process(at_last=True)

    def settle(self, status: str, exit_as: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """How a run ends that may have been stopped: one that caught the interrupt and came to its end is, too."""
        if self._request is None:
            return status, exit_as
        stopped = {"at": self._request.at, "by": self._request.by}
        return "INTERRUPTED" if status == "COMPLETED" else status, {**exit_as, "stopped": stopped}
