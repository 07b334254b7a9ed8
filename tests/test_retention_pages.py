"""Deleting, restoring, purging and rules by pages and by REST: who may, what others notice, what the log says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import keep_artifact
from cloister.decorators.run_start import new_uid
from cloister.observer.retention.expiry import apply_rules
from cloister.observer.retention.holds import hold_run, lift_run
from cloister.observer.retention.purge import begin_purging, list_purges
from cloister.observer.retention.rules import load_rules, set_project_days
from cloister.observer.retention.trash import list_trash, move_to_trash
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.csrf import make_csrf_token
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from cloister.viewer.retention_keeper import RetentionKeeper
from cloister.viewer.store_access import StoreAccess
from flask import Flask
from pymongo.database import Database
from running_viewer import insert_run

Site = Database[dict[str, Any]]


@dataclass
class Person:
    """Somebody with a browser, signed in."""

    app: Flask
    database: Site
    name: str

    def __post_init__(self) -> None:
        self.client = self.app.test_client()
        session = open_session(self.database, self.name)
        self.client.set_cookie("cloister_session", session)
        self.token = make_csrf_token(session)

    def get(self, path: str) -> tuple[int, str]:
        answer = self.client.get(path)
        return answer.status_code, answer.get_data(as_text=True)

    def post(self, path: str, **form: str) -> tuple[int, str]:
        answer = self.client.post(path, data={"csrf_token": self.token, **form})
        return answer.status_code, answer.get_data(as_text=True)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"X-CSRF-Token": self.token}
        answer = self.client.open(f"/api/v1{path}", method=method, json=body, headers=headers)
        return answer.status_code, answer.get_json(silent=True)


@pytest.fixture
def site(database: Site, tmp_path: Path) -> Site:
    """ana owns run 1, private; run 2 is cleo's, of the project; bob looks, eve manages it, sam is of another one."""
    for name, site_rights in (("ana", []), ("bob", []), ("eve", []), ("sam", []), ("root", ["admin"])):
        add_user(database, name, site=site_rights)
    roles = {"ana": "viewer", "bob": "viewer", "eve": "admin"}
    members = [{"kind": "person", "name": name, "role": role} for name, role in roles.items()]
    database["projects"].insert_one({"_id": "digits", "members": members})
    database["projects"].insert_one({"_id": "other", "members": [{"kind": "person", "name": "sam", "role": "admin"}]})
    for run_id, owner, visibility in ((1, "ana", "private"), (2, "cleo", "project"), (3, "cleo", "project")):
        insert_run(database, run_id, status="COMPLETED", stop_time=datetime.now(timezone.utc))
        own = {"cloister.owner": owner, "cloister.visibility": visibility, "cloister.uid": new_uid()}
        database["runs"].update_one({"_id": run_id}, {"$set": {**own, "cloister.name": f"net-{run_id}"}})
    keep_artifact(database, tmp_path, "model.txt", b"weights of it", run_id=1)
    return database


@pytest.fixture
def app(site: Site, store: RunStore, home: Path) -> Flask:
    return create_app(store)


def actions(database: Site) -> list[tuple[str, str, str]]:
    found = database["audit"].find({"action": {"$nin": ["run-viewed"]}}).sort("_id", 1)
    return [(entry["actor"], entry["action"], entry["target"]) for entry in found]


def without_moment(page: str) -> str:
    return re.sub(r'data-live-since="[^"]*"', "", page)


