"""Databases that Sacred wrote, of any version and in any state, read as they are: nothing converted or written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import bson
import cloister
import gridfs
import pymongo
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from cloister.observer.mongo import DatabaseUnreachable
from cloister.observer.read_only import WritesNotWanted
from cloister.observer.run_collections import BadCollections, Collections
from cloister.observer.run_ids import BadRunId, format_run_id, parse_run_id
from cloister.observer.run_places import RunPlace
from cloister.observer.run_query import BadRunQuery, RunQuery
from cloister.observer.runs import MetricNotFound, RunNotFound, RunStore
from cloister.observer.stored_runs import FileNotInRun
from conftest import free_port
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

START = datetime(2019, 3, 2, 14, 2, tzinfo=timezone.utc)
HERE = Path(__file__).parent


def with_database(mongod: str, name: str) -> str:
    return mongod.replace("/?", f"/{name}?")


@pytest.fixture
def sacred_store(mongod: str, sacreds: str) -> Iterator[RunStore]:
    with RunStore.connect(with_database(mongod, sacreds), read_only=True) as store:
        yield store


@pytest.fixture
def bare(database_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """An empty database without any index of ours."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(database_uri, tz_aware=True)
    with client:
        yield client.get_default_database()


def sacred_run(run_id: Any = 1, **fields: Any) -> dict[str, Any]:
    """A document as Sacred 0.7.2 to 0.8 wrote it."""
    document = {
        "_id": run_id,
        "experiment": {
            "name": "mnist",
            "base_dir": "/home/ana/mnist",
            "sources": [["train.py", ObjectId()]],
            "dependencies": ["numpy==1.14.0", "sacred==0.7.2"],
            "repositories": [{"url": "https://ana:token@git.lab/mnist.git", "commit": "c0ffee" * 6, "dirty": True}],
            "mainfile": "train.py",
        },
        "format": "MongoObserver-0.7.0",
        "command": "train",
        "host": {
            "hostname": "gpu-1",
            "os": ["Linux", "Linux-4.4"],
            "python_version": "3.6.4",
            "cpu": "Xeon",
            "gpus": {
                "driver_version": "390",
                "gpus": [{"model": "V100", "total_memory": 16000, "persistence_mode": True}],
            },
            "ENV": {"CUDA_VISIBLE_DEVICES": "0"},
        },
        "start_time": START,
        "config": {"lr": 0.1, "seed": 7},
        "meta": {"command": "train", "options": {"--beat-interval": None}, "comment": "as told", "named_configs": []},
        "status": "COMPLETED",
        "resources": [],
        "artifacts": [],
        "captured_out": "one\ntwo\n",
        "info": {},
        "heartbeat": START + timedelta(minutes=5),
        "result": 0.5,
        "stop_time": START + timedelta(minutes=5),
        "fail_trace": [],
    }
    return {**document, **fields}


def metric(run_id: Any = 1, name: Any = "loss", **fields: Any) -> dict[str, Any]:
    values = [0.5, 0.25, 0.125]
    times = [START + timedelta(seconds=each) for each in range(3)]
    return {
        "_id": ObjectId(),
        "run_id": run_id,
        "name": name,
        "steps": [0, 1, 2],
        "values": values,
        "timestamps": times,
    } | fields


# ---- what the installed Sacred writes


def test_everything_of_a_run_of_sacreds_has_its_place(sacred_store: RunStore) -> None:
    run = sacred_store.load_run(1)
    assert (run.id, run.project, run.name, run.status, run.custom_status) == (1, "mnist", "mnist-1", "completed", "")
    assert run.config["model"] == {"name": "net", "layers": [2, 3]}
    assert run.config["weights"] == [float(each) for each in range(20)]
    assert run.config["keys"] == {"1": "a"}
    assert run.info == {"shared": [1, 2], "again": [1, 2]}
    assert run.result == 0.5
    assert (run.tags, run.notes) == (("base",), "a comment")
    assert run.meta["options"]["--comment"] == "a comment"
    assert run.format == "MongoObserver-0.7.0"
    assert run.host == run.environment["host"]
    assert run.environment["python"] == "{}.{}.{}".format(*sys.version_info[:3])
    assert any(each.startswith("sacred==") for each in run.environment["distributions"])
    assert run.start_time is not None
    assert run.start_time.tzinfo is not None
    assert run.duration is not None
    assert run.unreadable == ()
    assert run.console_bytes > len("trained with 0.1\n")


def test_files_have_what_gridfs_knows_of_them(sacred_store: RunStore) -> None:
    run = sacred_store.load_run(1)
    by_name = {entry.name: entry for entry in run.artifacts}
    assert (by_name["model.txt"].size, by_name["model.txt"].content_type) == (7, "text/plain")
    assert by_name["plots/curve.png"].content_type == "image/png"
    assert by_name["model.txt"].logged_at is not None
    assert sacred_store.open_blob(by_name["model.txt"].file_id).read() == b"weights"
    [source] = run.sources
    assert source.path == "sacred_writes.py"
    assert source.size == (HERE / "sacred_writes.py").stat().st_size
    [resource] = run.resources
    assert (Path(resource.path).name, resource.file_id) == ("data.csv", None)
    assert resource.md5 is not None


