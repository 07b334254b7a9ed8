"""A database whose `["runs"]` holds only the runs that its reader sees, whatever is asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pymongo  # noqa: F401  # whole before a part of it: beside a thread that imports it, a part finds it half made
from pymongo.collection import Collection
from pymongo.database import Database

from ..run_collections import RUNS, RunDatabase, collections_of

_Filter = Mapping[str, Any]
# What leads to runs past the filter, or to other collections: no query of a reader's has any of them.
_CROSSING_STAGES = frozenset({"$out", "$merge", "$unionWith", "$graphLookup"})


class SeenDatabase(RunDatabase):
    """As the database behind it, of whose runs only those are there that meet a condition."""

    behind: Database[dict[str, Any]]
    condition: dict[str, Any]

    def __getitem__(self, name: str) -> Collection[dict[str, Any]]:
        found = self.behind[name]
        if name != RUNS and found.name != self.collections.name(RUNS):
            return found
        return cast("Collection[dict[str, Any]]", SeenRuns(found, self.condition, self))

    def get_collection(self, name: str, *arguments: Any, **options: Any) -> Collection[dict[str, Any]]:
        return self[name].with_options(*arguments, **options)

    def with_options(self, *arguments: Any, **options: Any) -> SeenDatabase:  # type: ignore[override]
        return only_seen(self.behind.with_options(*arguments, **options), self.condition)

    def aggregate(self, *_arguments: Any, **_options: Any) -> Any:
        raise NotImplementedError("A question to the database as a whole would pass the filter of its runs.")


class SeenRuns:
    """The runs that meet a condition, with a collection's methods that take a filter. Nothing else is offered."""

    def __init__(self, behind: Collection[dict[str, Any]], condition: dict[str, Any], database: SeenDatabase) -> None:
        self._behind, self._condition, self.database = behind, condition, database
        self.name, self.full_name = behind.name, behind.full_name

    def with_options(self, *arguments: Any, **options: Any) -> SeenRuns:
        return SeenRuns(self._behind.with_options(*arguments, **options), self._condition, self.database)

    def find(self, filter: _Filter | None = None, *arguments: Any, **options: Any) -> Any:  # noqa: A002  # PyMongo's name
        return self._behind.find(self._narrowed(filter), *arguments, **options)

    def find_one(self, filter: Any = None, *arguments: Any, **options: Any) -> Any:  # noqa: A002  # PyMongo's name
        return self._behind.find_one(self._narrowed(filter), *arguments, **options)

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]], *arguments: Any, **options: Any) -> Any:
        crossing = {name for stage in pipeline for name in stage} & _CROSSING_STAGES
        if crossing:
            raise NotImplementedError(f"{', '.join(sorted(crossing))} would pass the filter of {self.full_name}.")
        return self._behind.aggregate([{"$match": self._condition}, *pipeline], *arguments, **options)

    def count_documents(self, filter: _Filter, *arguments: Any, **options: Any) -> int:  # noqa: A002  # PyMongo's name
        return self._behind.count_documents(self._narrowed(filter), *arguments, **options)

    def estimated_document_count(self, **options: Any) -> int:
        return self.count_documents({}, **options)

    def distinct(self, key: str, filter: _Filter | None = None, *arguments: Any, **options: Any) -> list[Any]:  # noqa: A002
        return self._behind.distinct(key, self._narrowed(filter), *arguments, **options)

    def update_one(self, filter: _Filter, *arguments: Any, **options: Any) -> Any:  # noqa: A002  # PyMongo's name
        return self._behind.update_one(self._narrowed(filter), *arguments, **options)

    def update_many(self, filter: _Filter, *arguments: Any, **options: Any) -> Any:  # noqa: A002  # PyMongo's name
        return self._behind.update_many(self._narrowed(filter), *arguments, **options)

    def find_one_and_update(self, filter: _Filter, *arguments: Any, **options: Any) -> Any:  # noqa: A002
        return self._behind.find_one_and_update(self._narrowed(filter), *arguments, **options)

    def delete_one(self, filter: _Filter, *arguments: Any, **options: Any) -> Any:  # noqa: A002  # PyMongo's name
        return self._behind.delete_one(self._narrowed(filter), *arguments, **options)

    def delete_many(self, filter: _Filter, *arguments: Any, **options: Any) -> Any:  # noqa: A002  # PyMongo's name
        return self._behind.delete_many(self._narrowed(filter), *arguments, **options)

    def _narrowed(self, asked: Any) -> dict[str, Any]:
        if asked is None or asked == {}:
            return self._condition
        return {"$and": [asked if isinstance(asked, Mapping) else {"_id": asked}, self._condition]}


def only_seen(database: Database[dict[str, Any]], condition: dict[str, Any]) -> SeenDatabase:
    """The same database, its collections called as before, with those runs alone that meet `condition`."""
    given = database.codec_options, database.read_preference, database.write_concern, database.read_concern
    seen = SeenDatabase(database.client, database.name, *given)
    seen.collections = collections_of(database)
    seen.behind, seen.condition = database, condition
    return seen


def unfiltered(database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """The database itself, for what is not read on somebody's behalf: accounts, audit, retention."""
    return database.behind if isinstance(database, SeenDatabase) else database
