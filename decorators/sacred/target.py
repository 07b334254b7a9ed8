"""Where an observer's runs go: from the arguments of Sacred's constructor to settings, collections, and a client."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from ...observer.errors import CloisterError
from ...observer.lent_client import LentClient
from ...observer.run_collections import METRICS, RUNS, Collections
from ...observer.settings import Settings, load_settings

if TYPE_CHECKING:
    from gridfs import GridFS
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database

SACRED_DATABASE = "sacred"
SACRED_HOST = "mongodb://localhost:27017"
NOT_IN_NAMES = frozenset(' ./\\$"\0')
NAME_LIMIT_BYTES = 63
RESERVED = frozenset({"fs.files", "fs.chunks", "_properties", "system.indexes", "search_space", "search_spaces"})


class ReservedCollection(CloisterError, KeyError):
    """A collection that is somebody else's was named for runs."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Collection name {name!r} is reserved. Please use a different one: leave collection= out, or pass "
            "collection_prefix='lab' for lab_runs and lab_metrics."
        )

    def __str__(self) -> str:  # of a KeyError it would be in quotes
        return str(self.args[0])


class NoCollection(CloisterError, TypeError):
    """`create_from` was given something that is no collection of PyMongo's."""

    def __init__(self, given: object) -> None:
        super().__init__(
            f"create_from needs a collection of PyMongo's for the runs, and got {type(given).__name__!r}. Pass "
            "client['database']['runs'], or use MongoObserver(url=...)."
        )


class BadUrl(CloisterError, ValueError):
    """`url=` is nothing that MongoDB's drivers understand."""

    def __init__(self, url: str, reason: object) -> None:
        from ...observer.mongo import first_sentence, redact_uri

        super().__init__(
            f"url={redact_uri(url)!r} is no address of a MongoDB: {first_sentence(reason)}. Pass one such as "
            "'mongodb://user:password@host:27017', with %-escapes for special characters in the password, or "
            "leave url= out for the database of the settings."
        )


class BadDatabaseName(CloisterError, ValueError):
    """`db_name=` is no name of a database."""

    def __init__(self, name: object) -> None:
        super().__init__(
            f"db_name={name!r} names no database: MongoDB takes up to 63 bytes of text without spaces and any of "
            "/ \\ . $ \". Pass a name such as 'sacred'."
        )


@dataclass(frozen=True)
class Target:
    """Where the runs go.

    Attributes:
        settings: with a URI without password where a client is lent; the journal's folder is named after it.
        lent: the script's own client; None where a courier process connects by the URI.
    """

    settings: Settings
    collections: Collections
    lent: LentClient | None = None

    @cached_property
    def database(self) -> Database[dict[str, Any]]:
        """For the observer's attributes, with the types that Sacred's observer gives; connects when used."""
        if self.lent is not None:
            database: Database[dict[str, Any]] = self.lent.client[self.lent.database_name]
            return database
        from pymongo import MongoClient

        from ...observer.mongo import database_name, resolve_uri

        uri = resolve_uri(self.settings)
        client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=5000, appName="cloister")
        return client[database_name(uri, self.settings)]

    @cached_property
    def runs(self) -> Collection[dict[str, Any]]:
        return self.database[self.collections.name(RUNS)]

    @cached_property
    def metrics(self) -> Collection[dict[str, Any]]:
        return self.database[self.collections.name(METRICS)]

    @cached_property
    def fs(self) -> GridFS:
        from gridfs import GridFS

        return GridFS(self.database)

    def __str__(self) -> str:
        from ...observer.mongo import redact_uri

        where = "the embedded database" if self.settings.uri is None else redact_uri(self.settings.uri)
        return f"{where} ({self.collections.name(RUNS)})"

    def is_same_as(self, other: Target) -> bool:
        from ...observer.mongo import destination

        return (destination(self.settings), self.collections) == (destination(other.settings), other.collections)


def target_of_arguments(
    url: Any,
    db_name: str | None,
    collection: str,
    collection_prefix: str,
    client: MongoClient[Any] | None,
    options: Mapping[str, Any],
) -> Target:
    """Where the arguments of the constructor point.

    Args:
        options: further arguments of PyMongo's client.

    Raises:
        ValueError, KeyError: as Sacred's own constructor.
    """
    collections = _collections(collection, collection_prefix)
    if db_name and (NOT_IN_NAMES & set(db_name) or len(db_name.encode()) > NAME_LIMIT_BYTES):
        raise BadDatabaseName(db_name)
    if client is not None:
        return _of_client(_checked(client, url), db_name or SACRED_DATABASE, collections)
    from ...observer.mongo import SCHEME, SRV_SCHEME, fault_in_uri

    settings = load_settings()
    if url is None and not options and (settings.uri is not None or db_name is None):
        if db_name is None:
            return Target(settings, collections)
        known = settings.uri or ""
        if known.startswith((SCHEME, SRV_SCHEME)):
            return Target(replace(settings, uri=_with_database(known, db_name)), collections)
    database = db_name or SACRED_DATABASE
    uri = _uri(url, options)
    if uri is not None:
        fault = fault_in_uri(uri)
        if fault is not None:
            raise BadUrl(uri, fault)
        return Target(replace(settings, uri=_with_database(uri, database), uri_file=None), collections)
    from pymongo import MongoClient  # such options, as a codec or a listener, no URI can hold

    return _of_client(MongoClient(url, **options), database, collections)