def test_its_metrics_are_read_as_ours_are(sacred_store: RunStore) -> None:
    assert [(each.name, each.count, each.last_step) for each in sacred_store.list_metrics(1)] == [
        ("by epoch", 50, 12),
        ("loss", 50, 49),
        ("val/acc", 50, 490),
    ]
    [_, loss, accuracy] = sacred_store.list_metrics(1)
    assert (loss.last, loss.min, loss.max) == (0.02, 0.02, 1.0)
    assert sacred_store.load_run(1).summary["loss"] == loss
    points = sacred_store.load_points(1, "val/acc")
    assert points.steps.tolist() == list(range(0, 500, 10))
    assert points.values[-1] == accuracy.last == 0.49
    curve = sacred_store.load_curve(1, "by epoch", pixels=20_000)
    assert curve.x.tolist() == [step / 4 for step in range(50)]
    table = sacred_store.load_history(1, ["loss", "val/acc"])
    assert table["loss"].notna().sum() == 50
    with pytest.raises(MetricNotFound, match="Did you mean 'loss'"):
        sacred_store.load_points(1, "los")


def test_a_list_shows_last_values_columns_and_projects(sacred_store: RunStore) -> None:
    page = sacred_store.list_runs(RunQuery(project="mnist", sort="id"))
    assert [run.summary["loss"].last if run.summary else None for run in page.runs] == [0.02, None, None, None, None]
    columns = sacred_store.discover_columns("mnist")
    assert {"lr", "model.name", "model.layers", "weights", "keys"} <= set(columns.config)
    assert columns.metrics == ("by epoch", "loss", "val/acc")
    [project] = sacred_store.list_projects()
    assert (project.name, project.run_count) == ("mnist", 5)


def test_runs_sort_by_the_last_value_of_a_metric_of_sacreds_too(bare: Database[dict[str, Any]]) -> None:
    lasts = {1: 0.5, 2: 0.1, 3: "text", 4: 0.3}
    for run_id, last in lasts.items():
        document = metric(run_id, "val.loss$", values=[9, last])
        listed = [{"name": "val.loss$", "id": str(document["_id"] if run_id != 4 else "no id")}, {"name": "x"}, 7]
        bare["metrics"].insert_one(document)
        bare["runs"].insert_one(sacred_run(run_id, info={"metrics": listed}))
    ours = {"uid": "u-5", "updated_at": START, "summary": {"val%2Eloss%24": {"last": 0.2}}}
    bare["runs"].insert_one(sacred_run(5, cloister=ours))
    store = RunStore(bare)
    for sort, expected in (("metrics.val.loss$", [2, 5, 1, 3, 4]), ("-metrics.val.loss$", [3, 1, 5, 2, 4])):
        assert [run.id for run in store.list_runs(RunQuery(sort=sort)).runs] == expected
        assert [run.id for run in store.find_runs(RunQuery(sort=sort), limit=2)] == expected[:2]
        assert [run.id for run in store.find_runs(RunQuery(sort=sort))] == expected


def test_states_are_told_as_they_are(sacred_store: RunStore) -> None:
    runs = sacred_store.list_runs(RunQuery(sort="id")).runs
    assert [(run.status, run.custom_status) for run in runs] == [
        ("completed", ""),
        ("interrupted", "TIMEOUT"),
        ("interrupted", "MY_STATUS"),
        ("failed", ""),
        ("queued", ""),
    ]
    assert "a wrong turn" in sacred_store.load_run(4).fail_trace[-1]
    queued = sacred_store.load_run(5)
    assert (queued.start_time, queued.duration, queued.unreadable) == (None, None, ())
    assert queued.meta["queue_time"].year >= 2024
    assert queued.config["lr"] == 0.1


def test_the_output_of_a_run_is_that_of_captured_out(sacred_store: RunStore) -> None:
    page = sacred_store.load_console(1)
    assert page.pieces[0].text.startswith("trained with 0.1\n")
    assert (page.pieces[0].stream, page.more) == ("stdout", False)
    assert sacred_store.load_console(5).pieces == ()
    assert sacred_store.load_console(404).pieces == ()


def test_runs_under_other_names_are_found_and_read(mongod: str, sacreds: str, sacred_store: RunStore) -> None:
    found = {
        (place.database, str(place.collections)): place
        for place in sacred_store.list_databases()
        if place.database.startswith(sacreds)
    }
    assert set(found) == {(sacreds, ""), (sacreds, "lab"), (f"{sacreds}_text", ""), (f"{sacreds}_text", "runs=mine")}
    assert {place.writer for place in found.values()} == {"sacred"}
    assert (found[sacreds, ""].run_count, found[sacreds, "lab"].run_count) == (5, 1)
    newest = found[sacreds, "lab"].newest
    assert newest is not None
    assert newest.tzinfo is not None

    lab = sacred_store.at(found[sacreds, "lab"])
    assert lab.load_run(1).experiment == "cifar"
    assert len(lab.load_points(1, "loss")) == 50
    with pytest.raises(WritesNotWanted):
        lab.database["runs"].delete_many({})
    with RunStore.connect(with_database(mongod, f"{sacreds}_text"), collections="runs=mine") as mine:
        assert mine.load_run(1).experiment == "renamed"
        assert mine.load_points(1, "loss").values[-1] == 0.02
    with RunStore.connect(with_database(mongod, f"{sacreds}_text")) as texts:
        assert texts.load_run("77").experiment == "named"
        assert len(texts.load_points("77", "loss")) == 50
        with pytest.raises(RunNotFound):
            texts.load_run(77)
    with pytest.raises(BadCollections):
        RunStore.connect(mongod, collections="a$b")


