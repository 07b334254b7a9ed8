"""Conditions as MongoDB's filter. Every operator in it is written here: a user's text is a value and never more."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .conditions import ME, All, AnyOf, Condition, Moment, Negated, Node, Words

Filter = dict[str, Any]
NOTHING: Filter = {"_id": {"$in": []}}
_ORDERS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def filter_of(node: Node, now: datetime, me: tuple[str, ...]) -> Filter:
    """The filter that lets the runs through that meet `node`."""
    if isinstance(node, All):
        return {"$and": [filter_of(part, now, me) for part in node.parts]}
    if isinstance(node, AnyOf):
        return {"$or": [filter_of(part, now, me) for part in node.parts]}
    if isinstance(node, Negated):
        return {"$nor": [filter_of(node.part, now, me)]}
    if isinstance(node, Words):
        return _words(node.text)
    return _condition(node, now, me)


def _condition(condition: Condition, now: datetime, me: tuple[str, ...]) -> Filter:
    kind = condition.field.kind
    if kind == "status":
        return _status(condition)
    if kind == "duration":
        return _duration(condition, now)
    if condition.field.key == "project" and condition.operator == "=":
        from ..run_query import match_project

        return match_project(condition.value)
    if kind == "id":
        return _id(condition)
    if condition.field.key == "tags" and condition.operator != "exists":
        from ..run_query import match_tags

        return match_tags(_met("tags", condition, now, me)["tags"])
    return _first_of(condition, lambda path: _met(path, condition, now, me))


def _first_of(condition: Condition, met: Callable[[str], Filter]) -> Filter:
    """What the first path says that is not empty."""
    paths = condition.field.paths
    if len(paths) == 1:
        return met(paths[0])
    empty: list[Any] = [None, []] if condition.field.kind == "list" else [None, ""]
    ways: list[Filter] = [
        {"$and": [*({earlier: {"$in": empty}} for earlier in paths[:place]), met(path)]}
        for place, path in enumerate(paths)
    ]
    return {"$or": ways}


def _met(path: str, condition: Condition, now: datetime, me: tuple[str, ...]) -> Filter:
    value, operator = condition.value, condition.operator
    if operator == "exists":
        return _exists(path, condition)
    if operator == "contains":
        return {path: {"$regex": re.escape(value), "$options": "i"}}
    if value is ME:
        return {path: {"$in": list(me)}}
    if isinstance(value, Moment):
        return _time(path, operator, value, now)
    if operator == "has" and condition.field.kind == "any":
        return {"$and": [{path: {"$type": "array"}}, {path: {"$eq": storable(value)}}]}
    if operator in ("=", "has"):
        return {path: {"$eq": storable(value)}}
    return {path: {_ORDERS[operator]: storable(value)}}


def _exists(path: str, condition: Condition) -> Filter:
    """Missing and null are nothing; so is an empty text of a run's own fields, but not one in a config."""
    if condition.field.kind in ("flag", "time"):
        return {path: {"$type": "date"}}
    if condition.field.kind in ("text", "list"):
        return {"$nor": [{path: {"$in": [None, "", []]}}]}
    there: Filter = {path: {"$exists": True, "$not": {"$type": "null"}}}
    return {"$or": [{path: {"$type": "array"}}, there]} if condition.field.kind == "any" else there


def _time(path: str, operator: str, moment: Moment, now: datetime) -> Filter:
    """A day is all its moments: later than a day is after its end."""
    start, end = moment.span(now)
    if end is None:
        return {path: {"$eq": start} if operator == "=" else {_ORDERS[operator]: start}}
    ranges: dict[str, Filter] = {
        "=": {"$gte": start, "$lt": end},
        "<": {"$lt": start},
        "<=": {"$lt": end},
        ">": {"$gte": end},
        ">=": {"$gte": start},
    }
    return {path: ranges[operator]}


def _id(condition: Condition) -> Filter:
    if condition.operator == "exists":
        return {}
    value = condition.value
    if condition.operator != "=":
        return {"_id": {_ORDERS[condition.operator]: storable(value)}}
    spellings: list[Any] = [storable(value), str(value)]
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{24}", value, re.ASCII):
        from bson import ObjectId

        spellings.append(ObjectId(value))
    return {"_id": {"$in": spellings}}


def _status(condition: Condition) -> Filter:
    from ..run_query import match_status

    if condition.operator == "exists":
        return {}
    return match_status(condition.value)


def _duration(condition: Condition, now: datetime) -> Filter:
    from ..run_query import duration_at

    passed: Any = {"$isNumber": "$$passed"}
    if condition.operator != "exists":
        sign = {**_ORDERS, "=": "$eq"}[condition.operator]
        passed = {"$and": [passed, {sign: ["$$passed", condition.value * 1000]}]}
    return {"$expr": {"$let": {"vars": {"passed": duration_at(now)}, "in": passed}}}


def _words(text: str) -> Filter:
    from ..run_query import match_word

    words = text.split()
    return {"$and": [match_word(word) for word in words]} if words else {}


def storable(value: Any) -> Any:
    """A number as BSON has it: a whole one beyond 64 bits is a double."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return float(value) if abs(value) < 1e308 else math.copysign(math.inf, value)
    return value
