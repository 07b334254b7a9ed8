"""The order of a list of runs: by which fields, as MongoDB stages, and where a page of it goes on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from .query.errors import BadRunQuery
from .query.fields import RUN_FIELDS, Field, UnknownField, find_field
from .run_query import PROJECT_OF_RUN, SORT_LIMIT, duration_at, last_of_sacreds, text_or
from .run_record import EXPERIMENT_NAME, NAME

CURSOR_LIMIT = 4000  # characters
_INDEXED = ("started", "id")


class BadCursor(BadRunQuery):
    """What a list should go on after is nothing that a page has given."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"{cursor[:60]!r} is not where a list of runs can go on. Begin again with its first page.")


@dataclass(frozen=True)
class SortKey:
    field: Field
    descending: bool


@dataclass(frozen=True)
class RunOrder:
    """By these keys, then by the newest id."""

    keys: tuple[SortKey, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(key.field for key in self.keys)

    @property
    def indexed(self) -> SortKey | None:
        """The one key of an order that an index has, so that no run is read that is not shown."""
        return self.keys[0] if len(self.keys) == 1 and self.keys[0].field.key in _INDEXED else None

    def stages(self, after: str | None = None, sacreds: str | None = None) -> list[dict[str, Any]]:
        """Stages that sort, beginning behind the cursor `after`; the documents then hold what `cursor_of` reads."""
        cursor = None if after is None else read_cursor(after, len(self.keys))
        if self.indexed is not None:
            order = -1 if self.indexed.descending else 1
            path = self.indexed.field.paths[0]
            behind = [] if cursor is None else [{"$match": _behind_indexed(path, order, cursor)}]
            return [*behind, {"$sort": {path: order, "_id": order}}]
        found = [] if sacreds is None else self._found_in(sacreds)
        behind = [] if cursor is None else [{"$match": {"$expr": self._behind(cursor)}}]
        sort: dict[str, int] = {}
        for place, key in enumerate(self.keys):
            sort |= {f"_missing{place}": 1, f"_key{place}": -1 if key.descending else 1}
        return [*found, *self._keyed(sacreds is not None), *behind, {"$sort": {**sort, "_id": -1}}]

    def key_stages(self) -> list[dict[str, Any]]:
        """Stages that put into documents what `cursor_of` reads, where they are sorted already."""
        return [] if self.indexed is not None else self._keyed(with_sacreds=False)

    def cursor_of(self, document: Mapping[str, Any]) -> str | None:
        """Where the list goes on behind a document that the stages have let through; None where that is too long."""
        import bson

        if self.indexed is not None:
            keys = [document.get("_id" if self.indexed.field.key == "id" else "start_time")]
        else:
            keys = [document.get(f"_key{place}") for place in range(len(self.keys))]
        missing = [bool(document.get(f"_missing{place}")) for place in range(len(self.keys))]
        packed = bson.encode({"k": keys, "m": missing, "i": document.get("_id")})
        text = base64.urlsafe_b64encode(packed).decode().rstrip("=")
        return text if len(text) <= CURSOR_LIMIT else None

    def _found_in(self, sacreds: str) -> list[dict[str, Any]]:
        stages = []
        for place, key in enumerate(self.keys):
            if key.field.family == "metrics" and not key.field.figure:
                stages += [*last_of_sacreds(sacreds, key.field.title), {"$set": {f"_last{place}": "$_last"}}]
        return stages

    def _keyed(self, with_sacreds: bool) -> list[dict[str, Any]]:
        values, missing = {}, {}
        for place, key in enumerate(self.keys):
            value = sort_value(key.field)
            if with_sacreds and key.field.family == "metrics" and not key.field.figure:
                value = {"$ifNull": [value, f"$_last{place}"]}
            values[f"_key{place}"] = value
        ends = {
            f"_key{place}": {
                "$cond": [
                    {"$isArray": f"$_key{place}"},
                    {"$max" if key.descending else "$min": f"$_key{place}"},
                    f"$_key{place}",
                ]
            }
            for place, key in enumerate(self.keys)
        }
        for place in range(len(self.keys)):
            is_nothing = {"$in": [{"$type": f"$_key{place}"}, ["missing", "null", "undefined"]]}
            missing[f"_missing{place}"] = {"$or": [is_nothing, {"$eq": [f"$_key{place}", float("nan")]}]}
        # What counts as missing is all alike: null, NaN, nothing. The next key decides among them, or the id.
        alike = {
            f"_key{place}": {"$cond": [f"$_missing{place}", None, f"$_key{place}"]} for place in range(len(self.keys))
        }
        return [{"$addFields": stage} for stage in (values, ends, missing, alike)]

    def _behind(self, cursor: Cursor) -> dict[str, Any]:
        same: list[dict[str, Any]] = []
        ways: list[dict[str, Any]] = []
        for place, key in enumerate(self.keys):
            name, is_missing = f"$_key{place}", f"$_missing{place}"
            value = {"$literal": cursor.keys[place]}
            ways.append({"$and": [*same, {"$gt": [is_missing, cursor.missing[place]]}]})
            if not cursor.missing[place]:  # among those without the value, the id decides
                ways.append(
                    {"$and": [*same, {"$not": [is_missing]}, {"$lt" if key.descending else "$gt": [name, value]}]}
                )
                same.append({"$eq": [name, value]})
            same.append({"$eq": [is_missing, cursor.missing[place]]})
        ways.append({"$and": [*same, {"$lt": ["$_id", {"$literal": cursor.run_id}]}]})
        return {"$or": ways}


@dataclass(frozen=True)
class Cursor:
    """Where a page ended: the values of its last run by which the list is sorted."""

    keys: tuple[Any, ...]
    missing: tuple[bool, ...]
    run_id: Any


@lru_cache(maxsize=1024)
def parse_order(sort: str | tuple[str, ...]) -> RunOrder:
    """The order behind `RunQuery.sort`.

    Raises:
        BadRunQuery: runs cannot be sorted by one of the keys.
    """
    words = (sort,) if isinstance(sort, str) else sort
    if not 1 <= len(words) <= SORT_LIMIT:
        raise BadRunQuery(f"Runs are sorted by 1 to {SORT_LIMIT} keys, not by {len(words)}.")
    keys = []
    for word in words:
        try:
            keys.append(SortKey(find_field(word.removeprefix("-")), word.startswith("-")))
        except UnknownField as error:
            raise BadRunQuery(
                f"Runs cannot be sorted by {word[:80]!r}. {error} Sort by {', '.join(RUN_FIELDS)}, "
                "config.<key> or metrics.<name>."
            ) from None
    return RunOrder(tuple(keys))


def sort_value(field: Field) -> Any:
    """The value of a field in a run's document, as an expression."""
    if field.key == "duration":
        return duration_at()
    if field.key == "project":
        return PROJECT_OF_RUN
    if field.key == "name":
        return text_or(NAME, f"${EXPERIMENT_NAME}")
    value: Any = f"${field.paths[-1]}"
    if field.key == "tags":
        value = {"$ifNull": [value, "$config.tags"]}
    empty = [] if field.kind == "list" else ""
    for path in reversed(field.paths[:-1]):
        value = {"$cond": [{"$in": [{"$ifNull": [f"${path}", None]}, [None, empty]]}, value, f"${path}"]}
    return value


def _behind_indexed(path: str, order: int, cursor: Cursor) -> dict[str, Any]:
    """In a form that the index serves: without a value is below all values there."""
    sign, value, run_id = "$lt" if order < 0 else "$gt", cursor.keys[0], cursor.run_id
    if path == "_id":
        return {"_id": {sign: run_id}}
    if not isinstance(value, datetime):
        rest = {path: {"$not": {"$type": "date"}}, "_id": {sign: run_id}}
        return rest if order < 0 else {"$or": [rest, {path: {"$type": "date"}}]}
    ways = [{path: {sign: value}}, {path: value, "_id": {sign: run_id}}]
    return {"$or": [*ways, {path: {"$not": {"$type": "date"}}}] if order < 0 else ways}


def read_cursor(text: str, count: int) -> Cursor:
    """The cursor that a text is.

    Raises:
        BadCursor: it is none of an order with so many keys.
    """
    import bson
    from bson.errors import InvalidBSON

    try:
        if len(text) > CURSOR_LIMIT:
            raise BadCursor(text)
        packed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        stored: dict[str, Any] = bson.decode(packed, bson.CodecOptions(tz_aware=True))
        keys, missing = stored["k"], stored["m"]
    except (InvalidBSON, binascii.Error, ValueError, KeyError, TypeError, OverflowError):
        raise BadCursor(text) from None
    fits = isinstance(keys, list) and isinstance(missing, list) and len(keys) == len(missing) == count
    if not fits or not all(isinstance(each, bool) for each in missing) or isinstance(stored.get("i"), (dict, list)):
        raise BadCursor(text)
    return Cursor(tuple(keys), tuple(missing), stored.get("i"))


__all__ = ["EXPERIMENT_NAME", "BadCursor", "RunOrder", "SortKey", "parse_order", "sort_value"]
