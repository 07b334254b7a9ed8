"""A viewer with accounts and two projects that do not know of each other, asked without a socket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artifact_keeping import keep_artifact
from cloister.observer.access.project_settings import Member, put_member
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.current import COOKIE
from cloister.viewer.accounts.passwords import hash_password
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from console_writing import write_pieces
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run
from stored_metrics import store_metric
from werkzeug.test import TestResponse

Documents = Database[dict[str, Any]]

PASSWORD = "seven grey herons over the weir"
DIGITS_RUN, SECRET_RUN, MISSING_RUN = 1, 7341, 7342
SECRET = "zanzibar-4417"  # stands in every field of the run that only mallory's colleagues may not see
ROUTE_VALUES = {"part": "top", "kind": "csv", "filename": "js/theme.js", "version": "x"}


@dataclass
class Site:
    """`admin` may everything, `eva` views "digits", `olga` edits it, `mallory` owns "other" and sees nothing else.

    One run is in "digits", another, where `SECRET` stands everywhere, in "hidden", of which nobody but the admin knows.
    """

    app: Flask
    database: Documents
    file_id: str
    folder: Path
    cookie_name: str = COOKIE
    _clients: dict[str, FlaskClient] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    def client(self, name: str = "") -> FlaskClient:
        """A browser of this person; without a name one that is not signed in."""
        if name not in self._clients:
            self._clients[name] = self.new_client(name)
        return self._clients[name]

    def new_client(self, name: str = "") -> FlaskClient:
        client = self.app.test_client()
        if name:
            client.set_cookie(COOKIE, open_session(self.database, name))
        return client

    def get(self, path: str, who: str = "admin", **options: Any) -> TestResponse:
        return self.client(who).get(path, buffered=True, **options)

    def ask(self, who: str, method: str, target: str, headers: dict[str, str], body: bytes | None) -> int:
        """Any request at all, as it stands in its first line; the status of what comes back, once it is whole."""
        answer = self.client(who).open(target, method=method, headers=headers, data=body, buffered=True)
        return answer.status_code

    def csrf(self, who: str, *, page: str = "/profile") -> str:
        if who not in self._tokens:
            found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page, who).text)
            assert found is not None, f"{page} has no form"
            self._tokens[who] = found[1]
        return self._tokens[who]

    def routes(self, method: str = "GET") -> Iterator[tuple[str, str, frozenset[str]]]:
        """Endpoint, rule and parameters of every address that answers this method."""
        for rule in self.app.url_map.iter_rules():
            if method in (rule.methods or ()) and rule.endpoint != "api.stream_changes":
                yield rule.endpoint, rule.rule, frozenset(rule.arguments)

    def state(self) -> str:
        """All that is stored, but what a look may change: when a session was last seen, and the audit log."""
        names = sorted(set(self.database.list_collection_names()) - {"audit", "sessions", "login_attempts"})
        return json.dumps({name: sorted(map(repr, self.database[name].find())) for name in names})


def make_guarded_site(database: Documents, folder: Path) -> Site:
    insert_run(database, DIGITS_RUN, project="digits")
    insert_run(database, SECRET_RUN, project="hidden", config={SECRET: SECRET})
    secrets = {
        "cloister.name": SECRET,
        "cloister.tags": [SECRET],
        "cloister.notes": SECRET,
        "experiment.name": SECRET,
        "host.hostname": SECRET,
        "cloister.argv": [SECRET],
    }
    database["runs"].update_one({"_id": SECRET_RUN}, {"$set": secrets})
    for run_id, metric in ((DIGITS_RUN, "loss"), (SECRET_RUN, SECRET)):
        store_metric(database, run_id, metric, [1.0, 0.5, 0.25])
        write_pieces(database, run_id, [("stdout", f"{metric}\n")])
    keep_artifact(
        database, folder, "page.html", b"<script>alert(1)</script>", content_type="text/html", run_id=DIGITS_RUN
    )
    keep_artifact(database, folder, "model", SECRET.encode(), run_id=SECRET_RUN)
    file_id = str(database["runs"].find_one({"_id": SECRET_RUN})["artifacts"][0]["file_id"])
    known = hash_password(PASSWORD)  # once: it is slow on purpose
    for name, rights in (("admin", ["admin", "auditor"]), ("eva", []), ("olga", []), ("mallory", [])):
        add_user(database, name, password_hash=known, site=rights)
    put_member(database, "digits", Member("person", "eva", "viewer"))
    put_member(database, "digits", Member("person", "olga", "editor"))
    put_member(database, "other", Member("person", "mallory", "admin"))
    put_member(database, "hidden", Member("person", "admin", "admin"))
    return Site(create_app(RunStore(database)), database, file_id, folder)


def filled(rule: str, values: dict[str, str]) -> str:
    """The address of a rule, its parts filled in; the rest as a run and a project that are there."""
    known = {"run_id": str(DIGITS_RUN), "project": "digits", **ROUTE_VALUES, **values}

    def fill(found: re.Match[str]) -> str:
        return known.get(found[2]) or (known["run_id"] if found[1] == "run:" else "x")

    return re.sub(r"<([^<>]*:)?(\w+)>", fill, rule)
