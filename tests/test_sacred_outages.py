"""Sacred experiments under our observer while the database is away: before, at and after every event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cloister.observer.journal_places import journal_places, run_folders
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from conftest import free_port, running_mongod
from recorded_script import RecordedScript, wait_for
from sacred_scripts import BEGINNING, experiment, need_sacred

EVENTS = """
def wait_for(name):
    open("at " + name, "w").close()
    while not os.path.exists(name):
        time.sleep(0.01)

@ex.main
def main(_run):
    wait_for("events")
    for step in range(30):
        _run.log_scalar("loss", step, step)
    _run.info["note"] = "kept"
    ex.add_artifact(__file__, name="script")
    ex.add_resource(__file__)
    print("printed while it was away")
    time.sleep(0.3)  # some beats
    wait_for("end")
    return 0.5

ex.run(options={"--beat-interval": 0.1})
print("the experiment has ended")
"""
BY_URI = experiment(EVENTS, f"{BEGINNING}ex.observers.append(cloister.MongoObserver())\n")
BY_CLIENT = experiment(
    EVENTS,
    f"""{BEGINNING}
from pymongo import MongoClient

client = MongoClient(os.environ["CLOISTER_URI"])
ex.observers.append(cloister.MongoObserver(client=client, db_name="away"))
""",
)


@pytest.fixture(autouse=True)
def _sacred() -> None:
    need_sacred()


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Of a database that is not there yet."""
    return f"mongodb://127.0.0.1:{free_port()}/away?directConnection=true&serverSelectionTimeoutMS=700"


@contextmanager
def server_at(uri: str, folder: Path) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
    folder.mkdir(exist_ok=True)
    with running_mongod(folder, port=int(uri.split(":")[2].partition("/")[0])), pymongo.MongoClient(uri) as client:
        yield client


@pytest.fixture
def away(tmp_path: Path, own_places: Path, uri: str) -> RecordedScript:
    """A script whose runs go to that database."""
    return RecordedScript(tmp_path / "project", uri, None)  # type: ignore[arg-type]


def assert_whole(client: pymongo.MongoClient[dict[str, Any]]) -> None:
    store = RunStore(client["away"])
    [document] = client["away"]["runs"].find()
    run = store.load_run(document["_id"])
    assert (run.id, run.status, run.result, run.info["note"]) == (1, "completed", 0.5, "kept")
    assert store.load_points(1, "loss").values.tolist() == list(range(30))
    assert store.open_blob(run.artifacts[0].file_id).read().decode().endswith('ended")\n')
    assert document["resources"][0][0].endswith("train.py")
    assert "printed while it was away" in document["captured_out"]
    assert run.lost == {"points": 0, "lines": 0, "bytes": 0}
    assert len(run.sources) == 1
    [metric] = client["away"]["metrics"].find({"run_id": 1})
    assert metric["values"] == list(range(30))


def let_it_go_on(script: RecordedScript, *names: str) -> None:
    for name in names:
        (script.folder / name).touch()


def test_an_experiment_runs_without_the_database_and_is_whole_afterwards(
    away: RecordedScript, uri: str, tmp_path: Path
) -> None:
    let_it_go_on(away, "events", "end")
    done = away.run(BY_URI, env={"CLOISTER_EXIT_WAIT": "1"})

    assert done.returncode == 0, done.stderr
    assert "the experiment has ended" in done.stdout
    assert "the next run to the same database ships it" in done.stderr
    with server_at(uri, tmp_path / "mongod") as client:
        environment = {**os.environ, "CLOISTER_URI": uri}
        synced = subprocess.run([sys.executable, "-m", "cloister", "sync"], env=environment, capture_output=True)
        assert synced.returncode == 0, synced.stderr
        assert_whole(client)


@pytest.mark.parametrize("source", [BY_URI, BY_CLIENT], ids=["uri", "client"])
def test_a_database_that_freezes_at_any_event_holds_up_nothing_and_loses_nothing(
    away: RecordedScript, uri: str, tmp_path: Path, source: str
) -> None:
    with server_at(uri, tmp_path / "mongod") as client:
        server = client.admin.command("serverStatus")["pid"]
        process = away.start(source, env={"CLOISTER_EXIT_WAIT": "20"})
        wait_for((away.folder / "at events").exists, "the experiment has started")
        os.kill(server, signal.SIGSTOP)
        try:
            let_it_go_on(away, "events")
            wait_for((away.folder / "at end").exists, "all events have come back")
            if source is BY_URI:  # whoever lends a client waits at the end for his own thread to ship
                let_it_go_on(away, "end")
                wait_for(lambda: process.poll() is not None, "the experiment has ended without the database")
        finally:
            os.kill(server, signal.SIGCONT)
        let_it_go_on(away, "end")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        wait_for(lambda: not run_folders(journal_places(load_settings(uri=uri))), "the journal is shipped")
        assert_whole(client)
