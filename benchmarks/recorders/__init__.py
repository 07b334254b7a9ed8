"""One module per tracker, run in that tracker's own environment: nothing here may import what only ours has.

Each module `<name>_recorder.py` has two functions. `record(folder, train)` starts a run that keeps its files below
`folder`, calls `train(log)` and ends the run; `log(metrics, step)` records a dict of floats. `count_points(folder)` is
how many points the tracker's own reader finds there. Console, hardware, source and dependency recording are off where
that can be chosen: points are compared.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

Log = Callable[[dict[str, float], int], object]
Train = Callable[[Log], None]


class Tracker(Protocol):
    """What each module here is."""

    def record(self, folder: Path, train: Train) -> None: ...

    def count_points(self, folder: Path) -> int: ...


def find_tracker(name: str) -> Tracker:
    return cast(Tracker, importlib.import_module(f"recorders.{name}_recorder"))
