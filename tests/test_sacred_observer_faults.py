"""Sacred experiments under our observer, attacked: what is killed, taken away, or given that no database takes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cloister.observer.courier_launch import read_state
from cloister.observer.journal_places import journal_places, run_folders
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from cloister.observer.sacred_values import plain_value
from cloister.observer.settings import load_settings
from conftest import free_port
from pymongo.database import Database
from recorded_script import RecordedScript, wait_for
from sacred_scripts import BEGINNING, experiment, need_sacred
from starting_mongod import kill_mongod, started_mongod

Documents = Database[dict[str, Any]]
QUIET = 'options = {"--loglevel": "ERROR", "--beat-interval": 0.05}\n'
BEATS = """
from sacred.observers import RunObserver

class Beats(RunObserver):
    priority = 1  # hears of a beat after ours
    count = 0

    def heartbeat_event(self, **_):
        self.count += 1

beats = Beats()
ex.observers.append(beats)

def two_beats():
    before = beats.count
    while beats.count < before + 2:
        time.sleep(0.002)
"""


@pytest.fixture(autouse=True)
def _sacred() -> None:
    need_sacred()


def succeed(script: RecordedScript, source: str, *arguments: str) -> str:
    """Run a script that ends well; returns what it printed."""
    done = script.run(source, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    script.wait_until_shipped()
    return done.stdout + done.stderr


def sync(uri: str) -> None:
    environment = {**os.environ, "CLOISTER_URI": uri}
    done = subprocess.run([sys.executable, "-m", "cloister", "sync"], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr


# ---- taken away


STAGES = """
def stage(name):
    open("at " + name, "w").close()
    while not os.path.exists(name):
        time.sleep(0.01)

@ex.main
def main(_run):
    stage("metrics")
    for step in range(50):
        _run.log_scalar("loss", step)
    _run.info["note"] = {"kept": [1, 2]}
    print("printed in the first outage")
    two_beats()
    stage("files")
    ex.add_artifact(__file__, name="script")
    ex.open_resource(__file__).close()
    for step in range(50, 100):
        _run.log_scalar("loss", step)
    two_beats()
    stage("end")
    return {"accuracy": 0.5}

ex.run(options={"--beat-interval": 0.05})
print("the experiment has ended")
"""


def test_a_database_that_is_killed_before_each_event_loses_none(tmp_path: Path, own_places: Path) -> None:
    port, data = free_port(), tmp_path / "mongod"
    data.mkdir()
    uri = f"mongodb://127.0.0.1:{port}/away?directConnection=true&serverSelectionTimeoutMS=700"
    script = RecordedScript(tmp_path / "project", uri, None)  # type: ignore[arg-type]
    with ExitStack() as servers:
        servers.enter_context(started_mongod(data, port, fresh=True, replica_set=False))
        process = script.start(experiment(BEATS + STAGES), env={"CLOISTER_EXIT_WAIT": "30"})
        for name, next_one in (("metrics", "files"), ("files", "end"), ("end", None)):
            wait_for((script.folder / f"at {name}").exists, f"the experiment is at its {name}")
            kill_mongod(port)
            (script.folder / name).touch()
            if next_one is not None:
                wait_for((script.folder / f"at {next_one}").exists, "the events have come back without the database")
            servers.enter_context(started_mongod(data, port, fresh=False, replica_set=False))
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "the experiment has ended" in printed
        sync(uri)  # the courier has gone if the database was away for longer than it has patience here
        wait_for(lambda: not run_folders(journal_places(load_settings(uri=uri))), "the journal is shipped")
        with pymongo.MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
            store = RunStore(client["away"])
            [run] = client["away"]["runs"].find()
            assert (run["_id"], run["status"], run["result"]) == (1, "COMPLETED", {"accuracy": 0.5})
            assert run["info"]["note"] == {"kept": [1, 2]}
            assert "printed in the first outage" in run["captured_out"]
            assert [artifact["name"] for artifact in run["artifacts"]] == ["script"]
            assert [path for path, _ in run["resources"]] == [str(script.folder / "train.py")]
            assert store.load_points(1, "loss").values.tolist() == list(range(100))
            assert store.load_run(1).lost == {"points": 0, "lines": 0, "bytes": 0}


COUNTING = experiment(
    BEATS
    + """