# ---- cloister.runs


def test_runs_are_a_sequence_that_loads_what_it_is_asked_for(mongod: str, sacreds: str) -> None:
    uri = with_database(mongod, sacreds)
    runs = cloister.runs(uri=uri)
    assert len(runs) == 5
    assert isinstance(runs[0], cloister.StoredRun)
    assert len(runs[1:3]) == 2
    assert [run.id for run in cloister.runs(uri=uri, sort="id", limit=2)] == [1, 2]
    [first] = cloister.runs(project="mnist", status="completed", uri=uri)
    assert first.config["lr"] == 0.1
    assert first.info["shared"] == [1, 2]
    assert [each.name for each in first.metrics()] == ["by epoch", "loss", "val/acc"]
    assert len(first.points("loss")) == 50
    assert first.history("loss")["loss"].iloc[-1] == 0.02
    assert first.open_artifact("model.txt").read() == b"weights"
    assert first.open_source("sacred_writes.py").size > 100
    assert first.console().startswith("trained with 0.1\n")
    assert repr(first) == "<StoredRun 1 'mnist-1' completed>"
    assert "points" in dir(first)
    assert "heartbeat" in dir(first)
    assert repr(runs).startswith("<5 runs: <StoredRun ")
    assert first.reloaded().record == cloister.load_run(1, uri=uri).record
    with pytest.raises(FileNotInRun, match=r"no artifact 'model\.tx'\. Did you mean 'model\.txt'"):
        first.open_artifact("model.tx")
    with pytest.raises(AttributeError, match="no attribute 'losses'"):
        first.losses  # noqa: B018


def test_runs_are_chosen_by_state_tag_text_and_collections(mongod: str, sacreds: str) -> None:
    uri = with_database(mongod, sacreds)

    def ids(**asked: Any) -> list[Any]:
        return sorted(run.id for run in cloister.runs(uri=uri, **asked))

    assert ids(status="interrupted") == [2, 3]
    assert ids(status="MY_STATUS") == [3]
    assert ids(status=["queued", "failed"]) == [4, 5]
    assert ids(status="running") == ids(status="lost") == []
    assert ids(tags="base") == [1, 2, 3, 4, 5]
    assert ids(tags=["base", "other"]) == []
    assert ids(text="mnist failed") == [4]
    assert [run.experiment for run in cloister.runs(uri=uri, collections="lab")] == ["cifar"]
    assert cloister.load_run(1, uri=uri, collections="lab").config["lr"] == 0.2


def test_a_way_to_ask_for_runs_that_has_no_meaning_is_refused(mongod: str, sacreds: str) -> None:
    uri = with_database(mongod, sacreds)
    with pytest.raises(BadRunQuery, match=r"'mnist' alone is no condition\. Did you mean \"mnist\""):
        cloister.runs("mnist", uri=uri)
    with pytest.raises(BadRunQuery, match="0 runs are none"):
        cloister.runs(limit=0, uri=uri)
    with pytest.raises(BadRunQuery, match="51 tags"):
        cloister.runs(tags=["x"] * 51, uri=uri)
    with pytest.raises(BadRunQuery, match=r"No run has the status 'complete'\. Did you mean 'completed'"):
        cloister.runs(status=["failed", "complete"], uri=uri)
    with pytest.raises(RunNotFound):
        cloister.load_run("nowhere", uri=uri)


def test_a_database_that_does_not_answer_is_told_in_a_sentence() -> None:
    nowhere = f"mongodb://ana:secret@127.0.0.1:{free_port()}/sacred"
    for ask in (lambda: cloister.runs(uri=nowhere), lambda: cloister.load_run(1, uri=nowhere)):
        with pytest.raises(
            DatabaseUnreachable, match=r"MongoDB at mongodb://127\.0\.0\.1:\d+ did not answer"
        ) as caught:
            ask()
        assert "Topology" not in str(caught.value)
        assert "secret" not in str(caught.value)


# ---- what older ones wrote


