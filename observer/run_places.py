"""Where on a server runs lie: which databases hold any, under which collection names, and who wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from .run_collections import RENAMED, RUNS, Collections

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database

Writer = Literal["cloister", "sacred", "both"]

COLLECTIONS_LIMIT = 2_000  # of a server, looked into for runs
LOOK_MS = 2_000
_NOT_FOR_RUNS = frozenset(("admin", "local", "config"))  # databases
# Sacred has all of them in each of its documents, queued ones too.
_SIGNS = ("experiment", "status", "config")
_FIELDS = {"start_time": 1, "cloister.uid": 1}


@dataclass(frozen=True)
class RunPlace:
    """One set of runs on a server.

    Attributes:
        database: its name.
        collections: how the collections are called in it.
        run_count: about how many documents; from the collection's own count.
        newest: when the newest one started, as far as the ids tell which one that is.
        writer: who wrote the newest and the oldest one.
    """

    database: str
    collections: Collections
    run_count: int
    newest: datetime | None
    writer: Writer


def list_places(client: MongoClient[dict[str, Any]], own: str) -> tuple[RunPlace, ...]:
    """All sets of runs that this client may read, by database and name.

    Args:
        own: the database that the client is used for; it is looked into even where databases may not be listed.
    """
    places: list[RunPlace] = []
    looked = 0
    for name in _database_names(client, own):
        for collection in _collection_names(client[name]):
            looked += 1
            if looked > COLLECTIONS_LIMIT:
                return tuple(places)
            place = _look_into(client[name], collection)
            if place is not None:
                places.append(place)
    return tuple(places)


def collections_named(name: str, others: set[str]) -> Collections:
    """The set whose runs lie in a collection of this name: Sacred's prefix, where there is one, or the name alone."""
    prefix, sign, _ = name.rpartition(f"_{RUNS}")
    if name == RUNS:
        return Collections()
    if sign and prefix and name.endswith(sign) and (f"{prefix}_metrics" in others or "metrics" not in others):
        return Collections(prefix=prefix)
    return Collections(runs=name)


def _database_names(client: MongoClient[dict[str, Any]], own: str) -> list[str]:
    from pymongo.errors import OperationFailure

    try:
        found = client.admin.command("listDatabases", nameOnly=True, authorizedDatabases=True)["databases"]
        names = {str(each["name"]) for each in found}
    except OperationFailure:
        names = set()
    return sorted((names | {own}) - _NOT_FOR_RUNS)


def _collection_names(database: Database[dict[str, Any]]) -> Iterator[str]:
    """Those that may hold runs, and that we may read."""
    from pymongo.errors import OperationFailure

    try:
        found = database.list_collection_names(authorizedCollections=True, nameOnly=True)
    except OperationFailure:
        found = [RUNS]
    passed_over = RENAMED - {RUNS}
    for name in sorted(found):
        ours = any(name.endswith(f"_{each}") for each in passed_over) or name in passed_over
        if not ours and not name.startswith(("fs.", "system.", "omniboard.")):
            yield name


def _look_into(database: Database[dict[str, Any]], name: str) -> RunPlace | None:
    from pymongo.errors import OperationFailure

    runs = database[name]
    try:
        ends = [runs.find_one({}, {**_FIELDS, **dict.fromkeys(_SIGNS, 1)}, sort=[("_id", order)]) for order in (-1, 1)]
        documents = [each for each in ends if each is not None]
        if not any(map(_looks_like_a_run, documents)):
            return None
        count = runs.estimated_document_count(maxTimeMS=LOOK_MS)
        others = set(database.list_collection_names(authorizedCollections=True, nameOnly=True))
    except OperationFailure:  # it may not be read
        return None
    writers = {"cloister" if _has_uid(each) else "sacred" for each in documents}
    writer: Any = "both" if len(writers) == 2 else writers.pop()
    return RunPlace(database.name, collections_named(name, others), count, _newest(documents), writer)


def holds_runs(collection: Collection[dict[str, Any]]) -> bool:
    """Whether the oldest or the newest document of a collection is one of a run."""
    ends = (collection.find_one({}, dict.fromkeys(_SIGNS, 1), sort=[("_id", order)]) for order in (-1, 1))
    return any(each is not None and _looks_like_a_run(each) for each in ends)


def _looks_like_a_run(document: Mapping[str, Any]) -> bool:
    return (
        isinstance(document.get("experiment"), Mapping)
        and isinstance(document.get("status"), str)
        and "config" in document
    )


def _has_uid(document: Mapping[str, Any]) -> bool:
    ours = document.get("cloister")
    return isinstance(ours, Mapping) and isinstance(ours.get("uid"), str)


def _newest(documents: Sequence[Mapping[str, Any]]) -> datetime | None:
    started = documents[0].get("start_time")
    if not isinstance(started, datetime):
        return None
    return started if started.tzinfo else started.replace(tzinfo=timezone.utc)
