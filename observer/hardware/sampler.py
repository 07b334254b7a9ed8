"""The hardware sampler: a thread that measures the machine beside the training and hands the values on."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..fork_guard import import_beside
from .causes import Causes

if TYPE_CHECKING:
    from .probe import HardwareProbe

FIRST_PHASE_SECONDS = 60.0  # short runs get a curve and not two points
LAST_SAMPLE_SECONDS = 0.1  # what the end of a run waits for its last sample

RecordValues = Callable[[dict[str, float], float], None]


class HardwareSampler:
    """Samples CPU, memory, disk, network and GPUs of a run until `stop`. Never raises and never holds a run up.

    The values are named in `HARDWARE_METRICS`. A forked child inherits the object but not the thread: there it does
    nothing, so that the parent's tree, of which the child is a part, is measured once.
    """

    def __init__(
        self,
        record: RecordValues,
        *,
        folder: Path | None = None,
        first_interval_seconds: float = 2.0,
        interval_seconds: float = 10.0,
    ) -> None:
        """
        Args:
            record: takes the values by name and their wall time (seconds since 1970); called from the sampler's thread.
            folder: whose disk's free space is told; the working folder when left out.
            first_interval_seconds: between samples in the first minute.
            interval_seconds: between samples after it.
        """
        self._record = record
        self._folder = folder
        self._first_interval = first_interval_seconds
        self._interval = interval_seconds
        self._causes = Causes()
        self._pid = os.getpid()
        self._ending = threading.Event()
        self._recording = threading.Lock()  # held while `record` runs, so that none runs once `stop` has returned
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin with a first sample at once. Does nothing when already started, or in a forked child."""
        if self._thread is not None or self._is_forked():
            return
        try:
            self._thread = threading.Thread(target=self._sample_until_stopped, name="cloister-hardware", daemon=True)
            self._thread.start()
        except Exception as error:
            # Wide on purpose: a broken driver package or a full thread table must not keep the training from starting.
            self._thread = None
            self._causes.report("start", f"Hardware is not sampled: {error}", level=logging.WARNING)

    def stop(self) -> None:
        """Take one last sample, for at most 100 ms, and end. Nothing is recorded after this returns."""
        thread, self._thread = self._thread, None
        if thread is None or self._is_forked():
            return
        deadline = time.monotonic() + LAST_SAMPLE_SECONDS
        self._ending.set()
        thread.join(LAST_SAMPLE_SECONDS)
        self._closed = True
        if self._recording.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._recording.release()

    def _is_forked(self) -> bool:
        return os.getpid() != self._pid

    def _sample_until_stopped(self) -> None:
        probe = self._open_probe()
        if probe is None:
            return
        started = due = time.monotonic()
        while True:
            self._sample(probe)
            if self._ending.is_set():
                break
            now = time.monotonic()
            due += self._first_interval if now - started < FIRST_PHASE_SECONDS else self._interval
            due = max(due, now)  # after a suspend the missed samples are not made up for
            self._ending.wait(due - now)
        probe.close()

    def _open_probe(self) -> HardwareProbe | None:
        # In the thread: spares the training's first line 35 ms. Under a guard: a fork in the middle of an import would
        # leave its child a module lock that nobody ever releases.
        import_beside(f"{__package__}.probe", f"{__package__}.gpus")
        try:
            from .probe import HardwareProbe

            return HardwareProbe(self._pid, self._folder or Path.cwd(), self._causes)
        except Exception as error:
            # Wide on purpose: psutil itself may refuse (no /proc, a removed working folder).
            self._causes.report("open", f"Hardware is not sampled: {error}", level=logging.WARNING)
            return None

    def _sample(self, probe: HardwareProbe) -> None:
        try:
            values = probe.measure()
            with self._recording:
                if values and not self._closed:
                    self._record(values, time.time())
        except Exception as error:
            # Wide on purpose: the recorder's trouble is not the training's, and the next sample may succeed.
            self._causes.report(
                "record", "A hardware sample could not be recorded.", level=logging.WARNING, error=error
            )