def test_the_first_0_7_had_no_metrics_and_its_queued_runs_no_host(bare: Database[dict[str, Any]]) -> None:
    old = sacred_run(result={"py/tuple": [1, 2]})
    del old["meta"]["comment"]
    queued = {key: old[key] for key in ("experiment", "command", "config", "meta")} | {"_id": 2, "status": "QUEUED"}
    bare["runs"].insert_many([old, queued])
    store = RunStore(bare)
    run = store.load_run(1)
    assert run.result == [1, 2]
    assert store.list_metrics(1) == ()
    assert run.environment["gpus"] == [{"name": "V100", "memory_bytes": 16000 * 1024 * 1024}]
    assert run.environment["variables"] == {"CUDA_VISIBLE_DEVICES": "0"}
    assert run.git["commit"] == "c0ffee" * 6
    assert (run.git["dirty"], run.git["remotes"]) == (True, [{"name": "origin", "url": "https://git.lab/mnist.git"}])
    assert store.load_run(2).status == "queued"
    assert store.load_run(2).host == ""


def test_resources_that_sacred_still_stored_can_be_opened(bare: Database[dict[str, Any]]) -> None:
    stored = {"_id": ObjectId(), "filename": "/data/x.csv", "md5": "abc", "length": 3, "chunkSize": 10}
    bare["fs.files"].insert_many([stored, {**stored, "_id": ObjectId(), "md5": "another"}])
    bare["fs.chunks"].insert_one({"files_id": stored["_id"], "n": 0, "data": b"a,b"})
    bare["runs"].insert_one(sacred_run(resources=[["/data/x.csv", "abc"], ["/gone", "def"], ["/data/x.csv", "abc"]]))
    store = RunStore(bare)
    known, gone = store.load_run(1).resources
    assert (known.size, store.open_blob(known.file_id).read()) == (3, b"a,b")
    assert (gone.path, gone.md5, gone.file_id) == ("/gone", "def", None)


@pytest.mark.parametrize(
    ("dependencies", "start_time", "counts_dicts"),
    [
        (["jsonpickle==0.9.6"], START.replace(year=2024), False),
        (["jsonpickle==1.5.2", "sacred==0.8.2"], START, False),
        (["sacred==0.8.1"], START.replace(year=2024), False),
        (["numpy==1.14"], START, False),
        (["numpy==2.0"], START.replace(year=2024), True),
        (["jsonpickle==3.0.4"], START, True),
        (["sacred==0.8.7", 5], START.replace(year=2024), True),
    ],
)
def test_references_are_counted_as_the_jsonpickle_of_their_time_did(
    bare: Database[dict[str, Any]], dependencies: list[str], start_time: datetime, counts_dicts: bool
) -> None:
    value = {"a": {"x": "1"}, "b": ["b"], "c": ["c"], "d": ["d"], "again": {"py/id": 3 if counts_dicts else 1}}
    run = sacred_run(info=value, config=value, start_time=start_time)
    run["experiment"]["dependencies"] = dependencies
    bare["runs"].insert_one(run)
    store = RunStore(bare)
    assert store.load_run(1).info["again"] == ["c"]
    assert store.list_runs(RunQuery()).runs[0].config["again"] == ["c"]


def test_objects_in_runs_of_our_own_observer_are_read_one_by_one(bare: Database[dict[str, Any]]) -> None:
    shared = {"py/object": "m.Pair", "first": [1], "second": {"py/id": 1}}
    config = {"a%2Eb": 1, "pair": shared, "list": [{"py/tuple": [1, shared]}, {"plain%24": ObjectId("0" * 24)}]}
    bare["runs"].insert_one(sacred_run(config=config, cloister={"uid": "u", "encoder": "sacred"}))
    read = {"<class>": "m.Pair", "first": [1], "second": [1]}
    assert RunStore(bare).load_run(1).config == {
        "a.b": 1,
        "pair": read,
        "list": [[1, read], {"plain$": "0" * 24}],
    }


def test_omniboards_tags_and_notes_are_those_of_the_run(bare: Database[dict[str, Any]], store: RunStore) -> None:
    bare["runs"].insert_many(
        [
            sacred_run(1, config={"tags": "one"}),
            sacred_run(2, config={"tags": ["of config"]}, omniboard={"tags": ["best", "kept"], "notes": "look here"}),
            sacred_run(3, config={"tags": ["of config"]}, omniboard={"tags": []}),
            sacred_run(
                4, omniboard={"tags": ["ours"]}, cloister={"uid": "u-4", "tags": ["first"], "notes": "n"}, meta={}
            ),
        ]
    )
    told = [(run.tags, run.notes) for run in RunStore(bare).list_runs(RunQuery(sort="id")).runs]
    assert told == [
        (("one",), "as told"),
        (("best", "kept"), "look here"),
        ((), "as told"),
        (("ours",), "n"),
    ]
    assert [run.id for run in RunStore(bare).list_runs(RunQuery(tags=("best",))).runs] == [2]
    assert [run.id for run in RunStore(bare).list_runs(RunQuery(text="kept")).runs] == [2]


