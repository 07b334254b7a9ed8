"""Aim, into a repository of its own."""

from __future__ import annotations

from pathlib import Path

from recorders import Train


def record(folder: Path, train: Train) -> None:
    from aim import Run

    run = Run(
        repo=str(folder),
        experiment=folder.name,
        system_tracking_interval=None,
        log_system_params=False,
        capture_terminal_logs=False,
    )

    def log(metrics: dict[str, float], step: int) -> None:
        run.track(metrics, step=step)

    train(log)
    run.close()


def count_points(folder: Path) -> int:
    from aim import Repo, Run
    from aim.sdk.index_manager import RepoIndexManager

    repo = Repo(str(folder))
    names = repo.list_all_runs()
    for name in names:  # readers see only what its server has indexed; that time is not held against it
        RepoIndexManager.get_index_manager(repo).index(name)
    runs = [Run(name, repo=repo, read_only=True) for name in names]
    return sum(len(metric.values.sparse_list()[0]) for run in runs for metric in run.metrics())
