"""The courier under faults of the database: what is stored in the end is what was recorded, whatever failed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cloister.decorators.run_identity import new_uid
from cloister.observer import run_shipper
from cloister.observer.courier import Courier
from cloister.observer.courier_launch import read_state
from cloister.observer.embedded import find_mongod
from cloister.observer.journal_places import journal_places
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from conftest import free_port, running_mongod
from pymongo.errors import OperationFailure
from recorded_script import RecordedScript, wait_for
from recorded_work import begin_work, ship_until_done

WRITING = ["insert", "update", "findAndModify", "delete", "createIndexes"]
READING = ["find", "aggregate", "getMore"]
FAULTS: dict[str, dict[str, Any]] = {
    "connection closed before the command": {"closeConnection": True},
    "interrupted by a shutdown, 91": {"errorCode": 91},
    "primary stepped down, 189": {"errorCode": 189},
    "not the primary any more, 10107": {"errorCode": 10107},
    "interrupted at shutdown, 11600": {"errorCode": 11600},
    "host not reachable, 6": {"errorCode": 6},
    "no space left on the server, 14031": {"errorCode": 14031},
    "no right to write, 13": {"errorCode": 13},
    "too few members confirmed, 64": {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    "stored and then not confirmed, 91": {"writeConcernError": {"code": 91, "errmsg": "shutting down"}},
}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many batches of little, so that every kind of write comes often."""
    monkeypatch.setattr(run_shipper, "BATCH_BYTES", 8 * 1024)


@contextlib.contextmanager
def failing(uri: str, fault: dict[str, Any], commands: list[str], share: float) -> Iterator[None]:
    """Have the server fail a share of the courier's commands."""
    with pymongo.MongoClient(uri) as client:
        data = {"failCommands": commands, "appName": "cloister", **fault}
        mode = {"activationProbability": share}
        client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("home", "small_batches")
def test_commands_that_fail_lose_and_double_nothing(
    store: RunStore, database_uri: str, tmp_path: Path, fault: str
) -> None:
    work = begin_work(database_uri)
    for number in range(6):
        work.record(40)
        work.record_file(tmp_path, f"file {number}", os.urandom(1000))
    work.end()

    commands = WRITING if "writeConcernError" in FAULTS[fault] else WRITING + READING
    with failing(database_uri, FAULTS[fault], commands, 0.3), contextlib.suppress(AssertionError):
        ship_until_done(database_uri, work.places, until=time.monotonic() + 0.4)
    ship_until_done(database_uri, work.places)

    work.assert_stored(store)


@pytest.mark.usefixtures("home", "small_batches")
def test_two_shippers_of_one_run_at_once_lose_and_double_nothing(
    store: RunStore, database_uri: str, tmp_path: Path
) -> None:
    work = begin_work(database_uri)
    for number in range(4):
        work.record(300)
        work.record_file(tmp_path, f"file {number}", os.urandom(1000))
    work.end()
    stick = tmp_path / "stick"
    shutil.copytree(work.places[0], stick)

    shippers = [
        threading.Thread(target=ship_until_done, args=(database_uri, places)) for places in (work.places, (stick,))
    ]
    for shipper in shippers:
        shipper.start()
    for shipper in shippers:
        shipper.join()

    assert store.database["runs"].count_documents({}) == 1
    work.assert_stored(store)


