"""Share links open exactly what they say, to whoever has them, as long as they should."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import keep_artifact
from cloister.observer.audit.searching import AuditQuery, list_entries
from cloister.observer.runs import RunStore
from cloister.viewer.access_rules import RULES
from cloister.viewer.accounts.csrf import make_csrf_token
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.users import add_user, find_user
from cloister.viewer.app import create_app
from cloister.viewer.run_artifacts_page import artifact_key
from drawn_charts import chart as drawn_chart
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run, running_viewer
from signing_in import Served, emptied
from stored_metrics import store_metric

Site = Database[dict[str, Any]]
STARTED = datetime(2026, 3, 1, tzinfo=timezone.utc)


class Person:
    """Somebody with a browser, signed in or not."""

    def __init__(self, app: Flask, database: Site, name: str = "") -> None:
        self.client: FlaskClient = app.test_client()
        self.token = ""
        if name:
            session = open_session(database, name)
            self.client.set_cookie("cloister_session", session)
            self.token = make_csrf_token(session)

    def get(self, path: str) -> tuple[int, str]:
        answer = self.client.get(path)
        return answer.status_code, answer.get_data(as_text=True)

    def post(self, path: str, **form: str) -> tuple[int, str]:
        answer = self.client.post(path, data={"csrf_token": self.token, **form})
        return answer.status_code, answer.get_data(as_text=True)

    def share(self, run_id: int = 1, **form: str) -> str:
        """The path of a new link."""
        status, page = self.post(f"/runs/{run_id}/share", **{"kind": "run", "days": "7", **form})
        assert status == 200, page
        return address_in(page)


def address_in(page: str) -> str:
    found = re.search(r'data-copy="http://localhost(/s/[A-Za-z0-9_-]{43})"', page)
    assert found, page
    return found[1]


@pytest.fixture
def database(one_database: Site) -> Site:
    return emptied(one_database)


@pytest.fixture
def database_uri(mongod: str, database: Site) -> str:
    return mongod.replace("/?", f"/{database.name}?")


@pytest.fixture
def site(database: Site, store: RunStore, tmp_path: Path) -> Site:
    """ana owns run 1, private; run 2 is everybody's in the project, run 3 of another one."""
    for name, roles in (("ana", []), ("bob", []), ("root", ["admin"]), ("ada", ["auditor"])):
        add_user(database, name, site=roles)
    member = {"kind": "person", "name": "bob", "role": "viewer"}
    database["projects"].insert_one({"_id": "digits", "created_at": STARTED, "members": [member]})
    insert_run(database, 1, **{"cloister.owner": "ana"})
    insert_run(database, 2, **{"cloister.owner": "cleo"})
    insert_run(database, 3, project="secret-project", **{"cloister.owner": "cleo"})
    own = {"cloister.owner": "ana", "cloister.visibility": "private", "cloister.name": "kept-quiet"}
    database["runs"].update_one({"_id": 1}, {"$set": own})
    database["runs"].update_many({"_id": {"$in": [2, 3]}}, {"$set": {"cloister.owner": "cleo"}})
    for run_id, name in ((1, "loss"), (1, "acc"), (2, "loss")):
        store_metric(database, run_id, name, [0.5, 0.25])
    for run_id in (1, 2):
        keep_artifact(database, tmp_path, "model.txt", b"weights of it", run_id=run_id)
        keep_artifact(database, tmp_path, "other.txt", b"something else", run_id=run_id)
    return database


@pytest.fixture
def app(served: Served, site: Site, store: RunStore, home: Path) -> Flask:
    return served.of(store)


@pytest.fixture
def ana(app: Flask, site: Site) -> Person:
    return Person(app, site, "ana")


@pytest.fixture
def stranger(app: Flask, site: Site) -> Person:
    return Person(app, site)


