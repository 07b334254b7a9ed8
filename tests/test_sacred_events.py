"""Our observer told one event after the other, as Sacred would: what each leaves in a real database.

Where Sacred is installed, its own observer is told the same, and what both have stored is compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import gridfs
import pymongo
import pytest
from bson import json_util
from cloister import MongoObserver, QueuedMongoObserver
from cloister.decorators.sacred import mongo_observer, recording
from cloister.observer.journal_places import journal_places, run_folders
from cloister.observer.settings import load_settings
from pymongo.database import Database
from recorded_script import wait_for
from sacred_scripts import need_sacred

Documents = Database[dict[str, Any]]
Client = pymongo.MongoClient[dict[str, Any]]
Event = tuple[str, dict[str, Any]]

OBSERVERS = (MongoObserver, QueuedMongoObserver)
APPLICATION = "told"  # by which the server knows whose commands are to fail
START = datetime(2021, 3, 4, 5, 6, 7)
CODE = b"print('trained')\n"
TABLE = b"width,height\n3,4\n"
LOSS, ACCURACY = "loss", "val.accuracy"


def after(seconds: float) -> datetime:
    """A time of the run, as Sacred gives it: UTC without saying so."""
    return START + timedelta(seconds=seconds)


def found(moment: datetime) -> datetime:
    """The same, as it comes back from the database."""
    return moment.replace(tzinfo=timezone.utc)


# ---- who is told


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets for how long an event waits until it is stored. At first it is for as long as a busy machine may take."""

    def set_seconds(seconds: float) -> None:
        monkeypatch.setattr(recording, "SETTLE_SECONDS", seconds)
        monkeypatch.setattr(mongo_observer, "JOIN_SECONDS", seconds)

    monkeypatch.setattr(recording, "START_SECONDS", 60.0)
    set_seconds(60.0)
    return set_seconds


@pytest.fixture(scope="module")
def lent(mongod: str) -> Iterator[Client]:
    """The client that all observers here are given."""
    with pymongo.MongoClient[dict[str, Any]](mongod, appname=APPLICATION) as client:
        yield client
        for thread in threading.enumerate():
            if thread.name == "cloister-courier":  # may still use it
                thread.join(30)


def opened(client: Client, name: str) -> MongoObserver:
    database = client[name]
    return MongoObserver.create_from(database["runs"], gridfs.GridFS(database), metrics_collection=database["metrics"])


def queued(client: Client, name: str) -> MongoObserver:
    return QueuedMongoObserver(interval=0.01, retry_interval=0.01, client=client, db_name=name)


@pytest.fixture(params=[opened, queued], ids=["MongoObserver", "QueuedMongoObserver"])
def observer(
    request: pytest.FixtureRequest, lent: Client, database: Documents, database_uri: str, home: Path
) -> Iterator[MongoObserver]:
    """Ours, for the database of the test."""
    ours: MongoObserver = request.param(lent, database.name)
    yield ours
    if ours.run_entry is not None and ours.run_entry["status"] == "RUNNING":
        ours.interrupted_event(interrupt_time=after(99), status="INTERRUPTED")
    wait_until_shipped(database_uri)


def wait_until_shipped(database_uri: str) -> None:
    wait_for(lambda: not run_folders(journal_places(load_settings(uri=database_uri))), "the journal is shipped")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of code and data."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_bytes(CODE)
    (folder / "sizes.csv").write_bytes(TABLE)
    return folder


def sacreds_observers() -> Any:
    """Sacred's module of its own; skips where there is none."""
    need_sacred()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Sacred 0.8.7 uses what Python and setuptools have since deprecated
        import sacred.observers.mongo
    return sacred.observers.mongo


@pytest.fixture
def theirs(lent: Client, database: Documents) -> Iterator[Any]:
    """Sacred's own observer, for a database beside ours."""
    name = f"{database.name}_theirs"
    side = lent[name]
    kind = sacreds_observers().MongoObserver
    yield kind.create_from(side["runs"], gridfs.GridFS(side), metrics_collection=side["metrics"])
    lent.drop_database(name)