import itertools

@ex.main
def main(_run):
    for part in itertools.count():
        for point in range(200):
            _run.log_scalar("loss", 200 * part + point)
        print("part", part)
        _run.info["part"] = part
        two_beats()
        with open("new", "w") as file:
            file.write(str(part))
        os.replace("new", "accepted")

ex.run(options={"--beat-interval": 0.02})
"""
)


def test_what_beats_had_brought_outlives_a_kill_of_experiment_and_courier(
    script: RecordedScript, store: RunStore
) -> None:
    folder = journal_places(load_settings(uri=script.uri))[0]
    accepted = script.folder / "accepted"
    process = script.start(COUNTING)
    for reached in (3, 6, 9):  # the courier alone, and at last both
        wait_for(lambda least=reached: _number_in(accepted) >= least, "the experiment goes on")  # type: ignore[misc]
        wait_for(lambda: read_state(folder) is not None, "a courier is at work")
        state = read_state(folder)
        assert state is not None
        if reached == 9:
            process.kill()
        if state.pid != process.pid:
            _kill(state.pid)
    process.communicate(timeout=30)
    parts = _number_in(accepted) + 1
    sync(script.uri)

    script.wait_until_shipped()
    run = script.only_run()
    values = store.load_points(run.id, "loss").values.tolist()
    assert values == list(range(len(values)))
    assert len(values) >= 200 * parts
    assert run.info["part"] >= parts - 1
    assert run.console_lines >= parts
    assert run.lost == {"points": 0, "lines": 0, "bytes": 0}


def _number_in(path: Path) -> int:
    return int(path.read_text()) if path.exists() else -1


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it had nothing to do any more
        os.kill(pid, signal.SIGKILL)


def test_a_database_that_is_away_at_the_exit_costs_runs_to_another_nothing(
    script: RecordedScript, database: Documents
) -> None:
    nowhere = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300"
    source = experiment(
        f"""
        from pymongo import MongoClient
        client = MongoClient(os.environ["CLOISTER_URI"])
        ex.observers.append(cloister.MongoObserver({nowhere!r}))
        ex.observers.append(cloister.MongoObserver(client=client, db_name=client.get_default_database().name))

        @ex.main
        def main(_run):
            _run.log_scalar("loss", 1.0)
            return 1

        print("ran as", ex.run()._id)
        """,
        BEGINNING,
    )
    done = script.run(source, env={"CLOISTER_EXIT_WAIT": "20"})

    assert done.returncode == 0, done.stderr
    assert "ran as 1" in done.stdout
    assert done.stderr.count("did not answer") == 1
    [run] = database["runs"].find()
    assert (run["status"], run["result"]) == ("COMPLETED", 1)


# ---- given what is too much, or wrong


def test_a_million_points_are_stored_to_the_last(script: RecordedScript, database: Documents, store: RunStore) -> None:
    source = experiment(
        """
        @ex.main
        def main(_run):
            for step in range(1_000_000):
                _run.log_scalar("loss", step / 8, step)

        ex.run(options={"--capture": "no", "--beat-interval": 1})
        """
    )
    succeed(script, source)

    run = script.only_run()
    assert run.status == "completed"
    assert run.lost == {"points": 0, "lines": 0, "bytes": 0}
    points = store.load_points(run.id, "loss")
    assert (len(points), points.steps.tolist()) == (1_000_000, list(range(1_000_000)))
    assert points.values.tolist() == [step / 8 for step in range(1_000_000)]
    [metric] = database["metrics"].find({"run_id": run.id})
    said = metric["cloister"]
    assert (said["count"], said["thinned"]) == (1_000_000, True)
    assert len(metric["steps"]) == len(metric["values"]) == len(metric["timestamps"]) == said["stored"]
    assert (metric["steps"][0], metric["steps"][-1]) == (0, 999_999)


ODD = experiment(
    QUIET
    + """
