"""A Sacred experiment with `cloister.MongoObserver`, into the database that CLOISTER_HOME has."""

from __future__ import annotations

from pathlib import Path

from recorders import Train
from recorders.sacred_recorder import run_experiment


def record(folder: Path, train: Train) -> None:
    from cloister import MongoObserver

    run_experiment(folder, train, MongoObserver())


def count_points(folder: Path) -> int:
    from cloister.observer.run_query import RunQuery
    from cloister.observer.runs import RunStore

    with RunStore.connect() as store:
        runs = store.list_runs(RunQuery(project=folder.name)).runs
        return sum(metric.count for run in runs for metric in run.summary.values())
