"""What a training was told is recorded, in memory that outlives its `kill -9`."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")
CELLS = ("steps", "lines", "files", "worst_call_ns", "worst_step", "started_ns", "ended_ns", "told_to_end")
_BYTES = 8 * len(CELLS)
_STEPS, _LINES, _FILES, _WORST, _WORST_STEP, _STARTED, _ENDED, _TOLD_TO_END = range(8)


class Tally:
    """Counts of one process in a shared mapping of a file: what it wrote there is the kernel's, however it dies.

    Attributes (each is the value that whoever opens the file reads):
        steps, lines, files: calls of `run.log`, `print` and `run.log_artifact` that returned.
        worst_call_ns: the longest of them; worst_step: at which step it was.
        started_ns, ended_ns: when the training began and ended, on the machine's monotonic clock; 0 when it has not.
    """

    def __init__(self, path: Path | str, slot: int = 0) -> None:
        """Open one of the slots of a file made by `make_tallies`."""
        with open(path, "r+b") as file:  # noqa: PTH123 a training pays for no pathlib
            self._memory = mmap.mmap(file.fileno(), 0)
        self._cells = memoryview(self._memory).cast("q")[slot * len(CELLS) : (slot + 1) * len(CELLS)]

    def begin(self) -> None:
        self._cells[_STARTED] = time.monotonic_ns()

    def end(self) -> None:
        self._cells[_ENDED] = time.monotonic_ns()

    def tell_to_end(self) -> None:
        """Have the training end after its present step."""
        self._cells[_TOLD_TO_END] = 1

    def is_told_to_end(self) -> bool:
        return bool(self._cells[_TOLD_TO_END])

    def count_step(self, call: Callable[..., object], *arguments: object) -> None:
        self._measure(call, *arguments)
        self._cells[_STEPS] += 1

    def count_line(self, text: str) -> None:
        self._measure(print, text)
        self._cells[_LINES] += 1

    def count_file(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)  # as long as its copy takes: no measure of how long we hold a training up
        self._cells[_FILES] += 1

    def _measure(self, call: Callable[..., object], *arguments: object) -> None:
        started = time.perf_counter_ns()
        call(*arguments)
        took = time.perf_counter_ns() - started
        if took > self._cells[_WORST]:
            self._cells[_WORST] = took
            self._cells[_WORST_STEP] = self._cells[_STEPS]

    def __getattr__(self, name: str) -> Any:
        if name not in CELLS:
            raise AttributeError(name)
        return self._cells[CELLS.index(name)]


def make_tallies(path: Path, slots: int = 1) -> list[Tally]:
    """A file of `slots` tallies, all zero."""
    path.write_bytes(bytes(slots * _BYTES))
    return [Tally(path, slot) for slot in range(slots)]
