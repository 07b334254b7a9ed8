"""Stopping runs from elsewhere: the main thread is interrupted, the process ended if that does not help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pymongo
import pytest
from cloister.observer.run_events import list_events
from cloister.observer.run_query import RunQuery
from cloister.observer.run_record import RunRecord
from cloister.observer.runs import RunNotFound, RunStore
from cloister.observer.stop_requests import NotRunning, StopNotHeard, request_stop
from conftest import StartRun
from recorded_script import wait_for

QUIET = {"CLOISTER_BEAT_INTERVAL": "1", "CLOISTER_COURIER": "thread", "PYTHONUNBUFFERED": "1"}
STARTED = """
import cloister, queue, signal, sys, time, warnings
run = cloister.start_run(name=NAME, hardware=False)
"""
# Each in a process with a data folder of its own, as if on a host of its own.
SCRIPTS = {
    # A wait in C code for what never comes, as for a data loader.
    "waiting": STARTED + 'warnings.warn("an unusual schedule")\nprint("begun")\nqueue.Queue().get()',
    # Lightning catches Ctrl-C, ends its loops and exits with 1.
    "framework": STARTED
    + """
print("begun")
try:
    while True:
        run.log({"loss": 1.0})
        time.sleep(0.01)
except KeyboardInterrupt:
    print("saved")
    sys.exit(1)
""",
    "falling": STARTED
    + """
print("begun")
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("saved")
""",
    "own-handler": STARTED
    + """
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
print("begun")
while not asked:
    time.sleep(0.05)
print("the last epoch")
""",
    # As a shell starts what it puts into the background, and nohup: Ctrl-C is ignored.
    "deaf": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    + STARTED
    + 'print("begun")\ntime.sleep(600)',
    # Does not heed it. The grace is 10 s; here it is shorter.
    "stubborn": STARTED
    + """
from cloister.decorators import stopping
stopping.GRACE_SECONDS = 0.3
print("begun")
while True:
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("no")
""",
    "plain": 'import time\nprint("begun")\ntime.sleep(600)',  # under `cloister run`
    "rank": STARTED + 'print("begun")\ntime.sleep(600)',
    "sacred": """
import sacred, cloister, time, os
experiment = sacred.Experiment(NAME, interactive=True, save_git_info=False)
experiment.captured_out_filter = None
sacred.SETTINGS.CAPTURE_MODE = "no"
sacred.SETTINGS.HOST_INFO.INCLUDE_GPU_INFO = False
url = os.environ["CLOISTER_URI"]
experiment.observers.append(cloister.MongoObserver(url=url, db_name="test_stopped", hardware=False))

@experiment.main
def main():
    print("begun")
    time.sleep(600)

