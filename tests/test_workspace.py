"""How charts are arranged: kept for each person, shared by a name, refused where it is not theirs."""

from __future__ import annotations

from typing import Any

import pytest
from access_world import signed_in
from cloister.observer.access.project_settings import Member, put_member
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run

Documents = Database[dict[str, Any]]


@pytest.fixture
def client(store: RunStore, database: Documents) -> FlaskClient:
    insert_run(database, 1)
    return create_app(store).test_client()


def test_a_layout_is_kept_shared_changed_and_forgotten(client: FlaskClient) -> None:
    layout = {"pinned": ["val/acc"], "sizes": [{"metric": "a.b$c", "width": 2, "height": 300}], "axis": "metric:epoch"}
    own, shared = "/api/v1/layouts/own?project=digits", "/api/v1/layouts?project=digits"
    assert client.get(shared).json == {"own": None, "shared": []}

    assert client.put(own, json=layout).status_code == 204
    made = client.post(shared, json={"name": "For the paper", "layout": layout}).json
    changed = client.put(f"/api/v1/layouts/{made['id']}", json={"name": "Paper"}).json

    assert client.get(shared).json["own"] == layout
    assert client.get(f"/api/v1/layouts/{made['id']}").json == changed
    assert (changed["name"], changed["layout"], changed["may_change"]) == ("Paper", layout, True)
    assert [each["id"] for each in client.get(shared).json["shared"]] == [made["id"]]
    assert client.delete(own).status_code == 204
    assert client.delete(f"/api/v1/layouts/{made['id']}").status_code == 204
    assert client.get(shared).json == {"own": None, "shared": []}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("own?project=nothing", {}, 404, "There is no project 'nothing'"),
        ("own?project=digits", {"colour": "red"}, 400, "colour"),
        ("own?project=digits", {"sizes": [{"width": 2}]}, 400, "metric"),
        ("own?project=digits", {"smoothing": {"strength": 2}}, 400, "2"),
        ("own?project=digits", {"hidden": ["x" * 900] * 400}, 400, "262,144 are kept"),
        ("unknown", {"name": "x"}, 404, "no layout 'unknown'"),
    ],
)
def test_a_layout_that_cannot_be_kept_says_why(
    client: FlaskClient, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    answer = client.put(f"/api/v1/layouts/{path}", json=body)

    assert (answer.status_code, words in answer.json["detail"]) == (status, True)


def test_a_shared_layout_is_seen_in_its_project_and_changed_by_its_owner_or_an_admin(
    store: RunStore, database: Documents
) -> None:
    insert_run(database, 1)
    add_user(database, "root", site=["admin"])
    roles = {"ana": "editor", "ben": "viewer", "cleo": "admin", "mallory": None}
    for name, role in roles.items():
        add_user(database, name, site=[])
        if role is not None:
            put_member(database, "digits", Member("person", name, role))
    app = create_app(store)
    people = {name: signed_in(app, database, name) for name in roles}
    page = people["ana"].get("/p/digits").get_data(as_text=True)
    tokens = {name: csrf_token(browser) for name, browser in people.items() if name != "mallory"}
    body = {"name": "Paper", "layout": {"hidden": ["loss"]}}

    def change(name: str, method: str, path: str, **given: Any) -> int:
        headers = {"X-CSRF-Token": tokens.get(name, tokens["ana"])}
        return people[name].open(f"/api/v1/layouts{path}", method=method, headers=headers, **given).status_code

    assert 'data-kept-by="server"' in page
    assert change("ana", "PUT", "/own?project=digits", json={"columns": 2}) == 204
    shared = (
        people["ana"].post("/api/v1/layouts?project=digits", json=body, headers={"X-CSRF-Token": tokens["ana"]}).json
    )
    path = f"/{shared['id']}"

    seen = people["ben"].get("/api/v1/layouts?project=digits").json
    assert (seen["own"], [each["may_change"] for each in seen["shared"]]) == (None, [False])
    assert people["mallory"].get(f"/api/v1/layouts{path}").status_code == 404
    assert people["mallory"].get("/api/v1/layouts?project=digits").status_code == 404
    assert change("ben", "PUT", path, json={"name": "mine"}) == 403
    assert change("ben", "DELETE", path) == 403
    assert "loss" in people["ben"].get(f"/p/digits?layout={shared['id']}").text.partition("data-workspace='")[2][:100]
    assert change("cleo", "DELETE", path) == 204
    assert people["ana"].get("/api/v1/layouts?project=digits").json == {"own": {"columns": 2}, "shared": []}


def csrf_token(browser: FlaskClient) -> str:
    return browser.get("/p/digits").get_data(as_text=True).partition('name="csrf-token" content="')[2].partition('"')[0]
