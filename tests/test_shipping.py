"""From the journal into MongoDB: complete and exactly once, whoever dies and whatever is out of reach meanwhile."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
from cloister.observer.courier_launch import held_lock
from cloister.observer.journal_places import journal_places
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from conftest import free_port, running_mongod
from recorded_script import RecordedScript, wait_for

POINTS = 3000
PACED = f"""
    import os, time
    from cloister import experiment

    PAUSE = float(os.environ.get("PAUSE", "0.005"))

    @experiment(project="shipping", hardware=False)
    def train(run):
        for step in range({POINTS}):
            run.log({{"loss": step / 2, "acc": -float(step)}}, step=step)
            if step % 10 == 0:
                print("step", step, flush=True)
                time.sleep(PAUSE)

    train()
"""


def sync(script: RecordedScript, uri: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloister", "sync"],
        env={**os.environ, "CLOISTER_URI": uri or script.uri},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def courier_pids(home: Path) -> list[int]:
    pattern = f"observer.courier_process.*{re.escape(str(home))}"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False).stdout.split()
    return [int(pid) for pid in found]


def assert_complete(script: RecordedScript, *, lines: bool = True) -> None:
    run = script.only_run()
    losses = script.store.load_points(run.id, "loss")
    assert losses.steps.tolist() == list(range(POINTS))
    assert losses.values.tolist() == [step / 2 for step in range(POINTS)]
    assert script.store.load_points(run.id, "acc").values.tolist() == [-float(step) for step in range(POINTS)]
    assert run.summary["loss"].count == POINTS
    if lines:
        pieces = script.store.load_console(run.id, limit=5000).pieces
        text = "".join(piece.text for piece in pieces if piece.stream == "stdout")  # stderr has our own warnings
        assert text == "".join(f"step {step}\n" for step in range(0, POINTS, 10))
        assert run.console_lines >= POINTS // 10


def test_a_courier_killed_again_and_again_loses_and_doubles_nothing(script: RecordedScript, home: Path) -> None:
    process = script.start(PACED, env={"PAUSE": "0.02"})
    assert process.stdout is not None
    kills = 0
    for line in process.stdout:
        if line.startswith("step") and int(line.split()[1]) % 300 == 0:
            for pid in courier_pids(home):
                os.kill(pid, signal.SIGKILL)
                kills += 1
    process.communicate()
    assert process.returncode == 0
    assert kills > 1
    if script.runs() == [] or script.only_run().status != "completed":
        sync(script)
    script.wait_until_shipped()
    assert_complete(script)
    assert script.only_run().status == "completed"


def test_a_training_killed_with_its_courier_is_complete_up_to_there_after_sync(
    script: RecordedScript, home: Path
) -> None:
    process = script.start(PACED)
    assert process.stdout is not None
    accepted = 0
    for line in process.stdout:
        accepted = int(line.split()[1])
        if accepted >= 1500:
            break
    process.kill()
    for pid in courier_pids(home):
        os.kill(pid, signal.SIGKILL)
    process.communicate()

    assert sync(script).returncode == 0
    run = script.only_run()
    points = script.store.load_points(run.id, "loss")
    assert len(points) >= accepted
    assert points.steps.tolist() == list(range(len(points)))
    text = "".join(piece.text for piece in script.store.load_console(run.id).pieces)
    assert f"step {accepted - 10}\n" in text  # the print of the last one had not returned yet when we read it


def test_a_database_that_is_down_costs_one_warning_and_the_next_sync_ships_the_run(tmp_path: Path, home: Path) -> None:
    port = free_port()
    uri = f"mongodb://ana:s3cret@127.0.0.1:{port}/late?directConnection=true&authSource=admin"
    nowhere: pymongo.MongoClient = pymongo.MongoClient(uri, connect=False)
    script = RecordedScript(tmp_path / "project", uri, RunStore(nowhere["late"]))
    finished = script.run(PACED, env={"CLOISTER_EXIT_WAIT": "4"})
    nowhere.close()

    assert finished.returncode == 0
    assert finished.stdout.endswith(f"step {POINTS - 10}\n")
    assert "s3cret" not in finished.stderr
    [warning] = finished.stderr.strip().splitlines()
    assert f"127.0.0.1:{port}" in warning
    assert str(home) in warning
    assert "cloister sync" in warning

    data = tmp_path / "late-data"
    data.mkdir()
    plain = f"mongodb://127.0.0.1:{port}/late?directConnection=true"
    with running_mongod(data, port=port), pymongo.MongoClient(plain, tz_aware=True) as client:
        done = sync(script, plain)
        assert done.returncode == 0, done.stderr
        assert "Shipped 1 run" in done.stderr
        late = RecordedScript(tmp_path / "project", plain, RunStore(client["late"]))
        assert_complete(late)


def test_a_database_killed_in_the_middle_of_a_run_gets_all_of_it_when_it_is_back(tmp_path: Path, home: Path) -> None:
    port = free_port()
    data = tmp_path / "data"
    data.mkdir()
    uri = f"mongodb://127.0.0.1:{port}/broken?directConnection=true"
    with running_mongod(data, port=port, end_with=signal.SIGKILL), pymongo.MongoClient(uri, connect=False) as unasked:
        process = RecordedScript(tmp_path / "project", uri, RunStore(unasked["broken"])).start(PACED)
        assert process.stdout is not None
        while "step 1000" not in process.stdout.readline():
            pass
    with running_mongod(data, port=port), pymongo.MongoClient(uri, tz_aware=True) as client:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out.endswith(f"step {POINTS - 10}\n")
        script = RecordedScript(tmp_path / "project", uri, RunStore(client["broken"]))
        sync(script)
        script.wait_until_shipped()
        assert_complete(script)
        assert script.only_run().status == "completed"


def test_sync_without_anything_to_ship_says_so(script: RecordedScript) -> None:
    done = sync(script)
    assert done.returncode == 0
    assert "Nothing to ship" in done.stderr


def test_only_one_courier_works_on_a_folder(home: Path, database_uri: str) -> None:
    folder = journal_places(load_settings(uri=database_uri))[0]
    folder.mkdir(parents=True)
    with held_lock(folder) as first, held_lock(folder) as second:
        assert first
        assert not second


def test_a_home_that_cannot_be_written_moves_the_journal_to_the_temporary_folder(
    script: RecordedScript, tmp_path: Path
) -> None:
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    finished = script.run(PACED, env={"CLOISTER_HOME": str(blocked), "TMPDIR": str(temporary)})

    assert finished.returncode == 0
    assert str(temporary) in finished.stderr
    assert_complete(script)


def test_a_training_without_any_disk_to_write_is_recorded_through_shared_memory(
    script: RecordedScript, tmp_path: Path
) -> None:
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    finished = script.run(PACED, env={"CLOISTER_HOME": str(blocked), "TMPDIR": str(blocked)})

    assert finished.returncode == 0
    assert finished.stdout.endswith(f"step {POINTS - 10}\n")
    [warning] = finished.stderr.strip().splitlines()
    assert f"cannot be written to {blocked}" in warning
    assert_complete(script)


def test_a_large_artifact_is_stored_and_read_back_in_little_memory(script: RecordedScript, home: Path) -> None:
    size_mb = 200
    source = f"""
        import hashlib, resource
        import cloister

        block = bytes(range(256)) * 4096
        with open("weights.bin", "wb") as file:
            for number in range({size_mb}):
                file.write(block[number:] + block[:number])
        with cloister.start_run(hardware=False) as run:
            run.log({{"loss": 1.0}})
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            run.log_artifact("weights.bin", "model/weights.bin")
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        run.wait_until_stored(60)
    """
    process = script.start(source)
    peaks: dict[int, int] = {}

    def watch() -> bool:
        for pid in courier_pids(home):
            status = Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else ""
            for line in status.splitlines():
                if line.startswith("VmHWM"):
                    peaks[pid] = int(line.split()[1])
        return process.poll() is not None

    wait_for(watch, "the script ends", 120)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert int(out) < 64 * 1024  # KiB more in the training
    assert max(peaks.values()) < (64 + 90) * 1024  # the courier with Python, driver and numpy is about 80 MiB before

    [artifact] = script.only_run().artifacts
    assert (artifact.name, artifact.size) == ("model/weights.bin", size_mb * 1024 * 1024)
    reading = f"""
        import hashlib, resource
        import cloister
        from bson import ObjectId

        with cloister.RunStore.connect() as store:
            digest, blob = hashlib.sha256(), store.open_blob(ObjectId("{artifact.file_id}"))
            digest.update(blob.read(1))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for piece in blob:
                digest.update(piece)
            assert digest.hexdigest() == "{artifact.sha256}"
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    read = script.run(reading, name="read.py")
    assert read.returncode == 0, read.stderr
    assert int(read.stdout) < 64 * 1024
    written = hashlib.sha256((script.folder / "weights.bin").read_bytes()).hexdigest()
    assert written == artifact.sha256


