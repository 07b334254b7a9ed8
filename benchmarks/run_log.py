"""What logging costs the training thread, beside its peers: python benchmarks/run_log.py

Every call is timed, in a process of its own for each tracker, while its helpers (our courier, W&B's core, the writers'
threads) work as they do in a training. Whoever takes milliseconds for a call makes fewer of them, and
"scaled" stands at the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable
from private_database import PrivateDatabase, private_database
from rich.table import Table
from tracked_work import OURS, TITLES, Spent, Work, fresh, record_work, work_folder

SLOW_TRACKERS = ("mlflow",)
SLOW_SHARE = 20
MANY_CALLS = 100_000  # before that, memory is what a tracker's threads still load


@dataclass(frozen=True)
class Case:
    """A work and what our share of it may cost."""

    title: str
    work: Work
    target: str
    peer_share: int = 1  # what peers do of it: one such part; 0 for nothing


COLUMNS = ("tracker", "p50", "p99", "slowest", "all calls", "memory", "p50 / ours", "target")
CASES = (
    Case("5 scalars", Work(20_000, 5), "5 us, p99 40 us"),
    Case("100 scalars", Work(5_000, 100), "40 us", peer_share=10),
    Case("1 scalar", Work(1_000_000, 1), "8 s in all", peer_share=0),
)
LONG_CASE = Case("1 scalar", Work(10_000_000, 1), "5 MB", peer_share=0)


def main() -> None:
    options = read_options(
        __doc__ or "",
        add=lambda parser: parser.add_argument("--long", action="store_true", help="10 million points too (minutes)"),
    )
    machine = look_at_machine()
    table = Table("calls", *COLUMNS, title="What logging costs the training thread")
    cases = (*CASES, LONG_CASE) if options.long else CASES
    with private_database() as database, work_folder() as folder:
        for case in cases:
            work = Work(case.work.steps // 100, case.work.metrics) if options.quick else case.work
            trackers = options.trackers if case.peer_share else (OURS,)
            add_case(table, replace(case, work=work), trackers, folder, database)
    print_figures(table, machine)


def add_case(table: Table, case: Case, trackers: tuple[str, ...], folder: Path, database: PrivateDatabase) -> None:
    table.add_section()
    ours: Spent | None = None
    for tracker in trackers:
        work, what = case.work, "" if ours else f"{case.work.steps:,} x {case.title}"
        share = share_of(tracker, case)
        try:
            spent = record_work(
                tracker, Work(max(1, work.steps // share), work.metrics), fresh(folder, tracker), database
            )
        except PeerUnavailable as error:
            table.add_row(what, TITLES[tracker], str(error))
            continue
        ours = ours or spent
        table.add_row(
            what,
            TITLES[tracker],
            *(f"{value:,.1f} us" for value in (spent.p50_us, spent.p99_us, spent.slowest_us)),
            f"{spent.log_seconds * share:,.2f} s" + (" (scaled)" if share > 1 else ""),
            f"{spent.grown_bytes / 1e6:+,.1f} MB" if work.steps >= MANY_CALLS else "",
            f"{spent.p50_us / ours.p50_us:,.1f}",
            case.target if tracker == OURS else "",
        )


def share_of(tracker: str, case: Case) -> int:
    if tracker == OURS:
        return 1
    return case.peer_share * (SLOW_SHARE if tracker in SLOW_TRACKERS else 1)


if __name__ == "__main__":
    main()
