"""Sacred with its MongoObserver, into the database `sacred` of the server that SACRED_URI names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from recorders import Train


def record(folder: Path, train: Train) -> None:
    from sacred.observers import MongoObserver

    run_experiment(folder, train, MongoObserver(url=os.environ["SACRED_URI"], db_name="sacred"))


def run_experiment(folder: Path, train: Train, observer: Any) -> None:
    """Have a Sacred experiment named as `folder` log what `train` logs, told to `observer`."""
    from sacred import SETTINGS, Experiment

    SETTINGS.CAPTURE_MODE = "no"
    SETTINGS.HOST_INFO.INCLUDE_GPU_INFO = False
    experiment = Experiment(folder.name, save_git_info=False)
    experiment.observers.append(observer)

    @experiment.main
    def main(_run: Any) -> None:
        log_scalar = _run.log_scalar

        def log(metrics: dict[str, float], step: int) -> None:
            for name, value in metrics.items():
                log_scalar(name, value, step)

        train(log)

    experiment.logger = _quiet_logger()
    experiment.run()


def count_points(folder: Path) -> int:
    from pymongo import MongoClient

    with MongoClient(os.environ["SACRED_URI"]) as client:
        database = client["sacred"]
        runs = [run["_id"] for run in database.runs.find({"experiment.name": folder.name}, {"_id": 1})]
        return sum(len(metric["steps"]) for metric in database.metrics.find({"run_id": {"$in": runs}}))


def _quiet_logger() -> Any:
    import logging

    logger = logging.getLogger("sacred-benchmark")
    logger.setLevel(logging.ERROR)
    return logger
