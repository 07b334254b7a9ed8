"""Cloister, into the database that CLOISTER_* names."""

from __future__ import annotations

from pathlib import Path

from recorders import Train

PROJECT = "benchmark"


def record(folder: Path, train: Train) -> None:
    import cloister

    with cloister.start_run(project=PROJECT, name=folder.name, capture="none", hardware=False) as run:
        train(run.log)


def count_points(folder: Path) -> int:
    """The points that are in the database, each read."""
    from cloister.observer.run_query import RunQuery
    from cloister.observer.runs import RunStore

    with RunStore.connect() as store:
        runs = store.list_runs(RunQuery(project=PROJECT, text=folder.name)).runs
        return sum(
            len(store.load_points(run.id, metric.name).steps) for run in runs for metric in store.list_metrics(run.id)
        )
