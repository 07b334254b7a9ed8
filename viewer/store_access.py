"""The databases that a viewer shows, and where a view gets its store from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import current_app, request

from .accounts.current import current_principal

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..observer.runs import RunStore

_EXTENSION = "cloister.databases"
SHARE_KEY = "cloister.share"  # there as well: the secret of the share link that it came by
DATABASE_KEY = "cloister.database"  # in the WSGI environment: which database this request's address names


@dataclass(frozen=True)
class StoreAccess:
    """The store to read from now, and what to do when its database did not answer."""

    get: Callable[[], RunStore]
    look_again: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class ServedDatabase:
    """A database that the viewer shows.

    Attributes:
        name: what the switcher calls it; for all but the first also a part of addresses.
        path: where its pages lie: "" for the first one, whose addresses no further database changes.
        source: which server, database and collections, in words without a password.
        open_client: gives an asynchronous client for its change stream; without one its changes are polled.
    """

    name: str
    access: StoreAccess
    path: str = ""
    source: str = ""
    open_client: Callable[[], Any] | None = None


def bind_databases(extensions: dict[str, Any], databases: Sequence[ServedDatabase]) -> None:
    """Make these the databases of the app with these `extensions`. Addresses without a name are of the first one."""
    extensions[_EXTENSION] = tuple(databases)


def bound_databases(extensions: dict[str, Any]) -> tuple[ServedDatabase, ...]:
    databases: tuple[ServedDatabase, ...] = extensions[_EXTENSION]
    return databases


def served_databases() -> tuple[ServedDatabase, ...]:
    """All databases of this viewer, the first one first."""
    return bound_databases(current_app.extensions)


def current_database() -> ServedDatabase:
    """The database that the current request's address names."""
    database: ServedDatabase = request.environ.get(DATABASE_KEY) or served_databases()[0]
    return database


def current_store() -> RunStore:
    """The store that the current request reads from, as whoever asks sees it. Views never connect by themselves."""
    return current_database().access.get().keeping_columns().seen_by(current_principal())


def home_database() -> Database[dict[str, Any]]:
    """The first database: that with accounts, groups, settings of projects and the audit log, for all of them."""
    return served_databases()[0].access.get().database


def report_silence() -> None:
    """The database of the current request did not answer."""
    current_database().access.look_again()


def root() -> str:
    """What every address of the current request's database begins with: "", or "/db/sacred"."""
    return quote(request.script_root)


def shared_root() -> str:
    """What the addresses of all databases begin with: "", or where a proxy has mounted the viewer."""
    prefix = f"/s/{request.environ[SHARE_KEY]}" if SHARE_KEY in request.environ else current_database().path
    return quote(request.script_root.removesuffix(prefix))
