"""A database of ours with runs of every kind, for programs of others to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymongo
from pymongo.database import Database
from recorded_script import wait_for

TRAININGS = Path(__file__).with_name("runs_for_readers.py")
SACRED = Path(__file__).with_name("sacred_for_readers.py")
# What each kind of run is for Omniboard.
STATUSES = {
    "completed": "COMPLETED",
    "failed": "FAILED",
    "interrupted": "INTERRUPTED",
    "plain": "COMPLETED",
    "long": "COMPLETED",
    "loud": "COMPLETED",
    "hostile": "COMPLETED",
    "extreme": "COMPLETED",
    "twins": "COMPLETED",
    "forked": "COMPLETED",
    "resumed": "COMPLETED",
    "running": "RUNNING",
    "lost": "PROBABLY_DEAD",
    "queued": "QUEUED",
    "sacred": "COMPLETED",
    "sacred failed": "FAILED",
    "sacred queued": "QUEUED",
    "adopted": "COMPLETED",
}


@dataclass(frozen=True)
class RunsToRead:
    """`numbers`: the runs' ids by what they are, one for each of STATUSES."""

    uri: str
    database: Database[dict[str, Any]]
    numbers: dict[str, int]

    def number(self, kind: str) -> int:
        return self.numbers[kind]


@contextmanager
def recorded_runs(mongod: str, folder: Path) -> Iterator[RunsToRead]:
    """Record them, by programs of their own; one of them goes on until the block ends.

    It takes 15 s: `runs_to_read` has them for the whole session. Who changes a run leaves the others as they are.
    """
    uri = mongod.replace("/?", f"/readers_{uuid.uuid4().hex[:12]}?")
    environment = {**os.environ, "CLOISTER_URI": uri, "CLOISTER_HOME": str(folder / "home")}
    environment |= {"CLOISTER_COURIER_IDLE": "0.5", "CLOISTER_EXIT_WAIT": "60"}
    database = pymongo.MongoClient(uri).get_default_database()
    files = folder / "files"
    with (
        database.client,
        _recorded(database, files, environment) as numbers,
        _kept_running(files, environment) as number,
    ):
        numbers["running"] = number
        points = {"run_id": number, "values": 1.0}
        wait_for(lambda: database["metrics"].find_one(points), "Sacred's readers see the points of a run that goes on")
        yield RunsToRead(uri, database, numbers)


@contextmanager
def _recorded(
    database: Database[dict[str, Any]], folder: Path, environment: Mapping[str, str]
) -> Iterator[dict[str, int]]:
    try:
        _run([str(TRAININGS), str(folder)], environment)
        _run([str(SACRED), str(folder)], environment)
        numbers: dict[str, int] = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
        for kind, status in (("sacred", "COMPLETED"), ("sacred failed", "FAILED"), ("sacred queued", "QUEUED")):
            numbers[kind] = _number_of(database, {"experiment.name": "sacred", "status": status})
        # Through the commands that users have for it.
        _run(["-m", "cloister", "adopt", str(folder / "storage"), "--into", environment["CLOISTER_URI"]], environment)
        known = list(numbers.values())
        numbers["adopted"] = _number_of(database, {"experiment.name": "sacred", "_id": {"$nin": known}})
        script = folder / "queued.py"
        script.write_text("print('later')\n", encoding="utf-8")
        _run(["-m", "cloister", "run", "--queue", "--comment", "Later.", str(script)], environment)
        numbers["queued"] = _number_of(database, {"experiment.name": "queued"})
        numbers["lost"] = _add_lost(database, numbers["plain"])
        yield numbers
    finally:
        database.client.drop_database(database.name)


@contextmanager
def _kept_running(folder: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """A run that goes on until the block ends."""
    command = [sys.executable, str(TRAININGS), str(folder), "running"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            yield int(running.stdout.readline())
        finally:
            running.communicate("\n", timeout=60)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-5000:]


def _number_of(database: Database[dict[str, Any]], query: dict[str, Any]) -> int:
    """Of the run that the query finds, once its courier has stored it."""
    wait_for(lambda: database["runs"].find_one(query), f"there is a run with {query}")
    [run] = database["runs"].find(query, {"_id": 1})
    return int(run["_id"])


def _add_lost(database: Database[dict[str, Any]], like: int) -> int:
    """A run whose host was gone ten minutes ago: nobody can wait for that."""
    run = database["runs"].find_one({"_id": like})
    assert run is not None
    gone = datetime.now(timezone.utc) - timedelta(minutes=10)
    number = 1001
    run |= {"_id": number, "status": "RUNNING", "start_time": gone, "heartbeat": gone, "stop_time": None}
    run["cloister"]["uid"] = str(uuid.uuid4())
    database["runs"].insert_one(run)
    return number
