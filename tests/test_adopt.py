"""`cloister adopt` of databases that the real Sacred has written: in place, and into a database of ours."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest
from adopted_reading import adopt, content_of, read_all, read_one
from bson import ObjectId
from cloister.observer.adoption.omniboard_settings import VIEWER_SETTINGS
from cloister.observer.metric_chunks import METRIC_CHUNKS
from cloister.observer.pyramid_levels import PYRAMID
from cloister.observer.run_collections import Collections, with_collections
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from conftest import free_port, running_mongod
from pymongo.database import Database
from running_omniboard import running_omniboard
from sacred_made import sacred_metric, sacred_run
from sacred_recorded import SacredRecorded, recorded_by_sacred

Documents = Database[dict[str, Any]]
LONG_POINTS = 70_000


@pytest.fixture(scope="module")
def recorded(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> SacredRecorded:
    return recorded_by_sacred(mongod, tmp_path_factory)


@pytest.fixture
def sacred_uri(mongod: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield mongod.replace("/?", f"/{name}?")
    with pymongo.MongoClient(mongod) as client:
        client.drop_database(name)


@pytest.fixture
def sacred(sacred_uri: str, recorded: SacredRecorded) -> Iterator[Documents]:
    """A database as Sacred left it, without anything of ours."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(sacred_uri, tz_aware=True)
    with client:
        database = client.get_default_database()
        recorded.copy_into(database)
        # Run 5 lost its database; an hour later nobody takes it for one that goes on.
        hour_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
        database["runs"].update_one({"_id": 5}, {"$set": {"heartbeat": hour_ago}})
        yield database


