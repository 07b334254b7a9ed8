"""Trackio, into its local SQLite file."""

from __future__ import annotations

import os
from pathlib import Path

from recorders import Train

PROJECT = "benchmark"


def record(folder: Path, train: Train) -> None:
    os.environ["TRACKIO_DIR"] = str(folder / "trackio")
    import trackio

    run = trackio.init(project=PROJECT, name=folder.name, embed=False, auto_log_gpu=False, auto_log_cpu=False)
    train(run.log)
    trackio.finish()


def count_points(folder: Path) -> int:
    os.environ["TRACKIO_DIR"] = str(folder / "trackio")
    from trackio.sqlite_storage import SQLiteStorage

    logs = SQLiteStorage.get_logs(PROJECT, folder.name, max_points=None)
    return sum(name not in ("step", "timestamp") for log in logs for name in log)
