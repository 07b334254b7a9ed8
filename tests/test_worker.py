"""`cloister worker`: queued runs are made elsewhere, once, from what was stored."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from cloister.decorators.queueing import Entry
from cloister.decorators.worker.job_file import BadEntry, read_entry, relative_path
from cloister.decorators.worker.sacred_run import read_sacred_config
from cloister.decorators.worker.workplace import UnusableSources, rebuild
from queued_runs import document_of, queue_script, run_worker, waiting_script, working
from recorded_script import RecordedScript, wait_for

GOOD = """
    import os, sys
    import cloister
    import helper

    leads = os.getsid(0) == os.getpid()
    print("argv", sys.argv[1:], "run", os.environ.get("CLOISTER_RUN"), os.environ.get("RANK"), leads)
    print("folder", os.getcwd(), helper.__file__)
    cloister.log({"loss": helper.VALUE})
"""
# Also as the beginning of scripts: nothing here may be indented.
WAITING = """\
import os, pathlib, time
folder = pathlib.Path({folder!r})
(folder / "process.new").write_text(str(os.getpid()))
(folder / "process.new").rename(folder / "process")
while not (folder / "go").exists():
    time.sleep(0.02)
print("went on")
"""
BEFORE = WAITING + "import cloister\nwith cloister.start_run(experiment='t', hardware=False): pass\n"


@pytest.fixture(autouse=True)
def _couriers_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a process for each run that is queued, and for each that is made."""
    monkeypatch.setenv("CLOISTER_COURIER", "thread")