def test_an_artifact_is_stored_as_it_was_when_it_was_logged_and_once_for_equal_bytes(script: RecordedScript) -> None:
    source = """
        import os
        import cloister

        with cloister.start_run(hardware=False) as run:
            for name in ("first.txt", "second.txt"):
                with open(name, "w") as file:
                    file.write("as it was")
                run.log_artifact(name)
                os.remove(name)
            run.log_artifact("missing.txt")
    """
    finished = script.run(source)

    assert finished.returncode == 0
    assert "Artifact 'missing.txt' is not recorded: No such file or directory." in finished.stderr
    artifacts = script.only_run().artifacts
    assert [artifact.name for artifact in artifacts] == ["first.txt", "second.txt"]
    assert {script.store.open_blob(artifact.file_id).read() for artifact in artifacts} == {b"as it was"}
    stored = script.store.database["fs.files"].count_documents({"cloister.sha256": artifacts[0].sha256})
    assert stored == 1


def test_journals_are_for_their_owner_alone(home: Path, tmp_path: Path) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/nowhere"
    source = "import cloister\nwith cloister.start_run(hardware=False) as run:\n    run.log({'loss': 1})\n"
    nowhere: pymongo.MongoClient = pymongo.MongoClient(uri, connect=False)
    script = RecordedScript(tmp_path / "project", uri, RunStore(nowhere["nowhere"]))
    assert script.run(source, env={"CLOISTER_EXIT_WAIT": "1"}).returncode == 0
    nowhere.close()

    [run] = [path for path in journal_places(load_settings(uri=uri))[0].iterdir() if path.is_dir()]
    for path in (run, *run.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("courier", ["process", "thread"])
def test_forked_children_log_into_the_same_run(script: RecordedScript, courier: str) -> None:
    source = """
        import os, warnings
        import cloister

        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside threads
        with cloister.start_run(hardware=False) as run:
            run.log({"loss": 0.0}, step=0)
            children = []
            for number in range(4):
                child = os.fork()
                if child == 0:
                    run.log({f"child {number}": 1.0, "loss": float(number)}, step=number)
                    os._exit(0)
                children.append(child)
            for child in children:
                os.waitpid(child, 0)
            run.log({"loss": 9.0}, step=9)
        assert run.wait_until_stored()
    """
    finished = script.run(source, env={"CLOISTER_COURIER": courier})

    assert finished.returncode == 0, finished.stderr
    run = script.only_run()
    assert run.status == "completed"
    assert sorted(script.store.load_points(run.id, "loss").values.tolist()) == [0.0, 0.0, 1.0, 2.0, 3.0, 9.0]
    assert {name for name in run.summary if name.startswith("child")} == {f"child {number}" for number in range(4)}


def test_a_journal_that_the_database_refuses_is_kept_and_does_not_hold_up_the_others(
    script: RecordedScript, home: Path
) -> None:
    source = "import cloister\nwith cloister.start_run(name='{}', hardware=False) as run:\n    run.log({{'loss': 1}})\n"
    # A validator stands for whatever a site's database may refuse: rights, schema, a document that grew too large.
    script.store.database.command("collMod", "runs", validator={"cloister.name": {"$ne": "refused"}})
    refused = script.run(source.format("refused"), env={"CLOISTER_EXIT_WAIT": "1"})
    welcome = script.run(source.format("welcome"))

    assert (refused.returncode, welcome.returncode) == (0, 0)
    assert [run.name for run in script.runs()] == ["welcome"]
    wait_for(lambda: not courier_pids(home), "the courier gives up")
    folder = journal_places(load_settings(uri=script.uri))[0]
    assert "cannot be shipped and is kept" in (folder / "courier.log").read_text()
    assert (folder / "courier.log").read_text().count(
        "Traceback"
    ) <= 2 * 2  # one for each courier, not one for each try

    script.store.database.command("collMod", "runs", validator={})
    assert sync(script).returncode == 0
    assert [run.name for run in script.runs()] == ["refused", "welcome"]


def test_a_courier_without_database_and_without_trainings_goes(tmp_path: Path, home: Path) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/nowhere"
    source = "import cloister\nwith cloister.start_run(hardware=False) as run:\n    run.log({'loss': 1})\n"
    with pymongo.MongoClient(uri, connect=False) as nowhere:
        script = RecordedScript(tmp_path / "project", uri, RunStore(nowhere["nowhere"]))
        assert script.run(source, env={"CLOISTER_EXIT_WAIT": "1"}).returncode == 0
    wait_for(lambda: not courier_pids(home), "the courier goes")
