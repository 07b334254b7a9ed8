"""How charts are arranged: kept for each person, shared by a name, refused where it is not theirs."""

from __future__ import annotations

from typing import Any

import pytest
from cloister.observer.runs import RunStore
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
