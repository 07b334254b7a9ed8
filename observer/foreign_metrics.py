"""Metrics that Sacred wrote: documents of three arrays, found with or without an index, read whatever they hold."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from .known_summaries import known_summaries, summary_key
from .metric_summary import MetricSummary
from .points import Float64s, Int64s, Points
from .run_query import LISTED

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

    from .run_record import RunId

logger = logging.getLogger("cloister")

LISTED_LIMIT = 2_000  # metrics of a page of runs
SCAN_MS = 10_000  # of a collection without an index; Omniboard does that for every run that is opened
SUMMARIES_MS = 2_000
SUMMARIES_AT_ONCE = 32  # metrics; what one question has reckoned is kept, whatever becomes of the next
INDEX_KNOWN_SECONDS = 60.0
_EPOCH = datetime(1970, 1, 1)
_NUMBERS = frozenset((int, float, bool))

_indexed: WeakKeyDictionary[MongoClient[dict[str, Any]], dict[str, tuple[float, bool]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class ForeignSeries:
    """A metric of Sacred's. `x` has the steps as they are where some are no whole numbers; else None."""

    points: Points
    x: Float64s | None


def equals(run_id: RunId) -> dict[str, Any]:
    """A condition on `run_id` that is always a comparison, and for null not also "there is none"."""
    return {"$type": "null"} if run_id is None else {"$eq": run_id}


def list_names(database: Database[dict[str, Any]], run_id: RunId) -> dict[str, list[Any]]:
    """The metric documents of a run by name: `_id`s, more than one where several processes began the same metric."""
    metrics = database["metrics"]
    fields = {"name": 1, "run_id": 1}
    if is_indexed(database):
        found = list(metrics.find({"run_id": equals(run_id)}, fields))
    else:
        found = list(metrics.find({"_id": {"$in": _listed_ids(_load_listed(database, run_id))}}, fields))
        found = [each for each in found if _is_same(each.get("run_id"), run_id)]
        if not found:
            found = _scan(database, {"run_id": equals(run_id)}, fields)
    names: dict[str, list[Any]] = {}
    for each in sorted(found, key=lambda each: str(each["_id"])):
        names.setdefault(str(each.get("name")), []).append(each["_id"])
    return names


def load_series(database: Database[dict[str, Any]], run_id: RunId, name: str) -> ForeignSeries | None:
    """Every point of a metric that Sacred wrote; None if the run has no such metric."""
    ids = list_names(database, run_id).get(name)
    return _load(database, ids) if ids else None


def _load(database: Database[dict[str, Any]], ids: list[Any]) -> ForeignSeries:
    # Without a time zone each: a tenth of the work for a document of 380,000 points.
    naive = database["metrics"].with_options(codec_options=database.codec_options.with_options(tz_aware=False))
    documents = {str(each["_id"]): each for each in naive.find({"_id": {"$in": ids}})}
    parts = [read_series(documents[str(each)]) for each in ids if str(each) in documents]
    points = Points.concatenate([part.points for part in parts])
    if all(part.x is None for part in parts):
        return ForeignSeries(points, None)
    return ForeignSeries(points, np.concatenate([part.points.steps if part.x is None else part.x for part in parts]))


def load_many_series(database: Database[dict[str, Any]], run_id: RunId, names: Iterable[str]) -> dict[str, Points]:
    """The points of those of these metrics that the run has, its documents looked for once."""
    known = list_names(database, run_id)
    return {name: _load(database, known[name]).points for name in names if name in known}


def summarize(database: Database[dict[str, Any]], ids: Iterable[Any], milliseconds: int = SCAN_MS) -> list[Any]:
    """Documents with `_id`, `run_id`, `name` and what `read_summary` takes, for these metrics; reckoned by MongoDB."""
    return list(
        database["metrics"].aggregate([{"$match": {"_id": {"$in": list(ids)}}}, *_SUMMARY], maxTimeMS=milliseconds)
    )


