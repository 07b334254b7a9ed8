"""What surrounds a run beside what Sacred records of it: uncommitted changes, packages, machine, hardware metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...observer.snapshot_recording import SnapshotRecording
from ..scalars import Scalars

if TYPE_CHECKING:
    from ...observer.hardware import HardwareSampler
    from ...observer.recorder import Recorder

OURS = "cloister."


class SacredSurroundings(SnapshotRecording):
    """Records, in a thread, what Sacred has not: its own fields stay as it gave them."""

    def __init__(self, recorder: Recorder, base_dir: str, main_file: str | None, *, has_git: bool) -> None:
        """
        Args:
            has_git: whether Sacred was to look at the experiment's git repository, and found one.
        """
        folder = Path(base_dir)
        super().__init__(cast("Recorder", _OursOnly(recorder)), folder / (main_file or "experiment"))
        self._has_git = has_git

    def _record_code(self) -> None:
        """Sacred has said which files are the experiment's code."""

    def _record_git(self) -> None:
        if self._has_git:
            super()._record_git()


class _OursOnly:
    """A recorder that leaves Sacred's fields alone."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.record_attached = recorder.record_attached

    def record_fields(self, fields: Mapping[str, Any]) -> None:
        self._recorder.record_fields({name: value for name, value in fields.items() if name.startswith(OURS)})


def start_sampler(recorder: Recorder) -> HardwareSampler:
    """Record hardware metrics until it is stopped."""
    from ...observer.hardware import HardwareSampler

    names = Scalars("system/")
    sampled = 0

    def record(values: dict[str, float], wall_time: float) -> None:
        nonlocal sampled
        encoded, _ = names.read(values)
        recorder.record_hardware(encoded, sampled, wall_time)
        sampled += 1

    sampler = HardwareSampler(record)
    sampler.start()
    return sampler
