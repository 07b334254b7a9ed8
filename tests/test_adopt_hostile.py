"""`cloister adopt` of what somebody chose byte by byte: odd ids, forged notes of ours, paths, bombs."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from adopted_reading import adopt, read_one
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from cloister.observer.adoption.folder_files import Folder
from cloister.observer.adoption.json_files import UnreadableJson, load_json_file
from cloister.observer.blobs import DamagedBlob
from cloister.observer.runs import RunStore
from pymongo.database import Database
from sacred_made import sacred_metric, sacred_run

Documents = Database[dict[str, Any]]

ODD = [
    math.nan,
    Timestamp(1, 2),
    Regex("(a+)+$", "i"),
    Code("function() { while (true) {} }"),
    Code("x", {"a": 1}),
    DBRef("runs", 1),
    DBRef("runs", {"a": 1}),
    Decimal128("6.5"),
    Decimal128("NaN"),
    MinKey(),
    MaxKey(),
    Int64(5),
    True,
    Binary(b"\0", 128),
    Binary.from_uuid(uuid.UUID(int=7)),
    DatetimeMS(2**60),
    math.inf,
    1e300,
    {"$gt": ""},
    {"a": [1]},
    [1, 2],
    b"",
    "",
]


FIELDS = (
    ("status", "start_time", "config", "captured_out", "host"),
    ("heartbeat", "stop_time", "info", "result", "meta", "experiment"),
    ("omniboard", "artifacts", "resources", "command", "fail_trace", "format"),
)


@pytest.fixture
def source_uri(mongod: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield mongod.replace("/?", f"/{name}?")
    with pymongo.MongoClient(mongod) as client:
        client.drop_database(name)


@pytest.fixture
def source(source_uri: str) -> Iterator[Documents]:
    """A database as somebody has filled it."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(source_uri, tz_aware=True)
    with client:
        yield client.get_default_database()


def is_id(value: Any) -> bool:
    return not isinstance(value, (list, Regex)) and value not in ({"$gt": ""}, Decimal128("NaN"))


def odd_runs(odd: Any) -> list[dict[str, Any]]:
    """Fields without the id."""
    return [
        *(dict.fromkeys(fields, odd) for fields in FIELDS),
        {
            "artifacts": [{"name": "a", "file_id": odd}, {"name": odd, "file_id": ObjectId()}],
            "resources": [["a", odd], [odd, "b"], odd],
            "experiment": {"name": odd, "sources": [["a", odd], [odd, odd], odd]},
            "meta": {"options": {"--beat-interval": odd}, "queue_time": odd, "comment": odd},
            "omniboard": {"tags": [odd], "notes": odd},
            "info": {"metrics": [{"name": "m", "id": odd}]},
            "config": {"a": {"b": [odd, {"c": odd}]}},
            "host": {"hostname": odd, "gpus": odd, "ENV": odd},
        },
    ]


def odd_metrics(odd: Any) -> list[dict[str, Any]]:
    values = [1.0, 2.0, 3.0]
    return [
        sacred_metric(odd, "m", [1.0, odd, 2.0]),
        sacred_metric(1, odd, values),
        sacred_metric(2, f"steps {odd}", values, steps=[0, odd, 5]),
        sacred_metric(2, f"times {odd}", values, timestamps=[odd, odd, odd]),
        {**sacred_metric(3, f"values {odd}", values), "values": odd},
        {**sacred_metric(3, f"list of steps {odd}", values), "steps": odd},
    ]