@pytest.mark.parametrize(
    ("silent", "interval", "status"),
    [
        (60, None, "running"),
        (130, None, "lost"),
        (130, 60, "running"),
        (170, "60", "running"),
        (200, "60", "lost"),
        (10**6, "no number", "lost"),
    ],
)
def test_a_run_of_sacreds_is_lost_after_two_minutes_or_three_of_its_own_beats(
    bare: Database[dict[str, Any]], silent: float, interval: Any, status: str
) -> None:
    seen = datetime.now(timezone.utc) - timedelta(seconds=silent)
    meta = {"options": {"--beat_interval" if interval == "60" else "--beat-interval": interval}}
    bare["runs"].insert_one(sacred_run(status="RUNNING", heartbeat=seen, stop_time=None, meta=meta))
    store = RunStore(bare)
    assert store.load_run(1).status == status
    assert len(store.find_runs(RunQuery(status=(status,)))) == 1
    assert store.list_projects()[0].running_count == (status == "running")


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("PENDING", ("queued", "PENDING")),
        ("STAGED", ("queued", "STAGED")),
        ("KILLED", ("interrupted", "KILLED")),
        ("completed", ("completed", "")),
        (None, ("interrupted", "")),
        (7, ("interrupted", "")),
    ],
)
def test_states_of_other_programs_are_told_too(
    bare: Database[dict[str, Any]], stored: Any, shown: tuple[str, str]
) -> None:
    bare["runs"].insert_one(sacred_run(status=stored))
    run = RunStore(bare).load_run(1)
    assert (run.status, run.custom_status) == shown


def test_a_run_that_says_nothing_of_its_state_is_lost_once_it_is_silent(bare: Database[dict[str, Any]]) -> None:
    bare["runs"].insert_one(sacred_run(status=None, stop_time=None))
    assert RunStore(bare).load_run(1).status == "lost"


# ---- ids


IDS = [7, "7", "a/b c", ObjectId("6b01b7428fa9d1af6cd8435a"), None, 2.5, START, Int64(2**40), {"a": 1}, -3]


def test_ids_of_any_type_name_their_own_run_and_metrics(bare: Database[dict[str, Any]]) -> None:
    bare["runs"].insert_many([sacred_run(run_id, command=f"{run_id!r}") for run_id in IDS])
    bare["metrics"].insert_many([metric(run_id, values=[float(place)] * 3) for place, run_id in enumerate(IDS)])
    bare["metrics"].insert_one({"name": "loss", "values": [99.0]})  # of no run: null must not find it
    store = RunStore(bare)
    for place, run_id in enumerate(IDS):
        run = store.load_run(parse_run_id(format_run_id(run_id)))
        assert run.command == f"{run_id!r}"
        assert store.load_points(run_id, "loss").values.tolist() == [float(place)] * 3
        assert store.list_metrics(run_id)[0].last == float(place)
    assert len(store.list_runs(RunQuery(sort="id")).runs) == len(store.list_runs(RunQuery(sort="-id")).runs) == len(IDS)
    assert [run.id for run in store.list_runs(RunQuery(text="7", sort="id")).runs] == [7, "7"]
    assert [run.id for run in store.list_runs(RunQuery(text="a/B")).runs] == ["a/b c"]
    assert [run.id for run in store.list_runs(RunQuery(text="6b01b7428fa9d1af6cd8435a")).runs] == [IDS[3]]
    assert len(store.changes_since(START - timedelta(days=1))) == len(IDS)
    assert store.changes_since(START + timedelta(days=1)) == []


@pytest.mark.parametrize(
    "word", ["", "x", "٣", "9" * 19, "oid:zz", "bson:", "bson:AAAA", "ID:a", "1.5", "id" + "x" * 20_000, "7 "]
)
def test_a_word_that_names_no_run_is_refused_with_what_to_write(word: str) -> None:
    with pytest.raises(BadRunId, match="Write a number as it is"):
        parse_run_id(word)


@pytest.mark.parametrize("operator", [{"$ne": 1}, {"a": {"$gt": 1}}, Regex(".*"), Code("1"), MinKey()])
def test_no_word_asks_for_anything_but_a_value(operator: Any) -> None:
    with pytest.raises(BadRunId):
        parse_run_id(format_run_id(operator))


@given(run_id=st.integers(-(2**63), 2**63 - 1) | st.text() | st.binary(min_size=12, max_size=12).map(ObjectId))
def test_every_id_has_its_own_word(run_id: Any) -> None:
    if isinstance(run_id, str) and not run_id.isprintable():
        run_id = run_id.encode("utf-8", "replace").decode()
    word = format_run_id(run_id)
    assert word.isascii()
    assert "/" not in word
    assert parse_run_id(word) == run_id
    assert type(parse_run_id(word)) is type(run_id)


# ---- metrics in any state