import datetime, enum, itertools, threading
from decimal import Decimal
from fractions import Fraction
import numpy as np

class Color(enum.Enum):
    RED = 1

class NoNumber:
    def __float__(self):
        raise RuntimeError("no number")

class Feed:
    def __init__(self, numbers):
        self.parts = {"numbers": [numbers]}

circle = {}
circle["itself"] = circle
endless = itertools.count()
VALUES = [np.arange(3), 3 + 4j, 2**70, -2**63, 2**64 - 1, None, "text", {"a": 1}, {1, 2}, b"\\xff", Decimal("1.5"),
          Fraction(1, 3), np.int64(5), np.bool_(True), np.float16(0.5), np.array(2.5), np.array([]), NoNumber(),
          Color.RED, circle, datetime.datetime(2020, 1, 1), float("inf"), float("nan"), 10**400, "\\ud800", "nul\\0",
          lambda: 1, endless, threading.Lock(), Feed(endless)]
STEPS = [2**63, 2**70, -1, "5", 1.5, float("nan"), float("inf"), np.int64(7), np.float32(8), Decimal(3), True, -2**63]
NAMES = ["a.b", "$x", "a/b", "", "ü", "a\\0b", "x" * 3000, " sp ", "__proto__", "a%2Eb", "a\\nb", "../../x"]
ex.add_config({f"entry {number}": 0 for number in range(len(VALUES))})

@ex.main
def main(_run):
    for number, value in enumerate(VALUES):
        _run.log_scalar("odd", value, number)
        _run.log_scalar("around", number, number)
        _run.info[f"entry {number}"] = value
    for step in STEPS:
        _run.log_scalar("steps", 1.0, step)
    for name in NAMES:
        _run.log_scalar(name, 3.0, 7)
    time.sleep(0.3)  # some beats
    return {"many": VALUES[:17], 1: 2, (1, 2): 3}