@pytest.fixture
def empty(sacred_uri: str) -> Iterator[Documents]:
    """A database in which a test puts documents of Sacred's layout."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(sacred_uri, tz_aware=True)
    with client:
        yield client.get_default_database()


# ---- in place


def test_after_an_adoption_everything_reads_as_before(sacred: Documents, sacred_uri: str) -> None:
    before = read_all(RunStore(sacred))
    done = adopt(sacred_uri, "--yes")
    assert done.returncode == 0, done.said
    assert "Adopted 6 runs" in done.said
    after = read_all(RunStore(sacred))
    assert after == before
    assert set(after) == {1, 2, 3, 4, 5, "the best"}
    assert after[1]["info"] == {**after[1]["info"], "shape": [3, 4], "weights": [0.0, 1.0, 2.0]}
    assert after[1]["result"] == 0.25
    assert len(after[2]["metrics"]["loss"][0]) == 8 * LONG_POINTS


def test_adopted_runs_have_what_ours_have(sacred: Documents, sacred_uri: str) -> None:
    assert adopt(sacred_uri, "--yes").returncode == 0
    store = RunStore(sacred)
    run = store.load_run(2)
    summary = run.summary["loss"]
    values = store.load_points(2, "loss").values
    assert (summary.count, summary.min, summary.max) == (LONG_POINTS, values.min(), values.max())
    assert (uuid.UUID(run.uid or "").version, run.project) == (7, "digits")
    assert sacred[METRIC_CHUNKS].count_documents({}) == 4 + -(-LONG_POINTS // 4096)
    assert sacred[PYRAMID].count_documents({}) > 0
    assert {project.name for project in store.list_projects()} == {"digits", "mnist", "queued", "lost"}
    assert sacred["counters"].find_one({"_id": "runs"}) == {"_id": "runs", "last": 5}
    assert [piece.stream for piece in store.load_console(1).pieces] == ["stdout"]
    artifact = store.load_run(1).artifacts[0]
    assert (artifact.size, artifact.sha256 is not None) == (512_000, True)
    assert ("run_id", 1) in sacred["metrics"].index_information()["run_id_1_name_1"]["key"]
    assert store.list_runs(RunQuery(sort="-metrics.loss")).runs[0].id in (2, 3)


def test_of_equal_files_one_is_the_blob_and_the_others_say_so(sacred: Documents, sacred_uri: str) -> None:
    assert adopt(sacred_uri, "--yes").returncode == 0
    by_digest: dict[str, list[dict[str, Any]]] = {}
    for file in sacred["fs.files"].find({"cloister": {"$exists": True}}):
        by_digest.setdefault(file["cloister"].get("sha256") or file["cloister"]["digest"], []).append(file)
    for files in by_digest.values():
        [blob] = [file for file in files if "sha256" in file["cloister"]]
        assert all(file["cloister"]["same_as"] == blob["_id"] for file in files if file is not blob)
        assert all(len(file["md5"]) == 32 for file in files)
    assert max(map(len, by_digest.values())) == 6  # Sacred stores the script with every run


def test_what_sacred_and_omniboard_read_stays_as_it_was(sacred: Documents, sacred_uri: str) -> None:
    collections = ("runs", "metrics", "fs.files", "fs.chunks")
    before = {name: list(sacred[name].find().sort("_id", 1)) for name in collections}
    assert adopt(sacred_uri, "--yes").returncode == 0
    for name in ("metrics", "fs.chunks"):
        assert list(sacred[name].find().sort("_id", 1)) == before[name]
    for old, new in zip(before["runs"], sacred["runs"].find().sort("_id", 1), strict=True):
        del new["cloister"]
        for entry, known in zip(new.get("artifacts", []), old.get("artifacts", []), strict=True):
            assert {key: entry[key] for key in known} == known
        assert {**new, "artifacts": None} == {**old, "artifacts": None}
    for old, new in zip(before["fs.files"], sacred["fs.files"].find().sort("_id", 1), strict=True):
        assert {key: new[key] for key in old} == old


@pytest.mark.parametrize("copied", [pytest.param(False, id="in-place"), pytest.param(True, id="copied")])
def test_omniboard_reads_what_was_adopted(
    sacred: Documents, sacred_uri: str, database: Documents, database_uri: str, tmp_path: Path, copied: bool
) -> None:
    assert adopt(sacred_uri, *(["--into", database_uri] if copied else ["--yes"])).returncode == 0
    uri, target = (database_uri, database) if copied else (sacred_uri, sacred)
    wanted = "captured_out,info,meta,host,experiment,artifacts,config,fail_trace,status"
    with running_omniboard(uri, tmp_path, free_port()) as omniboard:
        listed = omniboard.ask_json("Runs", sort_by="_id", order_by="-1", query="{}", limit="50")
        assert {run["_id"] for run in listed} >= {1, 2, 3, 5}
        run = omniboard.ask_json("Runs/1", select=wanted)
        assert "trained" in run["captured_out"]
        assert [entry["name"] for entry in run["artifacts"]] == ["model.bin", "table.csv"]
        [loss] = [each for each in omniboard.ask_json("Metrics", query={"run_id": 1}) if each["name"] == "loss"]
        assert loss["values"] == [1 / (step + 1) for step in range(50)]
        assert {"name": "loss", "id": loss["_id"]} in run["info"]["metrics"]
        [long] = omniboard.ask_json("Metrics", query={"run_id": 2})
        assert max(long["values"]) == 10_006 / 7
        assert omniboard.ask(f"files/download/{run['artifacts'][1]['file_id']}/table.csv") == b"1,2\n"
        assert len(omniboard.ask("files/source/1")) > 0
        assert target["runs"].count_documents({"cloister.adopted.state": "done"}) == 6


def test_a_second_adoption_does_nothing_and_says_so(sacred: Documents, sacred_uri: str) -> None:
    assert adopt(sacred_uri, "--yes").returncode == 0
    before = content_of(sacred)
    again = adopt(sacred_uri, "--yes")
    assert again.returncode == 0
    assert "Nothing to do: 6 runs" in again.said
    assert content_of(sacred) == before


def test_a_dry_run_changes_nothing_and_tells_what_would_be_done(sacred: Documents, sacred_uri: str) -> None:
    sacred["metrics"].insert_one(sacred_metric(77, "loss", [1.0]))
    before = content_of(sacred)
    done = adopt(sacred_uri, "--dry-run")
    assert done.returncode == 0, done.said
    assert content_of(sacred) == before
    assert "Would adopt 6 runs" in done.said
    assert f"5 metrics with {LONG_POINTS + 102:,} points" in done.said
    assert "digits (3 runs)" in done.said
    assert "1 metrics (1 points) are of run 77, which was deleted" in done.said
    assert "Nothing was changed." in done.said


def test_without_a_terminal_nobody_is_asked_and_nothing_is_changed(sacred: Documents, sacred_uri: str) -> None:
    before = content_of(sacred)
    done = adopt(sacred_uri)
    assert done.returncode == 1
    assert "Add --yes" in done.said
    assert content_of(sacred) == before


def test_one_run_can_be_chosen_and_the_project_named(sacred: Documents, sacred_uri: str) -> None:
    done = adopt(sacred_uri, "--yes", "--run", "3", "--run", "id:the%20best", "--project", "old work")
    assert done.returncode == 0, done.said
    adopted = {document["_id"] for document in sacred["runs"].find({"cloister.project": "old work"})}
    assert adopted == {3, "the best"}
    missing = adopt(sacred_uri, "--yes", "--run", "99")
    assert missing.returncode == 1
    assert "has no run 99" in missing.said


def test_prefixed_collections_are_adopted_under_their_prefix(sacred: Documents, sacred_uri: str) -> None:
    done = adopt(sacred_uri, "--yes", "--collections", "lab")
    assert done.returncode == 0, done.said
    store = RunStore(with_collections(sacred, Collections(prefix="lab")))
    [run] = store.list_runs(RunQuery(project="lab work")).runs
    assert store.load_points(run.id, "loss").values.tolist() == [1 / (step + 1) for step in range(50)]
    assert sacred["lab_metric_chunks"].count_documents({}) == 2
    assert sacred[METRIC_CHUNKS].count_documents({}) == 0
    assert sacred["runs"].count_documents({"cloister": {"$exists": True}}) == 0


# ---- what people go on doing


def test_a_run_that_is_recorded_is_left_alone_until_it_has_ended(empty: Documents, sacred_uri: str) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    empty["runs"].insert_many(
        [
            sacred_run(1, status="RUNNING", start_time=now, heartbeat=now, stop_time=None),
            sacred_run(2, status="RUNNING", stop_time=None),
            sacred_run(3, status="RUNNING", stop_time=None, heartbeat=now - datetime.timedelta(minutes=20),
                       meta={"options": {"--beat-interval": "600"}}),
        ]
    )  # fmt: skip
    empty["metrics"].insert_one(sacred_metric(1, "loss", [1.0, 2.0]))
    done = adopt(sacred_uri, "--yes")
    assert done.returncode == 0, done.said
    assert "Left alone, as they are being recorded: 1, 3." in done.said
    assert [run["_id"] for run in empty["runs"].find({"cloister": {"$exists": True}})] == [2]
    assert RunStore(empty).load_run(2).status == "lost"
    ended = {"status": "COMPLETED", "stop_time": now, "heartbeat": now}
    empty["runs"].update_many({"_id": {"$in": [1, 3]}}, {"$set": ended})
    assert "Adopted 2 runs" in adopt(sacred_uri, "--yes").said
    assert RunStore(empty).load_points(1, "loss").values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("kept", [pytest.param(9000, id="goes-on"), pytest.param(0, id="begins-anew")])
def test_a_run_that_was_taken_for_dead_is_adopted_again(empty: Documents, sacred_uri: str, kept: int) -> None:
    first = [float(place) for place in range(9000)]
    empty["runs"].insert_one(sacred_run(1, status="RUNNING", stop_time=None, captured_out="a\nb"))
    empty["metrics"].insert_one(sacred_metric(1, "loss", first))
    assert adopt(sacred_uri, "--yes").returncode == 0
    values = first[:kept] + [-1.0] * 5000
    empty["metrics"].replace_one({"run_id": 1}, sacred_metric(1, "loss", values))
    later = datetime.datetime(2024, 3, 1, 14, 0, tzinfo=datetime.timezone.utc)
    ended = {"status": "COMPLETED", "stop_time": later, "heartbeat": later, "captured_out": "a\nb\nc\n"}
    empty["runs"].update_one({"_id": 1}, {"$set": ended})
    done = adopt(sacred_uri, "--yes")
    assert "had been adopted before and had gone on since" in done.said
    store = RunStore(empty)
    assert store.load_points(1, "loss").values.tolist() == values
    assert store.load_run(1).summary["loss"].count == len(values)
    assert "".join(piece.text for piece in store.load_console(1).pieces) == "a\nb\nc\n"


def test_what_people_wrote_in_omniboard_is_taken_over(empty: Documents, sacred_uri: str) -> None:
    empty["runs"].insert_one(sacred_run(1, omniboard={"tags": ["good", "paper"], "notes": "the one"}))
    empty["omniboard.metric.columns"].insert_one({"name": "best", "metric_name": "val.acc", "extrema": "max", "__v": 0})
    empty["omniboard.custom.columns"].insert_one({"name": "seed", "config_path": "config.seed"})
    empty["omniboard.custom.columns"].insert_one({"name": "broken"})
    empty["omniboard.settings"].insert_one({"name": "timezone", "value": "Europe/Berlin"})
    assert adopt(sacred_uri, "--yes").returncode == 0
    run = RunStore(empty).load_run(1)
    assert (run.tags, run.notes) == (("good", "paper"), "the one")
    stored = empty["runs"].find_one({"_id": 1}) or {}
    assert stored["cloister"]["tags"] == ["good", "paper"]
    taken = empty[VIEWER_SETTINGS].find_one({"_id": "omniboard"}) or {}
    assert taken["columns"] == [
        {"kind": "metric", "title": "best", "metric": "val.acc", "value": "max"},
        {"kind": "field", "title": "seed", "path": "config.seed"},
    ]
    assert taken["settings"] == {"timezone": "Europe/Berlin"}
    empty["runs"].update_one({"_id": 1}, {"$set": {"omniboard": {"tags": [], "notes": "another"}}})
    assert "gone on since" in adopt(sacred_uri, "--yes").said
    run = RunStore(empty).load_run(1)
    assert (run.tags, run.notes) == ((), "another")


def test_a_number_that_sacred_gives_away_again_brings_nothing_of_the_old_run(empty: Documents, sacred_uri: str) -> None:
    empty["runs"].insert_one(sacred_run(1, captured_out="old\nolder\n" * 600))
    assert adopt(sacred_uri, "--yes").returncode == 0
    empty["runs"].delete_one({"_id": 1})
    later = datetime.datetime(2024, 4, 1, tzinfo=datetime.timezone.utc)
    empty["runs"].insert_one(sacred_run(1, captured_out="new\n", start_time=later))
    assert adopt(sacred_uri, "--yes").returncode == 0
    assert [piece.text for piece in RunStore(empty).load_console(1).pieces] == ["new\n"]


def test_runs_that_only_their_ids_tell_apart_are_several(empty: Documents, sacred_uri: str) -> None:
    ids = [1, "1", ObjectId(), {"a": 1}]
    empty["runs"].insert_many([sacred_run(run_id) for run_id in ids])
    empty["runs"].insert_many([sacred_run(run_id, status="QUEUED", start_time=None) for run_id in (2, "2")])
    done = adopt(sacred_uri, "--yes")
    assert "Adopted 6 runs" in done.said
    assert len(empty["runs"].distinct("cloister.uid")) == 6
    assert "Nothing to do: 6 runs" in adopt(sacred_uri, "--yes").said


# ---- what is odd


def test_odd_documents_are_named_and_none_stops_the_rest(empty: Documents, sacred_uri: str) -> None:
    gone, damaged = ObjectId(), ObjectId()
    empty["fs.files"].insert_one({"_id": damaged, "filename": "half", "length": 10, "chunkSize": 261120})
    empty["runs"].insert_many(
        [
            {"_id": 1},
            sacred_run(2, config=None, artifacts=None, info="text", captured_out=7),
            sacred_run(3, artifacts=[{"name": "lost.bin", "file_id": gone}, "nothing"], start_time="yesterday"),
            sacred_run(4, cloister="foreign"),
            {**sacred_run(None), "_id": None},
            sacred_run(ObjectId("0123456789abcdef01234567")),
            sacred_run("text", artifacts=[{"name": "half.bin", "file_id": str(damaged)}]),
            sacred_run({"a": 1}),
            sacred_run(9),
        ]
    )
    empty["metrics"].insert_many(
        [
            sacred_metric(2, "strings", ["a", None, 3.0]),
            sacred_metric(2, "halves", [1.0, 2.0, 3.0], steps=[0.5, 1.0, 1.5]),
            sacred_metric(3, "short", [1.0, 2.0, 3.0], steps=[5], timestamps=[]),
            {**sacred_metric(3, "none", []), "values": None},
            sacred_metric(9, "", [4.0, float("nan"), float("inf")]),
            {"run_id": 9, "name": "bare"},
            sacred_metric(9, "twice", [1.0]),
            sacred_metric(9, "twice", [2.0]),
            sacred_metric(4, "old", [1.0], timestamps=[datetime.datetime(2020, 1, 1)]),
        ]
    )
    before = {run_id: read_one(RunStore(empty), run_id) for run_id in (2, 3, 4, 9, "text")}
    done = adopt(sacred_uri, "--yes")
    assert done.returncode == 0, done.said
    assert "Adopted 8 runs" in done.said
    for run_id in (2, 3, 4, 9, "text"):
        assert read_one(RunStore(empty), run_id) == before[run_id]
    for said in (
        "run 1: it has no experiment",
        f"run 3: the database holds no file {gone}",
        "run 3: 1 of its artifacts name no file",
        "run id:text: The stored file 'half' is damaged",
        "start_time holds text",
        "run 2: metric 'strings': 2 of 3 values are no numbers",
        "run 2: metric 'halves' has steps that are no whole numbers",
        "run 3: metric 'short' has 3 values and 1 steps",
        "run 9: metric 'twice' has 2 documents",
        "run 4: metric 'old': 1 points are older than the run",
        "its id is null",
    ):
        assert said in done.said, (said, done.said)
    halves = RunStore(empty).load_curve(2, "halves")
    assert halves.x.tolist() == [0.5, 1.0, 1.5]


def test_a_document_that_is_full_keeps_the_end_of_its_output(empty: Documents, sacred_uri: str) -> None:
    text = "x" * 99 + "\n"
    room = 16 * 1024 * 1024 - 2_000
    empty["runs"].insert_one(sacred_run(1, captured_out=text * (room // 100)))
    empty["runs"].insert_one(sacred_run(2))
    empty["metrics"].insert_many([sacred_metric(1, f"layer {number}", [0.5]) for number in range(400)])
    done = adopt(sacred_uri, "--yes")
    assert done.returncode == 0, done.said
    assert "its document was full" in done.said
    store = RunStore(empty)
    assert store.load_run(1).console_lines == room // 100
    assert store.load_run(2).uid is not None


def test_the_longest_metric_that_sacred_can_store_is_exact(empty: Documents, sacred_uri: str) -> None:
    values = np.random.default_rng(5).normal(size=355_000)
    empty["runs"].insert_one(sacred_run(1))
    when = datetime.datetime(2024, 3, 1, 12, 0, tzinfo=datetime.timezone.utc)
    empty["metrics"].insert_one(sacred_metric(1, "loss", values.tolist(), timestamps=[when] * len(values)))
    assert adopt(sacred_uri, "--yes").returncode == 0
    store = RunStore(empty)
    assert np.array_equal(store.load_points(1, "loss").values, values)
    curve = store.load_curve(1, "loss", pixels=200)
    assert (curve.total, curve.values.min(), curve.values.max()) == (len(values), values.min(), values.max())


# ---- killed

KILLED = """
    import os, signal, sys
    from pymongo import monitoring

    class Killer(monitoring.CommandListener):
        left = int(sys.argv.pop(1))

        def started(self, event):
            if event.command_name in ("insert", "update", "delete", "findAndModify", "create", "createIndexes"):
                Killer.left -= 1
                if not Killer.left:
                    os.kill(os.getpid(), signal.SIGKILL)

        def succeeded(self, event):
            pass

        failed = succeeded

    monitoring.register(Killer())
    from cloister.__main__ import main
    main(sys.argv[1:], prog_name="cloister")