def test_arrays_of_unequal_length_and_of_any_values_are_shown_as_far_as_they_go(
    bare: Database[dict[str, Any]],
) -> None:
    bare["runs"].insert_one(sacred_run())
    odd = [1, None, "0.5", True, Decimal128("2.5"), [1], {"a": 1}, float("nan"), float("inf"), Int64(7)]
    bare["metrics"].insert_many(
        [
            metric(name="odd", values=odd, steps=[5], timestamps=[START, "late"]),
            metric(name="texts", values=["a", "b"], steps=["x", None], timestamps=None),
            metric(name="none", values=None, steps=None, timestamps=None),
            metric(name="steps", steps=[3, None, 10.5], values=[1.0, 2.0, 3.0, 4.0]),
            metric(name="binary", values=Binary(b"xx")),
            {"_id": 5, "run_id": 1, "name": None},
        ]
    )
    store = RunStore(bare)
    points = store.load_points(1, "odd")
    assert points.steps.tolist() == list(range(5, 15))
    assert [repr(value) for value in points.values.tolist()] == [
        "1.0",
        "nan",
        "nan",
        "1.0",
        "2.5",
        "nan",
        "nan",
        "nan",
        "inf",
        "7.0",
    ]
    assert set(points.wall_times.tolist()) == {START.timestamp()}
    assert store.load_points(1, "texts").steps.tolist() == [0, 1]
    assert store.load_points(1, "texts").wall_times[0] > START.timestamp()  # when the document was made
    assert len(store.load_points(1, "none")) == len(store.load_points(1, "binary")) == 0
    assert store.load_curve(1, "steps").x.tolist() == [3.0, 4.0, 10.5, 11.0]
    assert len(store.load_points(1, "None")) == 0
    summaries = {each.name: each for each in store.list_metrics(1)}
    assert (summaries["odd"].min, summaries["odd"].max, summaries["odd"].count) == (1.0, 7.0, 10)
    assert summaries["texts"].last != summaries["texts"].last  # NaN
    assert len(store.load_history(1)) > 0


def test_two_documents_of_one_metric_are_one_series(bare: Database[dict[str, Any]]) -> None:
    bare["runs"].insert_one(sacred_run())
    bare["metrics"].insert_many([metric(), metric(steps=[3, 4], values=[0.0, 9.0], timestamps=[START] * 2)])
    store = RunStore(bare)
    assert store.load_points(1, "loss").values.tolist() == [0.5, 0.25, 0.125, 0.0, 9.0]
    [summary] = store.list_metrics(1)
    assert (summary.count, summary.last, summary.min, summary.max) == (5, 9.0, 0.0, 9.0)


@pytest.mark.parametrize(
    "listed",
    [
        None,
        [],
        "x",
        [{}],
        [{"name": "loss"}],
        [{"name": "loss", "id": "not hex"}],
        [{"name": "x", "id": "0" * 24}],
        [7],
    ],
)
def test_metrics_are_found_whatever_info_says_of_them(bare: Database[dict[str, Any]], listed: Any) -> None:
    bare["runs"].insert_one(sacred_run(info={"metrics": listed}))
    bare["metrics"].insert_many([metric(), metric(run_id=404)])  # the other's run was deleted
    store = RunStore(bare)
    assert [each.name for each in store.list_metrics(1)] == ["loss"]
    assert len(store.load_points(1, "loss")) == 3
    assert len(store.list_runs(RunQuery()).runs) == 1


def test_of_another_runs_metric_that_info_names_nothing_is_shown(bare: Database[dict[str, Any]]) -> None:
    foreign = metric(run_id=2, name="loss")
    bare["metrics"].insert_one(foreign)
    listed = {"metrics": [{"name": "loss", "id": str(foreign["_id"])}]}
    bare["runs"].insert_many([sacred_run(1, info=listed), sacred_run(2, info=listed)])
    store = RunStore(bare)
    assert [bool(run.summary) for run in store.list_runs(RunQuery(sort="id")).runs] == [False, True]
    assert (store.list_metrics(1), len(store.list_metrics(2))) == ((), 1)


def test_without_an_index_only_the_runs_own_metrics_are_opened(bare: Database[dict[str, Any]]) -> None:
    documents = [metric(run_id, name) for run_id in range(1, 4) for name in ("loss", "acc")]
    bare["metrics"].insert_many(documents)
    for run_id in range(1, 4):
        own = [{"name": each["name"], "id": str(each["_id"])} for each in documents if each["run_id"] == run_id]
        bare["runs"].insert_one(sacred_run(run_id, info={"metrics": own}))
    store = RunStore(bare)
    bare.command("profile", 2)
    try:
        assert [len(run.summary) for run in store.list_runs(RunQuery()).runs] == [2, 2, 2]
        assert len(store.load_run(2).summary) == len(store.list_metrics(2)) == 2
        assert len(store.load_curve(2, "acc").x) == 3
        assert len(store.load_history(2)) == 3
    finally:
        bare.command("profile", 0)
    asked = list(bare["system.profile"].find({"ns": f"{bare.name}.metrics"}))
    plans = {each.get("planSummary", "") for each in asked if each["op"] in ("query", "command")}
    assert not [plan for plan in plans if "COLLSCAN" in plan], plans
    assert "IXSCAN { _id: 1 }" in plans
    assert list(bare["metrics"].index_information()) == list(bare["runs"].index_information()) == ["_id_"]


# ---- fields in any state


