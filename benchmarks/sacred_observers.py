"""Sacred's own MongoObserver and ours, told of the same experiments: python benchmarks/sacred_observers.py

20,000 steps of five scalars paced over a minute, and a million points of one metric as fast as it goes, each by an
unmodified Sacred experiment with the one observer or the other. CPU is that of the process and of all that it started;
mongod's stands beside it. "Sent" is what mongod received by the wire, "written" what it wrote into its files and its
own journal, after a checkpoint. The points are counted in the database: Sacred's metric documents end at 16 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backlog import received_bytes
from cloister.observer.embedded.replica_set import system_client
from cloister.observer.runs import RunStore
from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable
from private_database import PrivateDatabase, private_database
from rich.table import Table
from tracked_work import OBSERVER, TITLES, Spent, Work, fresh, record_work, work_folder

COLUMNS = ("work", "observer", "time", "CPU", "x ours", "mongod", "x ours", "sent", "written", "x ours", "points")
CASES = {"20,000 x 5 in 60 s": Work(20_000, 5, pace=20_000 / 60), "1,000,000 x 1": Work(1_000_000, 1)}
QUICK_CASES = {"1,000 x 5": Work(1_000, 5), "10,000 x 1": Work(10_000, 1)}


@dataclass(frozen=True)
class Observed:
    """What an experiment cost with one of the observers."""

    spent: Spent
    sent_bytes: int
    written_bytes: int


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    table = Table(*COLUMNS, title="One Sacred experiment, two observers")
    with work_folder() as folder:
        for title, work in (QUICK_CASES if options.quick else CASES).items():
            table.add_section()
            ours: Observed | None = None
            for observer in (OBSERVER, "sacred"):
                with private_database() as database:  # a fresh one: what a case leaves to be merged, the next would pay
                    try:
                        observed = observe(observer, work, folder, database)
                    except PeerUnavailable as error:
                        table.add_row("", TITLES[observer], str(error))
                        continue
                ours = ours or observed
                table.add_row("" if observed is not ours else title, *cells(observed, ours))
    print_figures(table, machine)


def observe(observer: str, work: Work, folder: Path, database: PrivateDatabase) -> Observed:
    record_work(observer, Work(1, 1), fresh(folder, observer), database)  # makes collections and indexes, once for ever
    with RunStore.connect() as store:
        sent, written = received_bytes(store), written_bytes(database)
        spent = record_work(observer, work, fresh(folder, observer), database)
        return Observed(spent, received_bytes(store) - sent, written_bytes(database) - written)


def written_bytes(database: PrivateDatabase) -> int:
    """What mongod has written in all, into its files and its journal, once all is in its files."""
    database.checkpoint()
    with system_client(database.server.folder, database.port) as client:
        engine = client.admin.command("serverStatus")["wiredTiger"]
    return int(engine["block-manager"]["bytes written"]) + int(engine["log"]["log bytes written"])


def cells(observed: Observed, ours: Observed) -> list[str]:
    spent, own = observed.spent, ours.spent
    missing = spent.work.points - spent.points_found
    return [
        TITLES[spent.tracker],
        f"{spent.process_seconds:,.1f} s",
        f"{spent.cpu_seconds:,.2f} s",
        f"{spent.cpu_seconds / own.cpu_seconds:,.1f}",
        f"{spent.database_cpu_seconds:,.2f} s",
        f"{spent.database_cpu_seconds / max(own.database_cpu_seconds, 0.01):,.1f}",
        f"{observed.sent_bytes / 1e6:,.2f} MB",
        f"{observed.written_bytes / 1e6:,.1f} MB",
        f"{observed.written_bytes / max(ours.written_bytes, 1):,.1f}",
        "all" if not missing else f"[red]{missing:,} missing[/]",
    ]


if __name__ == "__main__":
    main()
