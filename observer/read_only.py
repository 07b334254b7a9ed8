"""A database that refuses to be written through: for looking at what others own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import pymongo  # noqa: F401  # whole before a part of it: beside a thread that imports it, a part finds it half made
from pymongo.collection import Collection
from pymongo.database import Database

from .errors import CloisterError
from .run_collections import RunDatabase, collections_of

_COLLECTION_WRITES = (
    *("insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many"),
    *("bulk_write", "find_one_and_update", "find_one_and_replace", "find_one_and_delete", "rename", "drop"),
    *("create_index", "create_indexes", "drop_index", "drop_indexes", "create_search_index", "create_search_indexes"),
)
_WRITING_STAGES = {"$out", "$merge"}
_DATABASE_WRITES = ("create_collection", "drop_collection")


class WritesNotWanted(CloisterError, PermissionError):
    """Something would write into a database that was opened to be read only."""

    def __init__(self, place: str, operation: str) -> None:
        super().__init__(
            f"Nothing is written into {place}, which is open for reading only: {operation} was refused. Open it "
            "without read_only (--read-only) to change it."
        )


class ReadOnlyDatabase(RunDatabase):
    """As `RunDatabase`; what would write raises `WritesNotWanted`."""

    def __getitem__(self, name: str) -> Collection[dict[str, Any]]:
        return _ReadOnlyCollection(self, self.collection_name(name))

    def get_collection(self, name: str, *arguments: Any, **options: Any) -> Collection[dict[str, Any]]:
        return self[name].with_options(*arguments, **options)

    def with_options(self, *arguments: Any, **options: Any) -> ReadOnlyDatabase:  # type: ignore[override]
        return read_only(super().with_options(*arguments, **options))


class _ReadOnlyCollection(Collection[dict[str, Any]]):
    def __getitem__(self, name: str) -> Collection[dict[str, Any]]:  # `database["fs"].files`, as GridFS asks for it
        return _guarded(self.database, super().__getitem__(name))

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]], *arguments: Any, **options: Any) -> Any:
        writing = {name for stage in pipeline for name in stage} & _WRITING_STAGES
        if writing:
            raise WritesNotWanted(self.full_name, " and ".join(sorted(writing)))
        return super().aggregate(pipeline, *arguments, **options)

    def with_options(self, *arguments: Any, **options: Any) -> Collection[dict[str, Any]]:  # type: ignore[override]
        return _guarded(self.database, super().with_options(*arguments, **options))


def _guarded(database: Database[dict[str, Any]], plain: Collection[dict[str, Any]]) -> Collection[dict[str, Any]]:
    given = plain.codec_options, plain.read_preference, plain.write_concern, plain.read_concern
    return _ReadOnlyCollection(database, plain.name, False, *given)


def read_only(database: Database[dict[str, Any]]) -> ReadOnlyDatabase:
    """The same database, its collections called as before, through which nothing can be written."""
    given = database.codec_options, database.read_preference, database.write_concern, database.read_concern
    guarded = ReadOnlyDatabase(database.client, database.name, *given)
    guarded.collections = collections_of(database)
    return guarded


def is_read_only(database: Database[dict[str, Any]]) -> bool:
    # Not by getattr: a Database has a collection for every name that it does not know.
    return isinstance(vars(database).get("behind", database), ReadOnlyDatabase)


def _refusal(operation: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *_arguments: Any, **_options: Any) -> NoReturn:
        raise WritesNotWanted(getattr(self, "full_name", self.name), operation)

    return refuse


for _name in _COLLECTION_WRITES:
    setattr(_ReadOnlyCollection, _name, _refusal(_name))
for _name in _DATABASE_WRITES:
    setattr(ReadOnlyDatabase, _name, _refusal(_name))