def target_of_collections(runs: Any, metrics: Any) -> Target:
    """Where collections that a script has opened lie.

    Raises:
        NoCollection: they are none of PyMongo's.
    """
    from pymongo.collection import Collection

    if not isinstance(runs, Collection):
        raise NoCollection(runs)
    named = metrics.name if isinstance(metrics, Collection) else METRICS
    prefix = runs.name.removesuffix(f"_{RUNS}")
    if prefix != runs.name and named in (f"{prefix}_{METRICS}", METRICS):
        collections = Collections(prefix=prefix)
    else:
        collections = Collections(runs=runs.name, metrics=named)
    return _of_client(runs.database.client, runs.database.name, collections)


def _checked(client: Any, url: Any) -> MongoClient[Any]:
    from pymongo import MongoClient

    if not isinstance(client, MongoClient):
        raise ValueError(f"client needs to be a pymongo.MongoClient, but is {type(client)} instead")
    if url is not None:
        raise ValueError("Cannot pass both a client and a url.")
    return client


def _of_client(client: MongoClient[Any], database: str, collections: Collections) -> Target:
    lent = LentClient(client, database)
    settings = replace(load_settings(), uri=lent.address, uri_file=None, database=database)
    return Target(settings, collections, lent)


def _collections(collection: str, prefix: str) -> Collections:
    if collection != RUNS:
        warnings.warn(
            'Argument "collection" is deprecated. Please use "collection_prefix" instead.',
            DeprecationWarning,
            stacklevel=4,
        )
        if prefix:
            raise ValueError("Cannot pass both collection and a collection prefix.")
    for name in (collection, f"{prefix}_{RUNS}", f"{prefix}_{METRICS}"):
        if name in RESERVED:
            raise ReservedCollection(name)
    return Collections(prefix=prefix, runs=collection)


def _uri(url: Any, options: Mapping[str, Any]) -> str | None:
    """What PyMongo's client would be given as one URI; None if there is none that says the same."""
    hosts = SACRED_HOST if url is None else url
    if isinstance(hosts, Sequence) and not isinstance(hosts, str):
        if any("://" in str(host) for host in hosts):
            return None
        hosts = ",".join(map(str, hosts))
    if not isinstance(hosts, str):
        return None
    rest = dict(options)
    if "://" not in hosts:
        port = rest.pop("port", None)
        hosts = "mongodb://" + (hosts if port is None or ":" in hosts else f"{hosts}:{port}")
    user, password = rest.pop("username", None), rest.pop("password", None)
    if user is not None:
        scheme, _, place = hosts.partition("://")
        if "@" in place.partition("/")[0]:
            return None
        secret = "" if password is None else f":{quote_plus(str(password))}"
        hosts = f"{scheme}://{quote_plus(str(user))}{secret}@{place}"
    return _with_options(hosts, rest)


def _with_options(uri: str, options: Mapping[str, Any]) -> str | None:
    if not options:
        return uri
    if not all(isinstance(value, (str, int, float, bool)) for value in options.values()):
        return None
    words = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()}
    query = "&".join(f"{name}={quote_plus(value)}" for name, value in words.items())
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import split_options

    try:
        split_options(query, validate=True, warn=False)
    except (PyMongoError, ValueError, TypeError, LookupError):
        return None  # an argument of the client that is no option of a URI
    base, mark, known = uri.partition("?")
    if not mark and "/" not in base.partition("://")[2]:
        base += "/"
    return f"{base}?{known}&{query}" if known else f"{base}?{query}"


def _with_database(uri: str, database: str) -> str:
    """The URI with this database. What stood there was where to look for the user, and stays that."""
    base, _, query = uri.partition("?")
    scheme, _, rest = base.partition("://")
    credentials, at, place = rest.rpartition("@")
    hosts, _, path = place.partition("/")
    if at and "authsource=" not in query.lower() and "authmechanism=mongodb-x509" not in query.lower():
        query = f"{query}&authSource={path or 'admin'}".lstrip("&")
    from urllib.parse import quote

    return f"{scheme}://{credentials}{at}{hosts}/{quote(database, safe='')}" + (f"?{query}" if query else "")
