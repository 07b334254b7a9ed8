"""`cloister adopt` of folders that Sacred's observers have filled: whole, damaged, hostile; and of its failure_dir."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from adopted_reading import adopt, content_of, read_all
from cloister.observer.adoption.json_files import completed
from cloister.observer.embedded.server import EmbeddedServer
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from pymongo.database import Database
from sacred_recorded import SacredRecorded, recorded_by_sacred

Documents = Database[dict[str, Any]]


@pytest.fixture(scope="module")
def recorded(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> SacredRecorded:
    return recorded_by_sacred(mongod, tmp_path_factory)


@pytest.fixture
def files(recorded: SacredRecorded, tmp_path: Path) -> Path:
    return recorded.copy_folder("files", tmp_path)


@pytest.fixture
def tiny(recorded: SacredRecorded, tmp_path: Path) -> Path:
    return recorded.copy_folder("tiny", tmp_path)


def digest(store: RunStore, file_id: Any) -> str:
    return hashlib.sha256(store.open_blob(file_id).read()).hexdigest()


# ---- FileStorageObserver


def test_runs_of_a_file_storage_are_read_as_sacred_recorded_them(
    files: Path, recorded: SacredRecorded, store: RunStore, database_uri: str
) -> None:
    done = adopt(files, uri=database_uri)
    assert done.returncode == 0, done.said
    assert "Adopted 3 runs" in done.said
    run = store.load_run(1)
    assert (run.status, run.project, run.config["lr"], run.result) == ("completed", "digits", 0.1, 0.25)
    assert run.config["layers"] == {"first": [8, 16]}
    assert (run.info["shape"], run.info["weights"]) == ([3, 4], [0.0, 1.0, 2.0])
    points = store.load_points(1, "loss")
    assert points.values.tolist() == [1 / (step + 1) for step in range(50)]
    written = json.loads((files / "1" / "metrics.json").read_text(encoding="utf-8"))["loss"]["timestamps"]
    times = [datetime.datetime.fromisoformat(f"{time}+00:00").timestamp() for time in written]
    assert points.wall_times.tolist() == times
    assert "trained" in store.load_console(1).pieces[0].text
    model = recorded.folder / "model.bin"
    assert {entry.name: digest(store, entry.file_id) for entry in run.artifacts} == {
        "model.bin": hashlib.sha256(model.read_bytes()).hexdigest(),
        "table.csv": hashlib.sha256(b"1,2\n").hexdigest(),
    }
    assert [Path(entry.path).name for entry in run.sources] == ["sacred_recordings.py"]
    [resource] = run.resources
    assert Path(resource.path).name == "data.csv"
    assert digest(store, resource.file_id) == hashlib.sha256(b"1,2\n").hexdigest()
    failed = store.load_run(2)
    assert (failed.status, "Boom" in "".join(failed.fail_trace)) == ("failed", True)
    assert store.load_run("the best").info["when"] == {"epochs": [1, 2]}


def test_a_second_import_does_nothing_and_a_dry_run_changes_nothing(
    files: Path, database: Documents, database_uri: str
) -> None:
    before = content_of(database)
    rehearsed = adopt(files, "--dry-run", uri=database_uri)
    assert "Would adopt 3 runs" in rehearsed.said
    assert content_of(database) == before
    assert adopt(files, uri=database_uri).returncode == 0
    after = content_of(database)
    assert "Nothing to do: 3 runs" in adopt(files, uri=database_uri).said
    assert content_of(database) == after


def test_the_folder_of_one_run_and_chosen_runs_can_be_given(
    files: Path, database: Documents, database_uri: str
) -> None:
    assert "Adopted 1 run" in adopt(files / "2", uri=database_uri).said
    assert "Adopted 1 run" in adopt(files, "--run", "the best", "--project", "chosen", uri=database_uri).said
    runs = list(database["runs"].find().sort("start_time", 1))
    assert [(run["_id"], run["cloister"]["project"]) for run in runs] == [(2, "digits"), ("the best", "chosen")]


def test_a_run_that_is_in_the_database_too_is_adopted_once(files: Path, database: Documents, database_uri: str) -> None:
    """Two observers record the same run: one is enough."""
    assert adopt(files / "1", uri=database_uri).returncode == 0
    run = database["runs"].find_one({"_id": 1}) or {}
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.adopted.kind": "database"}})
    again = adopt(files, uri=database_uri)
    assert "Adopted 2 runs" in again.said
    assert "Adopted before, from another place: run 1." in again.said
    assert database["runs"].count_documents({"cloister.uid": run["cloister"]["uid"]}) == 1


def test_a_run_that_goes_on_is_imported_again_once_it_has_ended(
    files: Path, store: RunStore, database_uri: str
) -> None:
    path = files / "1" / "run.json"
    ended = json.loads(path.read_text(encoding="utf-8"))
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()
    going_on = {**ended, "status": "RUNNING", "heartbeat": now, "stop_time": None}
    path.write_text(json.dumps(going_on), encoding="utf-8")
    assert "Left alone, as they are being recorded: 1." in adopt(files, uri=database_uri).said
    path.write_text(json.dumps({**going_on, "heartbeat": "2024-01-01T00:00:00"}), encoding="utf-8")
    assert "Adopted 1 run" in adopt(files, uri=database_uri).said
    assert store.load_run(1).status == "lost"
    path.write_text(json.dumps(ended), encoding="utf-8")
    assert "had been adopted before and had gone on since" in adopt(files, uri=database_uri).said
    assert store.load_run(1).status == "completed"


def test_half_written_files_cost_what_is_missing_and_are_named(files: Path, store: RunStore, database_uri: str) -> None:
    for name, size in (("metrics.json", 2000), ("config.json", 30), ("info.json", 3)):
        path = files / "1" / name
        path.write_bytes(path.read_bytes()[:size])
    (files / "2" / "run.json").write_bytes(b"\x00\xff not json")
    (files / "the best" / "config.json").unlink()
    (files / "9").mkdir()
    (files / "9" / "config.json").write_text("{}", encoding="utf-8")
    (files / "notes").mkdir()
    done = adopt(files, uri=database_uri)
    assert done.returncode == 0, done.said
    assert "Adopted 2 runs" in done.said
    assert "run 1: metrics.json ends in the middle (2,000 bytes)" in done.said
    assert "run 1: config.json ends in the middle" in done.said
    assert "The run in folder '2' is left out: run.json is no JSON" in done.said
    assert "The run in folder '9' is left out: it has no run.json" in done.said
    assert "run id:the%20best: it has no config.json" in done.said
    assert "notes" not in done.said
    points = store.load_points(1, "loss")
    assert len(points) == 0 or points.values.tolist() == [1 / (step + 1) for step in range(len(points))]
    assert store.load_run(1).status == "completed"


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ('{"a": [1, 2, 3', '{"a": [1, 2]}'),
        ('{"a": {"b": [1.5, ', '{"a": {"b": [1.5]}}'),
        ('{"a": 1, "b": "text, with } signs", "c', '{"a": 1, "b": "text, with } signs"}'),
        ('{"a": "cut, in the [middle', "{}"),
        ('{"a": "ends with a \\"', "{}"),
        ('{"a": [', '{"a": []}'),
        ('{"a": true, "b": nul', '{"a": true}'),
        ("[[1], [2", "[[1], []]"),
    ],
)
def test_json_that_was_cut_is_completed(cut: str, whole: str) -> None:
    assert json.loads(completed(cut)) == json.loads(whole)


@pytest.mark.parametrize("text", ["", "nothing", "}", "[}", '"'])
def test_what_is_no_beginning_of_json_is_not_completed(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        completed(text)


def test_a_queued_run_of_a_file_storage_brings_its_code(tmp_path: Path, store: RunStore, database_uri: str) -> None:
    code = b"print('later')\n"
    sources = [("train.py", code), ("parts/data.py", b"first"), ("other/data.py", b"second"), ("lost.py", b"")]
    run = {
        "experiment": {
            "name": "digits",
            "mainfile": "train.py",
            "sources": [{"py/tuple": [path, hashlib.md5(data).hexdigest()]} for path, data in sources],
        },
        "command": "main",
        "status": "QUEUED",
    }
    folder = tmp_path / "runs" / "4"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "train.py").write_bytes(code)
    (folder / "data.py").write_bytes(b"second")  # Sacred copies all of them into one folder, by their last names

    done = adopt(tmp_path / "runs", uri=database_uri)

    assert done.returncode == 0, done.said
    found = store.load_run(4)
    assert (found.status, [source.path for source in found.sources]) == ("queued", ["train.py", "other/data.py"])
    assert digest(store, found.sources[0].file_id) == hashlib.sha256(code).hexdigest()
    assert "its source 'parts/data.py' is not the file that lies there under this name" in done.said
    assert "lost.py" in done.said


def test_links_and_paths_that_leave_the_folder_are_refused(
    files: Path, store: RunStore, database_uri: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret", encoding="utf-8")
    run = files / "1"
    entry = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "link.txt").symlink_to(secret)
    (run / "folder").symlink_to(tmp_path)
    hostile = ["link.txt", "folder/secret.txt", "../../secret.txt", str(secret), "pipe", "", "a\0b", "sub/../../../x"]
    entry["artifacts"] += hostile
    entry["experiment"]["sources"] += [
        ["x.py", "../secret.txt"],
        ["y.py", str(secret)],
        ["z.py", "_sources/../../secret.txt"],
    ]
    entry["resources"] += [["r", "../secret.txt"]]
    (run / "run.json").write_text(json.dumps(entry), encoding="utf-8")
    (run / "cout.txt").unlink()
    (run / "cout.txt").symlink_to(secret)
    (run / "info.json").unlink()
    (run / "info.json").symlink_to(secret)
    shutil.copytree(run, files / "7", symlinks=True)
    (files / "7" / "run.json").unlink()
    (files / "7" / "run.json").symlink_to(run / "run.json")
    (files / "8").symlink_to(run)
    os.mkfifo(run / "pipe")
    done = adopt(files, uri=database_uri)
    assert done.returncode == 0, done.said
    assert "Adopted 3 runs" in done.said
    for said in (
        "'1/link.txt' is not read: it is a link",
        "'1/../../secret.txt' is not read: it leads out of the folder",
    ):
        assert said in done.said
    assert done.said.count("is not read") >= len(hostile)
    for digest_of in store.database["fs.files"].distinct("cloister.sha256"):
        assert digest_of != hashlib.sha256(b"the secret").hexdigest()
    found = read_all(store)
    assert "the secret" not in str(found)
    assert sorted(map(str, found)) == ["1", "2", "the best"]
    assert {entry.name for entry in store.load_run(1).artifacts if entry.file_id is not None} == {
        "model.bin",
        "table.csv",
    }


def test_a_metric_of_a_million_points_is_imported(files: Path, store: RunStore, database_uri: str) -> None:
    count = 400_000  # more than a document of Sacred's holds
    steps = list(range(count))
    (files / "1" / "metrics.json").write_text(
        json.dumps({"loss": {"steps": steps, "values": [float(step) for step in steps], "timestamps": []}}),
        encoding="utf-8",
    )
    done = adopt(files / "1", uri=database_uri)
    assert done.returncode == 0, done.said
    assert store.load_points(1, "loss").values.tolist() == steps
    stored = store.database["metrics"].find_one({"run_id": 1}) or {}
    assert (stored["cloister"]["count"], stored["cloister"]["thinned"]) == (count, True)
    assert (min(stored["values"]), max(stored["values"])) == (0.0, count - 1.0)


# ---- TinyDbObserver


def test_runs_of_a_tinydb_are_read_as_sacred_recorded_them(tiny: Path, store: RunStore, database_uri: str) -> None:
    done = adopt(tiny, uri=database_uri)
    assert done.returncode == 0, done.said
    assert "Adopted 2 runs" in done.said
    runs = [store.load_run(run_id) for run_id in store.database["runs"].distinct("_id")]
    assert sorted(run.config["number"] for run in runs) == [0, 1]
    for run in runs:
        assert (run.status, run.project, run.result) == ("completed", "tiny", {"accuracy": 0.5})
        assert run.info["when"] == {"epochs": [1, 2]}
        assert (run.start_time is not None, run.stop_time is not None) == (True, True)
        assert "plain" in store.load_console(run.id).pieces[0].text
        assert [(entry.name, digest(store, entry.file_id)) for entry in run.artifacts] == [
            ("data.csv", hashlib.sha256(b"1,2\n").hexdigest())
        ]
        assert [Path(entry.path).name for entry in run.sources] == ["sacred_recordings.py"]
        assert [digest(store, entry.file_id) for entry in run.resources] == [hashlib.sha256(b"1,2\n").hexdigest()]
    assert "Nothing to do: 2 runs" in adopt(tiny, uri=database_uri).said


def test_a_tinydb_with_odd_entries_is_imported_as_far_as_it_goes(
    tiny: Path, store: RunStore, database_uri: str
) -> None:
    path = tiny / "metadata.json"
    tables = json.loads(path.read_text(encoding="utf-8"))
    first = next(iter(tables["runs"].values()))
    first["artifacts"].append(["evil", "/etc/passwd", "../../../etc/passwd", '{TinyFile}:"../../../etc/passwd"'])
    first["artifacts"].append(["gone", "x", "0" * 32, f'{{TinyFile}}:"{"0" * 32}"'])
    first["info"] = {
        "array": "{TinyArray}:[1.0, 2.0]",
        "table": '{TinyDataFrame}:{"a": {"0": 1}}',
        "bad": "{TinyDate}:no",
    }
    tables["runs"]["9"] = "no run"
    path.write_text(json.dumps(tables), encoding="utf-8")
    done = adopt(tiny, uri=database_uri)
    assert done.returncode == 0, done.said
    assert "Entry '9' of metadata.json is left out" in done.said
    assert "the artifact 'evil' names no file" in done.said
    assert "it is not there" in done.said
    run = store.load_run(first["_id"])
    assert run.info["array"] == [1.0, 2.0]
    assert run.info["table"] == {"a": {"0": 1}}
    assert run.info["bad"] == "no"


# ---- failure_dir


def test_a_pickle_of_a_failure_dir_gives_its_run_its_end(
    recorded: SacredRecorded, database: Documents, database_uri: str
) -> None:
    recorded.copy_into(database)
    failures = recorded.folder / "failures"
    assert (database["runs"].find_one({"_id": 5}) or {})["status"] == "RUNNING"
    before = content_of(database)
    assert "would get its end" in adopt(failures, "--dry-run", "--into", database_uri).said
    assert content_of(database) == before
    done = adopt(failures, "--into", database_uri)
    assert done.returncode == 0, done.said
    assert "Run 5 has got its end from sacred_mongo_fail_5_" in done.said
    store = RunStore(database)
    run = store.load_run(5)
    assert (run.status, run.info["reached"], run.uid is not None) == ("failed", "the end", True)
    assert "Boom" in "".join(run.fail_trace)
    assert store.load_points(5, "loss").values.tolist() == [1.5]
    assert [digest(store, entry.file_id) for entry in run.artifacts] == [hashlib.sha256(b"1,2\n").hexdigest()]
    after = content_of(database)
    assert "has its end already" in adopt(failures, "--into", database_uri).said
    assert content_of(database) == after


def test_a_pickle_of_a_run_that_the_database_does_not_have_is_imported(
    recorded: SacredRecorded, database: Documents, database_uri: str
) -> None:
    [pickle] = (recorded.folder / "failures").iterdir()
    done = adopt(pickle, uri=database_uri)
    assert done.returncode == 0, done.said
    run = RunStore(database).load_run(5)
    assert (run.status, run.info["reached"]) == ("failed", "the end")
    assert "the database holds no file" in done.said
    assert "Nothing to do" in adopt(pickle, uri=database_uri).said or "already" in adopt(pickle, uri=database_uri).said


def test_hostile_pickles_in_a_failure_dir_are_refused_and_the_others_read(
    recorded: SacredRecorded, tmp_path: Path, database: Documents, database_uri: str
) -> None:
    failures = recorded.copy_folder("failures", tmp_path)
    trace = tmp_path / "trace"
    call = f"cposix\nsystem\n(S'touch {trace}'\ntR.".encode()
    (failures / "sacred_mongo_fail_6_x.pickle").write_bytes(call)
    (failures / "sacred_mongo_fail_7_x.pickle").write_bytes(b"\x80\x04}.")
    (failures / "sacred_mongo_fail_8_x.pickle").symlink_to(failures / "sacred_mongo_fail_6_x.pickle")
    done = adopt(failures, "--into", database_uri)
    assert done.returncode == 1
    assert "sacred_mongo_fail_6_x.pickle: It is not read: it names posix.system" in done.said
    assert "sacred_mongo_fail_7_x.pickle: It holds no run" in done.said
    assert not trace.exists()
    assert [run["_id"] for run in database["runs"].find()] == [5]


# ---- the embedded database


def test_a_folder_goes_into_the_embedded_database_where_no_other_is_set(files: Path, home: Path) -> None:
    assert "Would adopt 3 runs" in adopt(files, "--dry-run").said
    assert not home.exists()
    done = adopt(files)
    try:
        assert done.returncode == 0, done.said
        assert "into the embedded database" in done.said
        with RunStore.connect() as store:
            assert store.load_points(1, "loss").values.tolist() == [1 / (step + 1) for step in range(50)]
        assert "Nothing to do" in adopt(files, "--into", "embedded", uri="mongodb://127.0.0.1:9/elsewhere").said
    finally:
        EmbeddedServer(load_settings()).stop()