TOP = "format command host start_time config meta status resources artifacts captured_out info heartbeat result"
EXPERIMENT = "name base_dir sources dependencies repositories mainfile"
HOST = "hostname os python_version cpu gpus gpus.gpus ENV"
OURS = "uid project tags summary updated_at ranks lost"
PATHS = [
    *(*TOP.split(), "stop_time", "fail_trace", "experiment", "omniboard", "cloister"),
    *(f"experiment.{field}" for field in EXPERIMENT.split()),
    *(f"host.{field}" for field in HOST.split()),
    *(f"cloister.{field}" for field in OURS.split()),
    *("meta.options", "meta.comment", "info.metrics", "omniboard.tags", "omniboard.notes"),
]
MISSING = object()
VALUES = [
    *(
        MISSING,
        None,
        "",
        "text",
        0,
        -1.5,
        float("nan"),
        2**62,
        True,
        [],
        ["x"],
        [[]],
        [["x", 1]],
        [None, {}],
        [{"name": 5}],
    ),
    *({}, {"a": 1}, {"py/id": 9}, {"py/tuple": 3}, START, START.replace(year=1), START.replace(year=9999)),
    *(
        ObjectId(),
        Binary(b"\xff"),
        Regex("("),
        Code("f()"),
        DBRef("a", 1),
        MinKey(),
        MaxKey(),
        Timestamp(1, 1),
        Decimal128("NaN"),
    ),
]
SORTS = ["started", "name", "status", "duration", "tags", "id", "experiment", "config.lr", "metrics.loss"]


def mutated() -> Iterator[tuple[str, dict[str, Any]]]:
    shapes = [(path, value) for path in PATHS for value in (VALUES[::2] if "." in path else VALUES)]
    for number, (path, value) in enumerate(shapes):
        document = bson.decode(bson.encode(sacred_run(number, omniboard={"tags": ["a"]}, cloister={})))
        if path == "cloister.uid" and isinstance(value, str):
            continue  # a run of ours then, whose other fields we wrote
        *parents, last = path.split(".")
        inside = document
        for parent in parents:
            inside = inside.setdefault(parent, {})
        if value is MISSING:
            inside.pop(last, None)
        else:
            inside[last] = value
        yield path, document


def test_no_field_of_any_shape_costs_more_than_itself(bare: Database[dict[str, Any]]) -> None:
    mutations = list(mutated())
    documents = [document for _, document in mutations]
    bare["runs"].insert_many(documents)
    store = RunStore(bare)
    for sort in SORTS:
        assert store.list_runs(RunQuery(sort=f"-{sort}")).total == len(documents)
        assert len(store.list_runs(RunQuery(sort=sort, page=2)).runs) == 50
    assert len(store.find_runs(RunQuery(sort="config.lr"))) == len(documents)
    assert sum(project.run_count for project in store.list_projects()) == len(documents)
    for project in store.list_projects():
        assert store.list_runs(RunQuery(project=project.name)).total == project.run_count, project
        store.discover_columns(project.name)
    for status in ("queued", "running", "completed", "failed", "interrupted", "lost", "TIMEOUT"):
        store.list_runs(RunQuery(status=(status,), tags=("a",), text="x"))
    store.changes_since(START)
    for path, document in mutations:
        run = store.load_run(document["_id"])
        assert run.duration is None or run.duration >= timedelta(0)
        assert run.config.get("lr") == 0.1 or document.get("config") != {"lr": 0.1, "seed": 7}
        if path in ("captured_out", "start_time", "cloister"):
            store.load_console(run.id)
        if path.startswith("info"):
            store.list_metrics(run.id)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("config", "lr=1", "config holds text instead of a document"),
        ("start_time", "yesterday", "start_time holds text instead of a date"),
        ("artifacts", {"a": 1}, "artifacts holds a document instead of a list"),
        ("status", 3, "status holds a number instead of text"),
        ("experiment", ["mnist"], "experiment holds a list instead of a document"),
    ],
)
def test_a_field_that_cannot_be_read_is_named(
    bare: Database[dict[str, Any]], field: str, value: Any, words: str
) -> None:
    bare["runs"].insert_one(sacred_run(**{field: value}))
    assert words in RunStore(bare).load_run(1).unreadable


def test_a_failed_start_left_null_as_an_id_and_little_else(bare: Database[dict[str, Any]]) -> None:
    bare["runs"].insert_one({"_id": None, "status": "FAILED", "fail_trace": "Traceback\nTypeError"})
    store = RunStore(bare)
    run = store.load_run(None)
    assert (run.id, run.project, run.status) == (None, "unnamed", "failed")
    assert run.fail_trace == ("Traceback\n", "TypeError")
    assert store.list_runs(RunQuery(project="unnamed")).total == 1


