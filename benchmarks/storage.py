"""What a point costs on disk and on the wire, beside its peers: python benchmarks/storage.py

Bytes on disk are what a work adds to a tracker's files over a run with a single step. Ours and Sacred's are those of
MongoDB after a checkpoint, indexes included, once the run has ended and its courier has gone; "used" leaves out what
WiredTiger will use again, which is most of what a small run leaves. Sent is what mongod received by the wire, ours
only. With --long, the courier's memory for ten million points in one metric, 5,000 metrics of 200 points and 1 GB of
console (minutes).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backlog import Drained, destination, drain, received_bytes, wait_until_courier_is_gone, write_backlog, write_points
from cloister.observer.runs import RunStore
from journal_watch import JournalWatch
from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable
from private_database import PrivateDatabase, private_database
from rich.table import Table
from tracked_work import DATABASE_TRACKERS, OURS, TITLES, Work, fresh, record_work, work_folder

COLUMNS = (
    "work",
    "tracker",
    "on disk",
    "bytes/point",
    "x ours",
    "used/point",
    "journal",
    "sent",
    "sent/journal",
    "peak",
)
SLOW_TRACKERS = ("mlflow",)
TARGETS = "Targets: at most 12 bytes/point, sent at most 3x the journal, courier below 150 MB."
CONSOLE_LINE_BYTES = 100


@dataclass(frozen=True)
class Case:
    """A work, and who does it."""

    title: str
    work: Work
    with_peers: bool = False


CASES = (
    Case("20,000 x 5", Work(20_000, 5), with_peers=True),
    Case("1,000,000 x 1", Work(1_000_000, 1)),
    Case("50/s x 5, for 20 s", Work(1_000, 5, pace=50)),
    Case("10/s x 5, for 20 s", Work(200, 5, pace=10)),
)
QUICK_CASES = (
    Case("1,000 x 5", Work(1_000, 5), with_peers=True),
    Case("100/s x 5, for 0.5 s", Work(50, 5, pace=100)),
)
LONG_WORKS = (Work(10_000_000, 1), Work(200, 5_000))
LONG_CONSOLE_LINES = 10_000_000


@dataclass(frozen=True)
class Stored:
    """What a work left behind."""

    tracker: str
    points: int
    disk_bytes: int
    free_bytes: int = 0
    journal_bytes: int = 0
    sent_bytes: int = 0


def main() -> None:
    options = read_options(
        __doc__ or "",
        add=lambda parser: parser.add_argument(
            "--long", action="store_true", help="the courier's memory too (minutes)"
        ),
    )
    machine = look_at_machine()
    table = Table(*COLUMNS, title="What is stored")
    with work_folder() as folder:
        for case in QUICK_CASES if options.quick else CASES:
            with private_database() as database:  # a fresh one: what a case leaves free, the next would use
                add_case(table, case, options.trackers if case.with_peers else (OURS,), folder, database)
        if options.long:
            with private_database() as database:
                add_long_backlogs(table, folder, database)
    print_figures(table, machine, TARGETS)


def add_case(table: Table, case: Case, trackers: tuple[str, ...], folder: Path, database: PrivateDatabase) -> None:
    table.add_section()
    ours: Stored | None = None
    for tracker in trackers:
        share = 10 if tracker in SLOW_TRACKERS else 1
        work = Work(case.work.steps // share, case.work.metrics, case.work.pace)
        what = "" if ours else case.title
        try:
            stored = store_with(tracker, work, folder, database)
        except PeerUnavailable as error:
            table.add_row(what, TITLES[tracker], str(error))
            continue
        ours = ours or stored
        table.add_row(what, *cells(stored, ours))


def store_with(tracker: str, work: Work, folder: Path, database: PrivateDatabase) -> Stored:
    """Record `work` and see what it adds to what a run with a single step has left."""
    nothing = fresh(folder, tracker)
    record_work(tracker, Work(1, work.metrics), nothing, database, verify=False)
    if tracker not in DATABASE_TRACKERS:
        own = fresh(folder, tracker)
        record_work(tracker, work, own, database, verify=False)
        return Stored(tracker, work.points, files_bytes(own) - files_bytes(nothing))
    name = "sacred" if tracker == "sacred" else "cloister"
    with RunStore.connect() as store, JournalWatch(destination()) as journal:
        wait_until_courier_is_gone()
        before, sent_before = database_bytes(store, database, name), received_bytes(store)
        record_work(tracker, work, fresh(folder, tracker), database, verify=False)
        wait_until_courier_is_gone()
        sent = received_bytes(store) - sent_before
        after = database_bytes(store, database, name)
        ours = tracker == OURS
        return Stored(
            tracker,
            work.points,
            disk_bytes=after[0] - before[0],
            free_bytes=after[1] - before[1],
            journal_bytes=journal.total_bytes if ours else 0,
            sent_bytes=sent if ours else 0,
        )


def database_bytes(store: RunStore, database: PrivateDatabase, name: str) -> tuple[int, int]:
    """Bytes of a database's files after a checkpoint, indexes included, and how many of them are free for reuse."""
    database.checkpoint()
    stats: dict[str, Any] = store.database.client[name].command("dbStats", freeStorage=1)
    return int(stats["totalSize"]), int(stats["totalFreeStorageSize"])


def files_bytes(folder: Path) -> int:
    """Bytes of a tracker's files. Its home is not one of them, nor are our own three."""
    kept = [path for path in folder.iterdir() if path.is_dir() and path.name != "home"]
    kept += [path for path in folder.iterdir() if path.is_file() and path.suffix == ".db"]
    files = [path for place in kept for path in (place.rglob("*") if place.is_dir() else [place])]
    return sum(path.lstat().st_size for path in files if path.is_file())


def cells(stored: Stored, ours: Stored) -> list[str]:
    own = stored.disk_bytes / stored.points
    row = [
        TITLES[stored.tracker],
        f"{stored.disk_bytes / 1e6:,.2f} MB",
        f"{own:,.1f}",
        f"{own / max(ours.disk_bytes / ours.points, 0.01):,.1f}",
        f"{(stored.disk_bytes - stored.free_bytes) / stored.points:,.1f}" if stored.free_bytes else "",
    ]
    if stored.journal_bytes:
        row += [f"{stored.journal_bytes / 1e6:,.2f} MB", f"{stored.sent_bytes / 1e6:,.2f} MB"]
        row += [f"{stored.sent_bytes / stored.journal_bytes:,.2f}"]
    return row


def add_long_backlogs(table: Table, folder: Path, database: PrivateDatabase) -> None:
    """What one courier needs of memory and sends for what has piled up."""
    table.add_section()
    for work in LONG_WORKS:
        name = fresh(folder, OURS).name
        write_points(name, work, folder)
        add_backlog(table, f"backlog {work.steps:,} x {work.metrics:,}", drain(name, work, database))
    name = fresh(folder, OURS).name
    write_backlog("record_console.py", name, str(LONG_CONSOLE_LINES), str(CONSOLE_LINE_BYTES))
    add_backlog(table, "backlog 1 GB of console", drain(name, Work(0, 0), database))


def add_backlog(table: Table, title: str, done: Drained) -> None:
    table.add_row(
        title,
        f"{TITLES[OURS]}, in {done.seconds:,.0f} s",
        *("", "", "", ""),
        f"{done.journal_bytes / 1e6:,.0f} MB",
        f"{done.sent_bytes / 1e6:,.0f} MB",
        f"{done.sent_bytes / done.journal_bytes:,.2f}",
        f"{done.peak_bytes / 1e6:,.0f} MB",
    )


if __name__ == "__main__":
    main()
