"""Every address, by every method, as every role: who gets in, and how the others are turned away.

The views are replaced by a note that they were reached, so that each address can be tried by everybody with all methods
and without consequences. That answers of the real views know nothing of hidden runs is in test_access_oracle.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pymongo
import pytest
from access_world import HIDDEN, MISSING, PEOPLE, SITE, signed_in
from cloister.observer.indexes import ensure_indexes
from cloister.observer.runs import RunStore
from cloister.viewer.access_rules import RULES
from cloister.viewer.accounts import tokens
from cloister.viewer.app import create_app
from flask import Flask, Response
from flask.testing import FlaskClient
from pymongo.database import Database
from werkzeug.routing import Rule

Document = dict[str, Any]

# What happens at an address with the rule on the left: in, login (sent to the login page, by the API refused with 401),
# gone (404, as if there were nothing) or look (403: this may be seen and not changed). "edit" and "manage" are of run
# 7001 (ana's, in digits) and of the project digits. A rule that is not here has no address.
#            nobody   guest    mallory  ben      cleo     ana     otto     root    reader  recorder expired  other's
OUTCOMES = {
    "anyone": "in     in       in       in       in       in      in       in      in      in       in       in",
    "signed-in": "login in     in       in       in       in      in       in      in      in       login    in",
    "see": "login     in       in       in       in       in      gone     in      in      gone     login    in",
    # "see" of an address that names a run: the store decides, before the view is asked.
    "see this": "login gone   gone     in       in       in      gone     in      in      gone     login    gone",
    "own": "login     in       in       in       in       in      in       in      gone    gone     login    gone",
    "edit": "login    gone     gone     look     in       in      gone     in      look    gone     login    gone",
    "manage": "login  gone     gone     look     look     in      gone     in      look    gone     login    gone",
    "site": "login    gone     gone     gone     gone     gone    gone     in      gone    gone     login    gone",
    "audit": "login   gone     gone     gone     gone     gone    in       in      gone    gone     login    gone",
}
ROLES = ("nobody", "guest", "mallory", "ben", "cleo", "ana", "otto", "root", "reader", "recorder", "expired", "other")
# "edit" and "manage" of an address that names neither run nor project: whoever may do it anywhere.
ANYWHERE = {
    "edit": "login    gone     in       in       in       in      gone     in      gone    gone     login    gone",
    "manage": "login  gone     in       gone     gone     in      gone     in      gone    gone     login    gone",
}


@dataclass
class Reached:
    """Which views were called since it was emptied."""

    endpoints: list[str]


@pytest.fixture(scope="module")
def database(mongod: str) -> Iterator[Database[Document]]:
    with pymongo.MongoClient(mongod, tz_aware=True) as client:
        found: Database[Document] = client["test_access_matrix"]
        client.drop_database(found.name)
        ensure_indexes(found)
        SITE.store(found, PEOPLE)
        yield found
        client.drop_database(found.name)


@pytest.fixture(scope="module")
def app(database: Database[Document]) -> Flask:
    return create_app(RunStore(database))


@pytest.fixture(scope="module")
def reached(app: Flask, visitors: dict[str, Visitor]) -> Reached:
    """What the views, each replaced by a note, were reached by."""
    found = Reached([])

    def noting(endpoint: str, view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)  # with what marks a view that needs no CSRF token
        def note(**_arguments: Any) -> Response:
            found.endpoints.append(endpoint)
            return Response(status=204)

        return note

    for endpoint, view in list(app.view_functions.items()):
        app.view_functions[endpoint] = noting(endpoint, view)
    return found


@dataclass
class Visitor:
    """Somebody at the door: a browser, or a script with a token, and what unsafe requests need."""

    client: FlaskClient
    headers: dict[str, str]


@pytest.fixture(scope="module")
def visitors(app: Flask, database: Database[Document]) -> dict[str, Visitor]:
    found = {}
    for name in ("nobody", *PEOPLE):
        client = signed_in(app, database, None if name == "nobody" else name)
        path = "/login" if name == "nobody" else "/view-as"
        found[name] = Visitor(client, {"X-CSRF-Token": _csrf_token(client, path)})
    for name, options in {
        "reader": {"scopes": ["read"]},
        "recorder": {"scopes": ["record"]},
        "expired": {"scopes": ["read", "admin"]},
        "other": {"scopes": ["read", "record", "admin"], "projects": ["open"]},
    }.items():
        text, token = tokens.make_token(database, "ana", name=name, **options)  # type: ignore[arg-type]
        if name == "expired":
            long_ago = {"expires_at": token.created_at.replace(year=2020)}
            database["tokens"].update_one({"_id": token.key}, {"$set": long_ago})
        found[name] = Visitor(app.test_client(), {"Authorization": f"Bearer {text}"})
    return found


def _csrf_token(client: FlaskClient, path: str) -> str:
    page = client.get(path).get_data(as_text=True)
    return page.partition('name="csrf-token" content="')[2].partition('"')[0]


def addresses(app: Flask, run_id: int, project: str) -> Iterator[tuple[Rule, str, str]]:
    """Every address with every method that is its own, the arguments filled in with this run and project."""
    adapter = app.url_map.bind("localhost")
    for rule in app.url_map.iter_rules():
        values = {name: _argument(rule, name, run_id, project) for name in rule.arguments}
        path = adapter.build(rule.endpoint, values, method=next(iter(rule.methods or ())))
        for method in sorted(rule.methods or ()):
            if adapter.match(path, method)[0] == rule.endpoint:  # OPTIONS is answered once for several
                yield rule, method, path


def _argument(rule: Rule, name: str, run_id: int, project: str) -> Any:
    known = {"run_id": run_id, "project": project, "filename": "mark.svg"}
    words = getattr(rule._converters[name], "items", None)  # of <any(csv, jsonl):kind> only these
    return sorted(words)[0] if words else known.get(name, "x")


def outcome(response: Any, was_reached: bool, method: str) -> str:
    status = response.status_code
    if was_reached or (method == "OPTIONS" and status == 200):  # Flask answers OPTIONS itself, past the same door
        return "in"
    if status == 401 or (status == 303 and "/login" in response.headers["Location"]):
        return "login"
    return {403: "look", 404: "gone"}.get(status, f"{status}")


def test_every_address_has_a_rule_and_every_rule_an_address(app: Flask) -> None:
    """Published holes 10 and 11: a route that nobody thought of is not answered."""
    assert {rule.endpoint for rule in app.url_map.iter_rules()} <= set(RULES), "add a row to viewer/access_rules.py"
    assert set(RULES.values()) <= set(OUTCOMES)


def test_an_address_without_a_rule_is_not_answered(database: Database[Document]) -> None:
    app = create_app(RunStore(database))
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    for name in ("root", None):
        answer = signed_in(app, database, name).get("/forgotten")
        assert answer.status_code == 404
        assert b"secret" not in answer.data


def test_every_role_gets_in_where_the_table_says(
    app: Flask, visitors: dict[str, Visitor], reached: Reached, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, count = [], 0
    for rule, method, path in addresses(app, 7001, "digits"):
        row = RULES[rule.endpoint]
        names_one = {"run_id", "project"} & set(rule.arguments)
        table = OUTCOMES if names_one else OUTCOMES | ANYWHERE
        row = "see this" if row == "see" and "run_id" in rule.arguments and method in ("GET", "HEAD") else row
        for role, expected in zip(ROLES, table[row].split(), strict=True):
            if method in ("HEAD", "OPTIONS") and role not in ("nobody", "guest"):
                continue  # as GET, or without a view
            visitor = visitors[role]
            reached.endpoints.clear()
            answer = visitor.client.open(path, method=method, headers=visitor.headers)
            count += 1
            if outcome(answer, bool(reached.endpoints), method) != expected:
                wrong.append(f"{method} {path} ({row}) as {role}: {answer.status_code}, expected {expected}")
    assert not wrong, "\n".join(wrong[:40])
    with capsys.disabled():
        print(f" {count} pairs of address and role ", end="")


def test_what_is_hidden_is_turned_away_like_what_never_was(
    app: Flask, visitors: dict[str, Visitor], reached: Reached
) -> None:
    """The door itself: changing a hidden run or project, and one that there is not, are refused alike."""
    changing = [
        (rule, method, path)
        for rule, method, path in addresses(app, HIDDEN, "closed")
        if RULES[rule.endpoint] in ("edit", "manage") and {"run_id", "project"} & set(rule.arguments)
    ]
    assert changing
    reached.endpoints.clear()
    for role in ("guest", "mallory", "cleo", "otto", "reader", "other"):
        visitor = visitors[role]
        for rule, method, path in changing:
            if role == "reader" or (role == "cleo" and "project" in rule.arguments):
                continue  # ana's token sees her run; cleo's own run is in the closed project
            missing = path.replace(str(HIDDEN), str(MISSING)).replace("closed", "clozed")
            answers = [visitor.client.open(each, method=method, headers=visitor.headers) for each in (path, missing)]
            assert [answer.status_code for answer in answers] == [404, 404], (role, method, path)
            texts = [answer.get_data(as_text=True) for answer in answers]
            assert _plain(texts[0]) == _plain(texts[1]), (role, method, path)
    assert reached.endpoints == []


def _plain(text: str) -> str:
    """Without what was asked for, and the moment and the secrets of a page."""
    import re

    text = text.replace(str(MISSING), str(HIDDEN)).replace("clozed", "closed")
    return re.sub(r'(data-live-since|name="csrf-token" content|name="csrf_token" value)="[^"]*"', "", text)
