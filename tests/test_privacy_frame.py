"""The privacy pages' list of sections and their Overview: what each person is shown."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.access_rules import RULES
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.users import add_user
from cloister.viewer.privacy_frame import SECTIONS
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run
from signing_in import Served, emptied

Site = Database[dict[str, Any]]


@pytest.fixture
def database(one_database: Site) -> Site:
    return emptied(one_database)


@pytest.fixture
def database_uri(mongod: str, database: Site) -> str:
    return mongod.replace("/?", f"/{database.name}?")


@pytest.fixture
def site(database: Site) -> Site:
    for name, roles in (("ana", []), ("bob", []), ("root", ["admin"]), ("ada", ["auditor"])):
        add_user(database, name, site=roles)
    members = [{"kind": "person", "name": "ana", "role": "admin"}, {"kind": "person", "name": "bob", "role": "viewer"}]
    database["projects"].insert_one(
        {"_id": "digits", "created_at": datetime.now(timezone.utc), "members": members, "visibility": "site"}
    )
    insert_run(database, 1)
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.visibility": "private", "cloister.owner": "cleo"}})
    return database


@pytest.fixture
def app(served: Served, site: Site, store: RunStore, home: Path) -> Flask:
    return served.of(store)


def signed_in(app: Flask, site: Site, name: str) -> FlaskClient:
    client = app.test_client()
    client.set_cookie("cloister_session", open_session(site, name))
    return client


def sections_of(page: str) -> list[str]:
    found = re.search(r'<nav class="privacy-sections.*?</nav>', page, re.DOTALL)
    assert found, page
    return re.findall(r"</svg>([^<]+)</a>", found[0])


def test_every_section_has_its_page_at_its_own_address(app: Flask) -> None:
    missing = [section.key for section in SECTIONS if section.endpoint not in app.view_functions]
    assert missing == []
    assert [section.endpoint for section in SECTIONS if section.endpoint not in RULES] == []
    addresses = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert {section.key: addresses[section.endpoint] for section in SECTIONS} == {
        section.key: f"/privacy/{section.key}" for section in SECTIONS
    }


def test_each_person_is_shown_the_sections_that_open_to_them(app: Flask, site: Site) -> None:
    shown = {}
    for name in ("root", "ana", "bob", "ada"):
        client = signed_in(app, site, name)
        shown[name] = sections_of(client.get("/privacy/").get_data(as_text=True))
        titles = {section.title: section for section in SECTIONS}
        for title in shown[name]:
            answer = client.get(f"/privacy/{titles[title].key}", follow_redirects=True)
            assert answer.status_code == 200, (name, title)
            page = answer.get_data(as_text=True)
            assert re.search(rf'aria-current="page">(?:(?!</a>).)*{title}</a>', page, re.DOTALL), (name, title)
    assert shown["root"] == [section.title for section in SECTIONS]
    assert "Audit log" in shown["ada"]
    assert "People" not in shown["ada"] + shown["ana"] + shown["bob"]
    assert "Audit log" not in shown["ana"] + shown["bob"]
    assert app.test_client().get("/privacy/").status_code == 303


def test_the_overview_tells_others_nothing_of_runs_and_people_that_they_do_not_see(app: Flask, site: Site) -> None:
    whole = signed_in(app, site, "root").get("/privacy/").get_data(as_text=True)
    assert "4 accounts" in whole
    assert "1 run marked private" in whole
    for name in ("bob", "ada"):
        page = signed_in(app, site, name).get("/privacy/").get_data(as_text=True)
        assert "accounts (" not in page
        assert "marked private" not in page
        assert "that open without an account" not in page
        assert "entries;" not in page
        for question in ("What is recorded", "Who can see it", "Where it goes", "Which rules hold"):
            assert f"<h2>{question}</h2>" in page
    assert "viewer in digits" in signed_in(app, site, "bob").get("/privacy/").get_data(as_text=True)


def test_a_policy_that_cannot_be_read_is_told_and_breaks_no_page(app: Flask, site: Site) -> None:
    site["policy"].insert_one({"_id": "site", "share_link_days": "many"})
    answer = signed_in(app, site, "root").get("/privacy/")
    assert answer.status_code == 200
    assert "share_link_days" in answer.get_data(as_text=True)