def test_who_may_delete_does_and_nobody_else_notices_more_than_before(app: Flask, site: Site) -> None:
    ana, bob, sam = (Person(app, site, name) for name in ("ana", "bob", "sam"))
    assert ana.get("/runs/1")[1].count("/delete?runs=1") == 1  # the button, for the owner
    assert "/delete?runs=2" not in bob.get("/runs/2")[1]
    never, hidden = bob.get("/delete?runs=987654321"), bob.get("/delete?runs=1")
    assert (never[0], hidden[0]) == (404, 404)
    assert never[1].replace("987654321", "1") == hidden[1]
    assert bob.post("/delete", runs="1")[0] == 404
    assert bob.post("/delete", runs="2")[0] == 403
    assert sam.post("/delete", runs="2")[0] == 404
    assert actions(site) == []
    assert site["runs"].count_documents({}) == 3
    assert "be brought back for 30 days" in ana.get("/delete?runs=1")[1]
    assert ana.post("/delete", runs="1")[0] == 303
    assert actions(site) == [("ana", "run-deleted", "run 1")]
    assert ana.get("/runs/1")[0] == 404
    assert "Undo" in ana.get("/privacy/trash?deleted=1")[1]
    for other in (bob, sam):  # a private run is as hidden in the trash
        assert "net-1" not in other.get("/privacy/trash?deleted=1")[1]
        assert other.call("GET", "/trash") == (200, {"runs": []})
        gone, unknown = (other.post(f"/privacy/trash/{run_id}/restore") for run_id in (1, 987654321))
        assert gone[0] == 404
        assert without_moment(gone[1]) == without_moment(unknown[1]).replace("987654321", "1")
    assert Person(app, site, "root").call("GET", "/trash")[1]["runs"][0]["name"] == "net-1"
    assert ana.post("/privacy/trash/1/restore")[0] == 303
    assert ana.get("/runs/1")[0] == 200
    assert actions(site)[-1] == ("ana", "run-restored", "run 1")


def test_a_purge_asks_for_the_name_and_shows_its_proof(app: Flask, site: Site) -> None:
    ana, eve = Person(app, site, "ana"), Person(app, site, "eve")
    ana.post("/delete", runs="1")
    status, page = ana.post("/privacy/trash/1/purge", name="net-2")
    assert (status, "type &#39;net-1&#39;" in page) == (400, True)
    assert [each.run.id for each in list_trash(site)] == [1]
    assert ana.post("/privacy/trash/1/purge", name="net-1")[0] == 303
    assert list_trash(site) == []
    assert site["fs.chunks"].count_documents({}) == 0
    assert actions(site)[-1] == ("ana", "purged", "run 1")
    root = Person(app, site, "root")
    for person in (ana, root):  # those who saw the run
        page = person.get("/privacy/trash")[1]
        assert "1 chunk deleted, 0 left" in page
        assert "nothing left" in page
    assert "nothing left" not in eve.get("/privacy/trash")[1]
    assert eve.call("GET", "/purges") == (200, {"reports": []})
    (report,) = root.call("GET", "/purges")[1]["reports"]
    assert report["is_proven"]
    assert len(report["files"][0]["sha256"]) == 64
    assert Person(app, site, "sam").call("GET", "/purges") == (200, {"reports": []})
    assert ana.call("GET", "/purges")[0] == 404


def test_rules_and_holds_are_the_managers_and_keep_what_they_say(app: Flask, site: Site) -> None:
    ana, bob, eve, root = (Person(app, site, name) for name in ("ana", "bob", "eve", "root"))
    for path in ("/privacy/retention", "/privacy/retention/projects/digits", "/privacy/retention/preview"):
        assert (bob.get(path)[0] in (403, 404), eve.get(path)[0]) == (True, 200), path
    assert eve.get("/privacy/retention/projects/other")[0] == 404
    assert eve.post("/privacy/retention/site", console="90d")[0] == 404
    assert root.post("/privacy/retention/site", console="90d")[0] == 303
    status, page = eve.post("/privacy/retention/projects/digits", console="soon")
    assert (status, "says not how long console is kept" in page) == (400, True)
    assert eve.post("/privacy/retention/projects/digits", console="400d", runs="2y")[0] == 303
    rules = eve.call("GET", "/projects/digits/retention")[1]["rules"]
    assert rules["console"] == {"days": 90, "source": "site", "own": 400}
    assert eve.call("PUT", "/projects/digits/retention", {"console": "30d", "runs": None})[0] == 200
    assert eve.call("PUT", "/projects/digits/retention", {"everything": 1})[0] == 400
    assert eve.call("PUT", "/projects/digits/retention", {"console": -1})[0] == 400
    assert bob.call("PUT", "/projects/digits/retention", {"console": 1})[0] == 403
    assert site["projects"].find_one({"_id": "digits"})["retention"] == {"console": 30.0}  # type: ignore[index]
    assert eve.post("/privacy/retention/projects/digits/hold", reason="case 4")[0] == 303
    status, page = ana.post("/delete", runs="1")
    assert (status, "legal hold" in page) == (409, True)
    assert ana.call("DELETE", "/runs/1")[0] == 409
    assert eve.call("DELETE", "/projects/digits/hold")[0] == 204
    assert ana.call("PUT", "/runs/1/hold", {"reason": "mine"})[0] == 403  # whom it is to bind, too
    assert root.call("PUT", "/runs/1/hold", {"reason": "case 5"})[0] == 204
    assert ana.call("DELETE", "/runs/1")[0] == 409
    assert ana.post("/runs/1/hold", lift="1")[0] == 403
    assert "case 5" in root.get("/privacy/retention")[1]
    assert "case 5" in root.get("/delete?runs=1")[1]
    assert "Under legal hold" in ana.get("/runs/1")[1]
    assert root.post("/runs/1/hold", lift="1")[0] == 303
    ana.call("DELETE", "/runs/1")
    hold_run(site, 1, by="root", reason="case 6")
    assert ana.call("DELETE", "/trash/1")[0] == 409
    assert ana.post("/privacy/trash/1/lift")[0] == 403
    assert root.post("/privacy/trash/1/lift")[0] == 303
    assert ana.call("POST", "/trash/1/restore")[0] == 200
    status, answer = ana.call("DELETE", "/runs/1")
    assert (status, answer["deleted_by"]) == (200, "ana")
    assert ana.call("POST", "/trash/1/restore") == (200, {"id": 1})
    assert ana.call("DELETE", "/runs/1")[0] == 200
    assert ana.call("DELETE", "/trash/1")[0] == 204
    assert ana.call("DELETE", "/trash/1")[0] == 404
    said = [action for _, action, _ in actions(site)]
    assert said.count("retention-changed") == 3
    assert (said.count("hold-set"), said.count("hold-lifted")) == (2, 3)


