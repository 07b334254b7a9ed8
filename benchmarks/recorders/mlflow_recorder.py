"""MLflow, into its SQLite file."""

from __future__ import annotations

from pathlib import Path

from recorders import Train

EXPERIMENT = "benchmark"


def record(folder: Path, train: Train) -> None:
    import mlflow

    use_file_below(folder)
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=folder.name):

        def log(metrics: dict[str, float], step: int) -> None:
            mlflow.log_metrics(metrics, step=step)

        train(log)


def count_points(folder: Path) -> int:
    import mlflow

    use_file_below(folder)
    client = mlflow.MlflowClient()
    return sum(
        len(client.get_metric_history(run.info.run_id, name))
        for run in mlflow.search_runs(experiment_names=[EXPERIMENT], output_format="list")
        for name in run.data.metrics
    )


def use_file_below(folder: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