# ---- what they are told, and what is found


def a_start(project: Path, given: Any = None) -> dict[str, Any]:
    return {
        "ex_info": {
            "name": "boxes",
            "base_dir": str(project),
            "sources": [["train.py", hashlib.md5(CODE).hexdigest()]],
            "dependencies": ["numpy==2.2.6"],
            "repositories": [],
            "mainfile": "train.py",
        },
        "command": "fit",
        "host_info": {"hostname": "somewhere", "os": ["Linux", "6.1"], "python_version": "3.11.4", "gpus": None},
        "start_time": START,
        "config": {"lr": 0.25, "epochs": 3, "net": {"widths": [8, 4], "bias": True}, "resume": None, "seed": 7},
        "meta_info": {"comment": "the first", "options": {"--queue": False}},
        "_id": given,
    }


def a_beat(seconds: float, **changed: Any) -> dict[str, Any]:
    return {"info": {}, "captured_out": "", "beat_time": after(seconds), "result": None, **changed}


def columns(steps: range, factor: float) -> dict[str, list[Any]]:
    """Points of one metric as Sacred hands them over, a second apart."""
    return {
        "steps": list(steps),
        "values": [step * factor for step in steps],
        "timestamps": [after(step) for step in steps],
    }


def run_in(database: Documents) -> dict[str, Any]:
    """The one run there is, without what we add to Sacred's fields."""
    [run] = database["runs"].find()
    del run["cloister"]
    return run


def files_by_id(database: Documents) -> dict[Any, dict[str, Any]]:
    """GridFS's entries, each with the file's bytes."""
    fs = gridfs.GridFS(database)
    return {entry["_id"]: {**entry, "bytes": fs.get(entry["_id"]).read()} for entry in database["fs.files"].find()}


def files_in(database: Documents) -> dict[str, dict[str, Any]]:
    """The same by the files' names, each of which is there once."""
    entries = files_by_id(database).values()
    named = {entry["filename"]: entry for entry in entries}
    assert len(named) == len(entries)
    return named


# ---- making one


REFUSED = {
    "no client of PyMongo's": ({"client": object()}, "pymongo.MongoClient"),
    "a client and a url": ({"url": "mongodb://nowhere"}, "both a client and a url"),
    "a prefix and a collection": ({"collection": "mine", "collection_prefix": "lab"}, "both collection and a .*prefix"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.filterwarnings("ignore:Argument .collection. is deprecated:DeprecationWarning")
def test_what_no_observer_can_be_made_of_is_refused(kind: type[MongoObserver], lent: Client, case: str) -> None:
    arguments, said = REFUSED[case]
    with pytest.raises(ValueError, match=said) as ours:
        kind(**{"client": lent, **arguments})

    with pytest.raises(ValueError, match=said) as sacreds:
        getattr(sacreds_observers(), kind.__name__)(**{"client": lent, **arguments})
    assert str(ours.value) == str(sacreds.value)


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({}, ("runs", "metrics")),
        ({"collection_prefix": "lab"}, ("lab_runs", "lab_metrics")),
        ({"collection": "mine"}, ("mine", "metrics")),
    ],
    ids=["as they are", "prefix", "collection"],
)
@pytest.mark.filterwarnings("ignore:Argument .collection. is deprecated:DeprecationWarning")
def test_runs_and_metrics_are_in_collections_of_the_asked_names(
    kind: type[MongoObserver], lent: Client, arguments: dict[str, Any], names: tuple[str, str]
) -> None:
    ours = kind(client=lent, db_name="boxes", **arguments)
    assert (ours.runs.name, ours.metrics.name) == names
    assert ours.runs == lent["boxes"][names[0]]

    theirs = sacreds_observers().MongoObserver(client=lent, db_name="boxes", **arguments)
    assert (theirs.runs, theirs.metrics) == (ours.runs, ours.metrics)


