"""The redaction page and what a run's pages say of its redactions."""

from __future__ import annotations

from typing import Any

import pytest
from cloister.observer import policy as policies
from cloister.observer.policy import load_policy
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run

HERE = "/privacy/redaction"


@pytest.fixture
def viewer(store: RunStore, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr(policies, "SITE_FILE", tmp_path / "policy.toml")
    return create_app(store).test_client()


def csrf_of(viewer: FlaskClient) -> str:
    page = viewer.get("/privacy/overview").get_data(as_text=True)
    return page.split('name="csrf-token" content="')[1].split('"')[0]


def form(viewer: FlaskClient, **fields: str) -> dict[str, str]:
    return {"csrf_token": csrf_of(viewer), **fields}


def test_an_admin_chooses_profile_and_rules_and_it_is_in_the_audit_log(
    viewer: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    given = {
        "profile": "standard",
        "patterns": "patient = P-[0-9]{6}\nroom = R=[0-9]",
        "config": "lab.*\n",
        "emails": "on",
    }
    answer = viewer.post(HERE, data=form(viewer, **given, environment="SITE_*"))
    assert answer.status_code == 303, answer.get_data(as_text=True)
    policy = load_policy(database)
    assert policy.profile == "standard"
    assert dict(policy.redaction.patterns) == {"patient": "P-[0-9]{6}", "room": "R=[0-9]"}
    assert (policy.redaction.config, policy.redaction.environment) == (("lab.*",), ("SITE_*",))
    assert policy.redaction.emails
    assert not policy.redaction.addresses
    [entry] = database["audit"].find({"action": "policy-changed"})
    assert "standard" in str(entry["details"])
    page = viewer.get(HERE).get_data(as_text=True)
    assert "patient = P-[0-9]{6}" in page
    answer = viewer.post(HERE, data=form(viewer, profile="full"))
    assert load_policy(database).profile == "full", "an admin may take it back"
    assert not load_policy(database).redaction.patterns


def test_a_rule_that_cannot_be_used_is_named_and_what_was_typed_stays(
    viewer: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    for patterns, words in (("x = (", "no regular expression"), ("just text", "equals sign"), ("x = (a+)+", "repeats")):
        answer = viewer.post(HERE, data=form(viewer, profile="strict", patterns=patterns))
        page = answer.get_data(as_text=True)
        assert answer.status_code == 400
        assert words in page
        assert patterns in page
    assert load_policy(database).profile == "full"
    assert database["audit"].count_documents({}) == 0


def test_what_a_file_of_the_machine_asks_for_cannot_be_undone_here(
    viewer: FlaskClient, database: Database[dict[str, Any]], tmp_path: Any
) -> None:
    policies.SITE_FILE.write_text('profile = "standard"\n[redaction]\naddresses = true\n')
    viewer.post(HERE, data=form(viewer, profile="full"))
    assert load_policy(database).profile == "standard"
    page = viewer.get(HERE).get_data(as_text=True)
    assert "The policy of this machine asks for more." in page
    assert str(policies.SITE_FILE) in page


def test_a_policy_that_cannot_be_read_is_shown_and_counts_as_strict(viewer: FlaskClient) -> None:
    policies.SITE_FILE.write_text("profile = ")
    page = viewer.get(HERE)
    assert page.status_code == 200
    assert "The policy cannot be used." in page.get_data(as_text=True)
    assert "not TOML" in page.get_data(as_text=True)


def test_rules_are_tried_on_a_text_that_is_kept_nowhere(
    viewer: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    text = "<b>login</b> with password=hunter2"
    page = viewer.post(f"{HERE}/try", data=form(viewer, text=text)).get_data(as_text=True)
    assert "&lt;b&gt;login&lt;/b&gt; with password=[redacted:password]" in page
    assert "hunter2" not in repr([list(database[name].find()) for name in database.list_collection_names()])


def test_a_run_says_where_it_was_redacted_and_how_it_is_recorded(
    viewer: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    found = {"0-1": [{"where": "config: <db>.password", "rule": "password", "count": 1}],
             "1-2": [{"where": "console: stdout", "rule": "jwt", "count": 3}]}  # fmt: skip
    insert_run(database, 1)
    database["runs"].update_one(
        {"_id": 1}, {"$set": {"cloister.redactions": found, "cloister.recording": {"profile": "strict"}}}
    )
    insert_run(database, 2)
    page = viewer.get("/runs/1").get_data(as_text=True)
    assert "4 values" in page
    assert "no sources, console and environment" in page
    why = viewer.get("/runs/1/access").get_data(as_text=True)
    assert "config: &lt;db&gt;.password" in why
    assert ">jwt<" in why
    assert "nothing found" in viewer.get("/runs/2").get_data(as_text=True)
    overview = viewer.get(HERE).get_data(as_text=True)
    assert "in 1 of the newest 2 runs" in overview


def test_the_rest_api_says_and_changes_the_same(viewer: FlaskClient, database: Database[dict[str, Any]]) -> None:
    body = {"profile": "strict", "redaction": {"patterns": {"patient": "P-[0-9]+"}, "addresses": True}}
    headers = {"X-CSRF-Token": csrf_of(viewer)}
    answer = viewer.put("/api/v1/recording", json=body, headers=headers)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.json == viewer.get("/api/v1/recording").json
    assert answer.json["profile"] == "strict"
    assert load_policy(database).redaction.addresses
    for wrong in ({"profile": "lax"}, {"share_links": False}, {"redaction": {"patterns": {"x": "("}}}):
        refused = viewer.put("/api/v1/recording", json=wrong, headers=headers)
        assert (refused.status_code, refused.content_type) == (400, "application/problem+json"), refused.json
    assert load_policy(database).profile == "strict"