def test_a_manager_learns_of_no_private_run_by_rules_holds_or_reports(app: Flask, site: Site) -> None:
    eve = Person(app, site, "eve")
    old = datetime.now(timezone.utc) - timedelta(days=400)
    site["runs"].update_many({}, {"$set": {"stop_time": old, "heartbeat": old, "captured_out": "hello"}})
    set_project_days(site, "digits", {"console": 30.0}, by="eve")
    hold_run(site, 1, by="root", reason="quiet")
    assert "quiet" not in eve.get("/privacy/retention")[1]
    lift_run(site, 1)
    page = eve.get("/privacy/retention/preview")[1]
    assert "net-2" in page
    assert "net-1" not in page
    assert "2 \N{MULTIPLICATION SIGN} console" in page  # of three
    apply_rules(site, load_rules(site), ["digits"])
    assert {report["run_id"] for report in eve.call("GET", "/purges")[1]["reports"]} == {"2", "3"}
    assert "Run 1" not in eve.get("/privacy/retention")[1]


def test_the_keeper_ends_what_was_begun_applies_rules_and_writes_nothing_without_need(
    site: Site, store: RunStore
) -> None:
    access = StoreAccess(lambda: store)
    keeper = RetentionKeeper([access])
    before = set(site.list_collection_names())
    keeper.keep(access)
    assert set(site.list_collection_names()) == before
    move_to_trash(site, 2, by="eve", trash_days=30)
    begin_purging(site, 2, by="eve")  # and killed
    old = datetime.now(timezone.utc) - timedelta(days=40)
    site["runs"].update_one({"_id": 3}, {"$set": {"stop_time": old}})
    set_project_days(site, "digits", {"runs": 30.0}, by="eve")
    keeper.keep(access)
    assert [report.run_id for report in list_purges(site) if report.is_proven] == [2]
    assert [(each.run.id, each.by) for each in list_trash(site)] == [(3, "retention")]
    assert actions(site) == [("retention", "purged", "by the rules of retention")]
    assert site["retention_state"].find_one()["counts"] == {"runs": 1}  # type: ignore[index]


def test_a_run_says_on_its_pages_what_retention_has_deleted(app: Flask, site: Site) -> None:
    gone = {"console": {"at": datetime.now(timezone.utc), "days": 30.0, "lines": 12}}
    site["runs"].update_one({"_id": 2}, {"$set": {"cloister.expired": gone}})
    for tab in ("", "/console"):
        page = Person(app, site, "bob").get(f"/runs/2{tab}")[1]
        assert "Deleted by retention:" in page
        assert "console (just now, kept for 30 days)" in page
