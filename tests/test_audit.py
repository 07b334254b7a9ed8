"""The audit log: appended by many, changed by nobody without a trace."""

from __future__ import annotations

import base64
import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.audit import ACTIONS, UnknownAction, record_entry, sightings
from cloister.observer.audit.entry import GENESIS, from_document, new_entry, to_document
from cloister.observer.audit.evidence_folder import EvidenceFolder, UnsafeEvidence
from cloister.observer.audit.exporting import BadExport, ExportReader, iter_csv_lines, iter_signed_lines
from cloister.observer.audit.log import AuditNotWritten
from cloister.observer.audit.pseudonyms import find_entries_of, pseudonymise
from cloister.observer.audit.seals import LogRewritten, seal_if_due
from cloister.observer.audit.searching import AuditQuery, iter_documents, iter_entries, list_entries
from cloister.observer.audit.sightings import keep_evidence_in
from cloister.observer.audit.verifying import verify, verify_documents
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

Log = Database[dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[EvidenceFolder]:
    """This machine's evidence, kept while the test records."""
    folder = keep_evidence_in(tmp_path / "audit")
    assert folder is not None
    yield folder
    keep_evidence_in(None)
    sightings._told.clear()


def fill(database: Log, count: int = 6) -> None:
    for number in range(1, count + 1):
        actor = "ana" if number % 2 else "bob"
        record_entry(
            database,
            actor=actor,
            action="run-viewed",
            target=f"run {number}",
            project="digits",
            details={"owner": "cleo", "number": number},
            address="10.0.0.7",
        )


def problems(database: Log, folder: EvidenceFolder | None = None) -> str:
    return "\n".join(verify(database, folder=folder).problems)


def test_entries_are_numbered_without_a_gap_and_each_is_chained_to_the_one_before(database: Log) -> None:
    fill(database, 3)
    stored = list(database["audit"].find(sort=[("_id", 1)]))
    assert [entry["_id"] for entry in stored] == [1, 2, 3]
    assert [entry["previous"] for entry in stored] == [GENESIS, stored[0]["hash"], stored[1]["hash"]]
    report = verify(database)
    assert report.is_whole
    assert report.entries == 3
    assert report.head is not None
    assert report.head.hash == stored[2]["hash"]


def test_an_action_that_the_table_does_not_have_is_refused(database: Log) -> None:
    with pytest.raises(UnknownAction, match="'run-looked-at'"):
        record_entry(database, actor="ana", action="run-looked-at")
    assert database["audit"].count_documents({}) == 0


def test_the_table_of_actions_has_every_event_that_was_promised() -> None:
    promised = """login login-failed logout run-viewed artifact-downloaded exported run-deleted run-stopped purged
        rights-changed policy-changed key-made key-rotated key-forgotten session-revoked token-made share-made"""
    assert not set(promised.split()) - set(ACTIONS)


APPENDER = """
import sys, pymongo
from cloister.observer.audit import record_entry
database = pymongo.MongoClient(sys.argv[1], tz_aware=True).get_default_database()
sys.stdin.readline()
for number in range(25):
    record_entry(database, actor=sys.argv[2], action="login", details={"number": number})
"""


def test_processes_that_append_at_once_make_one_chain_without_forks_or_gaps(database: Log, database_uri: str) -> None:
    command = [sys.executable, "-c", APPENDER, database_uri]
    writers = [subprocess.Popen([*command, name], stdin=subprocess.PIPE) for name in ("ana", "bob", "cleo")]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.close()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    report = verify(database)
    assert report.problems == []
    assert report.entries == 75
    for name in ("ana", "bob", "cleo"):
        own = [entry.details["number"] for entry in iter_entries(database, AuditQuery(actor=name))]
        assert own == list(range(25))


def test_an_entry_that_the_database_does_not_take_raises(database: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(database, 1)
    database["audit"].insert_one({"_id": 2, "hash": "x"})
    monkeypatch.setattr("cloister.observer.audit.log._ATTEMPTS", 2)
    database.command("collMod", "audit", validator={"never": True})
    with pytest.raises(Exception, match="validation"):
        fill(database, 1)
    with pytest.raises(AuditNotWritten, match="in 2 attempts"):
        raise AuditNotWritten(2)


HOSTILE = "ana\n2026-03-01 root run-deleted\x1b[2J\u202e\ud800" + "x" * 10_000


def test_values_cannot_look_like_entries_of_their_own_and_are_bounded(database: Log) -> None:
    details = {"$set": {"deep": {"deeper": {"deepest": [1]}}}, "n": 2**70, HOSTILE: [HOSTILE] * 2_100, "none": None}
    entry = record_entry(database, actor=HOSTILE, action="login-failed", target=HOSTILE, details=details)
    stored = database["audit"].find_one({"_id": entry.seq})
    assert stored is not None
    assert from_document(stored) == entry
    assert "\n" not in entry.actor
    assert "\\n" in entry.actor
    assert "\\x1b" in entry.actor
    assert len(entry.actor) < 600
    assert len(json.dumps(stored["details"])) < 2_500_000
    assert verify(database).is_whole


# What a database's owner can do to stored entries. Each takes and gives the documents, and may keep the hashes right.


def changed(documents: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    document = draw.draw(st.sampled_from(documents))
    field = draw.draw(st.sampled_from(sorted(set(document) - {"_id"})))
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    other = st.one_of(st.text(max_size=5), st.integers(0, 9), st.none(), st.just(moment), st.just('{"owner":"eve"}'))
    document[field] = draw.draw(other)
    return documents


def removed(documents: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    gone = draw.draw(st.sets(st.integers(0, len(documents) - 1), min_size=1))
    return [document for place, document in enumerate(documents) if place not in gone]


def renumbered(documents: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    order = draw.draw(st.permutations(range(len(documents))))
    return [{**documents[place], "_id": number} for number, place in enumerate(order, 1)]


def cut(documents: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    return documents[: draw.draw(st.integers(0, len(documents) - 1))]


def enriched(documents: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    draw.draw(st.sampled_from(documents))["note"] = "seen"
    return documents


def inserted(documents: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    place = draw.draw(st.floats(0.5, 5.5).filter(lambda number: number != int(number)))
    return [*documents, {**documents[0], "_id": place}]


def rewritten(documents: list[dict[str, Any]], draw: st.DataObject) -> list[dict[str, Any]]:
    """Some entries are left out or changed, and the whole chain is made anew, every hash of it right."""
    kept = removed(documents, draw) if draw.draw(st.booleans()) else documents
    previous, made = GENESIS, []
    for number, document in enumerate(kept, 1):
        fields = {name: document[name] for name in ("action", "target", "project", "address")}
        entry = new_entry(seq=number, previous=previous, actor="eve", details={}, **fields)
        previous = entry.hash
        made.append(to_document(entry))
    return made


TAMPERINGS = (changed, removed, renumbered, cut, enriched, inserted, rewritten)


def test_every_change_removal_reordering_and_cut_is_found(database: Log, folder: EvidenceFolder) -> None:
    fill(database)
    seal_if_due(database, folder, at_once=True)
    fill(database, 2)
    original = list(database["audit"].find(sort=[("_id", 1)]))
    assert verify(database, folder=folder).is_whole

    @given(st.sampled_from(TAMPERINGS), st.data())
    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    def tamper(tampering: Any, draw: st.DataObject) -> None:
        documents = tampering([dict(document) for document in original], draw)
        assume(documents != original)
        database["audit"].delete_many({})
        if documents:
            database["audit"].insert_many(documents)
        report = verify(database, folder=folder)
        assert not report.is_whole, tampering.__name__
        assert report.problems

    tamper()
    database["audit"].delete_many({})
    database["audit"].insert_many(original)
    assert verify(database, folder=folder).is_whole


def test_without_what_this_machine_has_seen_a_cut_is_found_as_far_as_seals_reach(
    database: Log, folder: EvidenceFolder, tmp_path: Path
) -> None:
    fill(database)
    seal_if_due(database, folder, at_once=True)
    fill(database, 2)
    elsewhere = EvidenceFolder(tmp_path / "elsewhere")
    trusted = folder.public_keys()
    database["audit"].delete_many({"_id": {"$gt": 6}})
    report = verify(database, folder=elsewhere, public_keys=trusted)
    assert report.is_whole  # nothing signed is missing, and this machine says that it can tell no more
    assert "has not seen this log before" in report.notes[0]
    assert report.signed_until == 6
    database["audit"].delete_many({"_id": {"$gt": 5}})
    assert "Entry 6 is not the one that was signed" in "".join(verify(database, public_keys=trusted).problems)
    assert "The end was cut: 5 is the last entry" in problems(database, folder)


def test_each_finding_names_its_entry(database: Log, folder: EvidenceFolder) -> None:
    fill(database)
    database["audit"].update_one({"_id": 2}, {"$set": {"actor": "eve"}})
    database["audit"].update_one({"_id": 4}, {"$set": {"action": "login"}})
    database["audit"].delete_one({"_id": 5})
    found = problems(database, folder)
    assert "Entry 2 was changed: who, what or where" in found
    assert "Entry 4 was changed: its hash" in found
    assert "Entry 5 is missing" in found
    assert verify(database).first_problem_seq == 4  # what may be pseudonymised is judged when all is read


def test_seals_that_are_changed_removed_or_by_another_key_are_told(
    database: Log, folder: EvidenceFolder, tmp_path: Path
) -> None:
    fill(database, 2)
    made = seal_if_due(database, folder, at_once=True)
    assert made is not None
    assert seal_if_due(database, folder, at_once=True) is None  # nothing new
    assert verify(database, folder=folder).signed_until == 2
    assert "prove nothing here" in "".join(verify(database, folder=EvidenceFolder(tmp_path / "other")).notes)
    database["audit_seals"].update_one({"_id": 2}, {"$set": {"at": "2020-01-01T00:00:00+00:00"}})
    assert "The seal of entry 2 was changed" in problems(database, folder)
    database["audit_seals"].delete_many({})
    assert "The seal of entry 2 was removed" in problems(database, folder)


def test_a_seal_is_due_once_a_day_and_before_the_entries_of_the_next(database: Log, folder: EvidenceFolder) -> None:
    fill(database, 2)
    assert seal_if_due(database, folder) is not None
    fill(database, 1)
    assert seal_if_due(database, folder) is None
    yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).isoformat(timespec="seconds")
    database["audit_seals"].update_one({"_id": 2}, {"$set": {"at": yesterday}})
    sightings._next_look = 0.0
    fill(database, 1)  # whoever appends first signs what was there
    assert [seal["_id"] for seal in database["audit_seals"].find(sort=[("_id", 1)])] == [2, 3]


def test_machines_that_serve_one_database_sign_each_for_itself(
    database: Log, folder: EvidenceFolder, tmp_path: Path
) -> None:
    other = EvidenceFolder(tmp_path / "other")
    fill(database, 2)
    assert seal_if_due(database, folder) is not None
    assert seal_if_due(database, other) is not None
    for each in (folder, other):
        assert verify(database, folder=each).problems == []
        assert verify(database, folder=each).signed_until == 2
    both = (*folder.public_keys(), *other.public_keys())
    assert not [note for note in verify(database, public_keys=both).notes if "prove nothing" in note]


def test_a_log_that_was_rewritten_is_neither_signed_nor_forgotten(
    database: Log, folder: EvidenceFolder, caplog: pytest.LogCaptureFixture
) -> None:
    fill(database, 4)
    forged = rewritten_by_hand(database)
    database["audit"].delete_many({})
    database["audit"].insert_many(forged)
    with pytest.raises(LogRewritten, match="no longer has entry 1"):
        seal_if_due(database, folder, at_once=True)
    with caplog.at_level(logging.ERROR, logger="cloister"):
        fill(database, 3)  # the log goes on
    assert "was cut or rewritten" in caplog.text
    assert "was replaced" in problems(database, folder)  # and no later entry hides it


def rewritten_by_hand(database: Log) -> list[dict[str, Any]]:
    previous, made = GENESIS, []
    for document in database["audit"].find(sort=[("_id", 1)]):
        fields = {name: document[name] for name in ("action", "target", "project", "address")}
        entry = new_entry(seq=document["_id"], previous=previous, actor="eve", details={}, **fields)
        previous = entry.hash
        made.append(to_document(entry))
    return made


def test_the_key_is_of_this_account_alone_and_outside_of_the_database(
    database: Log, folder: EvidenceFolder, tmp_path: Path
) -> None:
    fill(database, 1)
    seal_if_due(database, folder, at_once=True)
    key = folder.path / "signing-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    secret = base64.b64encode(folder.signing_key().private_bytes_raw()).decode()
    for name in database.list_collection_names():
        assert secret not in str(list(database[name].find()))
    key.chmod(0o640)
    with pytest.raises(UnsafeEvidence, match="others on this machine can open it"):
        folder.signing_key()
    key.chmod(0o600)
    key.rename(tmp_path / "moved")
    key.symlink_to(tmp_path / "moved")
    with pytest.raises(OSError, match="symbolic links"):
        folder.signing_key()


def test_a_person_is_pseudonymised_and_the_chain_stays_whole(database: Log, folder: EvidenceFolder) -> None:
    fill(database)
    record_entry(database, actor="root", action="rights-changed", target="user ana", details={"ana": ["Ana", "anabel"]})
    assert len(list(find_entries_of(database, "ana"))) == 4
    assert pseudonymise(database, folder, "ana", "erased-7", actor="root@db") == 4
    text = str(list(database["audit"].find()))
    assert "'ana'" not in text
    assert "Ana" not in text.replace("anabel", "")
    assert "anabel" in text  # somebody else
    report = verify(database, folder=folder)
    assert report.problems == []
    assert report.pseudonymised == 4
    assert pseudonymise(database, folder, "ana", "erased-7", actor="root@db") == 0
    assert pseudonymise(database, folder, "cleo", "erased-8", actor="root@db") == 6
    assert verify(database, folder=folder).problems == []
    own = next(iter_entries(database, AuditQuery(actor="erased-7")))
    assert own.address == ""


def test_pseudonymised_entries_cannot_be_changed_further_or_be_passed_off_as_such(
    database: Log, folder: EvidenceFolder
) -> None:
    fill(database)
    before = database["audit"].find_one({"_id": 1})
    assert before is not None
    pseudonymise(database, folder, "ana", "erased-7", actor="root@db")
    database["audit"].update_one({"_id": 3}, {"$set": {"target": "run 99"}})
    assert "Entry 3 was changed after it was pseudonymised" in problems(database, folder)
    database["audit"].update_one({"_id": 3}, {"$set": {"target": "run 3"}})
    database["audit"].replace_one({"_id": 1}, before)
    assert "Entry 1 still names somebody who was erased" in problems(database, folder)
    pseudonymise(database, folder, "ana", "erased-7", actor="root@db")  # as after a crash
    assert problems(database, folder) == ""
    # The database's owner changes an entry, and appends one that would allow it: without the key that proves nothing.
    database["audit"].update_one({"_id": 2}, {"$set": {"actor": "eve", "salt": ""}})
    forged = {"pseudonym": "x", "entries": {"2": "0" * 64}, "public": "AAAA", "signature": "AAAA"}
    record_entry(database, actor="eve", action="audit-pseudonymised", details=forged)
    assert "no key that is trusted here signed that" in problems(database, folder)


def test_a_page_of_the_log_is_chosen_by_who_what_where_and_when(database: Log) -> None:
    fill(database)
    record_entry(database, actor="", action="login-failed", target="user $where", address="10.9.9.9")
    assert list_entries(database, AuditQuery(actor="ana")).total == 3
    assert list_entries(database, AuditQuery(topic="sign-in")).entries[0].target == "user $where"
    assert list_entries(database, AuditQuery(refused=True)).total == 1
    assert list_entries(database, AuditQuery(text="RUN 4")).entries[0].target == "run 4"
    assert list_entries(database, AuditQuery(text="(a+)+$")).total == 0
    assert list_entries(database, AuditQuery(text="10.9.9.9", project="")).total == 1
    assert list_entries(database, AuditQuery(actor="$ne")).total == 0
    assert list_entries(database, AuditQuery(since=datetime.now(timezone.utc) + timedelta(hours=1))).total == 0
    first = list_entries(database, AuditQuery(), size=4)
    rest = list_entries(database, AuditQuery(before=first.older), size=4)
    assert [entry.seq for entry in (*first.entries, *rest.entries)] == [7, 6, 5, 4, 3, 2, 1]
    assert rest.older is None
    database["audit"].update_one({"_id": 7}, {"$unset": {"hash": ""}})
    assert list_entries(database, AuditQuery()).damaged == 1


def test_an_export_can_be_verified_where_there_is_no_database(database: Log, folder: EvidenceFolder) -> None:
    fill(database)
    lines = list(iter_signed_lines(iter_documents(database), folder))
    reader = ExportReader(lines)
    assert verify_documents(reader).problems == []
    assert base64.b64decode(reader.public) in folder.public_keys()
    changed = [lines[0].replace(b"ana", b"eve"), *lines[1:]]
    for damaged in (lines[:-1], lines[1:], [*lines, lines[0]], [b"{", *lines], changed):
        with pytest.raises(BadExport):
            verify_documents(ExportReader(damaged))
    end = json.loads(lines[-1])
    with pytest.raises(BadExport, match="signature"):
        verify_documents(ExportReader([*lines[:-1], json.dumps({**end, "at": "later"}).encode()]))


def test_a_table_for_spreadsheets_runs_nothing_there(database: Log) -> None:
    record_entry(database, actor="=cmd|' /C calc'!A0", action="login-failed", target="@SUM(1)", details={"a": "-1"})
    row = list(iter_csv_lines(iter_entries(database, AuditQuery())))[1]
    assert "'=cmd|" in row
    assert "'@SUM(1)" in row


def test_the_commands_verify_show_export_and_sign(
    database: Log, database_uri: str, home: Path, tmp_path: Path, folder: EvidenceFolder
) -> None:
    def cloister(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(main, ["audit", *words], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return str(done.output)

    keep_evidence_in(home / "audit")
    fill(database)
    at = ["--uri", database_uri]
    assert "6 entries, unbroken" in cloister("verify", *at)
    assert "Signed up to entry 6" in cloister("seal", *at)
    assert "Everything is signed already" in cloister("seal", *at)
    assert cloister("show", *at, "--actor", "bob", "--limit", "2").count("run-viewed") == 2
    whole, table = tmp_path / "log.jsonl", tmp_path / "log.csv"
    cloister("export", str(whole), *at)
    cloister("export", str(table), *at, "--actor", "ana")
    assert stat.S_IMODE(whole.stat().st_mode) == 0o600
    assert table.read_text().count("run-viewed") == 3
    assert "7 entries, unbroken" in cloister("verify", "--file", str(whole))
    assert [json.loads(line)["action"] for line in cloister("show", *at, "--json").splitlines()][-1] == "audit-exported"
    assert "ends in neither" in cloister("export", "log.txt", *at, code=2)
    assert "proves nothing" in cloister("export", "part.jsonl", *at, "--actor", "ana", code=2)
    assert "'run-seen'" in cloister("show", *at, "--action", "run-seen", code=1)
    assert "'soon' is no time" in cloister("show", *at, "--since", "soon", code=1)
    public = tmp_path / "key.pub"
    public.write_text(cloister("key"))
    database["audit"].delete_one({"_id": 3})
    found = json.loads(cloister("verify", *at, "--json", "--public-key", str(public), code=1))
    assert found["first_problem_seq"] == 3
    assert not found["whole"]
    assert "BROKEN, first at entry 3" in cloister("verify", *at, code=1)
    public.write_text("no key")
    assert "no Ed25519 public key" in cloister("verify", *at, "--public-key", str(public), code=1)
