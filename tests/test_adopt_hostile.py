"""`cloister adopt` of what somebody chose byte by byte: odd ids, forged notes of ours, paths, bombs."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from adopted_reading import adopt, read_one
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
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