def test_observers_of_the_same_runs_are_equal_whoever_holds_the_files(
    observer: MongoObserver, lent: Client, database: Documents
) -> None:
    same = MongoObserver.create_from(lent[database.name]["runs"], object())
    other = MongoObserver.create_from(lent[database.name]["others"], object())

    assert observer == same
    assert not observer != same  # noqa: SIM202 - the other operator is what is asked
    assert observer != other
    assert observer != "boxes"
    assert not observer == "boxes"  # noqa: SIM201


# ---- the life of a run


def test_a_start_makes_the_whole_document_and_returns_its_id(
    observer: MongoObserver, database: Documents, project: Path
) -> None:
    told = a_start(project)
    given = observer.started_event(**told)

    assert given == 1
    source = files_in(database)[str(project / "train.py")]
    assert source["bytes"] == CODE
    assert run_in(database) == {
        "_id": given,
        "experiment": {**told["ex_info"], "sources": [["train.py", source["_id"]]]},
        "format": "MongoObserver-0.7.0",
        "command": "fit",
        "host": told["host_info"],
        "start_time": found(START),
        "config": told["config"],
        "meta": told["meta_info"],
        "status": "RUNNING",
        "resources": [],
        "artifacts": [],
        "captured_out": "",
        "info": {},
        "heartbeat": None,
    }
    assert observer.run_entry is not None
    assert (observer.run_entry["_id"], observer.VERSION) == (given, "MongoObserver-0.7.0")


def test_a_start_takes_the_id_that_it_is_given(observer: MongoObserver, database: Documents, project: Path) -> None:
    assert observer.started_event(**a_start(project, "0a1b2c")) == "0a1b2c"
    assert run_in(database)["_id"] == "0a1b2c"


def test_each_beat_brings_output_info_and_result(observer: MongoObserver, database: Documents, project: Path) -> None:
    observer.started_event(**a_start(project))
    for seconds, lines, info, result in (
        (10, "one\n", {"best": {"epoch": 1}, "seen": [1]}, None),
        (20, "one\ntwo\n", {"best": {"epoch": 2}, "seen": [1, 2]}, 0.5),
        (30, "one\ntwo\nthree", {"seen": [1, 2, 3]}, {"accuracy": 0.75}),
    ):
        observer.heartbeat_event(info=info, captured_out=lines, beat_time=after(seconds), result=result)
        run = run_in(database)
        assert run["heartbeat"] == found(after(seconds))
        assert (run["captured_out"], run["info"], run["result"]) == (lines, info, result)
        assert run["status"] == "RUNNING"


ENDINGS: dict[str, tuple[Event, dict[str, Any]]] = {
    "completed": (
        ("completed_event", {"stop_time": after(50), "result": {"accuracy": 0.75}}),
        {"status": "COMPLETED", "result": {"accuracy": 0.75}},
    ),
    "interrupted": (
        ("interrupted_event", {"interrupt_time": after(50), "status": "INTERRUPTED"}),
        {"status": "INTERRUPTED"},
    ),
    "out of time": (("interrupted_event", {"interrupt_time": after(50), "status": "TIMEOUT"}), {"status": "TIMEOUT"}),
    "failed": (
        ("failed_event", {"fail_time": after(50), "fail_trace": ["Traceback:\n", "ValueError: no boxes\n"]}),
        {"status": "FAILED", "fail_trace": ["Traceback:\n", "ValueError: no boxes\n"]},
    ),
    "failed, in one text": (
        ("failed_event", {"fail_time": after(50), "fail_trace": "ValueError:\nno boxes"}),
        {"status": "FAILED", "fail_trace": "ValueError:\nno boxes"},
    ),
}


def test_an_end_says_when_and_how(observer: MongoObserver, database: Documents, project: Path) -> None:
    for ending, ((event, arguments), expected) in ENDINGS.items():
        observer.started_event(**a_start(project, ending))
        getattr(observer, event)(**arguments)
        observer.join()

        run = database["runs"].find_one({"_id": ending})
        assert run is not None
        assert run["stop_time"] == found(after(50))
        assert {name: run.get(name) for name in expected} == expected
        assert ("result" in run, "fail_trace" in run) == ("result" in expected, "fail_trace" in expected)