def test_text_that_is_no_utf8_and_dates_that_python_lacks_cost_themselves(bare: Database[dict[str, Any]]) -> None:
    good = bson.encode(sacred_run(result="result-to-be-broken", config={"when": START, "lr": 1}))
    broken = good.replace(b"result-to-be-broken", b"result-\xff\xfe-be-broken")
    far = int((START - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds() * 1000).to_bytes(8, "little")
    broken = broken.replace(b"\x09when\x00" + far, b"\x09when\x00" + (2**60).to_bytes(8, "little"))
    assert broken != good
    bare["runs"].insert_one(RawBSONDocument(broken))
    run = RunStore(bare).load_run(1)
    assert run.result == "result-\ufffd\ufffd-be-broken"
    assert run.config["lr"] == 1
    assert run.config["when"].startswith("<a date outside of the years 1 to 9999")


def test_a_long_output_is_paged_from_both_ends(bare: Database[dict[str, Any]]) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000)) + "x" * 200_000 + "\nthe end"
    bare["runs"].insert_one(sacred_run(captured_out=text))
    store = RunStore(bare)
    assert store.load_run(1).console_bytes == len(text)
    page = store.load_console(1, limit=5)
    backwards = list(page.pieces)
    while page.more:
        page = store.load_console(1, before=page.first, limit=5)
        backwards = [*page.pieces, *backwards]
    assert "".join(piece.text for piece in backwards) == text
    forwards, cursor, more = "", "0", True
    while more:
        page = store.load_console(1, after=cursor, limit=7)
        forwards, cursor, more = forwards + "".join(piece.text for piece in page.pieces), page.last, page.more
    assert forwards == text
    bare["runs"].update_one({"_id": 1}, {"$set": {"captured_out": text + ", not yet\nmore\n"}})
    assert "".join(piece.text for piece in store.load_console(1, after=cursor).pieces) == ", not yet\nmore\n"
    assert store.load_console(1, after=str(10**9)).pieces == ()


def test_files_are_opened_by_an_id_that_is_text(bare: Database[dict[str, Any]]) -> None:
    file_id = ObjectId()
    bare["fs.files"].insert_one({"_id": file_id, "length": 2, "chunkSize": 10, "contentType": "text/csv"})
    bare["fs.chunks"].insert_one({"files_id": file_id, "n": 0, "data": b"hi"})
    bare["runs"].insert_one(sacred_run(artifacts=[{"name": "a", "file_id": str(file_id)}, ["b", file_id], file_id, 7]))
    store = RunStore(bare)
    first, second, third, _ = store.load_run(1).artifacts
    assert [(each.name, each.size, each.content_type) for each in (first, second)] == [
        ("a", 2, "text/csv"),
        ("b", 2, "text/csv"),
    ]
    assert store.open_blob(first.file_id).read() == store.open_blob(third.file_id).read() == b"hi"


# ---- nothing is written


@pytest.mark.parametrize(
    "write",
    [
        lambda database: database["runs"].insert_one({}),
        lambda database: database.runs.update_many({}, {"$set": {"a": 1}}),
        lambda database: database.get_collection("runs").delete_many({}),
        lambda database: database["runs"].with_options().find_one_and_update({}, {"$set": {"a": 1}}),
        lambda database: database.with_options()["metrics"].create_index("run_id"),
        lambda database: database["runs"].bulk_write([]),
        lambda database: database["runs"].drop(),
        lambda database: database.create_collection("new"),
        lambda database: database.drop_collection("runs"),
        lambda database: database["fs"].files.insert_one({}),
        lambda database: gridfs.GridFSBucket(database).upload_from_stream("file", b"bytes"),
        lambda database: database["runs"].aggregate([{"$match": {}}, {"$out": "copy"}]),
    ],
)
def test_a_store_for_reading_refuses_what_writes(sacred_store: RunStore, write: Any) -> None:
    with pytest.raises(WritesNotWanted, match="Open it without read_only"):
        write(sacred_store.database)
    assert sacred_store.database["runs"].count_documents({}) == 5


def test_an_account_that_may_only_read_is_enough(guarded: tuple[Any, int]) -> None:
    root, port = guarded
    root["theirs"]["runs"].insert_one(sacred_run())
    root["theirs"]["metrics"].insert_one(metric())
    root["secret"]["runs"].insert_one(sacred_run())
    root.admin.command("createUser", "eve", pwd="pw", roles=[{"role": "read", "db": "theirs"}])
    mine = f"mongodb://eve:pw@127.0.0.1:{port}/theirs?authSource=admin&directConnection=true"
    with RunStore.connect(mine) as store:
        run = store.load_run(1)
        assert (run.status, run.summary) == ("completed", {})
        assert [each.name for each in store.list_metrics(1)] == ["loss"]
        assert store.list_runs(RunQuery(sort="-metrics.loss")).total == 1
        assert store.list_projects()[0].run_count == 1
        assert store.discover_columns("mnist").config == ("lr", "seed")
        assert store.load_console(1).pieces[0].text == "one\ntwo\n"
        assert store.changes_since(START) != []
        expected = RunPlace("theirs", Collections(), 1, START, "sacred")
        assert store.list_databases() == (expected,)
    assert cloister.runs(uri=mine)[0].points("loss").values.tolist() == [0.5, 0.25, 0.125]
    assert sorted(root["theirs"].list_collection_names()) == ["metrics", "runs"]
    assert list(root["theirs"]["metrics"].index_information()) == ["_id_"]


def test_reading_sacreds_runs_needs_neither_sacred_nor_jsonpickle(mongod: str, sacreds: str, tmp_path: Path) -> None:
    script = (
        "import sys, cloister\n"
        f"[run] = cloister.runs(uri={with_database(mongod, sacreds)!r}, status='completed')\n"
        "assert run.config['weights'][-1] == 19.0 and run.result == 0.5\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} & {'sacred', 'jsonpickle', 'flask', 'bokeh'}\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