def test_a_link_to_a_run_opens_its_tabs_to_somebody_without_an_account(ana: Person, stranger: Person) -> None:
    link = ana.share()
    assert stranger.get("/runs/1")[0] == 303  # to the login
    status, _ = stranger.get(link)
    assert status == 303
    for tab in ("", "/charts", "/console", "/config", "/source", "/system", "/artifacts", "/environment", "/header"):
        status, page = stranger.get(f"{link}/runs/1{tab}")
        assert status == 200, tab
        assert "kept-quiet" in page
        assert 'href="/privacy' not in page
        assert "/projects/menu" not in page
        assert "Find runs" not in page
        assert "/access" not in page
        assert "MongoDB" not in page
    assert stranger.get("/runs/1")[0] == 303  # the link has left nothing in the browser


def test_a_link_opens_nothing_else(app: Flask, ana: Person, stranger: Person, site: Site) -> None:
    key = artifact_key(RunStore(site).load_run(1).artifacts[0])
    links = {
        "run": ana.share(),
        "chart": ana.share(kind="chart", chart="loss"),
        "artifact": ana.share(kind="artifact", artifact=key),
    }
    allowed: dict[str, set[str]] = {kind: set() for kind in links}
    for path in every_address():
        for kind, link in links.items():
            status, page = stranger.get(link + path)
            assert "secret-project" not in page
            assert "digits-2" not in page
            if status != 404:
                allowed[kind].add(path)
    points = {f"/api/v1/{name}?metric=loss&runs=1" for name in ("curves", "points.csv")}
    assert allowed["chart"] == {"/shared", "/api/v1/plots/line", *points}
    assert allowed["artifact"] == {"/shared", "/shared/download", "/shared/image"}  # the last one says that it is none
    of_curves = {"/api/v1/plots/line", *(path for path in every_address() if path.endswith("&runs=1"))}
    others = {path for path in allowed["run"] if not path.startswith(("/runs/1", "/shared", "/api/v1/runs/1/system"))}
    assert others == of_curves
    assert not [path for path in allowed["run"] if "/access" in path or "/share" in path.removeprefix("/shared")]
    for link in links.values():
        assert stranger.client.post(f"{link}/runs/1/share").status_code == 404
        assert stranger.client.delete(f"{link}/api/v1/runs/1").status_code == 404


def every_address() -> list[str]:
    """Each kind of address of the viewer, for the shared run, another of its project, and one elsewhere."""
    names = ("", "charts", "console", "config", "source", "system", "artifacts", "environment", "share", "access")
    parts = ("header", "overview/top", "console/lines", "console/download", "artifacts/list")
    of_run = [f"/runs/1/{name}".rstrip("/") for name in (*names, *parts)] + ["/runs/2", "/runs/2/console/download"]
    api = ("/system-strip", "", "/metrics", "/metrics/points?name=loss", "/console", "/artifacts")
    of_run += [f"/api/v1/runs/1{name}" for name in api]
    curves = ("curves", "points.csv", "chart-sections", "chart-search", "sparks")
    asked = ("metric=loss&runs=1", "metric=acc&runs=1", "metric=loss&runs=1,2", "metric=loss&metric=acc&runs=1")
    asked += tuple(f"metric=loss&{more}&runs=1" for more in ("expression=acc", "axis=metric:acc", "group=config.lr"))
    queries = [f"/api/v1/{path}?{query}" for path in curves for query in asked]
    plain = """/p/digits /projects/menu /privacy /privacy/audit /privacy/links /shared /shared/download /shared/image
        /api/v1/plots/line /api/v1/projects /api/v1/changes /api/v1/audit /api/v1/shares /login /profile
        /db/cloister/runs/1 /s/x /runs/3 /runs/3/config"""
    return [*of_run, *queries, *plain.split()]


def test_the_scope_of_links_names_only_views_that_there_are(app: Flask) -> None:
    from cloister.viewer import share_scope

    named = share_scope._RUN_PAGES | share_scope._RUN_PARTS | share_scope._OF_CHARTS | share_scope._FRAME
    assert named <= app.view_functions.keys()
    assert {RULES[name] for name in named} <= {"see", "anyone"}


