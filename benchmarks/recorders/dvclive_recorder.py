"""DVCLive, into its TSV files, one for each metric."""

from __future__ import annotations

from pathlib import Path

from recorders import Train


def record(folder: Path, train: Train) -> None:
    from dvclive import Live

    with Live(str(folder / "dvclive"), save_dvc_exp=False, report=None, dvcyaml=None, monitor_system=False) as live:

        def log(metrics: dict[str, float], step: int) -> None:
            live.step = step
            for name, value in metrics.items():
                live.log_metric(name, value)
            live.make_summary()

        train(log)


def count_points(folder: Path) -> int:
    """As `dvc plots` reads them: a line for each point, below one of names."""
    files = folder.glob("dvclive/plots/metrics/**/*.tsv")
    return sum(len(path.read_text(encoding="utf-8").splitlines()) - 1 for path in files)
