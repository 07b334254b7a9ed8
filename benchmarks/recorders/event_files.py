"""TensorBoard's event files, written by two trackers and read by TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recorders import Train


def write_events(writer: Any, train: Train) -> None:
    add_scalar = writer.add_scalar

    def log(metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            add_scalar(name, value, step)

    train(log)
    writer.close()


def count_scalars(folder: Path) -> int:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    return sum(len(accumulator.Scalars(tag)) for tag in accumulator.Tags()["scalars"])