kept = [number for number in range(len(VALUES)) if number not in (5, 7, 8, 19, 27, 28, 29)]
run = ex.run(options=options, config_updates={f"entry {number}": VALUES[number] for number in kept})
print("the endless one gives", next(endless))
"""
)


def test_values_steps_and_names_that_no_database_takes_cost_themselves_alone(
    script: RecordedScript, database: Documents, store: RunStore
) -> None:
    assert "the endless one gives 0" in succeed(script, ODD)  # it is the script's, and nobody else's to use up

    run = script.only_run()
    [document] = database["runs"].find()
    count = 30
    assert (run.status, document["cloister"]["observer"]["notes"]) == ("completed", [])
    assert run.lost == {"points": 0, "lines": 0, "bytes": 0}
    assert store.load_points(run.id, "around").values.tolist() == list(range(count))
    [odd] = database["metrics"].find({"name": "odd"})
    assert odd["steps"] == list(range(count))
    assert odd["values"][0] == [0, 1, 2]
    assert odd["values"][2:8] == [str(2**70), -(2**63), str(2**64 - 1), None, "text", {"a": 1}]
    assert odd["values"][12:15] == [5, True, 0.5]
    [steps] = database["metrics"].find({"name": "steps"})
    assert steps["steps"][:5] == [str(2**63), str(2**70), -1, "5", 1.5]
    assert steps["values"] == [1.0] * 12
    names = ["a.b", "$x", "a/b", "", "ü", "a\0b", "x" * 3000, " sp ", "__proto__", "a%2Eb", "a\nb", "../../x"]
    for name in names:
        assert store.load_points(run.id, name).values.tolist() == [3.0]
    listed = [metric["name"] for metric in document["info"]["metrics"]]
    assert listed == ["odd", "around", "steps", *names]
    assert set(document["info"]) == {"metrics", *(f"entry {number}" for number in range(count))}
    assert document["info"]["entry 19"] == {"itself": "<contains itself>"}
    assert document["config"]["entry 2"] == document["result"]["many"][2] == str(2**70)
    assert document["config"]["entry 0"] == [0, 1, 2]
    assert len(document["result"]["many"]) == 17
    json.dumps(document["info"])  # Incense reads it so


def test_info_that_changes_while_it_is_read_ends_as_it_is(script: RecordedScript, database: Documents) -> None:
    source = experiment(
        """
        import threading

        @ex.main
        def main(_run):
            ends = time.monotonic() + 1.5

            def churn(thread):
                deep = _run.info.setdefault(f"deep {thread}", {})
                row = _run.info.setdefault(f"row {thread}", [])
                known = _run.info.setdefault(f"set {thread}", set())
                count = 0
                while time.monotonic() < ends:
                    count += 1
                    deep[count % 50] = count
                    deep.pop(count * 7 % 50, None)
                    row.append(count)
                    if len(row) > 100:
                        row.clear()
                    known.add(count % 60)
                    known.discard(count * 7 % 60)
                    _run.info[f"{thread} {count % 40}"] = count
                    _run.info.pop(f"{thread} {count * 3 % 40}", None)

            threads = [threading.Thread(target=churn, args=(thread,)) for thread in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            _run.info.clear()
            _run.info["at last"] = {"this": [1, 2, 3]}

        ex.run(options={"--beat-interval": 0.01})
        """
    )
    succeed(script, source)

    [document] = database["runs"].find()
    assert document["status"] == "COMPLETED"
    assert document["info"] == {"at last": {"this": [1, 2, 3]}}
    assert document["cloister"]["observer"]["notes"] == []


def test_what_is_no_file_no_text_and_no_id_is_told_and_waited_for_by_nobody(
    script: RecordedScript, database: Documents
) -> None:
    source = experiment(
        QUIET.replace("ERROR", "WARNING")
        + """
os.mkfifo("pipe")
ex.captured_out_filter = lambda text: None

@ex.main
def main(_run):
    for path in ("pipe", "/dev/zero", ".", "/proc/self/mem"):
        ex.add_artifact(path)
        ex.add_resource(path)
    ex.add_artifact(__file__, name="../../etc/passwd", metadata={"a.b": 2**70, "$x": object()}, content_type=5)
    print("kept although the filter gave nothing")
    return 1

ex.run(options=options)
for wrong in (77, "x", 2**70, {"$gt": 0}, [1], object()):
    try:
        cloister.MongoObserver(overwrite=wrong)
    except RuntimeError as error:
        print("told:", error)
for wrong in ({"url": "nonsense://x"}, {"url": "mongodb://ana:hunter@2/x@h/"}, {"url": "", "db_name": "x"},
              {"url": "localhost:99999"}, {"db_name": "a b"}, {"db_name": "x" * 64}):
    try:
        cloister.MongoObserver(**wrong)
    except ValueError as error:
        print("told:", error)
"""
    )
    printed = succeed(script, source)

    [document] = database["runs"].find()
    assert document["status"] == "COMPLETED"
    assert [artifact["name"] for artifact in document["artifacts"]] == ["../../etc/passwd"]
    assert document["resources"] == []
    assert "kept although the filter gave nothing" in document["captured_out"]
    notes = [note["text"] for note in document["cloister"]["observer"]["notes"]]
    assert len(notes) == 8
    assert sum("it is a pipe or a device, no file" in note for note in notes) == 4
    assert "returned 'NoneType', not the text to keep" in printed
    assert printed.count("told: Couldn't find run to overwrite") == 6
    assert printed.count("is no address of a MongoDB") == 4
    assert printed.count("names no database") == 2
    assert "hunter" not in printed


# ---- several at once


def test_an_id_of_another_observer_that_is_no_number_is_taken_over(script: RecordedScript, database: Documents) -> None:
    source = experiment(
        QUIET
        + """
from sacred.observers import FileStorageObserver

ex.observers.append(FileStorageObserver("files", priority=40))  # is asked first, and gives texts
ex.observers.append(cloister.MongoObserver())

@ex.main
def main(_run):
    _run.log_scalar("loss", 1.5)
    ex.add_artifact(__file__)
    return repr(_run._id)

for _ in range(2):
    print("gave", ex.run(options=options).result)
"""
    )
    printed = succeed(script, source)

    assert "gave '1'" in printed
    assert "gave '2'" in printed
    runs = list(database["runs"].find())
    assert {run["_id"] for run in runs} == {"1", "2", 1, 2}  # the second of ours could not have the same
    for run in runs:
        assert (run["status"], len(run["artifacts"]), len(run["info"]["metrics"])) == ("COMPLETED", 1, 1)
        [metric] = database["metrics"].find({"run_id": run["_id"]})
        assert metric["values"] == [1.5]
    for number in (1, 2):
        metrics = json.loads((script.folder / "files" / str(number) / "metrics.json").read_text())
        assert metrics["loss"]["values"] == [1.5]


def test_runs_within_runs_and_over_runs_keep_to_themselves(
    script: RecordedScript, database: Documents, store: RunStore
) -> None:
    source = experiment(
        QUIET
        + """
@ex.main
def main(_run, number, depth):
    _run.log_scalar("number", number)
    print("number", number)
    inner = None
    if depth:
        inner = ex.run(config_updates={"number": number + 1, "depth": depth - 1}, options=options)._id
    if number == 10:  # somebody takes its place while it runs
        other = Experiment("second", save_git_info=False)
        other.observers.append(cloister.MongoObserver(overwrite=_run._id))

        @other.main
        def second(_run):
            _run.log_scalar("number", 99)
            return "second"

        other.run(options=options)
    _run.log_scalar("number", number + 0.5)
    _run.info["number"] = number
    return [number, inner]

ex.add_config(number=0, depth=0)
for number in range(3):
    ex.run(config_updates={"number": number, "depth": 0}, options=options)
ex.run(config_updates={"number": 5, "depth": 2}, options=options)
ex.run(config_updates={"number": 10, "depth": 0}, options=options)
ex.run(config_updates={"number": 20, "depth": 0}, options={**options, "--beat-interval": 0, "--capture": "no"})
"""
    )
    succeed(script, source)

    documents = list(database["runs"].find().sort("_id", 1))
    assert {run["status"] for run in documents} == {"COMPLETED"}
    results = [run["result"] for run in documents]
    assert results == [[0, None], [1, None], [2, None], [5, 5], [6, 6], [7, None], "second", [10, None], [20, None]]
    for run in documents:
        values = store.load_points(run["_id"], "number").values.tolist()
        if run["result"] == "second":
            assert values == [99.0]
        else:
            number = run["result"][0]
            assert values == [number, number + 0.5]  # without beats too, where Sacred's own observer gets none
            assert run["info"]["number"] == number
            assert run["captured_out"].startswith(f"number {number}\n" if number != 20 else "")


# ---- beside Sacred's own


SAME = experiment(
    """
    import numpy as np
    from pymongo import MongoClient
    from sacred import Ingredient
    from sacred.observers import MongoObserver
    from sacred.utils import TimeoutInterrupt

    data = Ingredient("data", save_git_info=False)

    @data.config
    def data_config():
        path = "digits"
        sizes = (8, 16)

    ex = Experiment("ator", ingredients=[data], save_git_info=False)
    client = MongoClient(os.environ["CLOISTER_URI"])
    name = client.get_default_database().name
    ex.observers.append(cloister.MongoObserver())
    ex.observers.append(MongoObserver(client=client, db_name=name, collection_prefix="theirs", priority=20))

    @ex.config
    def config():
        lr = 0.1
        model = {"layers": [1, 2], "name": "mlp", "nothing": None, "on": True}
        mean = np.float64(0.5)

    @ex.named_config
    def small():
        model = {"layers": [1]}

    @ex.main
    def main(_run, how):
        for step in range(200):
            _run.log_scalar("loss", 1 / (step + 1))
            _run.log_scalar("val.acc $1", float(step), 2 * step)
            _run.log_scalar("whole", step)
        _run.info.update({"shape": (3, 4), "array": np.arange(3.0), "known": {1, 2}, "deep": {"a": [{"b": None}]}})
        _run.info["again"] = _run.info["deep"]
        ex.add_artifact(__file__, name="script", metadata={"kind": "code"})
        ex.add_artifact(__file__)
        ex.open_resource(__file__).close()
        print("printed", how)
        if how == "fail":
            raise ValueError("as asked for")
        if how == "time":
            raise TimeoutInterrupt()
        return {"accuracy": np.float64(0.25), "pair": (1, 2)}

    ex.add_config(how="well")
    for how in ("well", "fail", "time"):
        try:
            ex.run(named_configs=["small"], config_updates={"how": how, "lr": 0.5}, meta_info={"comment": "why"},
                   options={"--capture": "sys", "--priority": "3"})
        except (ValueError, TimeoutInterrupt):
            pass
    """,
    BEGINNING,
)


def test_documents_read_as_those_of_sacreds_own_observer(script: RecordedScript, database: Documents) -> None:
    succeed(script, SAME)

    assert [run["status"] for run in database["runs"].find().sort("_id", 1)] == ["COMPLETED", "FAILED", "TIMEOUT"]
    for number in (1, 2, 3):
        ours, theirs = (database[name].find_one({"_id": number}) for name in ("runs", "theirs_runs"))
        assert ours is not None
        assert theirs is not None
        assert set(ours) - {"cloister"} == set(theirs)
        for field in sorted(set(theirs) - {"heartbeat", "info", "artifacts", "experiment", "captured_out"}):
            assert ours[field] == plain_value(theirs[field]), field
        assert ours["captured_out"].startswith(theirs["captured_out"])
        decoded = plain_value(theirs["info"])
        assert {**ours["info"], "metrics": decoded["metrics"]} == decoded
        assert [metric["name"] for metric in ours["info"]["metrics"]] == [
            metric["name"] for metric in theirs["info"]["metrics"]
        ]
        assert [name for name, _ in ours["experiment"]["sources"]] == [
            name for name, _ in theirs["experiment"]["sources"]
        ]
        without = {key: value for key, value in ours["experiment"].items() if key != "sources"}
        assert without == {key: value for key, value in theirs["experiment"].items() if key != "sources"}
        assert [artifact["name"] for artifact in ours["artifacts"]] == [entry["name"] for entry in theirs["artifacts"]]
        for mine, sacreds in zip(ours["artifacts"], theirs["artifacts"], strict=True):
            kept, known = (database["fs.files"].find_one({"_id": entry["file_id"]}) for entry in (mine, sacreds))
            assert kept is not None
            assert known is not None
            assert [kept[key] for key in ("length", "contentType")] == [known[key] for key in ("length", "contentType")]
        for metric in database["theirs_metrics"].find({"run_id": number}):
            mine = database["metrics"].find_one({"run_id": number, "name": metric["name"]})
            assert mine is not None
            assert set(mine) - {"cloister"} == set(metric)
            assert {key: mine[key] for key in ("steps", "values", "timestamps")} == {
                key: metric[key] for key in ("steps", "values", "timestamps")
            }


# ---- a client that is lent


def test_runs_of_a_killed_script_with_a_lent_client_wait_for_the_next(script: RecordedScript, store: RunStore) -> None:
    source = experiment(
        BEATS
        + """
import signal
from pymongo import MongoClient

ex.observers.pop(0)
client = MongoClient(os.environ["CLOISTER_URI"], serverSelectionTimeoutMS=2000)
ex.observers.append(cloister.MongoObserver(client=client, db_name=client.get_default_database().name))

@ex.main
def main(_run):
    for step in range(100):
        _run.log_scalar("loss", step)
    if sys.argv[1] == "close":
        client.close()  # nothing can be shipped any more
    two_beats()
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return sys.argv[1]

ex.run(options={"--beat-interval": 0.05})
"""
    )
    assert script.run(source, "kill").returncode == -9
    closed = script.run(source, "close", env={"CLOISTER_EXIT_WAIT": "5"})
    assert closed.returncode == 0, closed.stderr
    assert "The run is kept in" in closed.stderr
    succeed(script, source, "well")

    runs = {run.result or "killed": run for run in script.runs()}
    assert set(runs) == {"killed", "close", "well"}
    for run in runs.values():
        assert store.load_points(run.id, "loss").values.tolist() == list(range(100))
    assert store.list_runs(RunQuery()).total == 3
