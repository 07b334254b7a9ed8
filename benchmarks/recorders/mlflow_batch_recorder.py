"""MLflow as fast as its API goes: 1,000 points a call, into its SQLite file."""

from __future__ import annotations

import time
from pathlib import Path

from recorders import Train
from recorders.mlflow_recorder import EXPERIMENT, count_points, use_file_below

__all__ = ["count_points", "record"]

BATCH_POINTS = 1000  # the most that it takes


def record(folder: Path, train: Train) -> None:
    import mlflow
    from mlflow.entities import Metric

    use_file_below(folder)
    mlflow.set_experiment(EXPERIMENT)
    client = mlflow.MlflowClient()
    with mlflow.start_run(run_name=folder.name) as run:
        waiting: list[Metric] = []

        def log(metrics: dict[str, float], step: int) -> None:
            now = int(time.time() * 1000)
            waiting.extend(Metric(name, value, now, step) for name, value in metrics.items())
            if len(waiting) >= BATCH_POINTS:
                flush()

        def flush() -> None:
            client.log_batch(run.info.run_id, metrics=waiting[:BATCH_POINTS])
            del waiting[:BATCH_POINTS]

        train(log)
        while waiting:
            flush()
