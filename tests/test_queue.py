"""A queued run: what is stored, without being run; and looking at the queue."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.decorators.queueing import CannotQueue, Entry, queue_run
from cloister.decorators.run_identity import new_uid
from cloister.decorators.run_start import RunPlan
from cloister.observer.account import login_name
from cloister.observer.process_facts import this_process
from cloister.observer.queue_list import NotQueued, cancel, list_queue, set_priority
from cloister.observer.run_queue import (
    NotYours,
    begin_queued,
    end_unbegun,
    give_back,
    queue_fields,
    renew_lease,
    take_next,
)
from cloister.observer.run_record import new_run_document
from cloister.observer.session_names import session_time
from cloister.observer.settings import load_settings
from pymongo.database import Database
from queued_runs import document_of, queue_script
from recorded_script import RecordedScript, wait_for

Documents = Database[dict[str, Any]]
SKELETON = {
    "_id", "experiment", "format", "command", "host", "start_time", "stop_time", "heartbeat", "status", "config",
    "meta", "info", "resources", "artifacts", "captured_out", "result", "fail_trace", "cloister",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _couriers_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a process for each run that is queued."""
    monkeypatch.setenv("CLOISTER_COURIER", "thread")


def test_a_queued_run_is_a_whole_document_that_has_not_begun(script: RecordedScript) -> None:
    script.write("X = 1", "used_later.py")
    (script.folder / "package").mkdir()
    script.write("", "package/__init__.py")
    script.write("from . import deep", "package/module.py")
    script.write("", "package/deep.py")
    script.write("", "unrelated.py")
    source = "def late():\n    import used_later\n    from package import module\nraise SystemExit('never run')"

    queued = queue_script(script, source, "--lr", "0.1", priority=2, comment="to see", options={"--queue": True})

    run = document_of(script, queued)
    assert set(run) >= SKELETON
    assert (run["_id"], run["status"]) == (queued.id, "QUEUED")
    assert [run[name] for name in ("start_time", "heartbeat", "stop_time")] == [None, None, None]
    assert {run["meta"][name] for name in ("comment", "priority")} == {"to see", 2.0}
    assert run["meta"]["queue_time"] == run["cloister"]["queue"]["queued_at"]
    assert run["meta"]["options"] == {"--queue": True}
    assert {entry["path"] for entry in run["cloister"]["sources"]} == {
        "train.py", "used_later.py", "package/__init__.py", "package/module.py", "package/deep.py",
    }  # fmt: skip
    queue = run["cloister"]["queue"]
    assert queue["state"] == "waiting"
    assert queue["entry"]["words"] == ["--lr", "0.1"]
    assert run["cloister"]["environment"]["distributions"]
    assert run["cloister"]["git"]["state"] == "none"
    assert script.store.load_run(queued.id).status == "queued"
    assert f"Queued {queued.name} as run {queued.id}." in str(queued)


def test_code_that_cannot_be_stored_is_said(script: RecordedScript) -> None:
    script.write("# " + "x" * 1_100_000, "large.py")

    queued = queue_script(script, "import large")

    assert "A worker will not have all of its code:\n  The source large.py is not recorded" in str(queued)
    assert document_of(script, queued)["cloister"]["queue"]["missing"] == list(queued.missing)