def test_a_shared_artifact_is_a_page_and_a_download_of_that_file_alone(
    ana: Person, stranger: Person, site: Site
) -> None:
    model, other = RunStore(site).load_run(1).artifacts
    link = ana.share(kind="artifact", artifact=artifact_key(model))
    status, page = stranger.get(link)
    assert status == 200
    assert "weights of it" in page
    assert "other.txt" not in page
    answer = stranger.client.get(f"{link}/shared/download")
    assert answer.data == b"weights of it"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")  # the secret is told to no other site
    assert stranger.get(f"{link}/runs/1/artifacts/{artifact_key(other)}/download")[0] == 404
    noted = list_entries(site, AuditQuery(action="artifact-downloaded")).entries[0]
    assert noted.details["file"] == "model.txt"
    assert noted.actor == "share link"


def test_a_link_ends_when_it_should(app: Flask, ana: Person, stranger: Person, site: Site) -> None:
    def is_open(link: str) -> bool:
        status, page = stranger.get(f"{link}/runs/1")
        assert status == 200 or "This link opens nothing" in page
        return status == 200

    expired, revoked, kept = ana.share(days="0.5"), ana.share(), ana.share()
    assert is_open(expired)
    assert is_open(revoked)
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    first = site["shares"].find_one(sort=[("expires_at", 1)])
    assert first is not None
    site["shares"].update_one({"_id": first["_id"]}, {"$set": {"expires_at": past}})
    assert not is_open(expired)
    keys = re.findall(r"/privacy/links/([0-9a-f]{12})/revoke", ana.get("/privacy/links")[1])
    assert len(keys) == 2
    bob = Person(app, site, "bob")
    assert bob.post(f"/privacy/links/{keys[0]}/revoke")[0] == 404
    assert "/revoke" not in bob.get("/privacy/links")[1]
    ana.post(f"/privacy/links/{keys[0]}/revoke")
    assert is_open(revoked) != is_open(kept)
    assert ana.client.get("/s/" + "A" * 43).status_code == 404
    for key in keys:
        ana.post(f"/privacy/links/{key}/revoke")
    assert not is_open(kept)


ENDS = {
    "the maker is disabled": lambda site: site["users"].update_one({"_id": "root"}, {"$set": {"disabled_at": STARTED}}),
    "the maker lost the right": lambda site: site["users"].update_one({"_id": "root"}, {"$set": {"site": []}}),
    "the policy says no": lambda site: site["policy"].insert_one({"_id": "site", "share_links": False}),
    "the policy cannot be read": lambda site: site["policy"].insert_one({"_id": "site", "share_links": "perhaps"}),
    "the run is gone": lambda site: site["runs"].delete_one({"_id": 1}),
}


def test_a_link_holds_no_longer_than_its_maker_may_share(app: Flask, site: Site, stranger: Person) -> None:
    link = Person(app, site, "root").share()
    for reason, change in ENDS.items():
        before = {name: list(site[name].find()) for name in ("users", "policy", "runs")}
        assert stranger.get(f"{link}/runs/1")[0] == 200, reason
        change(site)
        assert stranger.get(f"{link}/runs/1")[0] == 404, reason
        assert list_entries(site, AuditQuery(action="share-refused")).total > 0
        for name, documents in before.items():
            site[name].delete_many({})
            if documents:
                site[name].insert_many(documents)


