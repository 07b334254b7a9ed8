"""What the audit log costs: python benchmarks/audit_log.py

Appending, alone, beside the file that notes how far the log went, and from four processes at once, each entry confirmed
by the replica set on disk; then verifying 100,000 entries (`--quick`: 3,000) with their seals, three times.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import pymongo
from cloister.observer.audit import record_entry
from cloister.observer.audit.entry import GENESIS, new_entry, to_document
from cloister.observer.audit.seals import seal_if_due
from cloister.observer.audit.sightings import keep_evidence_in
from cloister.observer.audit.verifying import verify
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from rich.table import Table

APPENDED = 500
WRITERS = 4
ROUNDS = 3
TARGET = "Target: 100,000 entries verified in 5 s or less; no entry lost, no fork, however many append."


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    count, appended = (3_000, 50) if options.quick else (100_000, APPENDED)
    table = Table("what", "figure")
    with private_database() as place, pymongo.MongoClient(place.uri, tz_aware=True) as client:
        folder = place.home / "audit"
        table.add_row("appending, ms an entry", f"{1000 * append(client['alone'], appended):.2f}")
        keep_evidence_in(folder)
        table.add_row("the same, noting how far it went", f"{1000 * append(client['watched'], appended):.2f}")
        keep_evidence_in(None)
        seconds = append_at_once(place.uri, appended)
        whole = verify(client["crowded"])
        assert whole.is_whole
        assert whole.entries == WRITERS * appended
        table.add_row(f"{WRITERS} processes at once, entries a second", f"{WRITERS * appended / seconds:,.0f}")
        table.add_row(f"verifying {count:,} entries, s", f"{verify_many(client['long'], folder, count):.2f}")
    print_figures(table, machine, TARGET)


def append(database: Any, count: int) -> float:
    """Seconds that one entry takes."""
    record_entry(database, actor="ana", action="login")  # the first one makes the indexes
    started = time.perf_counter()
    for number in range(count):
        record_entry(database, actor="ana", action="run-viewed", target=f"run {number}", project="digits")
    return (time.perf_counter() - started) / count


def append_at_once(uri: str, count: int) -> float:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(WRITERS + 1)
    writers = [context.Process(target=append_as, args=(uri, count, ready)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    ready.wait()
    started = time.perf_counter()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    return time.perf_counter() - started


def append_as(uri: str, count: int, ready: Any) -> None:
    with pymongo.MongoClient(uri, tz_aware=True) as client:
        client.admin.command("ping")
        ready.wait()
        for number in range(count):
            record_entry(client["crowded"], actor="ana", action="run-viewed", target=f"run {number}")


def verify_many(database: Any, path: Path, count: int) -> float:
    """Seconds that the median of three verifications takes."""
    previous, documents = GENESIS, []
    for number in range(1, count + 1):
        given = {"actor": "ana", "action": "run-viewed", "target": f"run {number}", "project": "digits"}
        entry = new_entry(seq=number, previous=previous, address="10.0.0.1", details={"owner": "bob"}, **given)
        previous = entry.hash
        documents.append(to_document(entry))
    database["audit"].insert_many(documents)
    folder = keep_evidence_in(path)
    assert folder is not None
    assert seal_if_due(database, folder, at_once=True) is not None
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        report = verify(database, folder=folder)
        taken.append(time.perf_counter() - started)
        assert report.is_whole
        assert report.signed_until == count
    return statistics.median(taken)


if __name__ == "__main__":
    main()
