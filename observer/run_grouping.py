"""Runs grouped by the values of up to three fields, with the spread of others in each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .query.errors import BadRunQuery
from .query.fields import Field, UnknownField, find_field
from .run_order import sort_value
from .run_query import ALIVE, RunQuery
from .run_status import QUEUED_STATES

if TYPE_CHECKING:
    from pymongo.database import Database

GROUPED_BY_LIMIT = 3
COLUMNS_LIMIT = 30
GROUPS_LIMIT = 1000  # the largest ones are shown


@dataclass(frozen=True)
class Stats:
    """The finite numbers of a field in a group of runs.

    Attributes:
        std: the standard deviation of a sample (n - 1); None for fewer than two numbers.
    """

    count: int
    mean: float | None
    std: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True)
class RunGroup:
    """Runs with the same values of the fields that are grouped by; None stands for runs without one."""

    keys: tuple[Any, ...]
    run_count: int
    columns: dict[str, Stats]


@dataclass(frozen=True)
class RunGroups:
    """The groups, the largest first; `total` counts those that are left out too."""

    groups: tuple[RunGroup, ...]
    total: int


def read_grouping(by: Sequence[str], columns: Sequence[str]) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """The fields behind keys.

    Raises:
        BadRunQuery: runs cannot be grouped so.
    """
    if not 1 <= len(by) <= GROUPED_BY_LIMIT:
        raise BadRunQuery(f"Runs are grouped by 1 to {GROUPED_BY_LIMIT} fields, not by {len(by)}.")
    if len(columns) > COLUMNS_LIMIT:
        raise BadRunQuery(f"{len(columns)} columns are too many for groups: {COLUMNS_LIMIT} are the most.")
    try:
        return tuple(map(find_field, by)), tuple(map(find_field, columns))
    except UnknownField as error:
        raise BadRunQuery(str(error)) from None


def group_runs(
    database: Database[dict[str, Any]], query: RunQuery, by: Sequence[str], columns: Sequence[str]
) -> RunGroups:
    """The groups of the runs that a query matches, reckoned by MongoDB.

    Args:
        by: keys of up to three fields.
        columns: keys of fields whose numbers are summed up; durations are seconds.

    Raises:
        BadRunQuery: runs cannot be grouped so.
    """
    grouped, summed = read_grouping(by, columns)
    keys = {f"k{place}": {"$ifNull": [group_value(field), None]} for place, field in enumerate(grouped)}
    numbers = {f"c{place}": _number(field) for place, field in enumerate(summed)}
    sums: dict[str, Any] = {}
    for place in range(len(summed)):
        value = f"$c{place}"
        sums |= {
            f"n{place}": {"$sum": {"$cond": [{"$isNumber": value}, 1, 0]}},
            f"mean{place}": {"$avg": value},
            f"std{place}": {"$stdDevSamp": value},
            f"min{place}": {"$min": value},
            f"max{place}": {"$max": value},
        }
    stages: list[dict[str, Any]] = [
        {"$match": query.filter()},
        {"$project": {**keys, **numbers}},
        {"$group": {"_id": [f"${key}" for key in keys], "runs": {"$sum": 1}, **sums}},
        {"$sort": {"runs": -1, "_id": 1}},
        {"$facet": {"groups": [{"$limit": GROUPS_LIMIT}], "total": [{"$count": "groups"}]}},
    ]
    found = next(iter(database["runs"].aggregate(stages, allowDiskUse=True)))
    groups = tuple(_read_group(group, columns) for group in found["groups"])
    return RunGroups(groups, found["total"][0]["groups"] if found["total"] else 0)


def group_value(field: Field) -> Any:
    """What runs of one group have in common, as an expression."""
    if field.key != "status":
        return sort_value(field)
    lost = {"$cond": [ALIVE, "running", "lost"]}
    queued = [state.upper() for state in QUEUED_STATES]
    branches = [
        {"case": {"$eq": ["$status", "RUNNING"]}, "then": lost},
        {"case": {"$in": ["$status", queued]}, "then": "queued"},
        {"case": {"$in": ["$status", ["COMPLETED", "FAILED"]]}, "then": {"$toLower": "$status"}},
    ]
    return {"$switch": {"branches": branches, "default": "interrupted"}}


def _number(field: Field) -> Any:
    """A finite number, or null: NaN and infinities have no mean."""
    value = sort_value(field)
    if field.kind == "duration":
        value = {"$divide": [value, 1000]}
    is_finite = {
        "$and": [{"$isNumber": "$$value"}, {"$gt": ["$$value", float("-inf")]}, {"$lt": ["$$value", float("inf")]}]
    }
    return {"$let": {"vars": {"value": value}, "in": {"$cond": [is_finite, "$$value", None]}}}


def _read_group(group: dict[str, Any], columns: Sequence[str]) -> RunGroup:
    stats = {
        key: Stats(group[f"n{place}"], *(_float(group[f"{name}{place}"]) for name in ("mean", "std", "min", "max")))
        for place, key in enumerate(columns)
    }
    return RunGroup(tuple(map(plain_key, group["_id"])), group["runs"], stats)


def plain_key(value: Any) -> Any:
    """A group's value as something that can be compared and be a key of a dict."""
    if isinstance(value, list):
        return tuple(map(plain_key, value))
    if isinstance(value, dict):
        return tuple((name, plain_key(each)) for name, each in value.items())
    return value


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