def test_links_are_made_by_those_who_may_share_and_not_against_the_policy(
    app: Flask, ana: Person, stranger: Person, site: Site
) -> None:
    bob = Person(app, site, "bob")
    assert bob.post("/runs/1/share", kind="run", days="7")[0] == 404  # not his to see
    assert bob.post("/runs/2/share", kind="run", days="7")[0] == 403  # his to see, not to share
    assert stranger.post("/runs/1/share", kind="run", days="7")[0] in (401, 403)
    for wrong in ({"days": "31"}, {"days": "nan"}, {"days": "-1"}, {"days": "x"}, {"kind": "chart", "chart": "nope"}):
        status, page = ana.post("/runs/1/share", **{"kind": "run", "days": "7", **wrong})
        assert status == 400
        assert "No link was made" in page
    assert ana.post("/runs/1/share", kind="report", days="7")[0] == 400
    assert ana.post("/runs/1/share", kind="artifact", artifact="0" * 16, days="7")[0] == 400
    site["policy"].insert_one({"_id": "site", "share_links": False})
    assert ana.post("/runs/1/share", kind="run", days="7")[0] == 403
    assert "This site makes no share links" in ana.get("/runs/1/share")[1]
    assert site["shares"].count_documents({}) == 0


def test_each_use_is_counted_and_written_down_and_the_secret_nowhere(ana: Person, stranger: Person, site: Site) -> None:
    link = ana.share(note="for the review")
    for _ in range(2):
        stranger.get(f"{link}/runs/1")
    stranger.get(f"{link}/runs/1/header")  # a part of the page, no use of its own
    page = ana.get("/privacy/links")[1]
    assert "2 times" in page
    assert "for the review" in page
    actions = [entry.action for entry in list_entries(site, AuditQuery(topic="sharing")).entries]
    assert actions == ["share-used", "share-used", "share-made"]
    assert len({entry.details["link"] for entry in list_entries(site, AuditQuery(topic="sharing")).entries}) == 1
    secret = link.removeprefix("/s/")
    for name in site.list_collection_names():
        assert secret not in str(list(site[name].find()))
    assert secret not in page


def test_the_rest_api_makes_lists_and_revokes_links(ana: Person, stranger: Person, site: Site) -> None:
    headers = {"X-CSRF-Token": ana.token}
    body = {"kind": "chart", "metric": "loss", "days": 2, "note": "a"}
    made = ana.client.post("/api/v1/runs/1/shares", json=body, headers=headers)
    assert made.status_code == 201, made.get_data(as_text=True)
    answer = made.get_json()
    assert stranger.get(answer["path"])[0] == 200
    listed = ana.client.get("/api/v1/shares").get_json()["shares"]
    assert [share["key"] for share in listed] == [answer["key"]]
    assert "path" not in listed[0]
    for wrong in ({"kind": "all"}, {"kind": "run", "owner": "eve"}, {"kind": "run", "days": 99}, {"days": 1}):
        assert ana.client.post("/api/v1/runs/1/shares", json=wrong, headers=headers).status_code == 400
    assert ana.client.delete(f"/api/v1/shares/{answer['key']}", headers=headers).status_code == 204
    assert ana.client.delete("/api/v1/shares/000000000000", headers=headers).status_code == 404
    assert stranger.get(answer["path"])[0] == 404


def test_a_shared_chart_is_drawn_in_the_browser_and_asks_for_nothing_else(
    browser: Any, app: Flask, ana: Person, store: RunStore
) -> None:
    chart, run = ana.share(kind="chart", chart="loss"), ana.share()
    with running_viewer(store, app=app) as port:
        page = browser.new_page()
        refused: list[str] = []
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"http://127.0.0.1:{port}{chart}")
        drawn_chart(page, "loss")
        page.goto(f"http://127.0.0.1:{port}{run}")
        page.click(".tabs >> text=Charts")
        drawn_chart(page, "acc")
        assert refused == []
        assert page.get_by_text("Shared run, until").is_visible()
        page.close()


def test_without_accounts_nobody_is_asked_and_a_link_works_all_the_same(store: RunStore, database: Site) -> None:
    insert_run(database, 1)
    client = create_app(store).test_client()
    page = client.get("/runs/1/share").get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page)
    assert token
    made = client.post("/runs/1/share", data={"csrf_token": token[1], "kind": "run", "days": "1"})
    link = address_in(made.get_data(as_text=True))
    assert client.get(f"{link}/runs/1").status_code == 200
    assert find_user(database, "ana") is None
