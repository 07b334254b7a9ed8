"""A database of ours with runs of every kind, for programs of others to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymongo
from cloister.observer.run_record import new_run_document
from pymongo.database import Database
from recorded_script import wait_for

PROGRAM = Path(__file__).with_name("runs_for_readers.py")


@dataclass(frozen=True)
class RunsToRead:
    """`numbers`: the runs' ids by what they are, as `runs_for_readers` names them; also running, lost, queued."""

    uri: str
    database: Database[dict[str, Any]]
    numbers: dict[str, int]

    def number(self, kind: str) -> int:
        return self.numbers[kind]


@contextmanager
def recorded_runs(mongod: str, folder: Path) -> Iterator[RunsToRead]:
    """Record them, by trainings in processes of their own; one of them goes on until the block ends."""
    uri = mongod.replace("/?", f"/readers_{uuid.uuid4().hex[:12]}?")
    environment = {**os.environ, "CLOISTER_URI": uri, "CLOISTER_HOME": str(folder / "home")}
    environment |= {"CLOISTER_COURIER_IDLE": "0.5", "CLOISTER_EXIT_WAIT": "60"}
    command = [sys.executable, str(PROGRAM), str(folder / "files")]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-5000:]
    numbers = json.loads((folder / "files" / "runs.json").read_text(encoding="utf-8"))
    running = subprocess.Popen(
        [*command, "running"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdin is not None
    assert running.stdout is not None
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
    try:
        numbers["running"] = int(running.stdout.readline())
        database = client.get_default_database()
        points = {"run_id": numbers["running"], "values": 1.0}
        wait_for(lambda: database["metrics"].find_one(points), "Sacred's readers see the points of a run that goes on")
        numbers |= {"lost": _add_lost(database, numbers["plain"]), "queued": _add_queued(database)}
        yield RunsToRead(uri, database, numbers)
    finally:
        running.communicate("\n", timeout=60)
        client.drop_database(client.get_default_database().name)
        client.close()


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


def _add_queued(database: Database[dict[str, Any]]) -> int:
    now = datetime.now(timezone.utc)
    header = {"experiment": "queued", "project": "readers", "name": "queued-1002", "uid": str(uuid.uuid4())}
    header |= {"start_time": now, "config": {"lr": 0.7}, "queue": {"queued_at": now, "priority": 0.0}}
    database["runs"].insert_one(new_run_document(header, 1002))
    return 1002
