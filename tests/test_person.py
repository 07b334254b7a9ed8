"""All that is stored of a person: handed out whole, erased so that no byte of the database names them."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.audit import record_entry
from cloister.observer.audit.evidence_folder import EvidenceFolder
from cloister.observer.audit.verifying import verify as verify_log
from cloister.observer.retention.holds import hold_run
from cloister.observer.retention.person_erasure import ERASURES, LastAdminStays, StillRecording, erase_person
from cloister.observer.retention.person_export import ExportIsThere, export_person
from cloister.observer.retention.trash import move_to_trash
from cloister.observer.runs import RunStore
from interleaving import Calls, Killed, kill, watched_calls
from pymongo.database import Database
from recorded_work import begin_work, ship_until_done

NAME, FULL_NAME, EMAIL = "marlene", "Marlene Dietrich-Test", "marlene@films.example"
SIGNS = [word.casefold().encode() for word in (NAME, FULL_NAME, EMAIL)]


@pytest.fixture
def folder(tmp_path: Path) -> EvidenceFolder:
    return EvidenceFolder(tmp_path / "evidence")


@pytest.fixture
def lived_in(own_places: Path, database: Database[dict[str, Any]], database_uri: str) -> Database[dict[str, Any]]:
    """A database in which a person has left traces in every place."""
    for owner in (NAME, "ana"):
        work = begin_work(
            database_uri,
            owner=owner,
            notes=f"see @{NAME} or mail {EMAIL}",
            config={"optimizer": NAME, "lr": 0.1},
            host={"hostname": "lab-1", "user": owner},
            base_dir=f"/home/{owner}/code",
            argv=[f"/home/{owner}/train.py"],
        )
        work.recorder.record_console("stdout", f"written to /home/{NAME}/out by {FULL_NAME}\n", 1.0)
        work.recorder.record_fields({"cloister.git": {"state": "repository", "author": f"{FULL_NAME} <{EMAIL}>"}})
        work.end()
        ship_until_done(database_uri, work.places)
    now = datetime.now(timezone.utc)
    users = [
        {
            "_id": NAME,
            "full_name": FULL_NAME,
            "email": EMAIL,
            "site": [],
            "password": "argon2-of-it",
            "source": "local",
        },
        {"_id": "ana", "full_name": "Ana", "email": "", "site": ["admin"], "source": "local", "disabled_at": None},
    ]
    database["users"].insert_many(users)
    database["sessions"].insert_one({"_id": "digest-of-session", "user": NAME, "address": "10.0.0.7"})
    database["tokens"].insert_one({"_id": "key", "hash": "digest-of-token", "user": NAME, "name": "laptop"})
    database["groups"].insert_one({"_id": "stage", "people": [NAME, "ana"]})
    members = [{"kind": "person", "name": name, "role": "editor"} for name in (NAME, "ana")]
    hold = {"by": NAME, "at": now, "reason": "none"}
    fields = {"members": members, "retention_changed": {"by": f"{NAME}@lab-1", "at": now}}
    database["projects"].update_one({"_id": "faults"}, {"$set": fields}, upsert=True)
    database["projects"].insert_one({"_id": "other", "hold": hold})
    database["policy"].insert_one({"_id": "site", "changed_by": NAME})
    database["runs"].update_one({"_id": 2}, {"$set": {"cloister.shared_with": {"people": [NAME, "ben"], "groups": []}}})
    for actor, target in ((NAME, "run 1"), ("ana", f"user {NAME}"), (f"{NAME}@lab-1", "run 2"), ("ana", "run 2")):
        record_entry(database, actor=actor, action="run-viewed", target=target, address="10.0.0.7")
    return database


def everything_in(database: Database[dict[str, Any]]) -> dict[str, bytes]:
    """All bytes of each collection, in lower case."""
    from bson import encode

    return {
        name: b"".join(encode(document) for document in database[name].find()).lower()
        for name in database.list_collection_names()
    }


def test_no_collection_names_an_erased_person_any_more(
    lived_in: Database[dict[str, Any]], folder: EvidenceFolder, store: RunStore
) -> None:
    rehearsed = erase_person(lived_in, NAME, by="ana", folder=folder, dry_run=True)
    assert any(sign in content for content in everything_in(lived_in).values() for sign in SIGNS)
    erasure = erase_person(lived_in, NAME, by="ana", folder=folder)
    assert set(rehearsed.counts) == set(erasure.counts)
    kept = everything_in(lived_in)
    config = kept.pop("runs")  # what a run computed with is no place for names, and stays whatever its values look like
    assert config.count(NAME.encode()) == 2
    assert [(name, sign) for name, content in kept.items() for sign in SIGNS if sign in content] == []
    run, other = store.load_run(1), store.load_run(2)
    assert run.owner == erasure.pseudonym
    assert other.owner == "ana"
    assert run.config["optimizer"] == NAME
    assert run.notes == f"see @{erasure.pseudonym} or mail {erasure.pseudonym}"
    assert run.argv == (f"/home/{erasure.pseudonym}/train.py",)
    assert other.argv == ("/home/ana/train.py",)
    assert run.git["author"] == f"{erasure.pseudonym} <{erasure.pseudonym}>"
    assert other.shared_people == ("ben",)
    text = "".join(piece.text for piece in store.load_console(1).pieces)
    assert text == f"written to /home/{erasure.pseudonym}/out by {erasure.pseudonym}\n"
    assert lived_in["groups"].find_one()["people"] == ["ana"]  # type: ignore[index]
    assert [entry["actor"] for entry in lived_in["audit"].find({"action": "run-viewed"}).sort("_id", 1)] == [
        erasure.pseudonym,
        "ana",
        f"{erasure.pseudonym}@lab-1",
        "ana",
    ]
    report = verify_log(lived_in, folder=folder, public_keys=folder.public_keys())
    assert report.is_whole, report


def test_an_erasure_can_take_the_runs_along_and_leaves_what_is_held(
    lived_in: Database[dict[str, Any]], folder: EvidenceFolder, store: RunStore
) -> None:
    hold_run(lived_in, 2, by="lex", reason="case")
    held = lived_in["runs"].find_one({"_id": 2})
    erasure = erase_person(lived_in, NAME, by="ana", folder=folder, delete_runs=True)
    assert [report.is_proven for report in erasure.purged] == [True]
    assert erasure.held == [2]
    assert [run["_id"] for run in lived_in["runs"].find()] == [2]
    assert lived_in["runs"].find_one({"_id": 2}) == held


def test_an_erasure_that_was_killed_goes_on_under_the_same_pseudonym(
    lived_in: Database[dict[str, Any]], folder: EvidenceFolder
) -> None:
    calls = Calls(14, kill)
    with watched_calls(calls), pytest.raises(Killed):
        erase_person(lived_in, NAME, by="ana", folder=folder)
    begun = lived_in[ERASURES].find_one({"_id": NAME})
    assert begun is not None
    erasure = erase_person(lived_in, NAME, by="ana", folder=folder)
    assert erasure.pseudonym == begun["pseudonym"]
    kept = everything_in(lived_in)
    kept.pop("runs")
    assert [(name, sign) for name, content in kept.items() for sign in SIGNS if sign in content] == []
    assert verify_log(lived_in, folder=folder, public_keys=folder.public_keys()).is_whole


def test_nobody_is_erased_who_still_records_or_is_the_only_admin(
    lived_in: Database[dict[str, Any]], folder: EvidenceFolder
) -> None:
    with pytest.raises(LastAdminStays, match="Make another one first"):
        erase_person(lived_in, "ana", by="ana", folder=folder)
    now = datetime.now(timezone.utc)
    lived_in["runs"].update_one({"_id": 1}, {"$set": {"status": "RUNNING", "stop_time": None, "heartbeat": now}})
    with pytest.raises(StillRecording, match="run 1"):
        erase_person(lived_in, NAME, by="ana", folder=folder)
    assert lived_in["users"].count_documents({}) == 2


def test_an_export_holds_what_names_the_person_and_no_secret(
    lived_in: Database[dict[str, Any]], tmp_path: Path, database_uri: str
) -> None:
    move_to_trash(lived_in, 1, by="ana", trash_days=3)
    path = tmp_path / "export.zip"
    done = CliRunner().invoke(
        main, ["person", "export", NAME, "--to", str(path), "--with-files", "--uri", database_uri]
    )
    assert done.exit_code == 0, done.output
    assert path.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(path) as bundle:
        names = bundle.namelist()
        whole = b"".join(map(bundle.read, names))
        assert json.loads(bundle.read("about.json"))["holds"]["own runs"] == 1
        assert json.loads(bundle.read("users.json"))[0]["email"] == EMAIL
        assert "trash/1.json" in names
        assert f"/home/{NAME}/out" in bundle.read("trash/1.console.txt").decode()
        assert json.loads(bundle.read("runs/2.named.json"))["cloister.notes"] == f"see @{NAME} or mail {EMAIL}"
        actions = [entry["action"] for entry in json.loads(bundle.read("audit.json"))]
    assert actions.count("run-viewed") == 3
    assert "person-exported" in actions
    for secret in (b"argon2-of-it", b"digest-of-session", b"digest-of-token"):
        assert secret not in whole
    with pytest.raises(ExportIsThere):
        export_person(lived_in, NAME, path)


def test_the_erasing_command_says_what_it_did(lived_in: Database[dict[str, Any]], database_uri: str) -> None:
    def erase(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["person", "erase", *words, "--uri", database_uri])
        return done.exit_code, done.output

    assert erase("ana", "--yes") == (1, f"Error: {LastAdminStays('ana')}\n")
    code, output = erase(NAME, "--dry-run")
    assert (code, output.endswith("Nothing was changed.\n")) == (0, True)
    code, output = erase(NAME, "--yes")
    assert code == 0, output
    assert "What remains says 'person-" in output
    assert "audit entries" in output
    told = lived_in["audit"].find_one({"action": "person-erased"})
    assert told is not None
    assert told["target"].startswith("user person-")  # the name is not in the entry that tells of it either
