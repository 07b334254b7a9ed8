"""How fast a backlog gets into MongoDB, beside its peers: python benchmarks/drain.py

Two million points are recorded while no courier works, as with a database that is away; then one courier is started,
and the time counts from there until the last point is readable. Nobody else has a backlog of this kind, so the peers'
figure is points recorded, divided by the time until their own store has them (calls and the tracker's end).
`wandb sync` needs a server, so W&B's figure is that of its offline file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backlog import Drained, drain, write_points
from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable
from private_database import PrivateDatabase, private_database
from rich.table import Table
from tracked_work import OURS, TITLES, Work, fresh, record_work, work_folder

COLUMNS = ("tracker", "points", "points a call", "seconds", "points/s", "x ours", "CPU", "mongod's CPU", "peak memory")
BACKLOGS = (Work(2_000_000, 1), Work(400_000, 5))
TARGET = 200_000
PEER_WORK = Work(50_000, 1)
SLOW_PEER_WORK = Work(1_000, 1)  # MLflow takes milliseconds a call
QUICK_SHARE = 100


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    work: Work
    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float | None
    peak_bytes: int | None = None

    @property
    def rate(self) -> float:
        return self.work.points / self.seconds


def main() -> None:
    options = read_options(__doc__ or "")
    machine = look_at_machine()
    table = Table(*COLUMNS, title="Until a backlog is stored")
    share = QUICK_SHARE if options.quick else 1
    with private_database() as database, work_folder() as folder:
        drained = [drained_row(Work(work.steps // share, work.metrics), folder, database) for work in BACKLOGS]
        best = max(row.rate for row in drained)
        for row in drained:
            add(table, row, best)
        for tracker in with_batches(options.trackers):
            work = SLOW_PEER_WORK if tracker == "mlflow" else PEER_WORK
            try:
                add(table, peer_row(tracker, Work(work.steps // share, work.metrics), folder, database), best)
            except PeerUnavailable as error:
                table.add_row(title_of(tracker), str(error))
    print_figures(table, machine, f"Target: one courier sustains {TARGET:,} points/s.")


def with_batches(trackers: tuple[str, ...]) -> list[str]:
    """The peers, and MLflow's fastest call beside the one that people use."""
    peers = [tracker for tracker in trackers if tracker != OURS]
    return [*peers, "mlflow_batch"] if "mlflow" in peers else peers


def drained_row(work: Work, folder: Path, database: PrivateDatabase) -> Row:
    name = fresh(folder, OURS).name
    write_points(name, work, folder)
    done: Drained = drain(name, work, database)
    return Row(TITLES[OURS], work, done.seconds, done.cpu_seconds, done.database_cpu_seconds, done.peak_bytes)


def peer_row(tracker: str, work: Work, folder: Path, database: PrivateDatabase) -> Row:
    spent = record_work(tracker, work, fresh(folder, tracker), database)
    seconds = spent.log_seconds + spent.finish_seconds
    database_cpu = spent.database_cpu_seconds if tracker == "sacred" else None
    return Row(title_of(tracker), work, seconds, spent.cpu_seconds, database_cpu)


def title_of(tracker: str) -> str:
    return TITLES.get(tracker, "MLflow 3.17 log_batch(1000)")


def add(table: Table, row: Row, best: float) -> None:
    table.add_row(
        row.title,
        f"{row.work.points:,}",
        str(row.work.metrics),
        f"{row.seconds:,.2f} s",
        f"{row.rate:,.0f}",
        f"{row.rate / best:.3f}",
        f"{row.cpu_seconds:,.2f} s",
        "" if row.database_cpu_seconds is None else f"{row.database_cpu_seconds:,.2f} s",
        "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:,.0f} MB",
    )


if __name__ == "__main__":
    main()
