"""A site with people, groups, projects and runs, and an independent statement of who may see which run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from cloister.observer.run_record import RunId
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.users import add_user
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run

Document = dict[str, Any]
STARTED = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@dataclass
class Grant:
    """A run as far as rights go."""

    project: str
    owner: str = ""
    visibility: str | None = None
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass
class Site:
    """What decides who sees what, by name."""

    admins: set[str] = field(default_factory=set)
    auditors: set[str] = field(default_factory=set)
    groups: dict[str, set[str]] = field(default_factory=dict)
    members: dict[str, dict[str, str]] = field(
        default_factory=dict
    )  # project -> "person:ana" or "group:vision" -> role
    defaults: dict[str, str] = field(default_factory=dict)
    runs: dict[RunId, Grant] = field(default_factory=dict)

    def groups_of(self, name: str) -> set[str]:
        return {group for group, people in self.groups.items() if name in people}

    def has_role(self, name: str, project: str) -> bool:
        given = {**self.members.get("*", {}), **self.members.get(project, {})}
        return f"person:{name}" in given or any(f"group:{group}" in given for group in self.groups_of(name))

    def may_see(self, name: str, run_id: RunId) -> bool:
        """The rule of docs/access.md, said once more in other words and other code than the one under test."""
        run = self.runs[run_id]
        if name in self.admins:
            return True
        if name in self.auditors and not any(self.has_role(name, project) for project in self.members):
            return False
        if run.owner == name or name in run.people or set(run.groups) & self.groups_of(name):
            return True
        visibility = run.visibility or self.defaults.get(run.project, "project")
        return visibility == "site" or (visibility == "project" and self.has_role(name, run.project))

    def seen_by(self, name: str) -> set[RunId]:
        return {run_id for run_id in self.runs if self.may_see(name, run_id)}

    # ---- stored

    def store(self, database: Database[Document], people: Iterable[str], only: set[RunId] | None = None) -> None:
        """Accounts, groups, settings, and the runs, or `only` some of them."""
        for name in people:
            add_user(database, name, site=self._site_of(name))
        for group, members in self.groups.items():
            database["groups"].insert_one({"_id": group, "people": sorted(members)})
        for project in {*self.members, *self.defaults}:
            database["projects"].insert_one(self._project(project))
        for run_id in self.runs:
            if only is None or run_id in only:
                store_run(database, run_id, self.runs[run_id])

    def _site_of(self, name: str) -> list[str]:
        return ["admin"] * (name in self.admins) + ["auditor"] * (name in self.auditors)

    def _project(self, project: str) -> Document:
        members = []
        for who, role in self.members.get(project, {}).items():
            kind, _, name = who.partition(":")
            members.append({"kind": kind, "name": name, "role": role})
        chosen = {"visibility": self.defaults[project]} if project in self.defaults else {}
        return {"_id": project, "members": members, **chosen}


def store_run(database: Database[Document], run_id: Any, grant: Grant) -> None:
    """A finished run with a metric, output, a file and tags, all of which name it."""
    number = run_id if isinstance(run_id, int) else sum(map(ord, str(run_id)))
    started = STARTED + timedelta(minutes=number)
    insert_run(
        database,
        run_id,
        project=grant.project,
        start_time=started,
        stop_time=started + timedelta(minutes=1),
        heartbeat=started + timedelta(minutes=1),
        status="COMPLETED",
        config={"lr": 0.1, f"only_{number}": number, "secret_word": f"config-{number}"},
        captured_out=f"said-{number}\n",
        artifacts=[{"name": f"file-{number}.txt", "file_id": f"blob-{number}", "size": 7, "sha256": "0" * 64}],
    )
    changes: Document = {
        "cloister.owner": grant.owner,
        "cloister.tags": [f"tag-{number}"],
        "cloister.updated_at": started,
        "cloister.summary": {f"m{number}": {"last": 1.0, "min": 1.0, "max": 1.0, "last_step": 1, "count": 2}},
        "cloister.shared_with": {"people": list(grant.people), "groups": list(grant.groups)},
    }
    if grant.visibility is not None:
        changes["cloister.visibility"] = grant.visibility
    database["runs"].update_one({"_id": run_id}, {"$set": changes})
    database["metrics"].insert_one(
        {"run_id": run_id, "name": f"m{number}", "steps": [0, 1], "values": [0.5, 1.0], "timestamps": [started] * 2}
    )
    database["console"].insert_one(
        {"run_id": run_id, "n": 1, "stream": "stdout", "time": started, "text": f"printed-{number}\n"}
    )
    database["fs.files"].insert_one(
        {
            "_id": f"blob-{number}",
            "length": 7,
            "chunkSize": 1024,
            "filename": f"file-{number}.txt",
            "uploadDate": started,
        }
    )
    database["fs.chunks"].insert_one({"files_id": f"blob-{number}", "n": 0, "data": b"content"})


def signed_in(app: Flask, database: Database[Document], name: str | None) -> FlaskClient:
    """A browser of this person; of nobody for None."""
    browser = app.test_client()
    if name is not None:
        browser.set_cookie("cloister_session", open_session(database, name))
    return browser


def form_of(browser: FlaskClient, fields: Mapping[str, str]) -> Document:
    """Fields of a form with the CSRF token that a page of this browser has."""
    page = browser.get("/view-as").get_data(as_text=True)
    token = page.partition('name="csrf-token" content="')[2].partition('"')[0]
    assert token, "no CSRF token on the page"
    return {"csrf_token": token, **fields}


SITE = Site(
    admins={"root"},
    auditors={"otto"},
    groups={"vision": {"ben", "cleo"}, "speech": {"mallory"}},
    members={
        "digits": {"person:ana": "admin", "group:vision": "viewer", "person:cleo": "editor"},
        "other": {"person:mallory": "admin"},
        "closed": {"person:ana": "viewer", "person:ben": "editor"},
    },
    defaults={"closed": "private", "open": "site"},
    runs={
        7001: Grant("digits", owner="ana"),
        7002: Grant("digits", owner="ana", visibility="private"),
        7003: Grant("digits", owner="ana", visibility="private", people=("mallory",)),
        7004: Grant("digits", owner="ben", visibility="private", groups=("vision",)),
        7005: Grant("digits", visibility="site"),
        7006: Grant("other", owner="mallory"),
        7007: Grant("closed", owner="cleo"),
        7008: Grant("open"),
        7009: Grant("closed", visibility="project"),
    },
)
PEOPLE = ("ana", "ben", "cleo", "mallory", "otto", "root", "guest")
HIDDEN, MISSING = 7002, 7111  # to everybody but ana and root; to all
