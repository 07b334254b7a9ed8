"""People who sign in to a viewer of the tests, with and without a browser's care."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymongo
from cloister.observer.indexes import ensure_indexes
from cloister.observer.runs import RunStore
from cloister.viewer.accounts import passwords
from cloister.viewer.accounts.account_changes import make_account
from cloister.viewer.accounts.current import accounts_of
from cloister.viewer.accounts.users import User
from cloister.viewer.app import create_app
from cloister.viewer.store_access import StoreAccess
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from werkzeug.test import TestResponse

GOOD = "plum tractor window seven"
_CSRF = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


def make_hashing_fast() -> None:
    """argon2id with the least memory: tests check what is hashed, not how hard it is to guess."""
    passwords.MEMORY_KIB, passwords.PASSES = 8, 1
    passwords._hasher.cache_clear()
    passwords._hash_of_nobody.cache_clear()


def make_hashing_slow_again(memory: int, passes: int) -> None:
    passwords.MEMORY_KIB, passwords.PASSES = memory, passes
    passwords._hasher.cache_clear()
    passwords._hash_of_nobody.cache_clear()


def person(database: Database[dict[str, Any]], name: str = "ana", password: str | None = GOOD, **facts: Any) -> User:
    """An account; the first one administers the site."""
    return make_account(database, name, password, **facts)


@contextmanager
def accounts_database(mongod: str) -> Iterator[Database[dict[str, Any]]]:
    """One database for the tests of a file, which empty it: making one with all indexes takes a quarter of a second."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongod, tz_aware=True)
    with client:
        database = client[f"test_accounts_{uuid.uuid4().hex[:8]}"]
        ensure_indexes(database)
        yield database
        client.drop_database(database.name)


def emptied(database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    for name in database.list_collection_names():
        database[name].delete_many({})
    return database


class Served:
    """A viewer whose database is another one in each test."""

    def __init__(self) -> None:
        self._store: RunStore | None = None
        self.app = create_app(StoreAccess(self._current))

    def of(self, store: RunStore) -> Flask:
        self._store = store
        accounts_of(self.app.extensions)._had_users = False
        return self.app

    def _current(self) -> RunStore:
        assert self._store is not None
        return self._store


@dataclass
class Visitor:
    """Somebody in front of a browser: keeps cookies, and sends forms as our pages have them."""

    app: Flask
    address: str = "127.0.0.1"
    scheme: str = "http"
    client: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **self._from_here(options))

    def post(
        self, path: str, form: dict[str, Any] | None = None, *, page: str = "/login", **options: Any
    ) -> TestResponse:
        """Send a form with the token of the page where it stands."""
        found = self.csrf_token(page)
        return self.client.post(path, data={"csrf_token": found, **(form or {})}, **self._from_here(options))

    def post_bare(self, path: str, form: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send it as a page of others would: without the token."""
        return self.client.post(path, data=form or {}, **self._from_here(options))

    def csrf_token(self, page: str) -> str:
        found = _CSRF.search(self.get(page).text)
        return found[1] if found else ""

    def sign_in(self, name: str = "ana", password: str = GOOD, **form: str) -> TestResponse:
        return self.post("/login", {"name": name, "password": password, **form})

    def own(self, path: str, form: dict[str, Any] | None = None) -> TestResponse:
        """Send a form of the page of one's own account."""
        return self.post("/profile" + path, form, page="/profile")

    def is_in(self) -> bool:
        return self.get("/profile").status_code == 200

    def cookie(self, name: str = "cloister_session") -> str | None:
        found = self.client.get_cookie(name, domain="localhost")
        return found.value if found else None

    def _from_here(self, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "environ_overrides": {"REMOTE_ADDR": self.address},
            "base_url": f"{self.scheme}://localhost",
            **options,
        }