@pytest.mark.parametrize("copied", [pytest.param(False, id="in-place"), pytest.param(True, id="copied")])
def test_values_of_every_type_anywhere_cost_themselves(
    source: Documents, source_uri: str, database: Documents, database_uri: str, copied: bool
) -> None:
    runs = [fields for odd in ODD for fields in odd_runs(odd)]
    source["runs"].insert_many([sacred_run(1000 + number, **fields) for number, fields in enumerate(runs)])
    source["runs"].insert_many([sacred_run(odd) for odd in ODD if is_id(odd)])
    source["runs"].insert_many([sacred_run(number) for number in (1, 2, 3)])
    source["metrics"].insert_many([metric for odd in ODD for metric in odd_metrics(odd)])
    files = [{"_id": odd, "filename": odd, "length": odd, "chunkSize": odd, "md5": odd} for odd in ODD if is_id(odd)]
    source["fs.files"].insert_many(files)
    source["fs.files"].insert_many([{"filename": ["a"], "md5": ["b"]}, {"filename": "a", "md5": ["b"], "length": 5}])
    dry = adopt(source_uri, "--dry-run")
    assert dry.returncode == 0, dry.said
    options = ["--into", database_uri] if copied else ["--yes"]
    done = adopt(source_uri, *options)
    assert done.returncode == 0, done.said
    assert f"Adopted {source['runs'].count_documents({})} runs" in done.said
    store = RunStore(database if copied else source)
    for run in store.database["runs"].find({}, {"_id": 1}):
        read_one(store, run["_id"])
    again = adopt(source_uri, *options)
    assert (again.returncode, "Nothing to do" in again.said) == (0, True), again.said


@pytest.mark.parametrize("uid", ["x", 5, None, "../" * 9, {"$gt": ""}])
def test_a_forged_uid_is_none(source: Documents, source_uri: str, uid: Any) -> None:
    """A uid is ours only in our own form."""
    source["runs"].insert_one(sacred_run(1, cloister={"uid": uid, "adopted": {"state": "done", "seen": "x"}}))
    source["metrics"].insert_one(sacred_metric(1, "loss", [1.0, 2.0]))
    assert adopt(source_uri, "--yes").returncode == 0
    store = RunStore(source)
    assert uuid.UUID(store.load_run(1).uid or "").version == 7
    assert store.load_points(1, "loss").values.tolist() == [1.0, 2.0]
    assert "Nothing to do" in adopt(source_uri, "--yes").said


@pytest.mark.parametrize("ours", [{"uid": str(uuid.UUID(int=3))}, "text", [], {"adopted": {"state": "done"}}])
def test_a_forged_note_costs_at_most_its_run(source: Documents, source_uri: str, ours: Any) -> None:
    source["runs"].insert_many([sacred_run(1, cloister=ours), sacred_run(2)])
    done = adopt(source_uri, "--yes")
    assert done.returncode == 0, done.said
    store = RunStore(source)
    assert [store.load_run(number).name for number in (1, 2)] == ["made-1", "made-2"]


def test_a_chunk_that_is_a_number_is_no_gigabyte_of_zeros(source: Documents) -> None:
    file_id = source["fs.files"].insert_one({"filename": "bomb", "length": 2**40, "chunkSize": 2**40}).inserted_id
    source["fs.chunks"].insert_one({"files_id": file_id, "n": 0, "data": 2**40})
    with pytest.raises(DamagedBlob, match="chunk 0 is missing"):
        RunStore(source).open_blob(file_id).read(10)


# ---- folders

STARTED = "2024-03-01T12:00:00"


def file_storage_run(folder: Path, **fields: Any) -> Path:
    """A run as FileStorageObserver stores it."""
    folder.mkdir(parents=True)
    entry = {"experiment": {"name": "made", "sources": []}, "status": "COMPLETED", "start_time": STARTED, **fields}
    (folder / "run.json").write_text(json.dumps(entry), encoding="utf-8")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def test_a_single_runs_folder_names_no_file_beside_it(tmp_path: Path, store: RunStore, database_uri: str) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "key").write_text("the secret", encoding="utf-8")
    (tmp_path / "note.txt").write_text("the secret", encoding="utf-8")
    (tmp_path / "_sources").mkdir()
    (tmp_path / "_sources" / "train_0.py").write_text("a source", encoding="utf-8")
    named = [["a", ".ssh/key"], ["b", "note.txt"], ["c", "7/own.py"], ["d", "_sources/train_0.py"]]
    run = file_storage_run(tmp_path / "7", experiment={"name": "made", "sources": named}, resources=named[:2])
    (run / "own.py").write_text("a source", encoding="utf-8")
    done = adopt(run, uri=database_uri)
    assert done.returncode == 0, done.said
    assert "'.ssh/key' is not read: it leads out of the run's folder" in done.said
    assert {entry.path for entry in store.load_run(7).sources} == {"a", "b", "c", "d"}
    assert {entry.path for entry in store.load_run(7).sources if entry.file_id is not None} == {"c", "d"}
    assert [file["length"] for file in store.database["fs.files"].find()] == [len("a source")]