# ---- files


def test_an_artifact_is_stored_with_its_name_its_bytes_and_what_it_is(
    observer: MongoObserver, database: Documents, project: Path
) -> None:
    given = observer.started_event(**a_start(project))
    table, page = project / "sizes.csv", project / "page.html"
    page.write_text("<p>boxes</p>")
    observer.artifact_event("sizes", str(table))
    observer.artifact_event("report", str(page), content_type="text/plain", metadata={"of": "boxes", "part": 2})

    files = files_in(database)
    guessed, asked = files[f"artifact://runs/{given}/sizes"], files[f"artifact://runs/{given}/report"]
    assert (guessed["bytes"], asked["bytes"]) == (TABLE, b"<p>boxes</p>")
    assert (guessed["contentType"], asked["contentType"]) == ("text/csv", "text/plain")
    assert asked["metadata"] == {"of": "boxes", "part": 2}
    artifacts = run_in(database)["artifacts"]
    assert [(artifact["name"], artifact["file_id"]) for artifact in artifacts] == [
        ("sizes", guessed["_id"]),
        ("report", asked["_id"]),
    ]


def test_a_resource_is_noted_by_its_md5_and_stored_once_for_all_runs(
    observer: MongoObserver, database: Documents, project: Path
) -> None:
    path = str(project / "sizes.csv")
    noted = [[path, hashlib.md5(TABLE).hexdigest()]]
    for _ in range(2):
        observer.started_event(**a_start(project))
        observer.resource_event(path)
        observer.resource_event(path)
        assert observer.run_entry is not None
        run = database["runs"].find_one({"_id": observer.run_entry["_id"]})
        assert run is not None
        assert run["resources"] == noted
        observer.completed_event(stop_time=after(50), result=None)

    assert database["runs"].count_documents({"resources": noted}) == 2
    files = files_in(database)
    assert {name: file["bytes"] for name, file in files.items()} == {path: TABLE, str(project / "train.py"): CODE}


# ---- metrics


def assert_metric(database: Documents, run: dict[str, Any], name: str, expected: dict[str, list[Any]]) -> None:
    """The metric has one document, which the run names, with these points in their order."""
    [metric] = database["metrics"].find({"run_id": run["_id"], "name": name})
    assert run["info"]["metrics"].count({"name": name, "id": str(metric["_id"])}) == 1
    assert (metric["steps"], metric["values"]) == (expected["steps"], expected["values"])
    assert metric["timestamps"] == list(map(found, expected["timestamps"]))
    assert metric["timestamps"] == sorted(metric["timestamps"])


def test_metrics_grow_from_beat_to_beat_in_one_document_each(
    observer: MongoObserver, database: Documents, project: Path
) -> None:
    for number in (1, 2):
        observer.started_event(**a_start(project))
        info: dict[str, Any] = {"note": "kept"}
        for beat in range(3):
            fresh = range(4 * beat, 4 * beat + 4)
            observer.log_metrics({LOSS: columns(fresh, -0.5)}, info)
            if beat == 1:  # a metric that comes later, and does not go on
                observer.log_metrics({ACCURACY: columns(range(3), 2.0)}, info)
            observer.heartbeat_event(**a_beat(10 * beat, info=info))

            run = database["runs"].find_one({"_id": number})
            assert run is not None
            assert run["info"]["note"] == "kept"
            assert isinstance(run["info"]["metrics"], list)
            assert len(run["info"]["metrics"]) == min(beat + 1, 2)
            assert_metric(database, run, LOSS, columns(range(4 * beat + 4), -0.5))
            if beat:
                assert_metric(database, run, ACCURACY, columns(range(3), 2.0))
        assert database["metrics"].count_documents({}) == 2 * number
        observer.completed_event(stop_time=after(50), result=None)


# ---- without the database