def test_a_queued_run_is_made_under_its_number_from_what_was_stored(
    script: RecordedScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOISTER_COURIER")
    script.write("VALUE = 4.5", "helper.py")
    queued = queue_script(script, GOOD, "--lr", "0.1", priority=1, comment="why")
    script.write("raise SystemExit('changed since')", "helper.py")
    script.write("raise SystemExit('changed since')", "train.py")

    said = run_worker(script, env={"CLOISTER_RUN": "another", "RANK": "3", "WORLD_SIZE": "4"})

    assert f"{queued.id} completed after" in said
    run = script.only_run()
    assert (run.id, run.uid, run.status, run.notes) == (queued.id, queued.uid, "completed", "why")
    assert (run.resumed, run.paused_seconds) == ((), 0.0)
    assert run.start_time is not None
    assert script.store.load_points(run.id, "loss").values.tolist() == [4.5]
    text = document_of(script, queued)["captured_out"]
    assert "argv ['--lr', '0.1'] run None None True\n" in text
    place = Path(text.partition("folder ")[2].split()[0])
    assert not place.exists()
    assert {source.path for source in run.sources} == {"train.py", "helper.py"}


def test_two_workers_make_each_run_once(script: RecordedScript, tmp_path: Path) -> None:
    source = f"open({str(tmp_path / 'made')!r}, 'a').write('x')"
    runs = [queue_script(script, source, name=f"n{number}.py") for number in range(4)]

    with working(script, "--once") as first, working(script, "--once") as second:
        said = [worker.communicate(timeout=120)[0] for worker in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0), said
    assert (tmp_path / "made").read_text() == "x" * 4
    statuses = [document_of(script, run)["status"] for run in runs]
    assert statuses == ["COMPLETED"] * 4
    assert sum(text.count(" completed after ") for text in said) == 4


def test_a_run_whose_script_does_not_get_there_is_failed_and_says_why(script: RecordedScript) -> None:
    reasons = {
        "import module_that_is_not_there": "ModuleNotFoundError: No module named 'module_that_is_not_there'",
        "import os; os._exit(9)": "The run did not begin: its process ended with exit code 9.",
        "pass": "The script ended without starting its run of 'n2'",
        "import os, signal; os.kill(os.getpid(), 11)": "The run did not begin: its process ended by SIGSEGV.",
    }
    runs = [
        queue_script(script, source, entry=Entry("script"), name=f"n{number}.py")
        for number, source in enumerate(reasons)
    ]

    failing = queue_script(script, "raise KeyError('of the script')")

    said = run_worker(script)

    assert said.count(" failed after ") == 5
    assert "KeyError: 'of the script'\n" in document_of(script, failing)["fail_trace"][-1]
    for run, reason in zip(runs, reasons.values(), strict=True):
        document = document_of(script, run)
        assert document["status"] == "FAILED"
        assert reason in "".join(document["fail_trace"])


EXPERIMENT = """
    import sys
    import cloister

    @cloister.experiment(project="p", hardware=False)
    def train(run, lr: float, epochs: int = 3, seed: int = 0):
        from helper import loss
        run.log({"loss": loss(lr)})
        return lr * epochs

    @train.command
    def evaluate(run, lr: float = 1.0):
        return lr

    if __name__ == "__main__":
        if sys.argv[1:] == ["sweep"]:
            for lr in (4.0,):
                print(train.queue(config_updates={"lr": lr}, priority=lr, tags=["sweep"]).id)
            train.queue("evaluate", {"lr": 1.0})
        else:
            train()
            print("never reached when the run is queued")
"""


def test_experiments_are_made_with_the_config_that_they_were_queued_with(script: RecordedScript) -> None:
    script.write("def loss(lr): return lr / 2", "helper.py")
    script.write("epochs: 5", "base.yaml")
    lines = [
        ("lr=0.5", "@base.yaml", "-q", "-P", "1", "-c", "of the line"),
        ("evaluate", "lr=7", "--queue"),
        ("sweep",),
    ]
    said = [script.run(EXPERIMENT, *words) for words in lines]
    assert [done.returncode for done in said] == [0, 0, 0], said
    assert "never reached" not in "".join(done.stdout for done in said)
    for name in ("train.py", "helper.py", "base.yaml"):
        (script.folder / name).unlink()

    run_worker(script)

    found = sorted(script.runs(), key=lambda run: run.id)
    assert [(run.status, run.command, run.result) for run in found] == [
        ("completed", "train", 2.5),
        ("completed", "evaluate", 7.0),
        ("completed", "train", 12.0),
        ("completed", "evaluate", 1.0),
    ]
    order = sorted(found, key=lambda run: str(run.start_time))
    assert [run.id for run in order] == [found[number].id for number in (2, 0, 1, 3)]
    assert found[0].config == {"lr": 0.5, "epochs": 5, "seed": 0}
    assert found[0].notes == "of the line"
    assert found[2].tags == ("sweep",)
    assert script.store.load_points(found[2].id, "loss").values.tolist() == [2.0]


def test_an_experiment_without_a_name_in_its_module_cannot_be_queued(script: RecordedScript) -> None:
    done = script.run(
        """
        import cloister

        def make():
            @cloister.experiment
            def hidden(lr=1.0):
                pass
            return hidden

        try:
            make().queue()
        except cloister.CloisterError as error:
            print(error)
        """
    )

    assert "a worker could not find experiment 'hidden' again" in done.stdout


def test_a_worker_that_is_killed_before_the_run_began_gives_it_to_the_next(
    script: RecordedScript, tmp_path: Path
) -> None:
    queued = queue_script(script, BEFORE.format(folder=str(tmp_path)), entry=Entry("script"), name="t.py")
    with waiting_script(tmp_path) as process:
        with working(script, "--lease", "1"):
            wait_for(process, "the first process has started")
        os.killpg(process() or 0, signal.SIGKILL)
        (tmp_path / "go").touch()
        with working(script, "--max-runs", "1", "--lease", "5") as second:
            said, _ = second.communicate(timeout=60)

    assert f"{queued.id} completed" in said
    run = document_of(script, queued)
    assert (run["status"], run["cloister"]["queue"]["attempts"]) == ("COMPLETED", 2)
    assert not list((tmp_path / "cloister-home" / "work").iterdir())


def test_a_process_that_comes_late_does_not_begin_a_run_that_another_has(
    script: RecordedScript, tmp_path: Path
) -> None:
    queued = queue_script(script, BEFORE.format(folder=str(tmp_path)), entry=Entry("script"), name="t.py")
    with waiting_script(tmp_path) as process, working(script, "--lease", "1", "--max-runs", "1") as first:
        wait_for(process, "the first process has started")
        early = process()
        first.send_signal(signal.SIGSTOP)  # asleep beyond its lease, as a laptop
        with working(script, "--max-runs", "1", "--lease", "30") as second:
            wait_for(lambda: process() not in (None, early), "the second one has started")
            (tmp_path / "go").touch()
            said, _ = second.communicate(timeout=60)
        first.send_signal(signal.SIGCONT)
        late, _ = first.communicate(timeout=60)

    assert f"{queued.id} completed" in said
    assert script.store.database["runs"].count_documents({}) == 1
    assert document_of(script, queued)["status"] == "COMPLETED"
    assert first.returncode == 0, late


def test_a_run_that_has_begun_outlives_its_worker(script: RecordedScript, tmp_path: Path) -> None:
    queued = queue_script(script, WAITING.format(folder=str(tmp_path)))
    with waiting_script(tmp_path) as process:
        with working(script):
            wait_for(process, "the run has started")
        (tmp_path / "go").touch()
        wait_for(lambda: document_of(script, queued)["captured_out"] == "went on\n", "the rest of it is stored")

    assert document_of(script, queued)["status"] == "COMPLETED"


def test_ctrl_c_finishes_the_run_and_once_more_interrupts_it(script: RecordedScript, tmp_path: Path) -> None:
    queued = queue_script(script, WAITING.format(folder=str(tmp_path)))
    next_one = queue_script(script, "pass", name="next.py")
    with waiting_script(tmp_path) as process, working(script) as worker:
        wait_for(process, "the run has started")
        worker.send_signal(signal.SIGINT)
        assert worker.stdout is not None
        wait_for(lambda: "No further run is taken" in worker.stdout.readline(), "the worker has understood")
        worker.send_signal(signal.SIGINT)
        said, _ = worker.communicate(timeout=60)

    assert worker.returncode == 130, said
    assert document_of(script, queued)["status"] == "INTERRUPTED"
    assert document_of(script, next_one)["status"] == "QUEUED"


def test_sigterm_gives_back_a_run_that_has_not_begun(script: RecordedScript, tmp_path: Path) -> None:
    queued = queue_script(script, BEFORE.format(folder=str(tmp_path)), entry=Entry("script"), name="t.py")
    with waiting_script(tmp_path) as process, working(script) as worker:
        wait_for(process, "the process has started")
        worker.terminate()
        said, _ = worker.communicate(timeout=60)

    assert worker.returncode == 143, said
    assert f"{queued.id} given back" in said
    run = document_of(script, queued)
    assert (run["status"], run["cloister"]["queue"]["lease"]) == ("QUEUED", None)


# ---- what lies in the database is not trusted further than it must be


def test_code_that_was_changed_in_the_database_is_not_executed(script: RecordedScript, tmp_path: Path) -> None:
    queued = queue_script(script, "pass")
    database = script.store.database
    [source] = document_of(script, queued)["cloister"]["sources"]
    evil = f"open({str(tmp_path / 'executed')!r}, 'w')".encode()
    database["fs.files"].update_one({"_id": source["file_id"]}, {"$set": {"length": len(evil)}})
    database["fs.chunks"].update_one({"files_id": source["file_id"]}, {"$set": {"data": evil}})

    said = run_worker(script)

    assert "the stored bytes of 'train.py' are not those that were queued" in said
    run = document_of(script, queued)
    assert run["status"] == "FAILED"
    assert "Nothing of it was executed" in "".join(run["fail_trace"])
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "path",
    ["../../evil.py", "/tmp/evil.py", "a/../../b.py", "a\\..\\b.py", "", "a\nb.py", ".git/config", 7, "x" * 5000],
)
def test_a_source_that_would_leave_its_folder_is_refused(path: Any) -> None:
    with pytest.raises(BadEntry):
        relative_path(path)