def test_a_run_is_queued_while_the_database_is_away_and_arrives_later(
    script: RecordedScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "mongodb://127.0.0.1:1/away"
    monkeypatch.setenv("CLOISTER_EXIT_WAIT", "2")
    path = script.write("pass").resolve()

    queued = queue_run(RunPlan("t", "t", {}, {}, main_file=path), load_settings(uri=away), Entry("plain"))

    assert (queued.id, queued.is_stored) == (None, False)
    assert "as soon as the database answers" in str(queued)
    home = load_settings().data_folder
    shipped = CliRunner().invoke(main, ["sync", "--uri", script.uri, str(home)])
    assert shipped.exit_code == 0, shipped.output
    assert [run.name for run in list_queue(script.store.database)] == [queued.name]
    assert document_of(script, queued)["cloister"]["queue"]["state"] == "waiting"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"main_file": None}, "a worker needs a script to run"),
        ({"resume": 12}, "resume needs a run that is made here and now"),
        ({"fork_from": (1, 2)}, "fork-from needs a run"),
        ({"unobserved": True}, "unobserved needs a run"),
        ({"rank": 1, "world_size": 2}, "one of several ranks"),
        ({"main_file": Path("/none/train.py")}, "its script /none/train.py cannot be stored"),
    ],
)
def test_what_cannot_be_queued_is_said_at_once(script: RecordedScript, plan: dict[str, Any], message: str) -> None:
    described = RunPlan("t", "t", {}, {}, **{"main_file": script.write("pass").resolve(), **plan})

    with pytest.raises(CannotQueue, match=message):
        queue_run(described, load_settings(uri=script.uri), Entry("plain"))

    assert script.store.database["runs"].count_documents({}) == 0


def test_cloister_run_queues_a_script_with_its_options(script: RecordedScript) -> None:
    path = script.write("raise SystemExit('never run')")

    words = ["run", "-q", "-P", "7", "-c", "a comment", "--tag", "a", "--project", "p", str(path), "--lr", "0.5"]
    done = CliRunner(env={"CLOISTER_URI": script.uri}).invoke(main, words)

    assert done.exit_code == 0, done.output
    run = script.only_run()
    assert (run.status, run.project, run.tags, run.notes) == ("queued", "p", ("a",), "a comment")
    assert run.config == {"lr": 0.5}
    assert done.output == f"Queued {run.name} as run {run.id}. 'cloister worker' runs it.\n"


# ---- leases: documents as they are stored, without processes


def put_into_queue(database: Documents, number: int, *, priority: float = 0.0, owner: str = "ana", **more: Any) -> str:
    uid = new_uid()
    queue = queue_fields(entry={"kind": "plain", "file": "t.py"}, priority=priority, python="3.11.7", settings={})
    queue |= {"state": "waiting", "queued_at": datetime.now(timezone.utc) + timedelta(seconds=number), **more}
    header = {
        "uid": uid, "project": "p", "name": f"n{number}", "experiment": "t", "start_time": session_time(),
        "owner": owner, "queue": queue,
    }  # fmt: skip
    database["runs"].insert_one(new_run_document(header, number))
    return uid


def test_the_highest_priority_is_taken_first_then_the_oldest(database: Documents) -> None:
    for number, priority in enumerate([0, 5, -1, 5, 0], start=1):
        put_into_queue(database, number, priority=priority)

    taken = [take_next(database, this_process()) for _ in range(6)]

    assert [run and run["_id"] for run in taken] == [2, 4, 1, 5, 3, None]


def test_an_empty_queue_is_not_looked_for_among_all_runs(database: Documents) -> None:
    database["runs"].insert_many([{"_id": number, "status": "COMPLETED"} for number in range(1, 51)])
    database.command({"profile": 2})
    try:
        assert take_next(database, this_process()) is None
    finally:
        database.command({"profile": 0})

    asked = list(database["system.profile"].find({"ns": f"{database.name}.runs", "op": {"$in": ["command", "update"]}}))
    assert len(asked) >= 2
    assert {entry.get("docsExamined", 0) for entry in asked} == {0}


def test_of_many_workers_one_gets_a_run(database: Documents) -> None:
    for number in range(1, 21):
        put_into_queue(database, number)
    taken: list[int] = []

    def work() -> None:
        while (run := take_next(database, this_process())) is not None:
            taken.append(run["_id"])

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert sorted(taken) == list(range(1, 21))


def test_only_runs_of_the_own_account_are_taken_unless_said_otherwise(database: Documents) -> None:
    put_into_queue(database, 1, owner="eve", priority=9)
    put_into_queue(database, 2, owner="ana")
    put_into_queue(database, 3, owner="ana", state="recording")

    assert [(take_next(database, {}, owner="ana") or {}).get("_id") for _ in range(2)] == [2, None]
    assert (take_next(database, {}) or {}).get("_id") == 1