@contextlib.contextmanager
def cut_off(database: Documents) -> Iterator[None]:
    """The server hangs up on every command of the observers' client."""
    commands = ["ping", "find", "insert", "update", "delete", "findAndModify", "aggregate", "getMore"]
    data = {"failCommands": commands, "appName": APPLICATION, "closeConnection": True}
    admin = database.client.admin
    admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_a_database_that_fails_in_an_event_gets_it_later_and_nobody_hears_of_it(
    observer: MongoObserver, database: Documents, project: Path, waits: Callable[[float], None]
) -> None:
    waits(0.1)
    observer.failure_dir = str(project / "failed")
    observer.started_event(**a_start(project))
    with cut_off(database):
        for seconds in (10, 20):
            observer.heartbeat_event(**a_beat(seconds, info={"beat": seconds}, captured_out="away\n"))
        observer.artifact_event("sizes", str(project / "sizes.csv"))
        assert run_in(database)["heartbeat"] is None
    observer.heartbeat_event(**a_beat(30, info={"beat": 20, "back": True}, captured_out="away\nback\n"))
    wait_for(lambda: run_in(database)["heartbeat"] == found(after(30)), "the save after it is stored")

    # Output is rewritten as rarely as Sacred does where nobody waits for an answer, as after an outage.
    wait_for(lambda: run_in(database)["captured_out"] == "away\nback\n", "its output is shown")

    run = run_in(database)
    assert run["info"] == {"beat": 20, "back": True}
    stored = files_in(database)["artifact://runs/1/sizes"]
    assert stored["bytes"] == TABLE
    assert [artifact["file_id"] for artifact in run["artifacts"]] == [stored["_id"]]
    assert not Path(observer.failure_dir).exists()


class Unreadable(dict[str, Any]):
    """What an experiment's own class may do to whoever looks at it."""

    def items(self) -> Any:
        raise RuntimeError("nobody may look")


def test_an_event_that_fails_within_costs_itself_and_is_noted(
    observer: MongoObserver, database: Documents, project: Path
) -> None:
    observer.started_event(**a_start(project))
    observer.log_metrics(Unreadable({LOSS: {}}), {})
    observer.heartbeat_event(**a_beat(10, info=Unreadable(kept=1)))
    observer.heartbeat_event(**a_beat(20, info={"later": 2}))
    observer.completed_event(stop_time=after(30), result=3)
    observer.join()

    run = run_in(database)
    assert (run["status"], run["result"], run["info"]) == ("COMPLETED", 3, {"later": 2})
    ours = database["runs"].find_one({}, {"cloister.observer.notes": 1}) or {}
    noted = " ".join(note["text"] for note in ours["cloister"]["observer"]["notes"])
    assert "log_metrics is not recorded whole: RuntimeError('nobody may look')" in noted


def test_an_end_that_cannot_be_saved_is_saved_once_the_database_is_back(
    observer: MongoObserver, database: Documents, database_uri: str, project: Path, waits: Callable[[float], None]
) -> None:
    waits(0.1)
    observer.failure_dir = str(project / "failed")
    observer.started_event(**a_start(project))
    with cut_off(database):
        observer.log_metrics({LOSS: columns(range(5), 1.0)}, {})
        observer.heartbeat_event(**a_beat(10))
        observer.completed_event(stop_time=after(50), result=42)
        assert run_in(database)["status"] == "RUNNING"
    wait_until_shipped(database_uri)

    run = run_in(database)
    assert (run["status"], run["stop_time"], run["result"]) == ("COMPLETED", found(after(50)), 42)
    assert_metric(database, run, LOSS, columns(range(5), 1.0))
    assert not Path(observer.failure_dir).exists()


# ---- beside Sacred's own


