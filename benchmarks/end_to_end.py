"""From the start of a process until all that it logged is readable, beside its peers: python benchmarks/end_to_end.py

20,000 steps of five scalars. For Cloister and Sacred "readable" is in MongoDB, for the others in their own files after
their own end; each tracker's own reader counts the points afterwards. CPU is user + system of the process and of all
that it started, detached helpers too (supervise.py adopts them). The database's CPU stands beside it and is not in it:
mongod serves Cloister and Sacred alike. MLflow does a twentieth of the work, and what it spends on top of its start is
multiplied by twenty. "Left behind" is the part of the CPU that processes spent which outlived the training's own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable
from private_database import PrivateDatabase, private_database
from rich.table import Table
from tracked_work import TITLES, Spent, Work, fresh, record_work, work_folder

WORK = Work(20_000, 5)
SLOW_TRACKERS = ("mlflow",)
SLOW_SHARE = 20


def main() -> None:
    options = read_options(__doc__ or "")
    machine = look_at_machine()
    work = Work(WORK.steps // 20, WORK.metrics) if options.quick else WORK
    table = Table(
        *(
            "tracker",
            "until readable",
            "x ours",
            "start",
            "calls",
            "CPU",
            "x ours",
            "left behind",
            "mongod",
            "points",
        ),
        title=f"{work.steps:,} steps of {work.metrics} scalars, from process start until all is readable",
    )
    with private_database() as database, work_folder() as folder:
        warm_up(folder, database)
        ours: Spent | None = None
        for tracker in options.trackers:
            try:
                spent = spend(tracker, work, folder, database)
            except PeerUnavailable as error:
                table.add_row(TITLES[tracker], str(error))
                continue
            ours = ours or spent
            table.add_row(*cells(spent, ours, work))
    print_figures(table, machine)


def warm_up(folder: Path, database: PrivateDatabase) -> None:
    """The first run of a database makes its indexes, once for ever."""
    record_work("cloister", Work(10, 1), fresh(folder, "cloister"), database)


def spend(tracker: str, work: Work, folder: Path, database: PrivateDatabase) -> Spent:
    if tracker not in SLOW_TRACKERS:
        return record_work(tracker, work, fresh(folder, tracker), database)
    part = Work(work.steps // SLOW_SHARE, work.metrics)
    spent = record_work(tracker, part, fresh(folder, tracker), database)
    nearly_nothing = record_work(tracker, Work(1, work.metrics), fresh(folder, tracker), database)

    def scaled(of_part: float, of_nothing: float) -> float:
        return of_nothing + SLOW_SHARE * (of_part - of_nothing)

    return replace(
        spent,
        log_seconds=spent.log_seconds * SLOW_SHARE,
        readable_seconds=scaled(spent.readable_seconds, nearly_nothing.readable_seconds),
        cpu_seconds=scaled(spent.cpu_seconds, nearly_nothing.cpu_seconds),
        helper_cpu_seconds=scaled(spent.helper_cpu_seconds, nearly_nothing.helper_cpu_seconds),
    )


def cells(spent: Spent, ours: Spent, work: Work) -> tuple[str, ...]:
    missing = spent.work.points - spent.points_found
    return (
        TITLES[spent.tracker] + (" (scaled)" if spent.work.steps < work.steps else ""),
        f"{spent.readable_seconds:,.2f} s",
        f"{spent.readable_seconds / ours.readable_seconds:,.1f}",
        f"{spent.start_seconds:,.2f} s",
        f"{spent.log_seconds:,.2f} s",
        f"{spent.cpu_seconds:,.2f} s",
        f"{spent.cpu_seconds / ours.cpu_seconds:,.1f}",
        f"{spent.helper_cpu_seconds:,.2f} s",
        f"{spent.database_cpu_seconds:,.2f} s" if spent.database_cpu_seconds else "",
        "all" if not missing else f"[red]{missing:,} missing[/]",
    )


if __name__ == "__main__":
    main()