@pytest.mark.usefixtures("small_batches")
def test_ranks_on_two_hosts_ship_side_by_side_and_nothing_is_applied_twice(
    store: RunStore, database_uri: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin_work(database_uri)
    monkeypatch.setenv("CLOISTER_HOME", str(tmp_path / "another host"))
    second = begin_work(database_uri, uid=first.uid)
    monkeypatch.setattr(run_shipper.RunShipper, "_reload", None)  # whoever is overtaken fails
    couriers = [Courier(store.database, work.places[:1]) for work in (first, second)]
    for turn in range(12):
        for number, work in enumerate((first, second)):
            work.recorder.record_points({f"rank/{number}/loss": turn / 2}, turn)
            work.recorder.record_console("stdout", f"host {number}, turn {turn}\n", time.time())
            couriers[number].ship()
    for number, work in enumerate((first, second)):
        work.end()
        couriers[number].ship()

    [run] = [store.load_run(document["_id"]) for document in store.database["runs"].find({}, {"_id": 1})]
    for number in (0, 1):
        assert store.load_points(run.id, f"rank/{number}/loss").values.tolist() == [turn / 2 for turn in range(12)]
    text = "".join(piece.text for piece in store.load_console(run.id).pieces)
    assert text == "".join(f"host {number}, turn {turn}\n" for turn in range(12) for number in (0, 1))
    assert run.console_lines == 24
    assert run.status == "completed"


@pytest.mark.usefixtures("home")
def test_a_field_that_the_database_refuses_costs_itself_alone_and_is_counted(
    store: RunStore, database_uri: str
) -> None:
    work = begin_work(database_uri)
    work.record(10)
    work.recorder.record_fields({"cloister.notes": "x" * 9_000_000})
    work.record(10)
    work.recorder.record_fields({"info.more": "y" * 9_000_000})  # a document takes 16 MiB
    work.record(10)
    work.end()
    ship_until_done(database_uri, work.places)

    work.assert_stored(store)
    run = store.find_run_by_uid(work.uid)
    assert run is not None
    run = store.load_run(run.id)
    assert len(run.notes) == 9_000_000
    assert run.lost["bytes"] >= 9_000_000
    assert (run.lost["points"], run.lost["lines"]) == (0, 0)


@pytest.mark.usefixtures("home")
def test_a_run_that_the_database_refuses_does_not_hold_up_another(store: RunStore, database_uri: str) -> None:
    refused, welcome = begin_work(database_uri, name="refused"), begin_work(database_uri, name="welcome")
    for work in (refused, welcome):
        work.record(10)
        work.end()
    store.database.command("collMod", "runs", validator={"cloister.name": {"$ne": "refused"}})
    Courier(store.database, refused.places).ship()
    welcome.assert_stored(store)
    assert store.find_run_by_uid(refused.uid) is None

    store.database.command("collMod", "runs", validator={})
    ship_until_done(database_uri, refused.places)
    refused.assert_stored(store)


LONG = """
    import time
    import cloister

    with cloister.start_run(project="faults", hardware=False) as run:
        for step in range({steps}):
            run.log({{"loss": step / 2}}, step=step)
            if step % 50 == 0:
                print("step", step, flush=True)
            time.sleep({pause})
    print("over")
"""


def assert_all_there(script: RecordedScript, steps: int) -> None:
    run = script.only_run()
    points = script.store.load_points(run.id, "loss")
    assert points.steps.tolist() == list(range(steps))
    assert points.values.tolist() == [step / 2 for step in range(steps)]
    text = "".join(piece.text for piece in script.store.load_console(run.id).pieces if piece.stream == "stdout")
    assert text == "".join(f"step {step}\n" for step in range(0, steps, 50))
    assert run.status == "completed"


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the training ended without {text!r}")


@pytest.mark.slow
def test_a_primary_that_is_killed_and_one_that_steps_down_lose_and_double_nothing(tmp_path: Path, home: Path) -> None:
    with running_replica_set(tmp_path, members=3) as (uri, servers):
        uri = uri.replace("/?", "/elected?")
        with pymongo.MongoClient(uri, tz_aware=True) as client:
            script = RecordedScript(tmp_path / "project", uri, RunStore(client["elected"]))
            process = script.start(LONG.format(steps=800, pause=0.01), env={"CLOISTER_EXIT_WAIT": "40"})
            read_until(process, "step 150\n")
            host, port = wait_for_primary(client)
            servers[port].kill()
            read_until(process, "step 400\n")
            wait_for_primary(client, other_than=(host, port))
            with contextlib.suppress(pymongo.errors.PyMongoError):
                client.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2, "force": True})
            out, err = process.communicate(timeout=90)
            assert process.returncode == 0, err
            assert out.endswith("over\n")
            script.wait_until_shipped()
            assert_all_there(script, 800)


def wait_for_primary(client: pymongo.MongoClient[Any], other_than: tuple[str, int] | None = None) -> tuple[str, int]:
    wait_for(lambda: client.primary is not None and client.primary != other_than, "a primary is elected")
    assert client.primary is not None
    return client.primary


@contextlib.contextmanager
def running_replica_set(folder: Path, *, members: int) -> Iterator[tuple[str, dict[int, subprocess.Popen[bytes]]]]:
    """Members on ports of their own, with a primary; yields the URI and the processes by port."""
    servers: dict[int, subprocess.Popen[bytes]] = {}
    try:
        for _ in range(members):
            port = free_port()
            data = folder / f"member-{port}"
            data.mkdir()
            command = [str(find_mongod(load_settings())), "--dbpath", str(data), "--port", str(port)]
            command += ["--bind_ip", "127.0.0.1", "--replSet", "three", "--oplogSize", "64", "--noscripting"]
            command += ["--wiredTigerCacheSizeGB", "0.25", "--setParameter", "diagnosticDataCollectionEnabled=false"]
            with (data / "mongod.log").open("wb") as log:
                servers[port] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        hosts = [f"127.0.0.1:{port}" for port in servers]
        for host in hosts:
            with pymongo.MongoClient(f"mongodb://{host}/?directConnection=true") as client:
                client.admin.command("ping")
        with pymongo.MongoClient(f"mongodb://{hosts[0]}/?directConnection=true") as client:
            described = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
            settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 300}
            client.admin.command("replSetInitiate", {"_id": "three", "members": described, "settings": settings})
        uri = f"mongodb://{','.join(hosts)}/?replicaSet=three"
        with pymongo.MongoClient(uri) as client:
            wait_for_primary(client)
        yield uri, servers
    finally:
        for server in servers.values():
            server.kill()
            server.wait(30)


