"""What is kept for how long: the rules of site and project, what they delete of a run, what they leave alone."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.policy import BadPolicy, load_policy
from cloister.observer.retention import due_records
from cloister.observer.retention.due_records import find_due
from cloister.observer.retention.errors import BadRetention, ClocksDisagree, UnknownKind
from cloister.observer.retention.expiry import apply_rules, rehearse_rules
from cloister.observer.retention.holds import hold_project, hold_run, lift_project
from cloister.observer.retention.rules import load_rules, parse_age, set_project_days, set_site_days
from cloister.observer.retention.tombstones import TOMBSTONES, TRASH
from cloister.observer.retention.unfinished import finish_all
from cloister.observer.runs import RunStore
from interleaving import Calls, Killed, kill, watched_calls
from pymongo.database import Database
from recorded_work import RecordedWork, begin_work, ship_until_done


@pytest.fixture
def uri(own_places: Path, database: Database[dict[str, Any]], database_uri: str) -> str:
    return database_uri


def recorded(uri: str, folder: Path) -> RecordedWork:
    work = begin_work(uri)
    work.record(30)
    work.record_file(folder, "model.bin", f"model of {work.uid}".encode())
    work.recorder.record_source("train.py", f"# of {work.uid}".encode())
    work.end()
    ship_until_done(uri, work.places)
    return work


def made_old(database: Database[dict[str, Any]], run_id: Any, days: float = 100) -> None:
    ended = datetime.now(timezone.utc) - timedelta(days=days)
    database["runs"].update_one({"_id": run_id}, {"$set": {"stop_time": ended, "heartbeat": ended}})


def test_the_shorter_time_of_site_and_project_holds(
    database: Database[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[retention]\nconsole = "26w"\ntrash = 14\n[retention.projects.secret]\nruns = "1y"\n')
    monkeypatch.setenv("CLOISTER_POLICY", str(policy))
    set_site_days(database, {"console": 365.0, "artifacts": 30.0}, by="ana")
    set_project_days(database, "digits", {"console": 90.0, "artifacts": 60.0, "sources": None}, by="ana")
    rules = load_rules(database)
    assert [rules.days("digits", kind) for kind in ("console", "artifacts", "metrics", "trash")] == [90, 30, None, 14]
    assert [rules.source("digits", kind) for kind in ("console", "artifacts", "runs")] == ["project", "site", ""]
    assert (rules.days("secret", "runs"), rules.days("secret", "console")) == (365, 182)
    policy.write_text("[retention]\nconsoles = 3\n")
    with pytest.raises(BadPolicy, match="no kind of records 'consoles'"):
        load_policy(database)


def test_an_age_is_understood_or_refused_with_what_it_should_be() -> None:
    for written, days in ((90, 90.0), ("90d", 90.0), ("12w", 84.0), ("2Y", 730.0), ("6h", 0.25), ("never", None)):
        assert parse_age("runs", written) == days
    for written in ("", "soon", 0, -1, True, "1e9", "9" * 300, "90 d d", [], float("nan"), float("inf"), "٣d"):
        with pytest.raises(BadRetention, match="Give days"):
            parse_age("runs", written)
    with pytest.raises(UnknownKind, match="There are console, artifacts"):
        parse_age("everything", 3)


def test_each_kind_goes_alone_and_the_run_says_what_is_gone(store: RunStore, uri: str, tmp_path: Path) -> None:
    database, work = store.database, recorded(uri, tmp_path)
    run = store.find_run_by_uid(work.uid)
    assert run is not None
    made_old(database, run.id)
    for kind in ("console", "artifacts", "sources", "metrics"):
        set_project_days(database, "faults", {kind: 90.0}, by="ana")
        rehearsed = rehearse_rules(database, load_rules(database), ["faults"])
        assert [due.kind for due in rehearsed.due] == [kind]
        (report,) = apply_rules(database, load_rules(database), ["faults"]).reports
        assert report.is_proven, kind
        assert report.before == {name: count for name, count in rehearsed.counts.items() if name in report.before}
        assert not list(find_due(database, load_rules(database), ["faults"])), kind  # once is enough
    left = store.load_run(run.id)
    assert store.load_console(run.id).pieces == ()
    assert [(artifact.name, artifact.file_id) for artifact in left.artifacts] == [("model.bin", None)]
    assert [(source.path, source.file_id) for source in left.sources] == [("train.py", None)]
    assert len(left.artifacts[0].sha256 or "") == 64
    assert {name: summary.last for name, summary in left.summary.items()} == {
        name: values[-1] for name, values in work.values.items()
    }
    expired = database["runs"].find_one({"_id": run.id})["cloister"]["expired"]  # type: ignore[index]
    assert set(expired) == {"console", "artifacts", "sources", "metrics"}
    assert expired["console"]["lines"] == 30
    for name in ("fs.files", "fs.chunks", "console", "metric_chunks", "metric_tails", "metrics"):
        assert database[name].count_documents({}) == 0, name


def test_whole_runs_go_through_the_trash(store: RunStore, uri: str, tmp_path: Path) -> None:
    database, old, new = store.database, recorded(uri, tmp_path), recorded(uri, tmp_path)
    old_run, new_run = (store.find_run_by_uid(work.uid) for work in (old, new))
    assert old_run is not None
    assert new_run is not None
    made_old(database, old_run.id)
    set_project_days(database, "faults", {"runs": 30.0, "console": 20.0, "trash": 7.0}, by="ana")
    applied = apply_rules(database, load_rules(database), ["faults"])
    assert (applied.trashed, applied.reports, applied.left) == ([old_run.id], [], [])
    assert not apply_rules(database, load_rules(database), ["faults"]).due  # a week in the trash
    database[TOMBSTONES].update_one({}, {"$set": {"at": datetime.now(timezone.utc) - timedelta(days=8)}})
    (report,) = apply_rules(database, load_rules(database), ["faults"]).reports
    assert report.is_proven
    assert report.reason == "older than 30 days"
    assert database[TRASH].count_documents({}) == 0
    new.assert_stored(store)


def test_nothing_of_what_is_held_or_goes_on_or_was_resumed_is_due(store: RunStore, uri: str, tmp_path: Path) -> None:
    database = store.database
    held, running, queued, resumed = (recorded(uri, tmp_path) for _ in range(4))
    ids = [store.find_run_by_uid(work.uid).id for work in (held, running, queued, resumed)]  # type: ignore[union-attr]
    for run_id in ids:
        made_old(database, run_id)
    hold_run(database, ids[0], by="lex", reason="case")
    now = datetime.now(timezone.utc)
    database["runs"].update_one({"_id": ids[1]}, {"$set": {"status": "RUNNING", "stop_time": None, "heartbeat": now}})
    queued_fields = {"status": "QUEUED", "stop_time": None, "start_time": None, "heartbeat": None}
    database["runs"].update_one({"_id": ids[2]}, {"$set": queued_fields})
    set_site_days(database, {"runs": 30.0, "console": 30.0}, by="ana")
    rules = load_rules(database)
    assert [(due.kind, due.run_id) for due in find_due(database, rules, ["faults"])] == [("runs", ids[3])]
    hold_project(database, "faults", by="lex", reason="case")
    assert not list(find_due(database, rules, ["faults"]))
    lift_project(database, "faults")
    # What was lost for a month, without an end, is over.
    month = now - timedelta(days=31)
    lost = {"status": "RUNNING", "stop_time": None, "heartbeat": month}
    database["runs"].update_one({"_id": ids[1]}, {"$set": lost})
    assert {due.run_id for due in find_due(database, rules, ["faults"])} == {ids[1], ids[3]}


def test_a_clock_that_is_a_year_ahead_deletes_nothing(
    store: RunStore, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(uri, tmp_path)
    set_site_days(store.database, {"runs": 30.0}, by="ana")
    monkeypatch.setattr(due_records, "now", lambda: datetime.now(timezone.utc) + timedelta(days=365))
    with pytest.raises(ClocksDisagree, match="Set the wrong one right"):
        apply_rules(store.database, load_rules(store.database), ["faults"])
    assert store.database["runs"].count_documents({}) == 1


def test_an_expiry_that_was_killed_is_ended_by_the_next_start(store: RunStore, uri: str, tmp_path: Path) -> None:
    database, at = store.database, 0
    set_project_days(database, "faults", {"artifacts": 90.0}, by="ana")
    while True:
        at += 4
        work = recorded(uri, tmp_path)
        run = store.find_run_by_uid(work.uid)
        assert run is not None
        made_old(database, run.id)
        rules = load_rules(database)
        calls = Calls(at, kill)
        with watched_calls(calls):
            try:
                apply_rules(database, rules, ["faults"])
            except Killed:
                pass
            else:
                break
        finish_all(database)
        apply_rules(database, rules, ["faults"])
        artifacts = [artifact for artifact in store.load_run(run.id).artifacts if artifact.name == "model.bin"]
        assert [artifact.file_id for artifact in artifacts] == [None], f"killed before call {at}"
        digest = artifacts[0].sha256
        assert database["fs.files"].count_documents({"cloister.sha256": digest}) == 0, f"killed before call {at}"
        assert database["purges"].count_documents({"state": "open"}) == 0, f"killed before call {at}"


def test_the_commands_do_what_they_say(store: RunStore, uri: str, tmp_path: Path) -> None:
    work = recorded(uri, tmp_path)
    run = store.find_run_by_uid(work.uid)
    assert run is not None
    made_old(store.database, run.id)

    def cloister(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, [*words, "--uri", uri])
        assert done.exit_code == code, done.output
        return done.output

    assert "console: 90 days" in cloister("retention", "set", "console=90d", "--project", "faults")
    assert "90 days (project)" in cloister("retention", "show")
    assert "is not KIND=AGE" in cloister("retention", "set", "console", "--site", code=1)
    rehearsed = cloister("retention", "apply", "--dry-run")
    assert "Nothing was deleted" in rehearsed
    assert "console" in rehearsed
    assert store.load_console(run.id).pieces
    report = json.loads(cloister("retention", "apply", "--json"))["reports"][0]
    assert report["is_proven"]
    assert report["after"]["console"] == 0
    word = str(run.id)
    assert "under legal hold" in cloister("hold", "set", word, "--reason", "case 7")
    assert "case 7" in cloister("hold", "ls")
    assert "nothing of it is deleted" in cloister("trash", "put", word, code=1)
    cloister("hold", "lift", word)
    assert "in the trash for 30 days" in cloister("trash", "put", word)
    assert word in cloister("trash", "ls")
    assert "is back" in cloister("trash", "restore", word)
    cloister("trash", "put", word)
    proof = cloister("trash", "purge", word, "--yes")
    assert "chunks deleted, 0 left" in proof
    assert "run document: 1 before, 0 now" in proof
    assert "The trash is empty" in cloister("trash", "ls")
    assert "Nothing had been cut off" in cloister("trash", "purge", "--unfinished")
    actions = [entry["action"] for entry in store.database["audit"].find().sort("_id", 1)]
    assert {"retention-changed", "hold-set", "hold-lifted", "run-deleted", "run-restored", "purged"} <= set(actions)
