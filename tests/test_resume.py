"""Going on with a run (`resume=`), and starting one from another's history (`fork_from=`)."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloister
import pytest
from cloister.decorators.run_identity import BadFork, BadResume
from cloister.decorators.run_takeover import ResumeNeedsDatabase
from cloister.observer.run_claim import NoRunToResume, RunHasEnded, RunIsAlive
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from conftest import StartRun, free_port
from recorded_script import RecordedScript, wait_for


def finished(start: StartRun, steps: int, **options: Any) -> cloister.Run:
    with start(**options) as run:
        for step in range(steps):
            run.log({"loss": 1.0 / (step + 1)}, step)
    assert run.wait_until_stored()
    return run


def test_a_resumed_run_is_the_same_run_and_counts_its_steps_on(start: StartRun, store: RunStore) -> None:
    first = finished(start, 5, project="digits", name="long", config={"lr": 0.1})
    before = store.load_run(first.id)

    with start(resume=first.id) as run:
        assert (run.uid, run.name, run.project, run.config) == (first.uid, "long", "digits", {"lr": 0.1})
        assert (run.resumed, run.next_step) == (True, 5)
        during = store.load_run(first.id)
        assert (during.status, during.stop_time) == ("running", None)
        run.log({"loss": 0.5})
        run.log({"loss": 0.4})
    assert run.wait_until_stored()

    after = store.load_run(first.id)
    assert run.id == first.id
    assert after.status == "completed"
    assert store.load_points(first.id, "loss").steps.tolist() == [0, 1, 2, 3, 4, 5, 6]
    [note] = after.resumed
    assert (note.host, note.pid, note.stopped) == (os.uname().nodename, os.getpid(), before.stop_time)
    assert after.start_time == before.start_time
    assert after.stop_time is not None
    assert after.stop_time > before.stop_time
    assert after.duration is not None
    assert after.duration.total_seconds() < (after.stop_time - after.start_time).total_seconds()  # without the pause


@pytest.mark.parametrize("by", ["number", "text", "uid", "name"])
def test_a_run_is_resumed_by_its_number_its_uid_or_its_name(start: StartRun, by: str) -> None:
    first = finished(start, 1, project="digits", name="the one")
    which = {"number": first.id, "text": str(first.id), "uid": first.uid, "name": "the one"}[by]

    with start(resume=which, project="digits") as run:
        assert run.uid == first.uid
    assert run.wait_until_stored()


def test_a_config_that_differs_is_noted_and_the_kept_one_stays(
    start: StartRun, store: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = finished(start, 1, config={"lr": 0.1, "net": {"hidden": 64}, "same": 1})
    with caplog.at_level(logging.WARNING, "cloister"):
        second = finished(start, 0, resume=first.uid, config={"lr": 0.2, "net": {"hidden": 64, "layers": 2}, "same": 1})

    stored = store.load_run(second.id)
    assert stored.config == {"lr": 0.1, "net": {"hidden": 64}, "same": 1}
    assert stored.resumed[0].config_changes == (("lr", 0.1, 0.2), ("net.layers", None, 2))
    assert "keeps its config" in caplog.text
    assert "lr 0.1 -> 0.2" in caplog.text


def test_a_run_that_is_open_cannot_be_resumed(start: StartRun) -> None:
    with start() as run:
        assert run.id is not None
        with pytest.raises(RunIsAlive, match=r"by this very process \(finish\(\) it first\)"):
            start(resume=run.id)
        with pytest.raises(RunIsAlive, match="by this very process"):
            start(resume=run.uid)
    assert run.wait_until_stored()


def test_a_run_of_a_living_process_cannot_be_resumed_and_that_of_a_killed_one_can(
    script: RecordedScript, start: StartRun, store: RunStore
) -> None:
    source = """
        import time
        import cloister

        run = cloister.start_run(project="digits", hardware=False)
        for step in range(10):
            run.log({"loss": 1.0}, step=7 * step)
        print(run.id, flush=True)
        time.sleep(60)
    """
    process = script.start(source)
    assert process.stdout is not None
    number = int(process.stdout.readline())
    with pytest.raises(RunIsAlive, match=rf"Run {number} is being recorded .*process {process.pid}"):
        start(resume=number)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    with start(resume=number) as run:  # at once: its process is known to be gone
        assert run.next_step == 64
        run.log({"loss": 2.0})
    assert run.wait_until_stored()
    assert store.load_points(number, "loss").steps.tolist() == [*range(0, 64, 7), 64]
    assert store.load_run(number).status == "completed"


def test_a_run_heard_of_lately_from_another_host_is_not_resumed(start: StartRun, store: RunStore) -> None:
    run = finished(start, 1)
    foreign = {"host": "node-7", "pid": 41, "machine": "elsewhere", "started": 1}
    alive = {"status": "RUNNING", "stop_time": None, "cloister.session": foreign}
    store.database["runs"].update_one({"_id": run.id}, {"$set": alive})

    with pytest.raises(RunIsAlive, match=r"on node-7 by process 41, last heard of \d+ s ago.*wait \d+ s if it is dead"):
        start(resume=run.id)
    with pytest.raises(RunIsAlive):
        start(resume=run.id)  # a refused resume leaves nothing behind that would say otherwise


def test_of_two_processes_that_resume_a_run_one_gets_it(script: RecordedScript, start: StartRun) -> None:
    run = finished(start, 1)
    source = """
        import sys, time
        import cloister

        print("ready", flush=True)
        sys.stdin.readline()
        with cloister.start_run(resume=sys.argv[1], hardware=False) as run:
            time.sleep(2)
    """
    path = script.write(source, "resumes.py")
    both = [
        subprocess.Popen(
            [sys.executable, str(path), run.uid],
            env={**os.environ, "CLOISTER_URI": script.uri},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        process.stdout.readline()
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 1], errors
    [refusal] = [error for error in errors if "RunIsAlive" in error]
    assert "Two processes cannot write it" in refusal
    script.wait_until_shipped()
    assert len(script.only_run().resumed) == 1


def test_what_cannot_be_resumed_is_said(start: StartRun, store: RunStore) -> None:
    store.database["runs"].insert_one({"_id": 5, "status": "COMPLETED", "experiment": {"name": "sacred"}})
    with pytest.raises(NoRunToResume, match=r"Run 5 in .* was recorded by another tool"):
        start(resume=5)
    with pytest.raises(NoRunToResume, match=r"There is no run 4212 in mongodb://.*as its page shows them"):
        start(resume=4212)
    with pytest.raises(NoRunToResume, match="There is no run 'baseline'"):
        start(resume="baseline")
    with pytest.raises(BadResume, match=r"resume=3\.5 names no run"):
        start(resume=3.5)
    for _ in range(2):
        finished(start, 1, name="twin")
    with pytest.raises(NoRunToResume, match=r"2 runs in .* are named 'twin': \d+, \d+\. Resume one by its number"):
        start(resume="twin")


def test_a_number_needs_the_database_and_a_uid_goes_on_from_what_this_machine_knows(
    start: StartRun, caplog: pytest.LogCaptureFixture
) -> None:
    away = f"mongodb://127.0.0.1:{free_port()}/gone?directConnection=true&serverSelectionTimeoutMS=300"
    with start(uri=away, config={"lr": 0.1}, name="offline") as first:
        for step in (3, 99, 12):
            first.log({"loss": 1.0}, step)
        first.log({"system/own": 1.0}, 5000)
    with pytest.raises(ResumeNeedsDatabase, match=r"Which run 7 is, only the database knows.*Pass the run's uid"):
        start(uri=away, resume=7)
    with caplog.at_level(logging.WARNING, "cloister"):
        second = start(uri=away, resume=first.uid)
        second.finish()
        for run in (first, second):
            run.say_where_it_is()  # now, and not when the tests end

    assert (second.uid, second.name, second.config, second.next_step) == (first.uid, "offline", {"lr": 0.1}, 100)
    assert f"Run {first.uid} is resumed from what this machine knows of it: it counts steps from 100" in caplog.text


def test_sessions_that_were_recorded_offline_are_stored_in_their_order(
    start: StartRun, store: RunStore, home: Path, database_uri: str
) -> None:
    away = f"mongodb://127.0.0.1:{free_port()}/gone?directConnection=true"
    with start(uri=away, config={"lr": 0.1}) as first:
        first.log({"loss": 1.0}, 7)
    second = start(uri=away, resume=first.uid, config={"lr": 0.2})
    second.log({"loss": 2.0})
    second.end_as(ZeroDivisionError("in the second session"))
    third = start(uri=away, resume=first.uid)
    third.log({"loss": 3.0})
    third.finish()

    command = [sys.executable, "-m", "cloister", "sync", str(home / "journal")]
    synced = subprocess.run(command, env={**os.environ, "CLOISTER_URI": database_uri}, capture_output=True, text=True)
    assert synced.returncode == 0, synced.stderr
    [run] = store.list_runs(RunQuery()).runs
    stored = store.load_run(run.id)
    assert (stored.uid, stored.status, stored.config, stored.fail_trace) == (first.uid, "completed", {"lr": 0.1}, ())
    assert store.load_points(run.id, "loss").steps.tolist() == [7, 8, 9]
    assert [note.config_changes for note in stored.resumed] == [(("lr", 0.1, 0.2),), ()]
    assert stored.resumed[0].time < stored.resumed[1].time  # type: ignore[operator]


def test_resume_auto_starts_a_run_once_and_goes_on_with_it_then(start: StartRun, store: RunStore) -> None:
    first = finished(start, 2, join="job-17", resume="auto")
    second = finished(start, 0, join="job-17", resume="auto")
    assert (first.resumed, second.resumed) == (False, True)
    assert second.id == first.id
    with pytest.raises(RunHasEnded, match=rf"Run {first.id} has ended \(completed at .* UTC\).*CLOISTER_RESUME=auto"):
        start(join="job-17")
    assert len(store.load_run(first.id).resumed) == 1


def test_resume_auto_without_a_name_says_that_it_can_only_start_a_run(
    start: StartRun, caplog: pytest.LogCaptureFixture
) -> None:
    run = finished(start, 1, resume="auto")
    assert not run.resumed
    assert "Set CLOISTER_RUN (or join=)" in caplog.text


def test_an_experiment_is_resumed_from_the_command_line_or_the_environment(script: RecordedScript) -> None:
    source = """
        from cloister import experiment

        @experiment(project="digits", hardware=False)
        def train(run, lr: float = 0.1, epochs: int = 2, loss=print):
            for _ in range(epochs):
                run.log({"loss": lr})
            assert loss is print

        train()
    """
    assert script.run(source, "lr=0.2").returncode == 0
    number = str(script.only_run().id)
    again = script.run(source, "--resume", number, "epochs=3")
    assert again.returncode == 0, again.stderr
    third = script.run(source, env={"CLOISTER_RESUME": number})
    assert third.returncode == 0, third.stderr
    script.wait_until_shipped()

    run = script.only_run()
    assert len(run.resumed) == 2
    assert script.store.load_points(run.id, "loss").steps.tolist() == list(range(7))
    values = script.store.load_points(run.id, "loss").values.tolist()
    assert values == [0.2] * 7  # with the learning rate that the run had been started with
    assert (run.config["lr"], run.config["epochs"]) == (0.2, 2)
    assert [note.config_changes for note in run.resumed] == [(("epochs", 2, 3),), ()]
    refused = script.run(source, "--resume=4212")
    assert refused.returncode == 2
    assert refused.stderr.startswith("train.py: There is no run 4212 in ")


# ---- forks


def test_a_forked_run_shares_the_history_up_to_its_step(start: StartRun, store: RunStore) -> None:
    parent = finished(start, 200, config={"lr": 0.1})
    with start(fork_from=(parent.id, 120), config={"lr": 0.01}) as run:
        assert run.next_step == 121
        run.log({"loss": 5.0})
        run.log({"new": 1.0})
    assert run.wait_until_stored()

    forked = store.load_run(run.id)
    assert forked.id != parent.id
    assert forked.forked_from is not None
    assert (forked.forked_from.run_id, forked.forked_from.uid) == (parent.id, parent.uid)
    assert (forked.forked_from.step, forked.forked_from.note) == (120, "")
    shared, own = store.load_points(parent.id, "loss")[:121], store.load_points(forked.id, "loss")
    assert own.steps.tolist() == [*range(121), 121]
    assert own.values.tolist() == [*shared.values.tolist(), 5.0]
    assert own.wall_times.tolist()[:121] == shared.wall_times.tolist()
    assert (forked.summary["loss"].count, forked.summary["loss"].last) == (122, 5.0)
    assert (forked.summary["loss"].min, forked.summary["loss"].max) == (1 / 121, 5.0)
    sacred = store.database["metrics"].find_one({"run_id": forked.id, "name": "loss"})
    assert sacred is not None
    assert sacred["steps"] == own.steps.tolist()
    assert len(store.load_points(parent.id, "loss")) == 200


def test_a_fork_beyond_its_parents_steps_says_so(start: StartRun, store: RunStore) -> None:
    parent = finished(start, 10)
    run = finished(start, 0, fork_from=(parent, 50))

    forked = store.load_run(run.id)
    assert forked.forked_from is not None
    assert forked.forked_from.note == f"Run {parent.id} had come to step 9 only."
    assert store.load_points(run.id, "loss").steps.tolist() == list(range(10))


def test_a_fork_of_a_run_that_comes_later_gets_its_history_then(start: StartRun, store: RunStore) -> None:
    uid = "01a1fe21-0000-7000-8000-000000000001"
    with start(fork_from=(uid, 3)) as run:
        run.log({"loss": 7.0})
        assert run.id is not None
        noted = f"Run {uid} is not in this database. Its history is added if it comes while this run is recorded."
        wait_for(lambda: note_of(store, run.id) == noted, "what is missing is noted")
        finished(start, 5, join=uid)
        wait_for(lambda: note_of(store, run.id) == "", "the history is there")
    assert run.wait_until_stored()

    assert store.load_points(run.id, "loss").steps.tolist() == [0, 1, 2, 3, 4]
    assert store.load_run(run.id).summary["loss"].last == 7.0


def note_of(store: RunStore, run_id: Any) -> str:
    origin = store.load_run(run_id).forked_from
    assert origin is not None
    return origin.note


@pytest.mark.parametrize("given", [12, "12", (12, "x"), (12, 1.5), ("no uid", 3), (12, 2**63), "12@"])
def test_a_fork_without_a_run_and_a_step_is_refused(start: StartRun, given: Any) -> None:
    with pytest.raises(BadFork, match=r"is not a run and a step\. Pass a pair such as"):
        start(fork_from=given)