@pytest.mark.slow
def test_a_frozen_database_is_noticed_waited_for_and_gets_all_of_it_when_it_wakes(tmp_path: Path, home: Path) -> None:
    port = free_port()
    data = tmp_path / "data"
    data.mkdir()
    uri = f"mongodb://127.0.0.1:{port}/frozen?directConnection=true"
    with running_mongod(data, port=port), pymongo.MongoClient(uri, tz_aware=True) as client:
        server = client.admin.command("serverStatus")["pid"]
        script = RecordedScript(tmp_path / "project", uri, RunStore(client["frozen"]))
        process = script.start(LONG.format(steps=900, pause=0.01))
        read_until(process, "step 100\n")
        folder = journal_places(load_settings(uri=uri))[0]
        wait_for(lambda: (state := read_state(folder)) is not None and state.reachable, "the courier ships")
        os.kill(server, signal.SIGSTOP)
        try:
            wait_for(lambda: (state := read_state(folder)) is not None and not state.reachable, "it is noticed")
            read_until(process, "step 850\n")  # the training goes on meanwhile
        finally:
            os.kill(server, signal.SIGCONT)
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        assert out.endswith("over\n")
        script.wait_until_shipped()
        assert_all_there(script, 900)


@pytest.mark.slow
def test_a_password_that_is_changed_is_taken_from_its_file_or_from_the_next_training(
    guarded: tuple[pymongo.MongoClient[Any], int], tmp_path: Path, home: Path
) -> None:
    client, port = guarded

    def let_in(password: str) -> str:
        with contextlib.suppress(OperationFailure):
            client.admin.command("dropUser", "ana")
        client.admin.command("createUser", "ana", pwd=password, roles=[{"role": "readWrite", "db": "guarded"}])
        return f"mongodb://ana:{password}@127.0.0.1:{port}/guarded?authSource=admin&directConnection=true"

    secret = tmp_path / "uri"
    secret.write_text(let_in("first"))
    script = RecordedScript(tmp_path / "project", "", RunStore(client["guarded"]))
    environment = {"CLOISTER_URI_FILE": str(secret), "CLOISTER_EXIT_WAIT": "30"}
    process = script.start(LONG.format(steps=700, pause=0.01), env=environment)
    folder = journal_places(load_settings(uri=secret.read_text()))[0]
    read_until(process, "step 100\n")
    wait_for(lambda: script.runs(), "the run arrives")
    let_in("second")
    wait_for(lambda: (state := read_state(folder)) is not None and not state.reachable, "the refusal is noticed")
    state = read_state(folder)
    assert state is not None
    assert "refused the login" in state.error
    assert "first" not in state.error
    secret.write_text(let_in("third"))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.endswith("over\n")
    assert err.count("\n") <= 1
    script.uri = secret.read_text()
    script.wait_until_shipped()
    assert_all_there(script, 700)

    # This one has its URI by itself, so it can only get the new password from another training.
    first = script.start(LONG.format(steps=700, pause=0.01), env={"CLOISTER_EXIT_WAIT": "30"}, name="first.py")
    read_until(first, "step 50\n")
    wait_for(lambda: len(script.runs()) == 2, "the second run arrives")
    script.uri = let_in("fourth")
    wait_for(lambda: (state := read_state(folder)) is not None and not state.reachable, "the refusal is noticed")
    second = script.run("import cloister\nwith cloister.start_run(hardware=False) as run:\n    run.log({'loss': 1})\n")
    first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    script.wait_until_shipped()
    assert {run.status for run in script.runs()} == {"completed"}


def test_a_database_that_only_lets_us_read_is_tried_until_it_takes_writes(
    guarded: tuple[pymongo.MongoClient[Any], int], tmp_path: Path, home: Path
) -> None:
    client, port = guarded
    client.admin.command("createUser", "ana", pwd="pw", roles=[{"role": "read", "db": "guarded"}])
    uri = f"mongodb://ana:pw@127.0.0.1:{port}/guarded?authSource=admin&directConnection=true"
    script = RecordedScript(tmp_path / "project", uri, RunStore(client["guarded"]))
    process = script.start(LONG.format(steps=600, pause=0.01), env={"CLOISTER_EXIT_WAIT": "30"})
    read_until(process, "step 500\n")
    client.admin.command("grantRolesToUser", "ana", roles=[{"role": "readWrite", "db": "guarded"}])
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.endswith("over\n")
    [warning] = err.strip().splitlines()
    assert "refused the login (not authorized on guarded" in warning
    script.wait_until_shipped()
    assert_all_there(script, 600)


def test_a_number_that_went_to_another_run_is_noticed(store: RunStore, database_uri: str, home: Path) -> None:
    # As after a database was set back: the run is gone, and its number is another's, at the same version.
    work = begin_work(database_uri)
    work.record(5)
    courier = Courier(store.database, work.places)
    courier.ship()
    document = store.database["runs"].find_one_and_delete({})
    assert document is not None
    document["cloister"] |= {"uid": new_uid(), "name": "another", "journal": {}, "summary": {}}
    store.database["runs"].insert_one(document)
    store.database["console"].delete_many({})

    work.record(5)
    work.end()
    while courier.ship():
        pass
    work.assert_stored(store)
    another = store.load_run(document["_id"])
    assert (another.name, another.summary, another.status) == ("another", {}, "running")
