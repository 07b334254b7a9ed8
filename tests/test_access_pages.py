"""Rights as people change them: pages, REST API, View as, the live stream; and what the audit log says of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from access_world import HIDDEN, PEOPLE, SITE, form_of, signed_in, store_run
from cloister.observer.runs import RunStore
from cloister.viewer import live
from cloister.viewer.accounts import tokens
from cloister.viewer.accounts.sessions import end_sessions, open_session
from cloister.viewer.app import create_app
from cloister.viewer.store_access import ServedDatabase, StoreAccess
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run, running_viewer, touch_run

Document = dict[str, Any]


@pytest.fixture
def site(database: Database[Document]) -> Database[Document]:
    SITE.store(database, PEOPLE)
    return database


@pytest.fixture
def app(site: Database[Document]) -> Flask:
    return create_app(RunStore(site))


def audit(database: Database[Document]) -> list[tuple[str, str, str]]:
    """Who did what to what, in order."""
    entries = database["audit"].find({"action": {"$exists": True}}).sort("_id", 1)
    return [(entry["actor"], entry["action"], entry["target"]) for entry in entries]


def statuses(browser: FlaskClient, *paths: str) -> list[int]:
    return [browser.get(path).status_code for path in paths]


# ---- a run


def test_an_owner_shares_a_private_run_and_takes_it_back(app: Flask, site: Database[Document]) -> None:
    ana, mallory = signed_in(app, site, "ana"), signed_in(app, site, "mallory")
    path = f"/runs/{HIDDEN}/access"

    def save(**fields: str) -> int:
        return ana.post(path, data=form_of(ana, fields)).status_code

    assert mallory.get(path).status_code == 404
    assert save(visibility="private", shared_with="mallory, group:speech") == 303
    page = mallory.get(path).get_data(as_text=True)
    assert "It is shared with you by name." in page
    assert "It is shared with the group speech, which you are in." in page
    assert 'name="visibility"' not in page  # who only sees it is offered no way to change that
    assert save(visibility="default", shared_with="") == 303
    assert mallory.get(path).status_code == 404
    assert "As its project has it" in ana.get(path).get_data(as_text=True)
    assert [entry for entry in audit(site) if entry[1] == "visibility-changed"] == [
        ("ana", "visibility-changed", f"run {HIDDEN}")
    ] * 2


def test_a_run_is_shared_with_those_alone_who_exist(app: Flask, site: Database[Document]) -> None:
    ana = signed_in(app, site, "ana")
    fields = form_of(ana, {"visibility": "private", "shared_with": "ana, nobody-knows-her"})
    refused = ana.post(f"/runs/{HIDDEN}/access", data=fields)

    assert refused.status_code == 400
    page = refused.get_data(as_text=True)
    assert "There is no account or group &#39;nobody-knows-her&#39;" in page
    assert 'value="ana, nobody-knows-her"' in page  # what was typed stays, to be mended
    assert RunStore(site).load_run(HIDDEN).shared_people == ()


def test_each_reason_is_named_on_the_page_that_tells_why(app: Flask, site: Database[Document]) -> None:
    for name, run, reasons in (
        ("ana", 7001, ["owner", "role"]),
        ("ben", 7001, ["role"]),
        ("ben", 7004, ["owner", "shared-group"]),
        ("cleo", 7004, ["shared-group"]),
        ("mallory", 7003, ["shared"]),
        ("guest", 7005, ["site"]),
        ("guest", 7008, ["site"]),
        ("root", 7004, ["site-admin"]),
    ):
        browser = signed_in(app, site, name)
        page = browser.get(f"/runs/{run}/access").get_data(as_text=True)
        assert [part.partition('"')[0] for part in page.split('data-reason="')[1:]] == reasons, (name, run)
        told = browser.get(f"/api/v1/runs/{run}/access").get_json()
        assert [reason["key"] for reason in told["reasons"]] == reasons
    assert told["may_change"] is True
    # Whoever sees a run because all do learns nothing of the others.
    outsider = signed_in(app, site, "guest")
    assert "ana" not in outsider.get("/runs/7005/access").get_data(as_text=True)
    assert outsider.get("/api/v1/runs/7005/access").get_json()["people"] is None


def test_without_accounts_the_page_says_that_all_see_all(store: RunStore) -> None:
    insert_run(store.database, 1)
    page = create_app(store).test_client().get("/runs/1/access").get_data(as_text=True)
    assert "everybody on this machine sees every run" in page


def test_rest_changes_who_sees_a_run(app: Flask, site: Database[Document]) -> None:
    text, _ = tokens.make_token(site, "ana", name="script", scopes=["read", "admin"])
    script, headers = app.test_client(), {"Authorization": f"Bearer {text}"}
    path = f"/api/v1/runs/{HIDDEN}/access"

    answer = script.put(path, headers=headers, json={"visibility": "site"})
    assert (answer.status_code, answer.get_json()["visibility"]) == (200, "site")
    assert script.put(path, headers=headers, json={"visibility": None}).get_json()["from_project"] is True
    for body, words in (
        ({"visibility": "public"}, "'visibility' in the body is 'public'; it takes 'private', 'project', 'site'"),
        ({"owner": "mallory"}, "'owner' in the body is not known"),
        ({"people": "ana"}, "'people' in the body is 'ana'; it takes array"),
        ({"people": [{"$ne": ""}]}, "'people'[0] in the body"),
        ([], "it takes object"),
    ):
        refused = script.put(path, headers=headers, json=body)
        assert refused.status_code == 400
        assert words in refused.get_json()["detail"]
    for data, kind, status in (
        (b'{"visibility": "site"}', "text/plain", 415),
        (b'{"people": [NaN]}', "application/json", 400),
        (b'{"people": [], "people": ["ana"]}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"people": [' + b"9" * 5000 + b"]}", "application/json", 400),
    ):
        assert script.put(path, headers=headers, data=data, content_type=kind).status_code == status, data[:40]


# ---- projects and groups


def test_an_admin_of_a_project_gives_and_takes_roles(app: Flask, site: Database[Document]) -> None:
    ana, guest = signed_in(app, site, "ana"), signed_in(app, site, "guest")
    home = "/privacy/projects/digits"

    def post(part: str, **fields: str) -> int:
        return ana.post(f"{home}/{part}", data=form_of(ana, fields)).status_code

    assert statuses(guest, "/runs/7001", home) == [404, 404]
    assert post("members", who="guest", role="editor") == 303
    assert statuses(guest, "/runs/7001", home) == [200, 403]  # seen from now on, and not managed
    assert post("members", who="person:guest", role="admin") == 303
    assert statuses(guest, home) == [200]
    assert post("members/remove", who="person:guest") == 303
    assert statuses(guest, "/runs/7001") == [404]
    assert post("members", who="group:nowhere", role="viewer") == 400
    assert post("members", who="guest", role="owner") == 400
    assert post("visibility", visibility="site") == 303
    assert statuses(guest, "/runs/7001", f"/runs/{HIDDEN}") == [200, 404]  # what says "private" itself stays so
    assert post("visibility", visibility="everybody") == 400
    assert [entry[2] for entry in audit(site) if entry[1] == "rights-changed"] == ["person guest"] * 3 + [
        "project digits"
    ]


def test_rest_changes_settings_and_groups(app: Flask, site: Database[Document]) -> None:
    root = signed_in(app, site, "root")
    headers = {"X-CSRF-Token": str(form_of(root, {})["csrf_token"])}
    member = {"kind": "group", "name": "readers", "role": "viewer"}

    assert root.put("/api/v1/groups/readers", headers=headers, json={"people": ["guest"]}).status_code == 200
    changed = root.put("/api/v1/projects/digits/settings", headers=headers, json={"members": [member]})
    assert changed.get_json() == {"project": "digits", "visibility": "project", "members": [member]}
    assert statuses(signed_in(app, site, "guest"), "/runs/7001") == [200]
    assert root.delete("/api/v1/groups/readers", headers=headers).status_code == 204
    assert statuses(signed_in(app, site, "guest"), "/runs/7001") == [404]
    assert root.get("/api/v1/projects/digits/settings").get_json()["members"] == []
    for name in ("readers", "nobody"):
        assert root.delete(f"/api/v1/groups/{name}", headers=headers).status_code == 404
    assert root.put("/api/v1/groups/$where", headers=headers, json={"people": []}).status_code == 400


def test_groups_are_filled_and_removed_on_their_pages(app: Flask, site: Database[Document]) -> None:
    root = signed_in(app, site, "root")

    def post(path: str, **fields: str) -> int:
        return root.post(f"/privacy/groups{path}", data=form_of(root, fields)).status_code

    assert post("", name="readers") == 303
    assert post("", name="readers") == post("", name="../x") == 400
    assert post("/readers/people", person="guest") == 303
    assert post("/readers/people", person="stranger") == 400
    assert "guest" in root.get("/privacy/groups/readers").get_data(as_text=True)
    assert post("/readers/people/remove", person="guest") == 303
    assert post("/vision/remove") == 303
    assert statuses(signed_in(app, site, "cleo"), "/runs/7004") == [404]  # it was shared with the group
    site["groups"].insert_one({"_id": "from ldap", "source": "ldap", "people": ["ana"]})
    assert post("/from%20ldap/people", person="guest") == 400
    assert "Who is in it says LDAP" in root.get("/privacy/groups/from%20ldap").get_data(as_text=True)


def test_an_admin_of_the_site_adds_disables_and_promotes_people(app: Flask, site: Database[Document]) -> None:
    root = signed_in(app, site, "root")

    def post(path: str, **fields: str) -> int:
        return root.post(f"/privacy/people{path}", data=form_of(root, fields)).status_code

    assert post("", name="nina", full_name="Nina") == 303
    assert post("", name="nina") == post("", name="a b") == post("", name="dan", password="short") == 400
    assert post("/nina/rights", auditor="1") == 303
    assert statuses(signed_in(app, site, "nina"), "/p/digits", "/privacy/people") == [404, 404]
    assert post("/root/rights") == post("/root/disable") == 400  # nobody could administer the site any more
    guest = signed_in(app, site, "guest")
    assert post("/guest/disable") == 303
    assert statuses(guest, "/") == [303]
    assert post("/guest/enable") == 303
    assert post("/nobody/disable") == 404
    assert statuses(guest, "/") == [303]  # the session stays dead
    page = root.get("/privacy/people").get_data(as_text=True)
    assert "Nina" in page


def test_a_form_of_another_site_changes_nothing(app: Flask, site: Database[Document]) -> None:
    ana = signed_in(app, site, "ana")
    for data in ({}, {"csrf_token": "0" * 64}):
        refused = ana.post(f"/runs/{HIDDEN}/access", data={**data, "visibility": "site"})
        assert refused.status_code == 403
    assert RunStore(site).load_run(HIDDEN).visibility == "private"


# ---- view as


def test_an_admin_sees_the_site_as_somebody_else_and_changes_nothing(app: Flask, site: Database[Document]) -> None:
    root, mallory = signed_in(app, site, "root"), signed_in(app, site, "mallory")
    own = root.get("/api/v1/projects").get_json()

    assert root.post("/view-as", data=form_of(root, {"whom": "person:mallory"})).status_code == 303
    assert root.get("/api/v1/projects").get_json() == mallory.get("/api/v1/projects").get_json()
    assert statuses(root, f"/runs/{HIDDEN}", "/runs/7003", "/privacy/people", "/profile") == [404, 200, 404, 403]
    page = root.get("/").get_data(as_text=True)
    assert "You see the site as <strong>mallory</strong> would" in page
    token = page.partition('name="csrf-token" content="')[2].partition('"')[0]
    for path in ("/runs/7006/access", "/privacy/projects/other/visibility", "/profile/name"):
        refused = root.post(path, data={"csrf_token": token, "visibility": "site"})
        assert refused.status_code == 403, path
    assert RunStore(site).load_run(7006).visibility == ""
    assert root.post("/view-as/stop", data={"csrf_token": token}).status_code == 303
    assert root.get("/api/v1/projects").get_json() == own
    acts = [entry for entry in audit(site) if entry[1] != "run-viewed"]
    assert acts == [("root", "viewed-as", "mallory"), ("root", "viewed-as", "themselves")]


def test_whoever_looks_as_another_never_sees_more_than_before(app: Flask, site: Database[Document]) -> None:
    ana = signed_in(app, site, "ana")  # an admin of digits, who shares 7003 with mallory
    page = ana.get("/view-as").get_data(as_text=True)

    for allowed in ("person:mallory", "person:cleo", "group:vision", "role:viewer:digits", "signed-in:"):
        assert f'value="{allowed}"' in page
    for other in ("person:root", "person:guest", "group:speech", "role:admin:other", "person:nobody"):
        assert f'value="{other}"' not in page
        refused = ana.post("/view-as", data=form_of(ana, {"whom": other}))
        assert refused.status_code == 404, other
    for whom, seen in (
        ("person:mallory", {7003, 7005, 7008}),  # not 7006, which is mallory's own
        ("role:viewer:digits", {7001, 7005, 7008}),
        ("signed-in:", {7005, 7008}),
    ):
        assert ana.post("/view-as", data=form_of(ana, {"whom": whom})).status_code == 303
        changes = ana.get("/api/v1/changes?since=2020-01-01T00:00:00Z").get_json()["changes"]
        assert {change["run_id"] for change in changes} == seen, whom


def test_rest_looks_as_somebody_and_stops(app: Flask, site: Database[Document]) -> None:
    root = signed_in(app, site, "root")
    headers = {"X-CSRF-Token": str(form_of(root, {})["csrf_token"])}

    me = root.put("/api/v1/me/view-as", headers=headers, json={"whom": "person:mallory"}).get_json()
    assert (me["name"], me["viewed_by"]) == ("mallory", "root")
    assert statuses(root, f"/runs/{HIDDEN}") == [404]
    assert root.delete("/api/v1/me/view-as", headers=headers).status_code == 204
    assert statuses(root, f"/runs/{HIDDEN}") == [200]
    assert root.put("/api/v1/me/view-as", headers=headers, json={"whom": "person:nobody"}).status_code == 404


def test_a_further_database_takes_the_rights_of_the_first(
    site: Database[Document], database_uri: str, mongod: str
) -> None:
    further = site.client[f"{site.name}_further"]
    try:
        for run_id in (7001, 7002):
            store_run(further, run_id, SITE.runs[run_id])
        stores = [RunStore(each) for each in (site, further)]
        databases = [
            ServedDatabase(name, StoreAccess(lambda store=store: store), path)  # type: ignore[misc]
            for name, path, store in zip(("first", "further"), ("", "/db/further"), stores, strict=True)
        ]
        app = create_app(databases)
        ben, ana = signed_in(app, site, "ben"), signed_in(app, site, "ana")

        assert statuses(ben, "/db/further/runs/7001", f"/db/further/runs/{HIDDEN}") == [200, 404]
        fields = form_of(ana, {"visibility": "project", "shared_with": ""})
        assert ana.post(f"/db/further/runs/{HIDDEN}/access", data=fields).status_code == 303
        assert statuses(ben, f"/db/further/runs/{HIDDEN}", f"/runs/{HIDDEN}") == [200, 404]
    finally:
        site.client.drop_database(further.name)


# ---- the live stream


class Stream:
    """A page's live stream, read in this thread."""

    def __init__(self, port: int, cookie: str | None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Cookie": f"cloister_session={cookie}"} if cookie else {}
        self._connection.request("GET", "/api/v1/live", headers=headers)
        self.response = self._connection.getresponse()

    def next_run(self) -> int | None:
        """The next run that is told of; None when the stream ends."""
        while line := self.response.readline():
            if line.startswith(b"data: {") and b"run_id" in line:
                return int(json.loads(line[6:])["run_id"])
        return None

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@pytest.fixture
def port(site: Database[Document], database_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(live, "RECHECK_SECONDS", 0.1)
    with running_viewer(RunStore(site), uri=database_uri) as port:
        yield port


def test_a_stream_tells_of_seen_runs_alone_and_ends_with_its_session(site: Database[Document], port: int) -> None:
    stream = Stream(port, open_session(site, "mallory"))
    owners = Stream(port, open_session(site, "ana"))
    for cookie, status in ((None, 401), (open_session(site, "otto"), 404)):  # an auditor reads the log alone
        refused = Stream(port, cookie)
        assert refused.response.status == status
        refused.close()

    touch_run(site, HIDDEN)
    touch_run(site, 7003)
    assert stream.next_run() == 7003
    touch_run(site, HIDDEN)  # again: what is touched before the viewer's own stream is open is told to nobody
    assert HIDDEN in (owners.next_run(), owners.next_run())

    site["runs"].update_one({"_id": 7003}, {"$set": {"cloister.shared_with.people": []}})
    touch_run(site, 7003)
    touch_run(site, 7005)
    assert stream.next_run() == 7005
    end_sessions(site, "mallory")
    assert stream.next_run() is None
    for each in (stream, owners):
        each.close()


def test_a_stream_follows_its_readers_rights(site: Database[Document], port: int) -> None:
    stream = Stream(port, open_session(site, "guest"))
    with pymongo.timeout(20):
        touch_run(site, 7001)
        site["projects"].update_one(
            {"_id": "digits"}, {"$push": {"members": {"kind": "person", "name": "guest", "role": "viewer"}}}
        )
        touch_run(site, 7005)
        assert stream.next_run() == 7005
        found = None
        while found != 7001:  # the stream asks again for whom it is within a moment
            touch_run(site, 7001)
            touch_run(site, 7005)
            found = stream.next_run()
    stream.close()