def told_of_a_run(project: Path, ending: Event, given: Any) -> Iterator[Event]:
    """The events of a run, as Sacred sends them."""
    info: dict[str, Any] = {"best": {"epoch": 1, "path": None}}
    made = project / f"made by {given}.json"
    made.write_text(f'{{"made by": "{given}"}}')
    lines = "epoch 1\n", "epoch 1\nepoch 2\n"
    both = {LOSS: columns(range(3, 9), 0.5), ACCURACY: columns(range(10, 50, 10), 0.01)}
    yield "started_event", a_start(project, given)
    yield "heartbeat_event", a_beat(1, info=info)
    yield "artifact_event", {"name": "made", "filename": str(made), "metadata": {"rows": 1}}
    if given in ("third", "fourth", "fifth"):  # there is another end to be seen, and no other middle
        yield ending
        return
    yield "log_metrics", {"metrics_by_name": {LOSS: columns(range(3), 0.5)}, "info": info}
    yield "heartbeat_event", a_beat(10, info=info, captured_out=lines[0])
    yield "resource_event", {"filename": str(project / "sizes.csv")}
    yield "log_metrics", {"metrics_by_name": both, "info": info}
    yield "heartbeat_event", a_beat(20, info=info, captured_out=lines[1], result=0.5)
    yield "resource_event", {"filename": str(project / "train.py")}
    yield "heartbeat_event", a_beat(30, info=info, captured_out=lines[1], result={"accuracy": 0.75})
    yield ending


def everything_in(database: Documents) -> list[dict[str, Any]]:
    """All that Sacred's readers find of runs, with the files and metrics themselves where ids stand for them."""
    files = files_by_id(database)
    metrics = {str(metric.pop("_id")): metric for metric in database["metrics"].find({}, {"cloister": 0})}
    runs = list(database["runs"].find({}, {"cloister": 0}).sort("_id", 1))
    for run in runs:
        sources = run["experiment"]["sources"]
        run["experiment"]["sources"] = [[name, files[number]["bytes"]] for name, number in sources]
        artifacts = [(artifact["name"], files[artifact["file_id"]]) for artifact in run["artifacts"]]
        seen = ("filename", "contentType", "metadata", "bytes")
        run["artifacts"] = [[name, *map(file.get, seen)] for name, file in artifacts]
        named = run["info"].get("metrics", [])
        run["info"]["metrics"] = [[metric["name"], metrics[metric["id"]]] for metric in named]
        if run["status"] not in ("RUNNING", "QUEUED"):
            del run["heartbeat"]  # of the last beat in Sacred's documents, of the end in ours
    assert len(metrics) == sum(len(run["info"]["metrics"]) for run in runs)
    return runs


def tell(observer: Any, event: str, arguments: dict[str, Any]) -> Any:
    told: Callable[..., Any] = getattr(observer, event)
    return told(**arguments)


def test_after_every_event_the_documents_are_those_of_sacreds_own(
    observer: MongoObserver, theirs: Any, lent: Client, database: Documents, project: Path
) -> None:
    for given, (ending, _) in zip((None, "second", "third", "fourth", "fifth"), ENDINGS.values(), strict=True):
        streams = [told_of_a_run(project, ending, given) for _ in range(2)]
        for (event, ours), (_, sacreds) in zip(*streams, strict=True):
            assert tell(observer, event, ours) == tell(theirs, event, sacreds)
            if event != "log_metrics":  # the beat that follows brings them
                left, right = everything_in(lent[database.name]), everything_in(lent[f"{database.name}_theirs"])
                assert left == right, f"after {event}"
                assert typed(left) == typed(right), f"after {event}"


def typed(documents: list[dict[str, Any]]) -> str:
    """Documents as a text in which 1, 1.0 and true are different."""
    return json_util.dumps(documents, sort_keys=True)


def test_a_queued_run_has_what_sacreds_own_has(
    observer: MongoObserver, theirs: Any, lent: Client, database: Documents, project: Path
) -> None:
    told = a_start(project)
    told["queue_time"] = told.pop("start_time")
    assert observer.queued_event(**told) == theirs.queued_event(**told) == 1

    side = lent[f"{database.name}_theirs"]
    [sacreds] = side["runs"].find()
    [[name, number]] = sacreds["experiment"].pop("sources")
    ours = run_in(database)
    [[same_name, same_number]] = ours["experiment"].pop("sources")
    assert {field: ours[field] for field in sacreds} == sacreds
    assert (same_name, files_by_id(database)[same_number]["bytes"]) == (name, files_by_id(side)[number]["bytes"])
