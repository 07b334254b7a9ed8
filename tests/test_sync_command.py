"""`cloister sync`: from a stick, from a damaged journal, again and again, and through an outage."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloister.observer.journal_segments import segments_in
from cloister.observer.runs import RunStore
from conftest import free_port
from recorded_script import RecordedScript, wait_for

POINTS = 500
TRAINING = f"""
    import cloister

    run = cloister.start_run(project="carried", hardware=False)
    for step in range({POINTS}):
        run.log({{"loss": step / 2}})
    (artifact := __import__("pathlib").Path("weights.bin")).write_bytes(bytes(range(256)) * 40)
    run.log_artifact(artifact)
    print("trained")
"""


def sync(*arguments: object, uri: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloister", "sync", *map(str, arguments)],
        env={**os.environ, "CLOISTER_URI": uri},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def stick(tmp_path: Path, home: Path, store: RunStore) -> Path:
    """A folder with the journal of a run that was recorded where no database could be reached."""
    nowhere = f"mongodb://127.0.0.1:{free_port()}/elsewhere?directConnection=true"
    finished = RecordedScript(tmp_path / "project", nowhere, store).run(TRAINING, env={"CLOISTER_EXIT_WAIT": "0"})
    assert finished.returncode == 0, finished.stderr
    (tmp_path / "stick").mkdir()
    subprocess.run(["cp", "-r", home / "journal", tmp_path / "stick"], check=True)
    shutil.rmtree(home)
    return tmp_path / "stick"


def assert_complete(script: RecordedScript) -> None:
    run = script.only_run()
    assert run.status == "completed"
    assert script.store.load_points(run.id, "loss").values.tolist() == [step / 2 for step in range(POINTS)]
    assert script.store.open_blob(run.artifacts[0].file_id).read() == bytes(range(256)) * 40
    assert "".join(piece.text for piece in script.store.load_console(run.id).pieces if piece.stream == "stdout") == (
        "trained\n"
    )


def test_what_was_carried_on_a_stick_arrives_and_is_removed_from_it(script: RecordedScript, stick: Path) -> None:
    done = sync(stick, uri=script.uri)
    assert done.returncode == 0, done.stderr
    assert "Shipped 1 run" in done.stderr
    assert_complete(script)
    assert list(stick.rglob("*.journal")) == []
    assert list(stick.rglob("blobs")) == []
    again = sync(stick, uri=script.uri)
    assert again.returncode == 0
    assert again.stderr.strip() == f"Nothing to ship in {stick}."


def test_carrying_the_same_journal_twice_changes_nothing(script: RecordedScript, stick: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", stick, tmp_path / "second"], check=True)
    [run_folder] = {path.parent for path in (tmp_path / "second").rglob("*.journal")}
    assert sync(stick, uri=script.uri).returncode == 0
    assert sync(run_folder, uri=script.uri).returncode == 0
    assert_complete(script)
    assert script.only_run().lost == {"points": 0, "lines": 0, "bytes": 0}


def test_a_stick_that_cannot_be_written_is_shipped_and_left(script: RecordedScript, stick: Path) -> None:
    with read_only(stick):
        for _ in range(2):
            done = sync(stick, uri=script.uri)
            assert done.returncode == 0, done.stderr
        assert len(list(stick.rglob("*.journal"))) == 1
    assert_complete(script)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A read-only mount of `folder` over itself, or without the right to mount, folders that cannot be written."""
    mounted = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode == 0
    if mounted:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    elif os.getuid() == 0:
        pytest.skip("root without the right to mount writes everywhere")
    else:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def test_damage_costs_what_is_damaged_is_counted_and_kept(script: RecordedScript, stick: Path) -> None:
    [segment] = stick.rglob("*.journal")
    content = bytearray(segment.read_bytes())
    place = content.index(b"points", len(content) // 2)
    content[place + 20] ^= 0xFF
    segment.write_bytes(content)

    done = sync(stick, uri=script.uri)
    assert done.returncode == 0, done.stderr
    assert "could not be read and is lost" in done.stderr
    run = script.only_run()
    values = script.store.load_points(run.id, "loss").values.tolist()
    assert len(values) == POINTS - 1
    assert set(values) < {step / 2 for step in range(POINTS)}
    assert 50 < run.lost["bytes"] < 200
    [kept] = stick.rglob("*.damaged")
    assert kept.read_bytes() == content
    assert segments_in(kept.parent) == []


def test_bytes_that_are_no_journal_are_kept_and_said(script: RecordedScript, stick: Path) -> None:
    [segment] = stick.rglob("*.journal")
    foreign = segment.parent.with_name("01a1fd6d-8b44-7339-9421-000000000000") / segment.name
    foreign.parent.mkdir()
    foreign.write_bytes(os.urandom(50_000))
    done = sync(stick, uri=script.uri)
    assert done.returncode == 1
    assert str(foreign.parent) in done.stderr
    assert "'cloister journal verify'" in done.stderr
    assert_complete(script)


def test_watching_ships_what_comes_until_it_is_ended(script: RecordedScript, stick: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    watcher = subprocess.Popen(
        [sys.executable, "-m", "cloister", "sync", "--watch", str(inbox)],
        env={**os.environ, "CLOISTER_URI": script.uri},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stderr is not None
    assert watcher.stderr.readline().startswith("Watching")
    (stick / "journal").rename(inbox / "from-node-7")
    wait_for(lambda: script.runs() and script.only_run().status == "completed", "the run is shipped")
    wait_for(lambda: not list(inbox.rglob("*.journal")), "the journal is gone")
    too_long = threading.Timer(60, watcher.kill)
    too_long.start()
    while "Shipped 1 run" not in (line := watcher.stderr.readline()):  # said once all is tidied up
        assert line, "it ended without saying what it shipped"
    too_long.cancel()
    watcher.send_signal(signal.SIGINT)
    _, said = watcher.communicate(timeout=30)
    assert watcher.returncode == 0, said
    assert_complete(script)


def test_a_path_without_journals_is_refused_with_what_to_do(script: RecordedScript, tmp_path: Path) -> None:
    done = sync(tmp_path / "nowhere", uri=script.uri)
    assert done.returncode == 1
    assert "'cloister journal ls'" in done.stderr


def test_runs_that_wait_for_another_database_are_named_with_how_to_ship_them(
    tmp_path: Path, home: Path, store: RunStore, database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # not what else waits on this machine
    nowhere = f"mongodb://127.0.0.1:{free_port()}/elsewhere?directConnection=true"
    RecordedScript(tmp_path / "project", nowhere, store).run(TRAINING, env={"CLOISTER_EXIT_WAIT": "0"})
    done = sync(uri=database_uri)
    [folder] = (home / "journal").glob("[0-9a-f]*")
    assert f"1 journal for other databases waits; 'cloister sync {folder}' brings them to this one" in done.stderr
    assert sync(folder, uri=database_uri).returncode == 0
    assert_complete(RecordedScript(tmp_path / "project", database_uri, store))
