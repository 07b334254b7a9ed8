"""What works beside a script while its run is recorded: console, hardware, and the snapshot of its surroundings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..observer.recorder import Recorder
from ..observer.settings import CaptureMode
from .console_filter import ConsoleFilter, Record, filtered
from .ranks import mark_lines, measured_here
from .run_identity import Identity
from .scalars import Scalars

if TYPE_CHECKING:
    from ..observer.console_capture import ConsoleCapture
    from ..observer.hardware import HardwareSampler
    from ..observer.snapshot_recording import SnapshotRecording


class RunCompanions:
    """Starts and stops them. What fails costs itself, and is reported."""

    def __init__(
        self,
        recorder: Recorder,
        identity: Identity,
        guard: Callable[..., None],
        report: Callable[[Exception, object], None],
        console_filter: ConsoleFilter | None = None,
    ) -> None:
        """
        Args:
            guard: calls what it is given, and reports what that raises.
            report: takes what a console filter raises.
        """
        self._recorder = recorder
        self._identity = identity
        self._guard = guard
        self._report = report
        self._console_filter = console_filter
        self._capture: ConsoleCapture | None = None
        self._sampler: HardwareSampler | None = None
        self._snapshot: SnapshotRecording | None = None

    def start(self, *, capture: CaptureMode, hardware: bool, main_file: Path | None) -> None:
        if capture != "none":
            self._guard(self._start_capture, capture)
        if hardware:
            self._guard(self._start_sampler)
        if self._identity.place.rank == 0 and self._recorder.observed:
            self._guard(self._start_snapshot, main_file)

    def stop(self) -> None:
        """Wait for what they still have to record."""
        for companion, end in ((self._snapshot, "finish"), (self._sampler, "stop"), (self._capture, "stop")):
            if companion is not None:
                self._guard(getattr(companion, end))

    def let_go(self) -> None:
        """A signal ends the process: what would have to be waited for is left."""
        self._snapshot = self._sampler = None

    def _start_capture(self, mode: CaptureMode) -> None:
        from ..observer.console_capture import ConsoleCapture

        rank = self._identity.place.rank
        record: Record = self._recorder.record_console
        if self._console_filter is not None:
            record = filtered(self._console_filter, record, self._report)
        self._capture = ConsoleCapture(mark_lines(rank, record) if rank else record, mode)
        self._capture.start()

    def _start_sampler(self) -> None:
        from ..observer.hardware import HardwareSampler

        rank = self._identity.place.rank
        sampled = self._identity.known.next_sample if self._identity.known is not None else 0

        def record(values: dict[str, float], wall_time: float) -> None:
            nonlocal sampled
            encoded, _ = names.read(measured_here(values, self._identity.place))
            self._recorder.record_hardware(encoded, sampled, wall_time)
            sampled += 1

        names = Scalars(f"system/rank/{rank}/" if rank else "system/")
        self._sampler = HardwareSampler(record)
        self._sampler.start()

    def _start_snapshot(self, main_file: Path | None) -> None:
        from ..observer.snapshot_recording import SnapshotRecording

        identity = self._identity
        self._snapshot = SnapshotRecording(
            self._recorder, main_file, resumed=identity.is_resumed, only_machine=identity.was_queued
        )
        self._snapshot.start()
