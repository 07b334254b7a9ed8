"""Files in the database: whole or not there, however often their upload is cut; nothing is left of those given up."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import store_blob
from cloister.observer import courier
from cloister.observer.blob_upload import BlobSource, BlobUpload, DigestMismatch, store_small_blobs, sweep_uploads
from cloister.observer.blobs import CHUNK_BYTES, Digests, digest_stream
from cloister.observer.file_shipper import FileShipper
from cloister.observer.run_losses import RunLosses
from cloister.observer.runs import RunStore
from gridfs import GridFSBucket
from pymongo.database import Database
from recorded_work import begin_work, ship_until_done

MIB = 1024 * 1024


def source_of(path: Path, content: bytes) -> BlobSource:
    path.write_bytes(content)
    with path.open("rb") as stream:
        return BlobSource(path, digest_stream(stream), path.name, "application/x-test")


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 9 * MIB])
def test_a_stored_file_is_read_back_by_us_and_by_gridfs(store: RunStore, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    source = source_of(tmp_path / "model.bin", content)
    file_id = store_blob(store.database, source.path, source.digests, "model.bin", None)
    assert store.open_blob(file_id).read() == content
    assert GridFSBucket(store.database).open_download_stream(file_id).read() == content
    assert store.database["uploads"].count_documents({}) == 0


def test_an_upload_that_was_cut_goes_on_behind_its_last_chunk(store: RunStore, tmp_path: Path) -> None:
    content = os.urandom(30 * MIB)
    source = source_of(tmp_path / "model.bin", content)
    first = BlobUpload(store.database, source)
    while first.stored_bytes < 10 * MIB:
        first.advance(0.0)
    assert store.database["fs.files"].count_documents({}) == 0  # half a file is no file
    known = {chunk["_id"] for chunk in store.database["fs.chunks"].find({}, {"_id": 1})}
    file_id = BlobUpload(store.database, source).advance()
    assert store.open_blob(file_id).read() == content
    assert known <= {chunk["_id"] for chunk in store.database["fs.chunks"].find({}, {"_id": 1})}


def test_whoever_finds_a_file_whole_takes_back_the_mark_of_its_upload(store: RunStore, tmp_path: Path) -> None:
    large, small = (source_of(tmp_path / name, os.urandom(1000)) for name in ("large", "small"))
    ids = [BlobUpload(store.database, large).advance(), *store_small_blobs(store.database, [small]).values()]
    # As after an insert whose writer was told of no success, or died before it took back the mark.
    store.database["uploads"].insert_many({"_id": file_id, "at": datetime.now(timezone.utc)} for file_id in ids)
    BlobUpload(store.database, large).advance()
    store_small_blobs(store.database, [small])
    assert store.database["uploads"].count_documents({}) == 0


def test_writers_of_the_same_bytes_at_once_store_them_once(store: RunStore, tmp_path: Path) -> None:
    content = os.urandom(20 * MIB)
    sources = [source_of(tmp_path / f"copy-{number}", content) for number in range(3)]
    ids: list[Any] = []
    threads = [
        threading.Thread(target=lambda source=source: ids.append(BlobUpload(store.database, source).advance()))
        for source in sources
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert store.database["fs.files"].count_documents({}) == 1
    assert store.database["fs.chunks"].count_documents({}) == -(-len(content) // CHUNK_BYTES)
    assert store.open_blob(ids[0]).read() == content


def test_a_copy_that_has_changed_is_not_stored(store: RunStore, tmp_path: Path) -> None:
    source = source_of(tmp_path / "model.bin", os.urandom(6 * MIB))
    with source.path.open("r+b") as file:
        file.seek(5 * MIB)
        file.write(b"changed")
    with pytest.raises(DigestMismatch, match="has changed since it was recorded"):
        BlobUpload(store.database, source).advance()
    assert store_small_blobs(store.database, [source]) == {}
    assert store.database["fs.chunks"].count_documents({}) == 0
    assert store.database["fs.files"].count_documents({}) == 0


def test_a_sweep_takes_what_was_given_up_and_nothing_else(store: RunStore, tmp_path: Path) -> None:
    whole = source_of(tmp_path / "whole", os.urandom(6 * MIB))
    BlobUpload(store.database, whole).advance()
    given_up = BlobUpload(store.database, source_of(tmp_path / "given-up", os.urandom(20 * MIB)))
    while given_up.stored_bytes < 5 * MIB:
        given_up.advance(0.0)
    assert sweep_uploads(store.database) == 0  # it may go on
    assert sweep_uploads(store.database, timedelta(seconds=-1)) == 1
    assert store.database["fs.chunks"].distinct("files_id") == [whole.file_id]
    assert store.database["uploads"].count_documents({}) == 0

    # Who goes on all the same finds out what is missing before there is a file.
    file_id = given_up.advance()
    assert store.open_blob(file_id).read() == (tmp_path / "given-up").read_bytes()


def test_a_sweep_that_died_is_finished_by_the_next_upload(store: RunStore, tmp_path: Path) -> None:
    source = source_of(tmp_path / "model.bin", os.urandom(9 * MIB))
    cut = BlobUpload(store.database, source)
    while cut.stored_bytes == 0:
        cut.advance(0.0)
    store.database["uploads"].update_many({}, {"$set": {"sweeping": True}})
    file_id = BlobUpload(store.database, source).advance()
    assert store.open_blob(file_id).read() == source.path.read_bytes()
    assert store.database["uploads"].count_documents({}) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_large_artifact_arrives_whole_although_its_courier_is_killed_again_and_again(
    store: RunStore, database_uri: str, tmp_path: Path
) -> None:
    work = begin_work(database_uri)
    work.record(100)
    work.record_file(tmp_path, "model.bin", random.Random(0).randbytes(24 * MIB))
    work.record_file(tmp_path, "small.txt", b"small")
    work.record(100)
    work.end()
    program = textwrap.dedent(
        """
        import sys
        from recorded_work import ship_until_done
        from pathlib import Path
        print("ready", flush=True)
        ship_until_done(sys.argv[1], tuple(map(Path, sys.argv[2:])))
        """
    )
    chance = random.Random(1)
    kills = 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    while True:
        command = [sys.executable, "-c", program, database_uri, *map(str, work.places)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(chance.uniform(0.02, 0.25) if kills < 5 else 60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        finally:
            process.stdout.close()
        listed = list(store.database["fs.files"].find({}))
        for document in listed:
            chunks = store.database["fs.chunks"].find({"files_id": document["_id"]}, {"data": 1})
            assert sum(len(chunk["data"]) for chunk in chunks) == document["length"]
        if process.returncode == 0:
            break
    assert kills > 2
    work.assert_stored(store)
    assert not any(place.exists() and any(place.iterdir()) for place in work.places[:1])


@pytest.mark.usefixtures("home")
def test_points_arrive_while_a_large_file_is_on_its_way(
    store: RunStore, database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "FILE_SECONDS", 0.0)
    work = begin_work(database_uri)
    work.record_file(tmp_path, "model.bin", os.urandom(20 * MIB))
    work.record(50)
    courier.Courier(store.database, work.places).ship()
    run = store.find_run_by_uid(work.uid)
    assert run is not None
    assert len(store.load_points(run.id, "metric 0")) == 50
    assert store.load_run(run.id).artifacts == ()
    work.end()
    ship_until_done(database_uri, work.places)
    work.assert_stored(store)


def test_hundreds_of_small_files_take_a_handful_of_round_trips(
    store: RunStore, database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    sources = [source_of(tmp_path / f"source {number}", b"content %d" % number) for number in range(300)]
    gone = BlobSource(tmp_path / "gone", Digests("0" * 64, "0" * 32, 4), "gone", None)
    before = database.client.admin.command("serverStatus")["opcounters"]
    ids = store_small_blobs(database, [*sources, gone])
    after = database.client.admin.command("serverStatus")["opcounters"]
    assert set(ids) == {source.digests.sha256 for source in sources}
    assert store.open_blob(ids[sources[7].digests.sha256]).read() == b"content 7"
    assert sum(after[kind] - before[kind] for kind in ("query", "command")) < 60  # monitoring included
    assert store_small_blobs(database, sources) == ids


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("size", [pytest.param(1000, id="small"), pytest.param(5 * MIB, id="large")])
@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_file_whose_copy_is_spoilt_is_counted_as_lost(
    store: RunStore, database_uri: str, tmp_path: Path, size: int, harm: str
) -> None:
    work = begin_work(database_uri)
    work.record_file(tmp_path, "model.bin", os.urandom(size))
    [copy] = [path for place in work.places for path in place.glob("*/blobs/*")]
    copy.unlink() if harm == "gone" else copy.write_bytes(b"other bytes")
    work.end()
    ship_until_done(database_uri, work.places)
    found = store.find_run_by_uid(work.uid)
    assert found is not None
    run = store.load_run(found.id)
    assert [artifact.name for artifact in run.artifacts] == ["model.bin"]
    assert run.lost["bytes"] == size
    document = store.database["runs"].find_one({"_id": run.id})
    assert document is not None
    assert document["artifacts"] == []  # Omniboard's server ends over a file that is named and not there


@pytest.mark.usefixtures("home")
def test_a_copy_that_another_shipper_has_stored_and_removed_is_no_loss(
    store: RunStore, database_uri: str, tmp_path: Path
) -> None:
    source = source_of(tmp_path / "model", os.urandom(5 * MIB))
    note = {"fields": {**vars(source.digests), "name": "model"}, "kind": "artifact"}
    shipper = FileShipper(store.database, {"_id": 1, "cloister": {}}, (tmp_path,), RunLosses({"cloister": {}}))
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / source.digests.sha256).write_bytes(source.path.read_bytes())
    upload = BlobUpload(store.database, shipper._source(note))
    upload.advance(0.0)  # has looked, and found nothing stored
    file_id = store_blob(store.database, source.path, source.digests, "model", None)
    (blobs / source.digests.sha256).unlink()
    while not upload.is_over:
        found = shipper._go_on(upload, 1.0)
    assert found == file_id
