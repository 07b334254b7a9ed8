"""What forked children of a Sacred experiment log: recorded by them, where Sacred would leave it in their memory."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recording import SacredRecording


@dataclass(eq=False)
class ForkedWith:
    """A run that is going on, with the recording that its children share."""

    run: Any
    recording: SacredRecording

    def go_on_in_child(self) -> None:
        """In a child that was just forked: metrics, info and prints are recorded by itself, in a journal of its own."""
        if self.recording.ended:
            return
        self.recording.continue_after_fork(getattr(self.run, "info", None))
        metrics: Any = getattr(self.run, "_metrics", None)
        if hasattr(metrics, "_logged_metrics"):
            metrics._logged_metrics = _RecordedAtOnce(self.recording)
        info = getattr(self.run, "info", None)
        if isinstance(info, dict):
            self.run.info = ChildInfo(info, self.recording)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(
                stream, "_self_out"
            ):  # Sacred's capture by streams: its text stays in the memory of each process
                stream._self_out = _ChildOutput(self.recording)
        atexit.register(self.finish_child)

    def finish_child(self) -> None:
        """What has changed deep inside of `info`."""
        self.recording.record_info(getattr(self.run, "info", None))


class ChildInfo(dict[Any, Any]):
    """Sacred's `info` in a child, where no beats are that would store it: each change is recorded at once."""

    def __init__(self, known: dict[Any, Any], recording: SacredRecording) -> None:
        super().__init__(known)
        self._recording = recording

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


def _recorded(name: str) -> Callable[..., Any]:
    change = getattr(dict, name)

    def changed(self: ChildInfo, *arguments: Any, **named: Any) -> Any:
        result = change(self, *arguments, **named)
        self._recording.record_info(self)
        return result

    return changed


for _name in ("__setitem__", "__delitem__", "__ior__", "update", "setdefault", "pop", "popitem", "clear"):
    setattr(ChildInfo, _name, _recorded(_name))


class _RecordedAtOnce:
    """Stands in for the queue of Sacred's metrics."""

    def __init__(self, recording: SacredRecording) -> None:
        self._recording = recording

    def put(self, entry: Any) -> None:
        columns = {"steps": [entry.step], "values": [entry.value], "timestamps": [entry.timestamp]}
        self._recording.record_metrics({entry.name: columns})

    def qsize(self) -> int:
        return 0


class _ChildOutput:
    """Stands in for the buffer of Sacred's capture by streams."""

    def __init__(self, recording: SacredRecording) -> None:
        self._recording = recording

    def write(self, text: str) -> int:
        self._recording.record_output_of_child(text)
        return len(text)

    def flush(self) -> None:
        pass


_going_on: weakref.WeakSet[ForkedWith] = weakref.WeakSet()


def share_with_children(run: Any, recording: SacredRecording) -> ForkedWith:
    """From now on, forked children record by themselves; as long as the returned object is kept."""
    shared = ForkedWith(run, recording)
    _going_on.add(shared)
    from multiprocessing import util  # spares who never runs an experiment of Sacred's

    # Children of multiprocessing end without `atexit`; what is registered here runs when they have begun.
    util.register_after_fork(shared, _finish_with_process)
    return shared


def _finish_with_process(shared: ForkedWith) -> None:
    from multiprocessing import util

    if not shared.recording.ended:
        util.Finalize(None, shared.finish_child, exitpriority=10)


def _after_fork_in_child() -> None:
    for shared in list(_going_on):
        shared.go_on_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
