"""What one `run.log` of five scalars costs a training: python benchmarks/run_log.py

The courier ships to an embedded database of its own meanwhile, as in real life. Three ways of logging: Python floats,
numpy scalars, a nested dict.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cloister
import numpy as np
from private_database import private_database
from rich.console import Console
from rich.table import Table

CALLS = 50_000
NAMES = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")


def python_floats(step: int) -> dict[str, Any]:
    return {name: 1.0 / (step + index + 1) for index, name in enumerate(NAMES)}


def numpy_scalars(step: int) -> dict[str, Any]:
    return {name: np.float32(1.0 / (step + index + 1)) for index, name in enumerate(NAMES)}


def nested(step: int) -> dict[str, Any]:
    loss = 1.0 / (step + 1)
    return {"train": {"loss": loss, "accuracy": 0.5}, "val": {"loss": loss, "accuracy": 0.5}, "lr": 0.1}


WAYS: tuple[Callable[[int], dict[str, Any]], ...] = (python_floats, numpy_scalars, nested)


def main() -> None:
    table = Table(
        "values", "p50", "p99", "p99.9", "slowest", "calls/s", title=f"run.log of five scalars, {CALLS:,} calls"
    )
    with private_database():
        for way in WAYS:
            microseconds = measure(way)
            p50, p99, p999 = np.percentile(microseconds, [50, 99, 99.9])
            rate = 1e6 * CALLS / microseconds.sum()
            table.add_row(
                way.__name__.replace("_", " "),
                *(f"{value:,.1f} us" for value in (p50, p99, p999, microseconds.max())),
                f"{rate:,.0f}",
            )
    Console().print(table)


def measure(way: Callable[[int], dict[str, Any]]) -> np.ndarray:
    """Microseconds of each call."""
    spent = np.empty(CALLS)
    with cloister.start_run(project="run-log", capture="none", hardware=False) as run:
        for step in range(CALLS):
            metrics = way(step)
            started = time.perf_counter_ns()
            run.log(metrics, step=step)
            spent[step] = time.perf_counter_ns() - started
    run.wait_until_stored(120)
    return spent / 1000


if __name__ == "__main__":
    main()
