"""What people change in stored runs stays, also while a training records them; projects moved to and renamed."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cloister.observer.errors import CloisterError
from cloister.observer.project_aliases import find_alias
from cloister.observer.retention.errors import RunHeld
from cloister.observer.retention.holds import hold_project
from cloister.observer.retention.trash import move_to_trash, restore
from cloister.observer.run_edits import (
    NAME_LENGTH,
    BadEdit,
    MayNotMove,
    archive_runs,
    change_tags,
    edit_run,
    move_runs,
    rename_project,
)
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import ProjectNotFound, RunNotFound, RunStore
from conftest import StartRun
from pymongo.database import Database
from recorded_script import wait_for
from running_viewer import insert_run

Documents = Database[dict[str, Any]]


def names_in(store: RunStore, project: str) -> list[str]:
    return sorted(run.name for run in store.list_runs(RunQuery(project=project)).runs)


def test_an_edit_says_what_it_changed_and_who_did_it(store: RunStore, database: Documents) -> None:
    insert_run(database, 1)
    before = store.load_run(1).updated_at
    edit = edit_run(store, 1, by="ana", name=" best so far ", tags=["b", "a", "b"], notes="Good.\nVery.")
    assert edit.changes == {
        "name": ("digits-1", "best so far"),
        "tags": ((), ("b", "a")),
        "notes": ("", "Good.\nVery."),
    }
    run = store.load_run(1)
    assert (run.name, run.tags, run.notes) == ("best so far", ("b", "a"), "Good.\nVery.") == (
        edit.run.name, edit.run.tags, edit.run.notes,
    )  # fmt: skip
    assert {key: note["by"] for key, note in run.edited.items()} == dict.fromkeys(("name", "tags", "notes"), "ana")
    assert run.updated_at is not None
    assert before is not None
    assert run.updated_at > before
    assert edit_run(store, 1, by="ben", notes="Good.\nVery.").changes == {}
    assert store.load_run(1).edited["notes"]["by"] == "ana"
    changes = change_tags(store, 1, by="ben", add=["new", "a"], remove=["b"]).changes
    assert changes == {"tags": (("b", "a"), ("a", "new"))}


def test_a_training_does_not_take_back_what_people_have_edited(start: StartRun, store: RunStore) -> None:
    with start(project="digits", name="mine", tags=["given"], notes="as begun") as run:
        run.log({"loss": 1.0}, step=0)
        wait_for(lambda: run.id is not None, "the run is stored")
        edit_run(store, run.id, by="ana", name="hers", tags=["hers"], notes="")
        move_runs(store, [run.id], "speech", by="ana")
        run.add_tags("later")
        run.note("what the training says")
        run.log({"loss": 0.5}, step=1)
    assert run.wait_until_stored(20)
    stored = store.load_run(run.id)
    assert (stored.project, stored.name, stored.tags, stored.notes) == ("speech", "hers", ("hers",), "")
    assert stored.status == "completed"
    assert store.load_points(run.id, "loss").values.tolist() == [1.0, 0.5]


def test_tags_that_two_people_add_at_once_all_stay(store: RunStore, database: Documents) -> None:
    insert_run(database, 1)

    def add(person: str) -> None:
        for number in range(8):
            change_tags(store, 1, by=person, add=[f"{person}{number}"])

    people = [threading.Thread(target=add, args=(person,)) for person in ("ana", "ben")]
    for each in people:
        each.start()
    for each in people:
        each.join()
    assert set(store.load_run(1).tags) == {f"{person}{number}" for person in ("ana", "ben") for number in range(8)}


def test_what_sacred_recorded_is_edited_and_stays_sacreds(store: RunStore, database: Documents) -> None:
    begun = datetime.now(timezone.utc) - timedelta(minutes=1)
    document = {"experiment": {"name": "old"}, "config": {"tags": ["theirs"]}, "meta": {"comment": "once"}}
    database["runs"].insert_one({"_id": 7, "status": "COMPLETED", "start_time": begun, **document})
    assert (store.load_run(7).tags, store.load_run(7).notes) == (("theirs",), "once")
    edit_run(store, 7, by="ana", name="first try", tags=[], notes="")
    run = store.load_run(7)
    assert (run.name, run.tags, run.notes, run.uid) == ("first try", (), "", None)
    move_runs(store, [7], "new", by="ana")
    assert names_in(store, "new") == ["first try"]
    assert names_in(store, "old") == []
    assert "updated_at" not in database["runs"].find_one({"_id": 7})["cloister"]  # type: ignore[index]


def test_what_no_run_can_be_called_is_refused(store: RunStore, database: Documents) -> None:
    insert_run(database, 1)
    refused: list[dict[str, Any]] = [
        {"name": "  "},
        {"name": "a\nb"},
        {"name": "n" * (NAME_LENGTH + 1)},
        {"tags": [""]},
        {"tags": ["t" * 201]},
        {"tags": [str(number) for number in range(101)]},
        {"notes": "n" * 100_001},
        {"notes": "\0"},
    ]
    for wanted in refused:
        with pytest.raises(BadEdit):
            edit_run(store, 1, by="ana", **wanted)
    assert store.load_run(1).edited == {}


def test_archiving_says_whom_it_changed(store: RunStore, database: Documents) -> None:
    for run_id in (1, 2):
        insert_run(database, run_id)
    assert archive_runs(store, [1], "ana") == (1,)
    assert archive_runs(store, [1, 2], "ben") == (2,)
    assert (store.load_run(1).archived_by, store.load_run(2).archived_by) == ("ana", "ben")
    assert store.load_run(1).archived_at is not None
    with pytest.raises(RunNotFound):
        archive_runs(store, [1, 99], "ana", archived=False)
    assert store.load_run(1).archived_by == "ana"
    assert archive_runs(store, [1, 2], "ana", archived=False) == (1, 2)
    assert (store.load_run(1).archived_at, store.load_run(1).archived_by) == (None, "")


def test_runs_that_are_held_or_encrypted_stay_in_their_project(store: RunStore, database: Documents) -> None:
    for run_id in (1, 2, 3):
        insert_run(database, run_id)
    database["runs"].update_one({"_id": 2}, {"$set": {"cloister.encryption": {"parts": ["console"], "key": b"k"}}})
    with pytest.raises(MayNotMove, match="encrypted"):
        move_runs(store, [1, 2], "speech", by="ana")
    hold_project(database, "digits", by="ana", reason="audit")
    with pytest.raises(RunHeld):
        move_runs(store, [1], "speech", by="ana")
    assert names_in(store, "digits") == ["digits-1", "digits-2", "digits-3"]


def test_a_renamed_project_takes_everything_along(start: StartRun, store: RunStore, database: Documents) -> None:
    for run_id in (11, 12, 13):
        insert_run(database, run_id)
    begun = datetime.now(timezone.utc)
    database["runs"].insert_one(
        {"_id": 14, "status": "COMPLETED", "start_time": begun, "experiment": {"name": "digits"}}
    )
    members = [{"kind": "person", "name": "ana", "role": "editor"}]
    database["projects"].insert_one({"_id": "digits", "visibility": "private", "members": members})
    move_to_trash(database, 13, by="ana", trash_days=3)

    assert rename_project(store, "digits", "numbers", by="ana") == 3
    assert names_in(store, "digits") == []
    assert len(names_in(store, "numbers")) == 3
    known = database["projects"].find_one({"_id": "numbers"})
    assert known is not None
    assert (known["visibility"], known["members"]) == ("private", members)
    assert "members" not in (database["projects"].find_one({"_id": "digits"}) or {})
    assert restore(database, 13).project == "numbers"

    # A script that still says the old name records into the project as it is called now.
    with start(project="digits") as run:
        run.log({"loss": 1.0}, step=0)
    assert run.wait_until_stored(20)
    assert store.load_run(run.id).project == "numbers"

    assert rename_project(store, "numbers", "figures", by="ana") == 5
    assert [find_alias(database, name) for name in ("digits", "numbers", "figures")] == ["figures", "figures", None]
    assert rename_project(store, "figures", "digits", by="ana") == 5  # back again
    assert [find_alias(database, name) for name in ("digits", "figures")] == [None, "digits"]


def test_names_that_lead_elsewhere_or_are_taken_are_refused(store: RunStore, database: Documents) -> None:
    for run_id, project in enumerate(["digits", "speech", "vision"]):
        insert_run(database, run_id, project=project)
    rename_project(store, "digits", "numbers", by="ana")
    refused: list[tuple[str, str, type[CloisterError]]] = [
        ("speech", "vision", CloisterError),
        ("speech", "digits", CloisterError),
        ("speech", "speech", CloisterError),
        ("speech", "*", BadEdit),
        ("digits", "again", ProjectNotFound),
        ("nobody", "again", ProjectNotFound),
    ]
    for old, new, error in refused:
        with pytest.raises(error):
            rename_project(store, old, new, by="ana")
    with pytest.raises(CloisterError, match="numbers"):
        move_runs(store, [1], "digits", by="ana")
    assert names_in(store, "speech") == ["speech-1"]