def summaries_of(database: Database[dict[str, Any]], runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each run's document what `RunRecord.summary` has, as far as its `info.metrics` says where to look.

    By `_id` alone: a page of fifty runs opens their own metrics and no others, however many there are.
    """
    listed = [_listed_ids(run.get(LISTED)) for run in runs]
    wanted = [each for ids in listed for each in ids][:LISTED_LIMIT]
    summaries: list[dict[str, Any]] = [{} for _ in runs]
    if not wanted:
        return summaries
    by_run = zip(runs, listed, strict=True)
    keys = {each: summary_key(database["metrics"], each, run) for run, ids in by_run for each in ids}
    found = _reckon(database, {each: keys[each] for each in wanted})
    for place, (run, ids) in enumerate(zip(runs, listed, strict=True)):
        own = (found[each] for each in ids if each in found)
        summaries[place] = {
            str(each.get("name")): read_foreign_summary(each) for each in own if _is_same(each["run_id"], run["_id"])
        }
    return summaries


def _reckon(database: Database[dict[str, Any]], wanted: Mapping[Any, Hashable | None]) -> dict[Any, dict[str, Any]]:
    """Rows of `summarize` by id, as many as there is time for; what was reckoned once is known the next time."""
    from pymongo.errors import ExecutionTimeout

    known = known_summaries(database.client)
    before = known.find(key for key in wanted.values() if key is not None)
    found = {each: before[key] for each, key in wanted.items() if key in before}
    left = [each for each in wanted if each not in found]
    deadline = time.monotonic() + SUMMARIES_MS / 1000
    for start in range(0, len(left), SUMMARIES_AT_ONCE):
        milliseconds = int((deadline - time.monotonic()) * 1000)
        try:
            rows = (
                summarize(database, left[start : start + SUMMARIES_AT_ONCE], milliseconds) if milliseconds > 0 else None
            )
        except ExecutionTimeout:
            rows = None
        if rows is None:
            logger.info(
                "The last values of Sacred's metrics take longer than %s ms; the list lacks some.", SUMMARIES_MS
            )
            break
        found |= {row["_id"]: row for row in rows}
        known.keep({key: row for row in rows if (key := wanted.get(row["_id"])) is not None})
    return found


def load_summary(database: Database[dict[str, Any]], run: Mapping[str, Any]) -> dict[str, MetricSummary]:
    """What `RunRecord.summary` has for a run's whole document; without an index, as far as its `info` tells."""
    if is_indexed(database):
        return load_summaries(database, list_names(database, run["_id"]))
    info = run.get("info")
    listed = info.get("metrics") if isinstance(info, Mapping) else None
    return summaries_of(database, [{"_id": run["_id"], LISTED: listed}])[0]


def load_summaries(database: Database[dict[str, Any]], ids: Mapping[str, Sequence[Any]]) -> dict[str, MetricSummary]:
    """Summaries by name, of one document or several for each."""
    rows = {str(row["_id"]): row for row in summarize(database, [each for group in ids.values() for each in group])}
    summaries: dict[str, MetricSummary] = {}
    for name, group in ids.items():
        parts = [read_foreign_summary(rows[str(each)]) for each in group if str(each) in rows]
        if parts:
            summaries[name] = _joined(name, parts)
    return summaries


def _joined(name: str, parts: list[MetricSummary]) -> MetricSummary:
    lows, highs = [part.min for part in parts], [part.max for part in parts]
    return MetricSummary(
        name,
        parts[-1].last,
        min((low for low in lows if low is not None), default=None),
        max((high for high in highs if high is not None), default=None),
        parts[-1].last_step,
        sum(part.count for part in parts),
        not_numbers=sum(part.not_numbers for part in parts),
    )


def read_foreign_summary(document: Mapping[str, Any]) -> MetricSummary:
    """A row of `summarize`; NaN for a last value that is no number."""
    step, low, high = document.get("last_step"), document.get("min"), document.get("max")
    return MetricSummary(
        str(document.get("name")),
        _number(document.get("last")),
        None if low is None else _number(low),
        None if high is None else _number(high),
        int(step) if isinstance(step, (int, float)) and abs(step) < 2**63 else int(document.get("count") or 0) - 1,
        int(document.get("count") or 0),
        not_numbers=int(document.get("not_numbers") or 0),
    )


def is_indexed(database: Database[dict[str, Any]]) -> bool:
    """Whether metrics can be looked up by their run. Sacred makes no index for that; `cloister adopt` does."""
    known = _indexed.setdefault(database.client, {})
    collection = database["metrics"]
    name, now = collection.full_name, time.monotonic()
    if name not in known or now - known[name][0] > INDEX_KNOWN_SECONDS:
        from pymongo.errors import OperationFailure

        try:
            keys = [index["key"] for index in collection.index_information().values()]
        except OperationFailure:  # who may read documents need not be let to list indexes
            keys = []
        known[name] = now, any(key and key[0][0] == "run_id" for key in keys)
    return known[name][1]


def _load_listed(database: Database[dict[str, Any]], run_id: RunId) -> Any:
    run = database["runs"].find_one({"_id": run_id}, {"info.metrics": 1}) or {}
    info = run.get("info")
    return info.get("metrics") if isinstance(info, Mapping) else None


def _listed_ids(listed: Any) -> list[Any]:
    """Which documents `info.metrics` names; it has their ids as text."""
    from bson import ObjectId

    if not isinstance(listed, list):
        return []
    ids = [each.get("id") for each in listed[:LISTED_LIMIT] if isinstance(each, Mapping)]
    return [ObjectId(each) for each in ids if isinstance(each, (str, ObjectId)) and ObjectId.is_valid(each)]


def _scan(database: Database[dict[str, Any]], condition: dict[str, Any], fields: dict[str, int]) -> list[Any]:
    from pymongo.errors import ExecutionTimeout

    try:
        return list(database["metrics"].find(condition, fields).max_time_ms(SCAN_MS))
    except ExecutionTimeout:
        logger.warning(
            "Looking for a run's metrics took more than %d s: %s has no index on run_id. 'cloister adopt' makes it, "
            "or db.%s.createIndex({run_id: 1, name: 1}).",
            SCAN_MS // 1000,
            database["metrics"].full_name,
            database["metrics"].name,
        )
        return []


def _is_same(one: Any, other: Any) -> bool:
    """As MongoDB compares ids: 3 and 3.0 are the same, 1 and true are not."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


# ---- one document


def read_series(document: Mapping[str, Any]) -> ForeignSeries:
    """The points of one document: three arrays, of which any may be missing or shorter, of any values.

    A value that is no number is NaN, a gap; a step that is missing follows the one before it; a missing time is that of
    the point before it, else when the document was made.
    """
    values = _numbers(_list(document.get("values")))
    steps, x = _steps(_list(document.get("steps")), len(values))
    made = getattr(document.get("_id"), "generation_time", None)
    times = _times(_list(document.get("timestamps")), len(values), _seconds(made) or 0.0)
    return ForeignSeries(Points(steps, values, times), x)


def _numbers(values: list[Any]) -> Float64s:
    if set(map(type, values)) <= _NUMBERS:
        return np.array(values, np.float64)
    return np.array([_number(value) for value in values], np.float64)


def _number(value: Any) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    if type(value).__name__ == "Decimal128":
        return float(str(value))
    return math.nan


def _steps(given: list[Any], count: int) -> tuple[Int64s, Float64s | None]:
    """Whole steps for `count` points; and as floats where any of them is not whole."""
    if len(given) >= count and set(map(type, given)) == {int}:
        return np.array(given[:count], np.int64), None
    places: list[float] = []
    for place in range(count):
        step = given[place] if place < len(given) else None
        known = isinstance(step, (int, float)) and math.isfinite(step) and abs(step) < 2**62
        places.append(float(step) if known and step is not None else math.floor(places[-1]) + 1 if places else 0.0)
    x = np.array(places, np.float64)
    whole = np.floor(x)
    return whole.astype(np.int64), None if bool(np.all(whole == x)) else x


def _times(given: list[Any], count: int, otherwise: float) -> Float64s:
    if len(given) >= count and set(map(type, given)) == {datetime} and given[0].tzinfo is None:
        return np.array([(when - _EPOCH).total_seconds() for when in given[:count]], np.float64)
    seconds = [_seconds(when) for when in given[:count]]
    seconds += [None] * (count - len(seconds))
    last = next((when for when in seconds if when is not None), otherwise)
    times = np.empty(count, np.float64)
    for place, when in enumerate(seconds):
        last = last if when is None else when
        times[place] = last
    return times


def _seconds(when: Any) -> float | None:
    if not isinstance(when, datetime):
        return None
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _array(field: str) -> dict[str, Any]:
    return {"$cond": [{"$isArray": f"${field}"}, f"${field}", []]}


_FINITE = {
    "$filter": {
        "input": "$_values",
        "cond": {"$and": [{"$isNumber": "$$this"}, {"$gt": ["$$this", -math.inf]}, {"$lt": ["$$this", math.inf]}]},
    }
}
_NO_NUMBER = {"$not": [{"$or": [{"$isNumber": "$$this"}, {"$eq": [{"$type": "$$this"}, "bool"]}]}]}
_SUMMARY: list[dict[str, Any]] = [
    {"$project": {"run_id": 1, "name": 1, "_values": _array("values"), "_steps": _array("steps")}},
    {"$set": {"_finite": _FINITE}},
    {
        "$project": {
            "run_id": {"$ifNull": ["$run_id", None]},
            "name": 1,
            "count": {"$size": "$_values"},
            "last": {"$arrayElemAt": ["$_values", -1]},
            "last_step": {"$arrayElemAt": ["$_steps", -1]},
            "not_numbers": {"$size": {"$filter": {"input": "$_values", "cond": _NO_NUMBER}}},
            "min": {"$min": "$_finite"},
            "max": {"$max": "$_finite"},
        }
    },
]
