"""Where runs are adopted from and to, out of what people write on a command line."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..mongo import SCHEME, SRV_SCHEME, check, client_for, database_name, redact_uri, resolve_uri
from ..run_collections import Collections, with_collections
from ..settings import Settings, load_settings
from .adoption_errors import ForeignFolder, NoDatabaseNamed, NothingThere
from .failure_pickles import is_failure_pickle
from .file_storage import FileStorage, is_file_storage
from .folder_files import Folder
from .run_source import RunSource
from .tiny_db import TinyDb, is_tiny_db

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

EMBEDDED = "embedded"  # --into: the database of the settings, or the embedded one
TIMEOUT_MS = 5000
# Sacred's -m and Omniboard's: host:port:database.
_OLD_ADDRESS = re.compile(r"(?P<host>[0-9A-Za-z.-]{1,253}):(?P<port>[0-9]{1,5}):(?P<database>[^\s/\\.\"$:!]{1,63})")
_RUNS_NAME = "runs"


@dataclass(frozen=True)
class DatabasePlace:
    """A database that answers. Whoever has it closes its client."""

    client: MongoClient[dict[str, Any]]
    database: Database[dict[str, Any]]
    label: str

    def close(self) -> None:
        self.client.close()


def is_address(given: str) -> bool:
    """Whether it names a database; a file or folder of that name comes first."""
    if given.startswith((SCHEME, SRV_SCHEME)):
        return True
    return not os.path.lexists(given) and _OLD_ADDRESS.fullmatch(given) is not None


def open_database(given: str, collections: Collections) -> DatabasePlace:
    """The database at a URI, or at Sacred's `host:port:database`.

    Raises:
        BadMongoUri, DatabaseUnreachable, LoginRefused: it is none, or does not answer, or does not let us in.
        NoDatabaseNamed: only a server is named.
    """
    old = _OLD_ADDRESS.fullmatch(given)
    uri = f"{SCHEME}{old['host']}:{old['port']}/{quote(old['database'], safe='')}" if old else given
    with _checked(client_for(uri, timeout_ms=TIMEOUT_MS)) as client:
        name = database_name(uri, Settings(database=""))
        if not name:
            raise NoDatabaseNamed(redact_uri(uri), sacred_databases(client))
        return DatabasePlace(client, with_collections(client[name], collections), _label(uri, name, collections))


def is_to_be_made(given: str | None) -> bool:
    """Whether the destination is an embedded database that has never been started."""
    settings = load_settings()
    if given not in (None, EMBEDDED) or (given is None and settings.uri is not None):
        return False
    from ..embedded.data_folder import DataFolder

    return not DataFolder.of(settings).exists()


def open_destination(given: str | None) -> DatabasePlace:
    """The database that runs are copied into: that of a URI, or of the settings; `embedded` is the embedded one."""
    if given is not None and given != EMBEDDED:
        return open_database(given, Collections())
    settings = load_settings()
    if given == EMBEDDED:
        settings = replace(settings, uri=None, uri_file=None)
    uri = resolve_uri(settings)
    with _checked(client_for(uri, timeout_ms=TIMEOUT_MS)) as client:
        name = database_name(uri, settings)
        label = "the embedded database" if settings.uri is None else _label(uri, name, Collections())
        return DatabasePlace(client, with_collections(client[name]), label)


@contextlib.contextmanager
def _checked(client: MongoClient[dict[str, Any]]) -> Iterator[MongoClient[dict[str, Any]]]:
    """A client whose server has answered; closed if anything goes wrong with it."""
    try:
        check(client)
        yield client
    except BaseException:  # Ctrl-C too: nobody else closes it
        client.close()
        raise


def open_folder(given: str) -> RunSource:
    """What Sacred has left in a folder; pickles are another thing (`is_failures`).

    Raises:
        NothingThere, ForeignFolder: there is none, or of something else.
    """
    path = Path(given)
    if not path.exists():
        raise NothingThere(given)
    if path.is_dir():
        folder = Folder(path)
        if is_tiny_db(folder):
            return TinyDb(path)
        if is_file_storage(folder):
            return FileStorage(path)
    raise ForeignFolder(path)


def is_failures(given: str) -> bool:
    """Whether it is a pickle that MongoObserver has left, or a folder with some and nothing else of Sacred's."""
    path = Path(given)
    if path.is_file():
        return is_failure_pickle(path.name)
    if not path.is_dir():
        return False
    folder = Folder(path)
    return any(map(is_failure_pickle, folder.names())) and not (is_tiny_db(folder) or is_file_storage(folder))


def sacred_databases(client: MongoClient[dict[str, Any]]) -> list[str]:
    """Databases of a server that have runs."""
    names = client.list_database_names()
    return [name for name in names if name not in ("admin", "config", "local") and other_collections(client[name])]


def other_collections(database: Database[dict[str, Any]]) -> list[str]:
    """The sets of collections with runs in a database, as `--collections` takes them."""
    found = []
    for name in sorted(database.list_collection_names()):
        prefix = "" if name == _RUNS_NAME else name.removesuffix(f"_{_RUNS_NAME}")
        if prefix != name and database.get_collection(name).find_one({}, {"_id": 1}) is not None:
            found.append(prefix)
    return found


def is_same(one: DatabasePlace, other: DatabasePlace) -> bool:
    """Whether two places are the same runs of the same server, however they are addressed."""
    same_runs = (one.database.name, one.database["runs"].name) == (other.database.name, other.database["runs"].name)
    return same_runs and _server(one) == _server(other)


def _server(place: DatabasePlace) -> Any:
    hello = place.client.admin.command("hello")
    return hello.get("me") or sorted(map(str, place.client.nodes)), hello.get("setName")


def _label(uri: str, name: str, collections: Collections) -> str:
    hosts = redact_uri(uri).partition("://")[2].partition("/")[0].removeprefix("***@")
    return f"{hosts}/{name}" + ("" if collections.is_default else f" ({collections})")