def test_a_lease_that_ran_out_gives_the_run_to_the_next_and_nothing_to_the_first(database: Documents) -> None:
    uid = put_into_queue(database, 1)
    first = take_next(database, this_process(), lease_seconds=0.05)
    assert first is not None
    second: list[dict[str, Any]] = []

    def taken_again() -> bool:
        found = take_next(database, this_process(), lease_seconds=60)
        second.extend([found] if found else [])
        return bool(second)

    wait_for(taken_again, "the run is taken again")

    late = first["cloister"]["queue"]["lease"]["token"]
    assert not renew_lease(database, first)
    assert not give_back(database, first)
    assert not end_unbegun(database, first, ["late"], {})
    with pytest.raises(NotYours, match="is not this worker's any more"):
        begin_queued(database, uid, late, {"time": session_time(), **this_process()})
    assert renew_lease(database, second[0])


def test_a_renewed_lease_keeps_the_run_and_a_run_is_begun_once(database: Documents) -> None:
    uid = put_into_queue(database, 1)
    run = take_next(database, this_process(), lease_seconds=60)
    assert run is not None
    assert renew_lease(database, run, 60)
    assert take_next(database, this_process()) is None
    session = {"time": session_time(), **this_process()}
    token = run["cloister"]["queue"]["lease"]["token"]

    begun = begin_queued(database, uid, token, session)

    assert (begun["status"], begun["start_time"]) == ("RUNNING", session["time"])
    assert not renew_lease(database, run)
    with pytest.raises(NotYours):
        begin_queued(database, uid, token, session)


def test_a_run_that_ends_every_worker_is_given_up(database: Documents) -> None:
    put_into_queue(database, 1, attempts=5)

    assert take_next(database, {}) is None

    run = database["runs"].find_one({"_id": 1}) or {}
    assert run["status"] == "FAILED"
    assert run["fail_trace"] == [
        "It was taken 5 times, and each time the worker died, or failed, before the run began.\n"
    ]


def test_a_run_in_the_queue_can_be_cancelled_and_moved(database: Documents) -> None:
    for number in (1, 2, 3):
        put_into_queue(database, number)
    set_priority(database, 3, 4)
    cancel(database, 1)

    assert [run.id for run in list_queue(database)] == [3, 2]
    cancelled = database["runs"].find_one({"_id": 1}) or {}
    assert (cancelled["status"], cancelled["stop_time"] is None) == ("CANCELLED", False)
    with pytest.raises(NotQueued, match="Run 1 is cancelled, so it is not in the queue"):
        cancel(database, 1)
    with pytest.raises(NotQueued, match="Run 9 does not exist"):
        set_priority(database, 9, 1)


def test_the_queue_is_shown_with_sacreds_own_runs(database: Documents, database_uri: str, home: Path) -> None:
    put_into_queue(database, 1, priority=2.5)
    put_into_queue(database, 2, missing=["The source [a].py is not recorded: it is too large."])
    database["runs"].insert_one(
        {"_id": 3, "status": "QUEUED", "experiment": {"name": "old"}, "meta": {"priority": 9.0}}
    )
    take_next(database, {"host": "gpu7", "pid": 77})
    call = CliRunner(env={"CLOISTER_URI": database_uri, "COLUMNS": "200"})

    listed = call.invoke(main, ["queue", "ls"])

    assert listed.exit_code == 0, listed.output
    for words in ("taken gpu7 process 77", "Sacred's own", "2.5", "2: The source [a].py is not recorded"):
        assert words in listed.output
    assert "is cancelled" in call.invoke(main, ["queue", "cancel", "2"]).output
    assert "Run 1 has priority -3." in call.invoke(main, ["queue", "priority", "1", "-3"]).output
    assert "Run 2 is cancelled, so" in call.invoke(main, ["queue", "cancel", "2"]).output
    assert [run.id for run in list_queue(database, "p")] == [1]
    assert "Nothing is queued." in call.invoke(main, ["queue", "ls", "--project", "none"]).output


def test_the_owner_of_a_queued_run_is_who_queued_it(script: RecordedScript) -> None:
    queue_script(script, "pass")

    assert [run.owner for run in list_queue(script.store.database)] == [login_name()]
