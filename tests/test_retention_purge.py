"""Deleting: into the trash and back; for good, with proof, beside others who store the same bytes, through deaths."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from cloister.decorators.run_start import new_uid
from cloister.observer.blob_upload import sweep_uploads
from cloister.observer.blobs import CHUNK_BYTES, DamagedBlob, digest_stream
from cloister.observer.courier import Courier
from cloister.observer.file_shipper import FileShipper
from cloister.observer.journal_records import JournalRecord
from cloister.observer.retention.errors import IdTaken, NotInTrash, RecordedElsewhere, RunHeld
from cloister.observer.retention.file_claims import CLAIMS
from cloister.observer.retention.holds import hold_project, hold_run, lift_project, lift_run, list_holds
from cloister.observer.retention.named_files import files_named_by, still_named
from cloister.observer.retention.purge import PurgeReport, list_purges, purge_run
from cloister.observer.retention.tombstones import TOMBSTONES, TRASH
from cloister.observer.retention.trash import list_trash, move_to_trash, restore
from cloister.observer.retention.unfinished import finish_all
from cloister.observer.run_losses import RunLosses
from cloister.observer.run_query import RunQuery
from cloister.observer.run_registry import register_run
from cloister.observer.run_update import RunUpdate
from cloister.observer.runs import RunNotFound, RunStore
from gridfs import GridFSBucket
from interleaving import Calls, Killed, kill, watched_calls
from pymongo.database import Database
from recorded_script import RecordedScript, wait_for
from recorded_work import RecordedWork, begin_work, ship_until_done

SHARED = b"the same weights in every run" * 10_000  # two chunks
# Of the calls between which something happens; CLOISTER_TEST_STRIDE=1 tries them all, in a minute.
STRIDE = int(os.environ.get("CLOISTER_TEST_STRIDE", "5"))
OF_A_RUN = ("metric_chunks", "metric_tails", "metric_pyramid", "metric_values", "metrics", "console")


def delete_run(database: Database[dict[str, Any]], run_id: Any) -> None:
    move_to_trash(database, run_id, by="ana", trash_days=30)


def purge(database: Database[dict[str, Any]], run_id: Any) -> PurgeReport:
    delete_run(database, run_id)
    return purge_run(database, run_id, by="ana")


def left_of(database: Database[dict[str, Any]]) -> dict[str, int]:
    """All documents that any run has, by collection."""
    names = (*OF_A_RUN, "runs", TRASH, "fs.files", "fs.chunks", "uploads", CLAIMS)
    return {name: count for name in names if (count := database[name].count_documents({}))}


@pytest.fixture
def uri(own_places: Path, database: Database[dict[str, Any]], database_uri: str) -> str:
    return database_uri


def recorded(uri: str, folder: Path, own: bytes = b"", *, points: int = 20) -> RecordedWork:
    """A finished run with points, lines, a file that all runs share and one of its own."""
    work = begin_work(uri)
    work.record(points)
    work.record_file(folder, "weights.bin", SHARED)
    if own:
        work.record_file(folder, "own.bin", own)
    work.end()
    ship_until_done(uri, work.places)
    return work


def run_of(store: RunStore, work: RecordedWork) -> Any:
    run = store.find_run_by_uid(work.uid)
    assert run is not None
    return run.id


def test_a_deleted_run_is_nowhere_and_comes_back_as_it_was(store: RunStore, uri: str, tmp_path: Path) -> None:
    work = recorded(uri, tmp_path, b"own")
    database, run_id = store.database, run_of(store, work)
    before = database["runs"].find_one({"_id": run_id}, {"cloister.updated_at": 0})
    delete_run(database, run_id)
    with pytest.raises(RunNotFound):
        store.load_run(run_id)
    assert store.list_runs(RunQuery()).total == 0
    assert store.list_projects() == ()
    with pytest.raises(LookupError):
        store.load_points(run_id, "metric 0")
    (trashed,) = list_trash(database)
    assert (trashed.run.id, trashed.by, trashed.run.project) == (run_id, "ana", "faults")
    assert trashed.purge_after is not None
    assert trashed.at is not None
    assert (trashed.purge_after - trashed.at).days == 30
    restore(database, run_id)
    assert database["runs"].find_one({"_id": run_id}, {"cloister.updated_at": 0}) == before
    work.assert_stored(store)
    assert list_trash(database) == []
    with pytest.raises(NotInTrash, match="no run"):
        restore(database, run_id)


def test_every_file_that_a_run_names_is_known_to_purges(store: RunStore, uri: str, tmp_path: Path) -> None:
    """Whoever has runs name files at a new place: without a row in named_files.py a purge deletes what others need."""
    work = begin_work(uri)
    work.record(3)
    work.record_file(tmp_path, "model.bin", b"model")
    work.record_file(tmp_path, "large.bin", bytes(6 * 1024 * 1024))
    (tmp_path / "data.csv").write_bytes(b"1,2")
    work.recorder.record_resource(tmp_path / "data.csv", "data.csv")
    work.recorder.record_source("train.py", b"print()")
    work.recorder.record_attached("cloister.git.diff_file", "uncommitted.patch", b"diff", "text/x-diff")
    work.end()
    ship_until_done(uri, work.places)
    document = store.database["runs"].find_one({"cloister.uid": work.uid})
    assert document is not None
    stored = {file["_id"] for file in store.database["fs.files"].find()}
    assert len(stored) == 5
    assert files_named_by(document).ids == stored
    files = list(store.database["fs.files"].find())
    assert still_named(store.database, files, but=[]) == stored
    assert still_named(store.database, files, but=[("runs", document["_id"])]) == set()
    assert purge(store.database, document["_id"]).is_proven
    assert left_of(store.database) == {}


def test_a_purge_proves_that_nothing_is_left_and_leaves_what_others_share(
    store: RunStore, uri: str, tmp_path: Path
) -> None:
    first, second = (recorded(uri, tmp_path, own) for own in (b"of the first" * 30_000, b"of the second"))
    database, digest = store.database, hashlib.sha256(b"of the first" * 30_000).hexdigest()
    report = purge(database, run_of(store, first))
    assert report.is_proven
    assert [(file.sha256, file.chunks, file.left_chunks) for file in report.gone] == [(digest, 2, 0)]
    assert [file.sha256 for file in report.shared] == [hashlib.sha256(SHARED).hexdigest()]
    assert report.before["console"] > 0
    assert report.before["run document"] == 1
    assert report.before["fs.files"] == 2
    assert set(report.after.values()) == {0}
    assert database["fs.files"].count_documents({"cloister.sha256": digest}) == 0
    second.assert_stored(store)
    assert purge(database, run_of(store, second)).is_proven
    assert left_of(database) == {}
    assert [each.run_id for each in list_purges(database)] == [2, 1]
    for tombstone in database[TOMBSTONES].find():  # says that there was a run, and nothing of it
        assert set(tombstone) == {"_id", "run_id", "at", "state", "purge"}
    for again in (lambda: purge_run(database, 1, by="ana"), lambda: restore(database, 1)):
        with pytest.raises(NotInTrash, match="is purged"):
            again()


@dataclass
class Keeper:
    """A run whose courier stores files: what `FileShipper` does, without a journal."""

    database: Database[dict[str, Any]]
    folder: Path
    uid: str

    @property
    def run_id(self) -> Any:
        return self.database["runs"].find_one({"cloister.uid": self.uid})["_id"]  # type: ignore[index]

    def register(self) -> dict[str, Any]:
        header = {"uid": self.uid, "project": "faults", "name": "x", "experiment": "x"}
        return register_run(self.database, {**header, "start_time": datetime.now(timezone.utc)})[0]

    def store(self) -> None:
        """Store the shared bytes and name them, as a shipped batch does."""
        run = self.register()
        shipper, update = FileShipper(self.database, run, [self.folder], RunLosses(run)), RunUpdate()
        known = digest_stream(io.BytesIO(SHARED))
        copy = self.folder / "blobs" / known.sha256
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(SHARED)
        fields = {"sha256": known.sha256, "md5": known.md5, "size": known.size, "name": "weights.bin"}
        shipper.take(1, JournalRecord("artifact", 1, 0.0, fields, 0, 0), update)
        shipper.store(update)
        self.database["runs"].update_one({"_id": run["_id"]}, update.document())
        shipper.release_claim()

    def assert_kept(self, when: str) -> None:
        (artifact,) = RunStore(self.database).load_run(self.run_id).artifacts
        assert RunStore(self.database).open_blob(artifact.file_id).read() == SHARED, when


def keeper_of(database: Database[dict[str, Any]], folder: Path) -> Keeper:
    keeper = Keeper(database, folder, new_uid())
    keeper.store()
    return keeper


def keepers(database: Database[dict[str, Any]], folder: Path) -> tuple[Keeper, Keeper]:
    """One run that has the shared bytes, one that is about to store them."""
    second = Keeper(database, folder, new_uid())
    second.register()
    return keeper_of(database, folder), second


def test_whoever_stores_the_same_bytes_at_any_moment_of_a_purge_has_them(store: RunStore, tmp_path: Path) -> None:
    database, at = store.database, 0
    outcomes: set[str] = set()
    while True:
        at += STRIDE
        first, second = keepers(database, tmp_path)
        run_id = first.run_id
        delete_run(database, run_id)
        calls = Calls(at, second.store)
        with watched_calls(calls):
            report = purge_run(database, run_id, by="ana")
        if calls.count < at:
            break
        outcomes.update(file.outcome for file in report.files)
        second.assert_kept(f"stored before call {at}")
        finish_all(database)
        sweep_uploads(database)
        second.assert_kept(f"stored before call {at}, and tidied up")
        assert purge(database, second.run_id).is_proven
        assert left_of(database) == {}, f"stored before call {at}"
        database[TOMBSTONES].delete_many({})
    assert {"gone", "shared", "in use"} <= outcomes or STRIDE > 1


def test_whoever_purges_at_any_moment_of_an_upload_of_the_same_bytes_harms_nobody(
    store: RunStore, tmp_path: Path
) -> None:
    database, at = store.database, 0
    while True:
        at += STRIDE
        first, second = keepers(database, tmp_path)
        run_id = first.run_id
        calls = Calls(at, lambda run_id=run_id: purge(database, run_id))  # type: ignore[misc]
        with watched_calls(calls):
            second.store()
        second.assert_kept(f"purged before call {at}")
        if calls.count < at:
            break
        purge(database, second.run_id)
        assert left_of(database) == {}, f"purged before call {at}"


@pytest.mark.parametrize("act", ["delete", "restore", "purge"])
def test_whoever_is_killed_at_any_moment_leaves_what_the_next_start_ends(
    store: RunStore, tmp_path: Path, act: str
) -> None:
    database, at = store.database, 0
    keeper = keeper_of(database, tmp_path)
    while True:
        at += STRIDE
        run_id = keeper.run_id
        if act != "delete":
            delete_run(database, run_id)
        calls = Calls(at, kill)
        with watched_calls(calls):
            try:
                if act == "delete":
                    delete_run(database, run_id)
                elif act == "restore":
                    restore(database, run_id)
                else:
                    purge_run(database, run_id, by="ana")
            except Killed:
                pass
            else:
                break
        finish_all(database)
        states = {each["state"] for each in database[TOMBSTONES].find({"run_id": run_id})}
        assert states in (set(), {"trash"}, {"purged"}), f"killed before call {at}"
        if states == {"purged"}:
            (report,) = list_purges(database, {"run_id": run_id})
            assert report.is_proven, f"killed before call {at}"
            assert report.finished_at, f"killed before call {at}"
            assert [file.outcome for file in report.files] == ["gone"], f"killed before call {at}"
            assert left_of(database) == {}, f"killed before call {at}"
            keeper = keeper_of(database, tmp_path)
        elif states == {"trash"}:
            assert database["runs"].count_documents({}) == 0
            restore(database, run_id)
            keeper.assert_kept(f"killed before call {at}")
        else:
            assert database[TRASH].count_documents({}) == 0
            keeper.assert_kept(f"killed before call {at}")


def test_a_run_that_is_deleted_while_it_is_recorded_leaves_no_zombie(
    store: RunStore, uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database, work = store.database, begin_work(uri)
    work.record(50)
    courier = Courier(database, work.places)
    courier.ship()
    run_id = run_of(store, work)
    delete_run(database, run_id)
    work.record(50)
    courier.ship()
    stored = left_of(database)
    work.record(50)
    for _ in range(3):
        courier.ship()
    assert left_of(database) == stored  # nothing came after
    with caplog.at_level(logging.WARNING, "cloister"):
        work.recorder._tell_of_deletion()
    assert f"Run {run_id} was deleted by ana" in caplog.text
    assert "The training goes on" in caplog.text
    restore(database, run_id)  # the journal of a training that goes on has waited
    Courier(database, work.places).ship()
    assert len(store.load_points(run_id, "metric 0")) == 150
    report = purge(database, run_id)
    assert report.is_proven
    work.record(50)
    work.record_file(tmp_path, "late.bin", b"late")
    Courier(database, work.places).ship()
    work.end()
    ship_until_done(uri, work.places)
    assert left_of(database) == {}
    assert not any(path.is_file() for place in work.places for path in place.glob(f"{work.uid}/**/*"))


def test_a_training_whose_run_is_deleted_is_told_and_goes_on(
    script: RecordedScript, store: RunStore, tmp_path: Path
) -> None:
    """All of it: a training, its courier in a process of its own, the database."""
    go = tmp_path / "go"
    work = f"""
        import pathlib, time
        from cloister import experiment

        @experiment(project="faults", hardware=False)
        def train(run):
            step = 0
            while not pathlib.Path({str(go)!r}).exists():
                run.log({{"loss": 1.0}}, step=step)
                print("step", step, flush=True)
                step += 1
                time.sleep(0.02)
            return "done"

        train()
    """
    process = script.start(work, env={"CLOISTER_BEAT_INTERVAL": "0.5"})
    database = store.database
    wait_for(lambda: database["metric_tails"].count_documents({}) > 0, "a point is stored")
    report = purge(database, database["runs"].find_one({}, {"_id": 1})["_id"])  # type: ignore[index]
    assert report.is_proven
    assert process.stderr is not None
    told = next(line for line in process.stderr if "was deleted" in line)
    assert "The training goes on." in told
    go.touch()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    script.wait_until_shipped()
    assert left_of(database) == {}


def test_a_download_that_a_purge_overtakes_ends_without_a_wrong_byte(store: RunStore, tmp_path: Path) -> None:
    file_id = GridFSBucket(store.database).upload_from_stream("large.bin", bytes(5 * CHUNK_BYTES))
    keeper = Keeper(store.database, tmp_path, new_uid())
    run_id = keeper.register()["_id"]
    artifacts = [{"name": "large.bin", "file_id": file_id}]
    store.database["runs"].update_one({"_id": run_id}, {"$set": {"artifacts": artifacts}})
    blob = store.open_blob(file_id)
    assert blob.read(1000) == bytes(1000)
    assert purge(store.database, run_id).is_proven
    with pytest.raises(DamagedBlob, match="is missing"):
        blob.read()
    with pytest.raises(RunNotFound):
        delete_run(store.database, run_id)


def test_a_batch_that_is_under_way_while_its_run_is_purged_leaves_nothing(
    store: RunStore, uri: str, tmp_path: Path
) -> None:
    database, at = store.database, 0
    while True:
        at += 3 * STRIDE
        work = begin_work(uri)
        work.record(5)
        ship = Courier(database, work.places)
        ship.ship()
        run_id = run_of(store, work)
        work.record(200)
        work.record_file(tmp_path, "late.bin", b"late")
        work.recorder.record_points({f"new {at}": 1.0}, 1)
        calls = Calls(at, lambda run_id=run_id: purge(database, run_id))  # type: ignore[misc]
        with watched_calls(calls):
            ship.ship()
        work.end()
        ship_until_done(uri, work.places)
        if calls.count < at:
            break
        assert left_of(database) == {}, f"purged before call {at}"


def test_legal_hold_keeps_a_run_from_everybody(store: RunStore, uri: str, tmp_path: Path) -> None:
    database, work = store.database, recorded(uri, tmp_path, points=1)
    run_id = run_of(store, work)
    assert hold_run(database, run_id, by="lex", reason="case 12")
    assert not hold_run(database, run_id, by="lex", reason="again")
    with pytest.raises(RunHeld, match="set by lex on the run"):
        delete_run(database, run_id)
    assert lift_run(database, run_id)
    assert hold_project(database, "faults", by="lex", reason="audit")
    with pytest.raises(RunHeld, match="project 'faults'"):
        delete_run(database, run_id)
    assert [(hold.project, hold.run_id, hold.reason) for hold in list_holds(database)] == [("faults", None, "audit")]
    assert lift_project(database, "faults")
    delete_run(database, run_id)
    assert hold_run(database, run_id, by="lex", reason="case 12")  # in the trash too
    (hold,) = list_holds(database)
    assert hold.in_trash
    with pytest.raises(RunHeld):
        purge_run(database, run_id, by="ana")
    (trashed,) = list_trash(database)
    assert trashed.is_held
    restore(database, run_id)
    work.assert_stored(store)


def test_runs_of_sacreds_are_deleted_without_harm_to_others_of_their_id(store: RunStore) -> None:
    database = store.database
    bucket = GridFSBucket(database)
    own, shared = (bucket.upload_from_stream(name, name.encode()) for name in ("own", "shared"))
    metric = ObjectId()

    def sacreds_run(run_id: Any, files: list[Any], metric_id: ObjectId) -> dict[str, Any]:
        artifacts = [{"name": str(number), "file_id": each} for number, each in enumerate(files)]
        return {
            "_id": run_id,
            "experiment": {"name": "old", "sources": [["train.py", files[-1]]]},
            "status": "COMPLETED",
            "config": {},
            "artifacts": artifacts,
            "info": {"metrics": [{"name": "loss", "id": str(metric_id)}]},
            "captured_out": "hello",
        }

    odd = bucket.upload_from_stream("odd", b"odd")
    database["runs"].insert_many([sacreds_run(1, [own, shared, odd], metric), sacreds_run(2, [shared], ObjectId())])
    database["runs"].insert_one({**sacreds_run("odd", [shared], metric), "artifacts": {"file_id": odd}})  # no list
    database["metrics"].insert_one({"_id": metric, "run_id": 1, "name": "loss", "steps": [1], "values": [1.0]})
    delete_run(database, 1)
    later = ObjectId()  # Sacred gives the highest id plus one, so it may give one again
    database["runs"].insert_one(sacreds_run(1, [shared], later))
    database["metrics"].insert_one({"_id": later, "run_id": 1, "name": "loss", "steps": [1], "values": [2.0]})
    with pytest.raises(IdTaken):
        restore(database, 1)
    report = purge_run(database, 1, by="ana")
    assert report.is_proven
    assert {file["_id"] for file in database["fs.files"].find()} == {shared, odd}
    assert [each["_id"] for each in database["metrics"].find()] == [later]
    assert store.load_run(1).id == 1
    now = datetime.now(timezone.utc)
    database["runs"].update_one({"_id": 2}, {"$set": {"status": "RUNNING", "heartbeat": now, "start_time": now}})
    with pytest.raises(RecordedElsewhere, match="End the training first"):
        delete_run(database, 2)