"""


def adopt_and_die(writes: int, *arguments: str) -> int:
    import textwrap

    program = textwrap.dedent(KILLED)
    command = [sys.executable, "-c", program, str(writes), "adopt", *arguments]
    return subprocess.run(command, capture_output=True, env=os.environ, timeout=120).returncode


@pytest.mark.parametrize("copied", [pytest.param(False, id="in-place"), pytest.param(True, id="copied")])
def test_an_adoption_that_is_killed_anywhere_is_gone_on_with(
    sacred: Documents, sacred_uri: str, database: Documents, database_uri: str, copied: bool
) -> None:
    before = read_all(RunStore(sacred))
    options = ["--into", database_uri] if copied else ["--yes"]
    deaths = [adopt_and_die(writes, sacred_uri, *options) for writes in (4, 14, 20)]
    assert -signal.SIGKILL in deaths
    done = adopt(sacred_uri, *options)
    assert done.returncode == 0, done.said
    target = database if copied else sacred
    assert read_all(RunStore(target)) == before
    assert target["uploads"].count_documents({}) == 0
    pieces = list(target["console"].find({}, {"run_id": 1, "n": 1}))
    assert len({(str(piece["run_id"]), piece["n"]) for piece in pieces}) == len(pieces)


@pytest.mark.parametrize("copied", [pytest.param(False, id="in-place"), pytest.param(True, id="copied")])
def test_two_adoptions_at_once_make_one(
    sacred: Documents, sacred_uri: str, database: Documents, database_uri: str, copied: bool
) -> None:
    before = read_all(RunStore(sacred))
    options = ["--into", database_uri] if copied else ["--yes"]
    command = [sys.executable, "-m", "cloister", "adopt", sacred_uri, *options]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [each.communicate(timeout=120)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    target = database if copied else sacred
    assert read_all(RunStore(target)) == before
    assert "Nothing to do" in adopt(sacred_uri, *options).said


# ---- copies


def test_a_copy_reads_as_the_original_and_leaves_it_alone(
    sacred: Documents, sacred_uri: str, database: Documents, database_uri: str
) -> None:
    before, content = read_all(RunStore(sacred)), content_of(sacred)
    done = adopt(sacred_uri, "--into", database_uri)
    assert done.returncode == 0, done.said
    assert content_of(sacred) == content
    assert read_all(RunStore(database)) == before
    assert database["fs.files"].count_documents({}) < sacred["fs.files"].count_documents({})
    assert "Nothing to do" in adopt(sacred_uri, "--into", database_uri).said
    thinned = database["metrics"].find_one({"run_id": 2}) or {}
    assert thinned["cloister"] == {"count": LONG_POINTS, "stored": len(thinned["values"]), "thinned": True}
    run = database["runs"].find_one({"_id": 2}) or {}
    assert run["info"]["metrics"] == [{"name": "loss", "id": str(thinned["_id"])}]
    assert database["fs.files"].find_one({"_id": run["experiment"]["sources"][0][1]}) is not None


def test_ids_that_are_taken_become_new_numbers(
    sacred: Documents, sacred_uri: str, database: Documents, database_uri: str
) -> None:
    database["runs"].insert_many([sacred_run(1), sacred_run(3), sacred_run("the best")])
    done = adopt(sacred_uri, "--into", database_uri)
    assert done.returncode == 0, done.said
    for old, new in (("1", 4), ("3", 5)):
        assert f"Run {old} is run {new} here" in done.said or f"Run {old} is run " in done.said
    copied = {
        run["cloister"]["adopted"]["id"]: run["_id"] for run in database["runs"].find({"cloister": {"$exists": True}})
    }
    assert set(copied) == {1, 2, 3, 4, 5, "the best"}
    assert copied[2] == 2
    assert copied[1] > 3
    assert copied["the best"] != "the best"
    assert len(set(map(str, copied.values()))) == 6
    assert RunStore(database).load_run(copied[1]).name == f"digits-{copied[1]}"
    assert RunStore(database).load_points(copied[1], "loss").values.tolist() == [1 / (step + 1) for step in range(50)]


def test_a_copy_into_itself_is_refused(sacred: Documents, sacred_uri: str) -> None:
    before = content_of(sacred)
    done = adopt(sacred_uri, "--into", sacred_uri.replace("127.0.0.1", "localhost"))
    assert done.returncode == 1
    assert "cannot be copied into itself" in done.said
    assert content_of(sacred) == before


# ---- wrong turns


def test_wrong_turns_are_told(mongod: str, sacred: Documents, sacred_uri: str, tmp_path: Path) -> None:
    empty_uri = mongod.replace("/?", "/nothing_here?")
    for place, said in (
        (tmp_path / "nowhere", "is neither a file or folder here nor the address of a database"),
        (tmp_path, "holds nothing that Sacred has written"),
        ("mongodb://127.0.0.1:9/sacred?serverSelectionTimeoutMS=200", "did not answer within"),
        ("mongodb://user:hunter2@[x/sacred", "is not a MongoDB URI"),
        (mongod, "names no database. It has "),
        (empty_uri, "has no runs in its collection 'runs'"),
    ):
        done = adopt(place, "--yes")
        assert (done.returncode, said in done.said) == (1, True), done.said
        assert "hunter2" not in done.said
    other = adopt(sacred_uri, "--collections", "lap", "--yes")
    assert "try" in other.said
    assert "--collections lab" in other.said


def test_who_may_only_read_is_told_and_can_look_and_copy(
    tmp_path: Path, database: Documents, database_uri: str
) -> None:
    (data := tmp_path / "data").mkdir()
    port, key = free_port(), tmp_path / "key"
    with running_mongod(data, port=port) as uri, pymongo.MongoClient[dict[str, Any]](uri) as client:
        client["guarded"]["runs"].insert_one(sacred_run(1))
        client["guarded"].command("createUser", "ana", pwd="hunter2", roles=[{"role": "read", "db": "guarded"}])
    key.write_text("a" * 64, encoding="ascii")
    key.chmod(0o600)
    with running_mongod(data, "--keyFile", str(key), port=port):
        guarded = f"mongodb://ana:hunter2@127.0.0.1:{port}/guarded?directConnection=true"
        refused = adopt(guarded, "--yes")
        assert refused.returncode == 1
        assert "We may not write to the database 'guarded'" in refused.said
        assert "hunter2" not in refused.said
        assert "Would adopt 1 run" in adopt(guarded, "--dry-run").said
        assert adopt(guarded, "--into", database_uri).returncode == 0
    assert RunStore(database).load_run(1).experiment == "made"
