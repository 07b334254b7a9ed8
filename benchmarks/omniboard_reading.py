"""Omniboard's REST on our database and on Sacred's own: python benchmarks/omniboard_reading.py

Both have copies of one recorded run of three metrics with 1,000 points each (`--quick`: fewer of both), recorded by
Sacred's own observer and by Cloister, with 20 kB of output. Two Omniboards read them on the same mongod, in turns. A
ratio below 1 says that ours is read faster. Needs npm.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
from bson import ObjectId
from cloister.observer.indexes import ensure_indexes
from cloister.observer.runs import RunStore
from machine import look_at_machine, print_figures
from options import read_options
from private_database import PrivateDatabase, private_database
from pymongo.database import Database
from rich.table import Table
from tracked_work import OURS, Work, record_work

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # which installs and runs Omniboard as well
from peer_installs import NpmMissing
from running_omniboard import DETAILS, FIRST_COLUMNS, NOT_COMPARED, Omniboard, running_omniboard

Documents = Database[dict[str, Any]]
SACRED = "sacred"
METRICS = 3
OUTPUT = "".join(f"step {step}: loss {1 / (step + 1):.6f}\n" for step in range(800))
TIMES = 5


@dataclass(frozen=True)
class Question:
    """Something that a page asks, and how often it is measured."""

    what: str
    ask: Callable[[Omniboard], int]  # gives the bytes of the answers
    times: int = TIMES


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    runs, points = (40, 100) if options.quick else (2000, 1000)
    machine = look_at_machine()
    table = Table(
        "asked of Omniboard", "Sacred's", "ours", "ratio", "Sacred's kB", "our kB", title=f"{runs:,} runs, ms"
    )
    with private_database() as private, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloister-benchmark-")))
        client = stack.enter_context(pymongo.MongoClient(private.uri))
        ours = client[stack.enter_context(RunStore.connect(private.uri)).database.name]
        for tracker in (SACRED, OURS):
            record_work(tracker, Work(points, METRICS), folder / tracker, private, verify=False)
        ensure_indexes(ours)
        opened = {}
        for name, database in ((SACRED, client[SACRED]), (OURS, ours)):
            wait_for_points(database, points)
            multiply(database, runs)
            try:
                opened[name] = stack.enter_context(
                    running_omniboard(uri_of(private, database.name), folder / name, free_port())
                )
            except NpmMissing as reason:
                print(reason)
                return
        for question in questions(runs):
            table.add_row(*measure(question, opened[SACRED], opened[OURS]))
    print_figures(table, machine, "kB are those of the answers.")


# ---- asking


def questions(runs: int) -> Iterator[Question]:
    def ask_table(limit: int, **more: str) -> Callable[[Omniboard], int]:
        asked = {
            "select": FIRST_COLUMNS,
            "sort_by": "_id",
            "order_by": "-1",
            "query": "{}",
            "limit": str(limit),
            **more,
        }
        return lambda omniboard: len(omniboard.ask("Runs", **asked))

    column = {"select": f"{FIRST_COLUMNS},L", "sort_by": "L"}

    def ask_five(omniboard: Omniboard) -> int:
        run = {"path": "run", "select": [f"-{name}" for name in NOT_COMPARED]}
        return len(omniboard.ask("Metrics", query=json.dumps({"run_id": {"$in": [1, 2, 3, 4, 5]}}), populate=run))

    yield Question("the table, 50 runs", ask_table(50))
    yield Question(f"the table, {runs:,} runs", ask_table(runs))
    yield Question("its count", lambda omniboard: len(omniboard.ask("Runs/count")), 20)
    yield Question("the table by a metric's column", ask_table(50, **column))
    yield Question("metrics of 5 runs to compare", ask_five)
    yield Question("one run opened", lambda omniboard: open_run(omniboard, runs // 2), 20)
    yield Question(f"each of {runs:,} runs opened", lambda omniboard: open_all(omniboard, runs), 1)


def open_run(omniboard: Omniboard, number: int) -> int:
    run = omniboard.ask(f"Runs/{number}", select=DETAILS)
    return len(run) + len(omniboard.ask("Metrics", query=json.dumps({"run_id": str(number)})))


def open_all(omniboard: Omniboard, runs: int) -> int:
    return sum(open_run(omniboard, number) for number in range(1, runs + 1))


def measure(question: Question, theirs: Omniboard, ours: Omniboard) -> tuple[str, ...]:
    """In turns, so that whatever else the machine does befalls both."""
    seconds: dict[str, list[float]] = {SACRED: [], OURS: []}
    sizes: dict[str, int] = {}
    for _ in range(question.times):
        for name, omniboard in ((SACRED, theirs), (OURS, ours)):
            started = time.perf_counter()
            sizes[name] = question.ask(omniboard)
            seconds[name].append(time.perf_counter() - started)
    his, mine = statistics.median(seconds[SACRED]), statistics.median(seconds[OURS])
    kilobytes = (f"{sizes[name] / 1000:,.1f}" for name in (SACRED, OURS))
    return (question.what, f"{his * 1000:,.1f}", f"{mine * 1000:,.1f}", f"{mine / his:.2f}", *kilobytes)


# ---- databases


def wait_for_points(database: Documents, points: int) -> None:
    deadline = time.monotonic() + 60
    while not database["metrics"].find_one({f"values.{points - 1}": {"$exists": True}}):
        if time.monotonic() > deadline:
            raise RuntimeError(f"The run of {database.name} did not arrive.")
        time.sleep(0.1)


def multiply(database: Documents, runs: int) -> None:
    """Copies of the only run, numbered from 1 to `runs`, each with metrics of its own and another config."""
    [run] = database["runs"].find()
    metrics = list(database["metrics"].find({"run_id": run["_id"]}))
    database["runs"].delete_many({})
    database["metrics"].delete_many({"run_id": run["_id"]})
    for number in range(1, runs + 1):
        copies = [{**metric, "_id": ObjectId(), "run_id": number} for metric in metrics]
        copy = deepcopy(run) | {"_id": number, "config": {"lr": number / runs, "seed": number}, "captured_out": OUTPUT}
        copy["info"]["metrics"] = [{"name": metric["name"], "id": str(metric["_id"])} for metric in copies]
        if "cloister" in copy:
            copy["cloister"]["uid"] = str(ObjectId())
        database["runs"].insert_one(copy)
        database["metrics"].insert_many(copies)
    column = {"name": "L", "metric_name": metrics[0]["name"], "extrema": "min"}
    database["omniboard.metric.columns"].insert_one(column)


def uri_of(private: PrivateDatabase, name: str) -> str:
    """For a driver of 2021, which knows the password's default but not every option of ours."""
    from pymongo.uri_parser import parse_uri

    parsed = parse_uri(private.uri)
    account = f"{parsed['username']}:{parsed['password']}@" if parsed["username"] else ""
    source = parsed["options"].get("authsource", "admin")
    return f"mongodb://{account}127.0.0.1:{private.port}/{name}?authSource={source}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
