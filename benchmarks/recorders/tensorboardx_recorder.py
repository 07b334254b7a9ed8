"""tensorboardX, into an event file."""

from __future__ import annotations

from pathlib import Path

from recorders import Train
from recorders.event_files import count_scalars, write_events


def record(folder: Path, train: Train) -> None:
    from tensorboardX import SummaryWriter

    write_events(SummaryWriter(str(folder / "events")), train)


def count_points(folder: Path) -> int:
    return count_scalars(folder / "events")