def test_a_folder_of_another_spelling_is_another_run(tmp_path: Path, store: RunStore, database_uri: str) -> None:
    for name in ("7", "007", "\u0667"):
        file_storage_run(tmp_path / "runs" / name, result=name)
    file_storage_run(tmp_path / "runs" / os.fsdecode(b"\xff"))
    done = adopt(tmp_path / "runs", uri=database_uri)
    assert done.returncode == 0, done.said
    assert "Rename the folder" in done.said
    assert {run_id: store.load_run(run_id).result for run_id in (7, "007", "\u0667")} == {
        7: "7",
        "007": "007",
        "\u0667": "\u0667",
    }


@pytest.mark.parametrize(
    "odd",
    [5, [1], {"a": 1}, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 10**400, math.nan, True, "", "\ud800"],
)
def test_odd_json_costs_itself(tmp_path: Path, store: RunStore, database_uri: str, odd: Any) -> None:
    fields = dict.fromkeys(("heartbeat", "stop_time", "host", "resources", "artifacts", "command", "fail_trace"), odd)
    run = file_storage_run(
        tmp_path / "runs" / "1", **fields | {"artifacts": [odd]}, meta={"options": {"--beat-interval": odd}}, result=odd
    )
    file_storage_run(
        tmp_path / "runs" / "2", start_time=odd, status=odd, experiment={"name": odd, "sources": [["a", odd]]}
    )
    columns = {"steps": [0, odd], "values": [1.0, odd], "timestamps": [STARTED, odd]}
    metrics = {"loss": columns, "odd": odd, f"named {odd}": columns}
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (run / "config.json").write_text(json.dumps({"a": odd}), encoding="utf-8")
    done = adopt(tmp_path / "runs", uri=database_uri)
    assert done.returncode == 0, done.said
    assert store.load_points(1, "loss").values[0] == 1.0
    assert store.load_run(2).id == 2
    assert "Nothing to do" in adopt(tmp_path / "runs", uri=database_uri).said


@pytest.mark.parametrize("odd", [5, [1], {"a": 1}, None, math.nan, 10**400, True, "x" * 2000, "a\0b", "\ud800"])
def test_entries_of_a_tinydb_may_have_any_id(tmp_path: Path, store: RunStore, database_uri: str, odd: Any) -> None:
    entry = {"experiment": {"name": "tiny"}, "status": "COMPLETED", "start_time": "{TinyDate}:2024-03-01T12:00:00"}
    entries = {"1": {**entry, "_id": odd}, "2": {**entry, "_id": odd}, "3": {**entry, "_id": "plain"}}
    (tmp_path / "metadata.json").write_text(json.dumps({"runs": entries}), encoding="utf-8")
    done = adopt(tmp_path, uri=database_uri)
    assert "Entry '2' of metadata.json is left out" in done.said
    assert store.load_run("plain").project == "tiny"


@pytest.mark.parametrize(
    "text", ["[" * 2_000_000, '{"a":' * 500_000, '"' + "\\" * 3_000_000, '{"a": [' + "[]," * 4_100_000]
)
def test_json_that_is_cut_costs_no_more_than_its_length(tmp_path: Path, text: str) -> None:
    """Each of them took minutes, or gigabytes, where a pattern looked for whole texts and brackets were copied."""
    (tmp_path / "bomb.json").write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableJson, match=r"lists and objects|no JSON|too deeply"):
        load_json_file(Folder(tmp_path), "bomb.json")