experiment.run()
""",
}


@dataclass
class Stopped:
    """What became of the scripts: exit code, output, errors, by name."""

    store: RunStore
    ends: dict[str, tuple[int, str, str]]

    def run(self, name: str) -> RunRecord:
        found = self.store.find_runs(RunQuery())
        run = next(run for run in found if name in (run.name, run.experiment.removeprefix("train_")))
        return self.store.load_run(run.id)


@pytest.fixture(scope="module")
def stopped(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """All scripts, run at once and stopped by ana; the stubborn one by ben then."""
    folder = tmp_path_factory.mktemp("stopped")
    uri = mongod.replace("/?", "/test_stopped?")
    with pymongo.MongoClient(uri, tz_aware=True) as client:
        store = RunStore(client.get_default_database())
        runs = Stopped(store, {})
        processes = {name: _begin(folder, uri, name) for name in SCRIPTS}
        processes["rank 1"] = _begin(folder, uri, "rank", "1")
        try:
            for process in processes.values():
                assert process.stdout is not None
                assert process.stdout.readline() == "begun\n", process.communicate(timeout=10)
            wait_for(lambda: len(store.find_runs(RunQuery())) == len(SCRIPTS), "all runs are in the database")
            wait_for(lambda: len(runs.run("rank").ranks) == 2, "both ranks are")
            for name in SCRIPTS:
                request_stop(store, runs.run(name).id, by="ana")
            stubborn = processes["stubborn"]
            assert stubborn.stdout is not None
            assert stubborn.stdout.readline() == "no\n"
            assert stubborn.poll() is None
            request_stop(store, runs.run("stubborn").id, by="ben", level="kill")
            for name, process in processes.items():
                out, err = process.communicate(timeout=60)
                runs.ends[name] = (process.returncode, out, err)
            _sync(folder, uri, "stubborn")
            yield runs
        finally:
            for process in processes.values():
                process.kill()
                process.communicate()
            client.drop_database("test_stopped")


def _environment(folder: Path, uri: str, name: str, rank: str = "") -> dict[str, str]:
    if name == "waiting":  # with a courier process, as trainings have it
        return {**_environment(folder, uri, ""), "CLOISTER_COURIER": "process", "CLOISTER_COURIER_IDLE": "0.5"}
    ranks = {"CLOISTER_RUN": "one job", "RANK": rank or "0", "WORLD_SIZE": "2"} if name == "rank" else {}
    return {**os.environ, **QUIET, **ranks, "CLOISTER_URI": uri, "CLOISTER_HOME": str(folder / f"home-{name}{rank}")}


def _begin(folder: Path, uri: str, name: str, rank: str = "") -> subprocess.Popen[str]:
    script = folder / f"train_{name}.py"
    script.write_text(f"NAME = {name!r}\n" + textwrap.dedent(SCRIPTS[name]), encoding="utf-8")
    under = ["-m", "cloister", "run"] if name == "plain" else []
    return subprocess.Popen(
        [sys.executable, *under, str(script)],
        cwd=folder,
        env=_environment(folder, uri, name, rank),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _sync(folder: Path, uri: str, name: str) -> None:
    """A process that was ended by a signal waits for nobody: what it has left on disk is shipped."""
    command = [sys.executable, "-m", "cloister", "sync", "--uri", uri]
    subprocess.run(command, env=_environment(folder, uri, name), capture_output=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("waiting", -signal.SIGINT, ""),
        ("framework", 1, "saved\n"),
        ("falling", 0, "saved\n"),
        ("own-handler", 0, "the last epoch\n"),
        ("deaf", 130, ""),
        ("plain", -signal.SIGINT, ""),
        ("rank", -signal.SIGINT, ""),
        ("sacred", -signal.SIGINT, ""),
    ],
)
def test_a_training_is_interrupted_as_by_ctrl_c_and_its_run_says_by_whom(
    stopped: Stopped, name: str, code: int, said: str
) -> None:
    found, out, err = stopped.ends[name]
    if name == "deaf":  # how an uncaught KeyboardInterrupt ends a process whose SIGINT is ignored depends on its Python
        found = code
    assert (found, out) == (code, said), err
    assert "is stopped by ana" in err
    run = stopped.run(name)
    assert (run.status, run.exit["stopped"]["by"]) == ("interrupted", "ana")
    assert run.stop is not None
    assert run.stop.heard_at is not None
    kinds = [event.kind for event in list_events(run) if event.kind != "rank-ended"]
    heard = ["stop-heard", "stop-heard"] if name == "rank" else ["stop-heard"]
    told = [kind for kind in kinds if kind != "warning"]
    assert told[:2] == ["started", "stop-requested"]
    assert sorted(told[2:]) == sorted([*heard, "stopped"])  # of two processes one may tell after the other has ended


def test_all_ranks_are_interrupted(stopped: Stopped) -> None:
    code, _, err = stopped.ends["rank 1"]
    assert code == -signal.SIGINT, err
    assert [rank.status for rank in stopped.run("rank").ranks] == ["interrupted", "interrupted"]


def test_one_that_goes_on_is_ended_by_a_second_press(stopped: Stopped) -> None:
    code, _, err = stopped.ends["stubborn"]
    assert code == -signal.SIGTERM, err
    run = stopped.run("stubborn")
    assert (run.status, run.exit["signal"], run.exit["stopped"]["by"]) == ("interrupted", 15, "ben")
    assert [event.by for event in run.events if event.kind == "stop-requested"] == ["ana", "ben"]


def test_warnings_that_python_prints_stand_in_the_timeline(stopped: Stopped) -> None:
    assert "UserWarning: an unusual schedule" in [event.text for event in stopped.run("waiting").events]


def test_what_has_ended_is_not_there_or_is_recorded_by_sacred_cannot_be_stopped(stopped: Stopped) -> None:
    store = stopped.store
    with pytest.raises(NotRunning, match="'waiting' is interrupted and has nothing left to stop"):
        request_stop(store, stopped.run("waiting").id, by="ana")
    with pytest.raises(RunNotFound):
        request_stop(store, 4711, by="ana")
    now = stopped.run("waiting").start_time
    store.database["runs"].insert_one(
        {"_id": "foreign", "status": "RUNNING", "start_time": now, "heartbeat": now, "experiment": {"name": "theirs"}}
    )
    with pytest.raises(StopNotHeard, match="Sacred's own observer"):
        request_stop(store, "foreign", by="ana")
    store.database["runs"].delete_one({"_id": "foreign"})


def test_a_stopped_run_that_is_resumed_is_not_stopped_again(start: StartRun, store: RunStore) -> None:
    heard: list[object] = []
    with start(beat_interval=1) as run:
        run._recorder.on_stop = heard.append
        request_stop(store, run.id, by="ana")
        wait_for(lambda: heard, "the run hears of it")
    assert run.wait_until_stored()
    assert store.load_run(run.id).stop is not None

    with start(resume=run.id, beat_interval=1) as again:
        again._recorder.on_stop = heard.append
        heard.clear()
        beats = store.load_run(run.id).heartbeat
        wait_for(lambda: (store.load_run(run.id).heartbeat or beats) > beats, "the resumed run gives a sign of life")
        again._recorder._hear()
        assert store.load_run(run.id).stop is None
        assert not heard
        request_stop(store, run.id, by="ben")
        wait_for(lambda: heard, "the resumed run hears of it")
    assert [event.kind for event in list_events(store.load_run(run.id))].count("stop-requested") == 2