def test_a_document_that_no_worker_can_read_keeps_no_other_run_from_being_made(script: RecordedScript) -> None:
    runs = script.store.database["runs"]
    damages = [
        {"cloister.queue.settings": [1], "cloister.queue.priority": 9.0},
        {"cloister.queue.missing": 7, "experiment": "none", "meta": 3, "cloister.queue.priority": 8.0},
        {"cloister.queue.settings": {"capture": "a\0b"}, "cloister.name": "\x1b]0;[red]gone"},
    ]
    queued = [queue_script(script, "pass", name=f"n{number}.py") for number in range(len(damages) + 1)]
    for run, damage in zip(queued, damages, strict=False):
        runs.update_one({"_id": run.id}, {"$set": damage})
    moved = {**(runs.find_one_and_delete({"_id": queued[1].id}) or {}), "_id": "a/../../b"}
    runs.insert_one(moved)

    said = run_worker(script)

    assert f"{queued[-1].id} completed after" in said
    assert r"\x1b]0;[red]gone" in said
    assert "\x1b" not in said
    statuses = {run["_id"]: run["status"] for run in runs.find({}, {"status": 1})}
    assert statuses.pop(queued[-1].id) == "COMPLETED"
    assert set(statuses) == {queued[0].id, queued[2].id, "a/../../b"}
    assert set(statuses.values()) == {"FAILED"}


