"""Further databases as people name them: 'sacred', 'lab:prefix_', 'old=mongodb://host/sacred#runs=mine'."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from ..observer.errors import CloisterError
from ..observer.mongo import SCHEME, SRV_SCHEME, redact_uri
from ..observer.run_collections import Collections
from .database_paths import NAME_PATTERN

_NAME = re.compile(NAME_PATTERN, re.ASCII)
_NAMED = re.compile(f"(?P<name>{NAME_PATTERN})=(?P<rest>.*)", re.ASCII | re.DOTALL)
_NOT_IN_NAMES = frozenset('/\\. "$*<>:|?\0')  # MongoDB's own rule for names of databases


class BadDatabaseSpec(CloisterError, ValueError):
    """A further database is named in a way that names none."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f"{redact_uri(text) if '://' in text else text!r} names no database to show: {reason}. Write a database of "
            "the same server ('sacred'), one with other collections ('lab:prefix_', 'lab:runs=mine') or another "
            "server's ('old=mongodb://host/sacred'); what stands before the '=' becomes its name in addresses."
        )


@dataclass(frozen=True)
class DatabaseSpec:
    """A further database: its name in addresses and in the switcher, and where it is.

    Attributes:
        uri: None for the server of the first database.
    """

    name: str
    uri: str | None
    database: str
    collections: Collections


def parse_specs(texts: Iterable[str], *, first_name: str) -> tuple[DatabaseSpec, ...]:
    """The further databases of a viewer whose first one is called `first_name`.

    Raises:
        BadDatabaseSpec: one of them names none, or two have the same name.
        BadCollections: one has collections of an impossible name.
    """
    specs: dict[str, DatabaseSpec] = {}
    for text in texts:
        spec = parse_spec(text)
        if spec.name in specs or spec.name == first_name:
            raise BadDatabaseSpec(text, f"another database of this viewer is called {spec.name!r} already")
        specs[spec.name] = spec
    return tuple(specs.values())


def parse_spec(text: str) -> DatabaseSpec:
    given = _NAMED.fullmatch(text.strip())
    rest = given["rest"] if given else text.strip()
    if rest.startswith((SCHEME, SRV_SCHEME)):
        uri, _, collections_text = rest.partition("#")
        database = _database_of(uri)
        if not database:
            raise BadDatabaseSpec(text, "the URI ends without the database's name")
    else:
        uri, (database, _, collections_text) = None, rest.partition(":")
        if not database or not _NOT_IN_NAMES.isdisjoint(database):
            raise BadDatabaseSpec(text, f"{database!r} is no name of a database")
    collections = Collections.parse(collections_text)
    name = given["name"] if given else default_name(database, collections)
    if not _NAME.fullmatch(name):
        raise BadDatabaseSpec(text, f"{name!r} cannot stand in an address, so it needs a name before a '='")
    return DatabaseSpec(name, uri, database, collections)


def default_name(database: str, collections: Collections) -> str:
    if collections.is_default:
        return database
    return f"{database}-{collections.prefix or collections.runs}"


def _database_of(uri: str) -> str:
    path = uri.partition("://")[2].partition("?")[0].rpartition("@")[2].partition("/")[2]
    return unquote(path).partition(".")[0]
