"""What purging costs, and what claims cost who records: python benchmarks/purging.py

A database of 20,000 runs (`--quick`: 1,000), each of which names 60 stored files: 55 that all runs of its project have,
as sources are shared, and 5 of its own. Of these runs one, then a hundred at once, are moved into the trash and purged;
the time is the whole purge with its report. Then a run of 200 source files that are all stored already is shipped, with
the claims that hold purges off, and without them.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bson import ObjectId
from cloister.decorators.run_start import new_uid
from cloister.observer import file_shipper
from cloister.observer.blobs import Digests
from cloister.observer.file_shipper import FileShipper
from cloister.observer.indexes import ensure_indexes
from cloister.observer.journal_records import JournalRecord
from cloister.observer.retention.purge import purge_runs
from cloister.observer.retention.trash import move_to_trash
from cloister.observer.run_losses import RunLosses
from cloister.observer.run_record import new_run_document
from cloister.observer.run_registry import register_run
from cloister.observer.run_update import RunUpdate
from cloister.observer.runs import RunStore
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from rich.table import Table

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
SHARED_FILES, OWN_FILES, PROJECTS = 55, 5, 10
SOURCES = 200
ROUNDS = 15
AT_ONCE = 5_000
CONTENT = b"x" * 4_000
TARGET = "Target: a hundred runs purged in less than a second each; claims below 10 ms a batch."


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    runs = 1_000 if options.quick else 20_000
    table = Table("", "median", "worst")
    with private_database() as private, RunStore.connect(private.uri) as store:
        database = store.database
        ensure_indexes(database)
        fill(database, runs)
        add(table, f"purge 1 of {runs:,} runs", [purged(database, [number]) for number in range(1, 6)])
        hundred = [range(100 * each, 100 * each + 100) for each in range(1, 4)]
        add(table, "purge 100 at once", [purged(database, list(each)) for each in hundred])
        with_claims, without = shipped(database, 3 if options.quick else ROUNDS)
        add(table, f"ship {SOURCES} known sources, with claims", with_claims)
        add(table, "the same, without", without)
    print_figures(table, machine, TARGET)


def add(table: Table, what: str, seconds: list[float]) -> None:
    table.add_row(what, f"{1000 * statistics.median(seconds):,.1f} ms", f"{1000 * max(seconds):,.1f} ms")


def fill(database: Any, runs: int) -> None:
    for project in range(PROJECTS):
        store_files(database, [shared(project, number) for number in range(SHARED_FILES)])
    for start in range(1, runs + 1, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, runs + 1))
        store_files(database, [own(run, number) for run in numbers for number in range(OWN_FILES)])
        database["runs"].insert_many([document(number) for number in numbers])


def document(number: int) -> dict[str, Any]:
    project = number % PROJECTS
    header = {"uid": new_uid(), "project": f"project-{project}", "name": f"run-{number}", "experiment": "purging"}
    run = new_run_document({**header, "start_time": START}, number)
    names = [shared(project, each) for each in range(SHARED_FILES)]
    run["cloister"]["sources"] = [{"path": name, "sha256": digest(name), "file_id": file_id(name)} for name in names]
    run["experiment"]["sources"] = [[name, file_id(name)] for name in names]
    mine = [own(number, each) for each in range(OWN_FILES)]
    run["artifacts"] = [{"name": name, "sha256": digest(name), "file_id": file_id(name)} for name in mine]
    return {**run, "status": "COMPLETED", "stop_time": START}


def store_files(database: Any, names: list[str]) -> None:
    files = [
        {"_id": file_id(name), "length": len(CONTENT), "uploadDate": START, "cloister": {"sha256": digest(name)}}
        for name in names
    ]
    database["fs.files"].insert_many(files)
    database["fs.chunks"].insert_many({"files_id": each["_id"], "n": 0, "data": CONTENT} for each in files)


def shared(project: int, number: int) -> str:
    return f"src/{project}/{number}.py"


def own(run: int, number: int) -> str:
    return f"out/{run}/{number}.bin"


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def file_id(name: str) -> ObjectId:
    return ObjectId(digest(name)[:24])


def purged(database: Any, numbers: list[int]) -> float:
    for number in numbers:
        move_to_trash(database, number, by="benchmark", trash_days=1)
    left: list[str] = []
    started = time.perf_counter()
    reports = purge_runs(database, numbers, by="benchmark", left=left)
    seconds = time.perf_counter() - started
    assert not left
    assert all(report.is_proven and len(report.gone) == OWN_FILES for report in reports)
    return seconds


def shipped(database: Any, rounds: int) -> tuple[list[float], list[float]]:
    """Both in turns."""
    names = [f"lib/{number}.py" for number in range(SOURCES)]
    store_files(database, names)
    with_claims, without = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            with_claims.append(ship_sources(database, Path(folder), names))
            with no_claims():
                without.append(ship_sources(database, Path(folder), names))
    return with_claims, without


def ship_sources(database: Any, folder: Path, names: list[str]) -> float:
    header = {"uid": new_uid(), "project": "claims", "name": "x", "experiment": "x", "start_time": START}
    run = register_run(database, header)[0]
    shipper, update = FileShipper(database, run, [folder], RunLosses(run)), RunUpdate()
    for sequence, name in enumerate(names, 1):
        known = Digests(digest(name), "", len(CONTENT))
        fields = {"sha256": known.sha256, "md5": known.md5, "size": known.size, "path": name}
        shipper.take(1, JournalRecord("source", sequence, 0.0, fields, 0, 0), update)
    started = time.perf_counter()
    shipper.store(update)
    database["runs"].update_one({"_id": run["_id"]}, update.document())
    shipper.release_claim()
    return time.perf_counter() - started


@contextmanager
def no_claims() -> Iterator[None]:
    claim, release = file_shipper.claim, file_shipper.release
    file_shipper.claim = file_shipper.release = lambda *_arguments: None  # type: ignore[assignment]
    try:
        yield
    finally:
        file_shipper.claim, file_shipper.release = claim, release


if __name__ == "__main__":
    main()