def test_nothing_is_written_outside_for_a_hostile_document(script: RecordedScript, tmp_path: Path) -> None:
    queued = queue_script(script, "pass")
    run = document_of(script, queued)
    [source] = run["cloister"]["sources"]
    hostile: list[list[dict[str, Any]]] = [
        [{**source, "path": "../evil.py"}],
        [source, {**source, "path": "TRAIN.py"}],  # one file, where names have no case
        [source, {**source, "path": "train.py/inner.py"}],
        [{**source, "path": "other.py"}],  # no script
        [{**source, "file_id": ObjectId()}],
        [{"path": "train.py"}],
        ["train.py"],  # type: ignore[list-item]
    ]
    for number, sources in enumerate(hostile):
        changed = {**run, "cloister": {**run["cloister"], "sources": sources}}
        with pytest.raises((UnusableSources, BadEntry, LookupError)):
            rebuild(script.store.database, changed, tmp_path / f"code{number}")
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"kind": "shell", "file": "a.py", "folder": "."},
        {"kind": "plain", "file": "../a.py", "folder": "."},
        {"kind": "plain", "file": "a.py", "folder": "/"},
        {"kind": "plain", "file": "a.py", "folder": ".", "words": "rm -rf"},
        {"kind": "call", "file": "a.py", "folder": ".", "module": "os; import x"},
        {"kind": "plain", "file": "a.py", "folder": ".", "paths": [".."]},
        {"kind": "plain", "file": "/".join(["a" * 200] * 15), "folder": "."},
    ],
)
def test_how_a_run_is_begun_is_checked(entry: Any) -> None:
    with pytest.raises(BadEntry):
        read_entry(entry)


def test_a_run_of_somebody_else_is_not_executed(script: RecordedScript) -> None:
    queued = queue_script(script, "pass")
    script.store.database["runs"].update_one({"_id": queued.id}, {"$set": {"cloister.owner": "somebody else"}})

    assert "Nothing was waiting." in run_worker(script)


def test_an_interpreter_without_cloister_is_refused_before_a_run_is_taken(
    script: RecordedScript, tmp_path: Path
) -> None:
    queued = queue_script(script, "pass")

    with working(script, "--python", "/none/python") as worker:
        said, _ = worker.communicate(timeout=30)

    assert worker.returncode == 1
    assert "Error: /none/python cannot make runs: [Errno 2] No such file" in said
    assert document_of(script, queued)["cloister"]["queue"]["lease"] is None


# ---- Sacred's own queue


SACRED = """
    import time
    import sacred
    import extra
    from sacred.observers import MongoObserver

    experiment = sacred.Experiment("digits")
    experiment.observers.append(MongoObserver(url={server!r}, db_name={name!r}))

    @experiment.config
    def config():
        lr = 0.1
        sizes = (1, 2)

    @experiment.automain
    def main(lr, sizes, seed, _run):
        _run.log_scalar("loss", lr, 0)
        time.sleep(0.6)  # so long that the worker looks whether the lease is still its own
        return [lr * extra.FACTOR, sizes, seed]
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_that_sacred_queued_is_made_only_where_that_is_asked_for(script: RecordedScript) -> None:
    pytest.importorskip("sacred", reason="needs sacred")
    server, _, name = script.uri.partition("?")[0].rpartition("/")
    script.write("FACTOR = 2", "extra.py")
    queued = script.run(SACRED.format(server=f"{server}/?directConnection=true", name=name), "-q", "with", "lr=0.5")
    assert queued.returncode == 0, queued.stderr
    script.write("raise SystemExit('changed since')", "extra.py")
    database = script.store.database
    assert "Nothing was waiting." in run_worker(script)

    assert "1 completed after" in run_worker(script, "--sacred", "--lease", "1")

    [run] = database["runs"].find()
    assert (run["_id"], run["status"]) == (1, "COMPLETED")
    assert run["config"]["lr"] == 0.5
    assert run["result"] == [1.0, [1, 2], run["config"]["seed"]]
    assert script.store.load_points(1, "loss").values.tolist() == [0.5]


def test_a_config_of_sacreds_with_objects_is_not_rebuilt() -> None:
    assert read_sacred_config({"a": {"py/tuple": [1, {"b": 2}]}}) == {"a": [1, {"b": 2}]}
    for hostile in ({"py/object": "os.system"}, [{"py/reduce": []}], {"json://1": 2}):
        with pytest.raises(BadEntry):
            read_sacred_config({"a": hostile})
