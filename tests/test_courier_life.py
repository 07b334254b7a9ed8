"""The courier as a process: there while it is needed, once, in the way of nobody, and gone afterwards."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from cloister.observer import courier_process
from cloister.observer.courier_bell import BELL_FILE, Bell, ring
from cloister.observer.courier_launch import (
    STATE_FILE,
    ensure_courier,
    held_lock,
    read_state,
)
from cloister.observer.journal_places import journal_places
from cloister.observer.settings import load_settings
from cloister.observer.shipping_note import ShippingNote, read_note, write_note
from cloister.observer.working_uris import WorkingUris
from conftest import free_port
from recorded_script import RecordedScript, wait_for
from recorded_work import begin_work

QUIET = """
    import os, time
    import cloister

    with cloister.start_run(project="life", hardware=False) as run:
        run.log({"loss": 1.0})
        print("logged", flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
"""


def couriers(home: Path) -> list[psutil.Process]:
    pattern = f"observer.courier_process.*{re.escape(str(home))}"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False).stdout.split()
    return [psutil.Process(int(pid)) for pid in found]


def start_quiet(script: RecordedScript) -> subprocess.Popen[str]:
    process = script.start(QUIET)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def end_quiet(script: RecordedScript, process: subprocess.Popen[str]) -> str:
    (script.folder / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return err


def test_the_courier_is_in_the_way_of_nobody_and_gone_after_its_work(script: RecordedScript, home: Path) -> None:
    process = start_quiet(script)
    wait_for(lambda: script.runs(), "the run arrives")
    [courier] = couriers(home)
    assert courier.ppid() != process.pid  # nobody's zombie: not the training's child
    assert os.getsid(courier.pid) != os.getsid(process.pid)  # no terminal's signals, and none kept open
    assert courier.terminal() is None
    assert [link for link in map(os.readlink, Path(f"/proc/{courier.pid}/fd").glob("[012]")) if "pipe" in link] == []
    assert [link for link in courier.net_connections() if link.status == psutil.CONN_LISTEN] == []
    assert courier.nice() > psutil.Process(process.pid).nice()
    assert end_quiet(script, process) == ""
    wait_for(lambda: not couriers(home), "the courier goes")
    assert script.only_run().status == "completed"


def test_two_couriers_that_start_at_once_are_one(script: RecordedScript, home: Path) -> None:
    process = start_quiet(script)
    settings = load_settings(uri=script.uri)
    folder = journal_places(settings)[0]
    for _ in range(3):
        ensure_courier(folder, settings)
    time.sleep(0.3)  # for those that are not needed to find out
    wait_for(lambda: len(couriers(home)) == 1, "one courier is left")
    end_quiet(script, process)


def test_a_courier_whose_folder_was_removed_leaves_the_new_one_to_another(script: RecordedScript, home: Path) -> None:
    process = start_quiet(script)
    wait_for(lambda: script.runs(), "the run arrives")
    [first] = couriers(home)
    folder = journal_places(load_settings(uri=script.uri))[0]
    while folder.exists():  # its courier may tidy up in the same moment
        shutil.rmtree(folder, ignore_errors=True)
    end_quiet(script, process)
    wait_for(lambda: not first.is_running(), "the first courier goes")
    again = RecordedScript(script.folder / "again", script.uri, script.store)
    end_quiet(again, start_quiet(again))
    assert [run.status for run in script.runs()][-1] == "completed"


def test_a_terminated_courier_ends_at_once_and_another_takes_over(script: RecordedScript, home: Path) -> None:
    process = start_quiet(script)
    wait_for(lambda: script.runs(), "the run arrives")
    [first] = couriers(home)
    first.send_signal(signal.SIGTERM)
    wait_for(lambda: not first.is_running(), "it ends", 5)
    wait_for(lambda: couriers(home), "the training starts another")
    end_quiet(script, process)
    script.wait_until_shipped()


def test_what_a_courier_said_long_ago_is_not_believed(script: RecordedScript, home: Path) -> None:
    folder = journal_places(load_settings(uri=script.uri))[0]
    folder.mkdir(parents=True)
    (folder / STATE_FILE).write_text('{"reachable": false, "uri": "", "error": "long ago", "pid": 1, "since": 0.0}')
    process = start_quiet(script)
    wait_for(lambda: script.runs(), "the run arrives")
    assert "long ago" not in end_quiet(script, process)
    state = read_state(folder)
    assert state is not None
    assert state.reachable


def test_the_log_of_a_long_outage_stays_short(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}/nowhere?serverSelectionTimeoutMS=1"
    monkeypatch.setattr(courier_process, "BACKOFF_SECONDS", (0.0, 0.0))
    work = begin_work(uri)
    folder = work.places[0]
    attempts = 0

    class Counted(courier_process.CourierLoop):
        def _rest_after(self, failures: int) -> None:
            nonlocal attempts
            attempts = failures
            if failures == 9:
                self.stop()

    with held_lock(folder):
        logged: list[str] = []
        monkeypatch.setattr(courier_process.logger, "log", lambda _level, text, *values: logged.append(text % values))
        Counted(folder, work.settings).run(idle_seconds=60)
    assert attempts == 9
    assert len(logged) <= 4  # 1, 2, 4, 8, ...
    work.end()


def test_a_bell_wakes_at_once_or_soon_and_carries_a_uri(tmp_path: Path) -> None:
    ring(tmp_path, now=True)  # nobody listens
    with Bell(tmp_path) as bell:
        assert stat.S_IMODE((tmp_path / BELL_FILE).stat().st_mode) == 0o600
        ring(tmp_path, now=True, uri="mongodb://ana:pw@db/x")
        bell.wait(60, 60)
        ring(tmp_path, now=True, uri="mongodb://ana:pw@db/x")
        bell.wait(60, 60)
        assert list(bell.uris) == ["mongodb://ana:pw@db/x"]
        ring(tmp_path)
        bell.wait(60, 0.01)
        bell.stop()
        bell.wait(60, 60)
    ring(tmp_path, now=True)


def test_a_bell_that_is_no_fifo_of_ours_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / BELL_FILE).write_text("planted")
    ring(tmp_path, now=True)
    with Bell(tmp_path) as bell:
        bell.wait(0.01, 0.01)
    assert (tmp_path / BELL_FILE).read_text() == "planted"


def test_of_several_uris_the_one_that_works_is_kept_and_refused_ones_are_tried_again(tmp_path: Path) -> None:
    secret = tmp_path / "uri"
    base = "mongodb://ana:{}@db.example/x"
    secret.write_text(base.format("one"))
    uris = WorkingUris(load_settings(uri_file=secret))
    assert uris.best() == base.format("one")
    uris.lend([base.format("two"), "mongodb://ana:two@other.example/x"])
    assert uris.best() == base.format("one")  # it has not been refused
    uris.refused()
    assert uris.best() == base.format("two")
    uris.refused()
    secret.write_text(base.format("three"))
    assert uris.best() == base.format("three")
    uris.refused()
    secret.unlink()
    assert uris.best() in {base.format(word) for word in ("one", "two", "three")}


def test_a_note_beside_the_journal_says_number_and_what_is_left(tmp_path: Path) -> None:
    full, free = tmp_path / "missing", tmp_path / "free"
    free.mkdir()
    assert read_note([full, free]) is None
    write_note([full, free], ShippingNote(7, 1234))
    assert read_note([full, free]) == ShippingNote(7, 1234)


def test_a_courier_that_waits_for_quiet_runs_costs_next_to_nothing(script: RecordedScript, home: Path) -> None:
    works = [begin_work(script.uri) for _ in range(20)]
    for work in works:
        work.record(5)
    settings = load_settings(uri=script.uri)
    ensure_courier(journal_places(settings)[0], settings)
    wait_for(lambda: len(script.runs()) == 20, "the runs arrive")
    [courier] = couriers(home)
    time.sleep(1.0)
    before = sum(courier.cpu_times()[:2])
    time.sleep(3.0)
    spent = sum(courier.cpu_times()[:2]) - before
    assert spent < 1.0  # it is about 0.03; an endless loop is 3
    for work in works:
        work.end()
    script.wait_until_shipped()
