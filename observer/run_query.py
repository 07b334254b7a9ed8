"""What a list of runs is asked for (filter, sort, page), as MongoDB stages without a user's text as operator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import CloisterError
from .foreign_runs import BEAT_OPTIONS, ENCODERS
from .run_record import EXPERIMENT_NAME, NAME, OMNIBOARD_TAGS, PROJECT, TAGS, UID, UNNAMED, summary_path
from .run_sessions import PAUSED_SECONDS
from .run_status import FOREIGN_LOST_AFTER_SECONDS, LOST_AFTER_SECONDS, QUEUED_STATES

PAGE_SIZE_LIMIT = 500
TEXT_LIMIT = 500
TAGS_LIMIT = 50
_PLAIN_SORTS = {
    "started": "start_time",
    "name": NAME,
    "status": "status",
    "tags": TAGS,
    "id": "_id",
    "experiment": EXPERIMENT_NAME,
}


class BadRunQuery(CloisterError, ValueError):
    """A list of runs is asked for in a way that has no meaning."""


@dataclass(frozen=True)
class RunQuery:
    """A page of a project's runs.

    Attributes:
        project: its name; None for the runs of all projects.
        text: only runs with this text, in any case, in name, experiment, tags, status or id.
        sort: started, name, status, duration, tags, id, experiment, config.<dotted key>, metrics.<name>; "-" in front
            for descending. Runs without the value come last either way.
        page: 1 is the first.
        page_size: 1 to 500.
        status: only runs of one of these, as `RunRecord.status` has them, or its `custom_status` (TIMEOUT).
        tags: only runs that have all of these.
    """

    project: str | None = None
    text: str = ""
    sort: str = "-started"
    page: int = 1
    page_size: int = 50
    status: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.page < 1 or self.page > 1_000_000:
            raise BadRunQuery(f"Page {self.page} does not exist. The first page is 1.")
        if not 1 <= self.page_size <= PAGE_SIZE_LIMIT:
            raise BadRunQuery(f"A page of {self.page_size} runs is not possible. Ask for 1 to {PAGE_SIZE_LIMIT}.")
        if len(self.text) > TEXT_LIMIT:
            raise BadRunQuery(f"The text to search for has {len(self.text)} characters. {TEXT_LIMIT} are the most.")
        if len(self.tags) > TAGS_LIMIT or len(self.status) > TAGS_LIMIT:
            raise BadRunQuery(f"{max(len(self.tags), len(self.status))} tags or states are too many: {TAGS_LIMIT}.")
        sort_path(self.sort.removeprefix("-"))

    def filter(self) -> dict[str, Any]:
        conditions = [match_project(self.project)] if self.project is not None else []
        conditions += [_match_word(word) for word in self.text.replace("\x00", "").split()]
        if self.status:
            conditions.append({"$or": [_match_status(status) for status in self.status]})
        conditions += [{"$or": [{field: tag} for field in _TAG_FIELDS]} for tag in self.tags]
        return {"$and": conditions} if conditions else {}

    @property
    def is_all_of_a_project(self) -> bool:
        return self.project is not None and not (self.text.split() or self.status or self.tags)

    @property
    def sorts_by_metric(self) -> bool:
        return self.sort.removeprefix("-").startswith("metrics.")

    def stages(self, sacreds: str | None = None) -> list[dict[str, Any]]:
        """Aggregation stages that filter, sort and cut out the page; `sacreds` as in `stages_to`."""
        page = [{"$skip": (self.page - 1) * self.page_size}, {"$limit": self.page_size}]
        return self.stages_to(page, sacreds)

    def stages_to(self, page: list[dict[str, Any]], sacreds: str | None = None) -> list[dict[str, Any]]:
        """Aggregation stages that filter and sort, with others instead of the page's own.

        Args:
            sacreds: the collection with Sacred's metrics, where some of the runs may be Sacred's: a sort by a metric
                then looks there for its last value.
        """
        descending = self.sort.startswith("-")
        path = sort_path(self.sort.removeprefix("-"))
        order = -1 if descending else 1
        if path in ("start_time", "_id"):  # an index gives this order, without reading what is not shown
            return [{"$match": self.filter()}, {"$sort": {path: order, "_id": order}}, *page]
        value: Any = _SORT_VALUES.get(path, f"${path}")
        looked_up: list[dict[str, Any]] = []
        if self.sorts_by_metric and sacreds is not None:
            looked_up = _last_of_sacreds(sacreds, self.sort.removeprefix("-").partition(".")[2])
            value = {"$ifNull": [f"${path}", "$_last"]}
        return [
            {"$match": self.filter()},
            *looked_up,
            {"$addFields": {"_key": value}},
            {"$addFields": {"_missing": {"$in": [{"$type": "$_key"}, ["missing", "null", "undefined"]]}}},
            {"$sort": {"_missing": 1, "_key": order, "_id": -1}},
            *page,
            {"$unset": ["_key", "_missing", "_last"]},
        ]


def match_project(project: str) -> dict[str, Any]:
    """Runs of `project`. A run that Sacred wrote belongs to the project of its experiment's name."""
    is_its_project = {"$eq": [PROJECT_OF_RUN, {"$literal": project}]}
    # The two fields have an index; what the expression asks is asked of what they let through.
    choices: list[dict[str, Any]] = [{PROJECT: project}, {EXPERIMENT_NAME: project, "$expr": is_its_project}]
    if project == UNNAMED:
        choices.append({"$expr": is_its_project})
    return {"$or": choices}


def sort_path(key: str) -> str:
    """The field path behind a sort key.

    Raises:
        BadRunQuery: no run can be sorted by `key`.
    """
    if key == "duration":
        return "duration"
    if key in _PLAIN_SORTS:
        return _PLAIN_SORTS[key]
    kind, _, name = key.partition(".")
    if kind == "metrics" and name:
        return f"{summary_path(name)}.last"
    # A config key is a path of encoded names; anything else could not be one of ours.
    if kind == "config" and re.fullmatch(r"[^.$\x00]+(\.[^.$\x00]+)*", name):
        return f"config.{name}"
    raise BadRunQuery(
        f"Runs cannot be sorted by {key!r}. Sort by {', '.join(_PLAIN_SORTS)}, duration, "
        "config.<key> or metrics.<name>."
    )


def _match_word(word: str) -> dict[str, Any]:
    pattern = {"$regex": re.escape(word), "$options": "i"}
    fields = (NAME, EXPERIMENT_NAME, *_TAG_FIELDS, "status")
    choices: list[dict[str, Any]] = [{field: pattern} for field in fields]
    choices.append({"_id": pattern})  # ids that are text
    if word.isascii() and word.isdigit() and len(word) < 19:
        choices.append({"_id": int(word)})
    if re.fullmatch("[0-9a-f]{24}", word, re.ASCII):
        from bson import ObjectId

        choices.append({"_id": ObjectId(word)})
    return {"$or": choices}


def _match_status(status: str) -> dict[str, Any]:
    if status in ("running", "lost"):
        return {"status": "RUNNING", "$expr": ALIVE if status == "running" else {"$not": [ALIVE]}}
    if status == "queued":
        return {"status": {"$in": [state.upper() for state in QUEUED_STATES]}}
    if status in ("completed", "failed"):
        return {"status": status.upper()}
    if status == "interrupted":  # with those of users' own
        others = ["RUNNING", "COMPLETED", "FAILED", *(state.upper() for state in QUEUED_STATES)]
        return {"status": {"$nin": others, "$gt": ""}}
    return {"status": status}


# ---- what several lists reckon with, as MongoDB expressions

_TAG_FIELDS = (TAGS, OMNIBOARD_TAGS, "config.tags")
LISTED = "_metrics"  # beside a run's document: which metrics Sacred's `info` names, where `info` itself is left out
_IS_FOREIGN = {"$eq": [{"$type": f"${UID}"}, "missing"]}
_DEPENDENCIES = {"$cond": [{"$isArray": "$experiment.dependencies"}, "$experiment.dependencies", []]}
_IS_TEXT = {"$eq": [{"$type": "$$this"}, "string"]}
_IS_ENCODER = {"$cond": [_IS_TEXT, {"$regexMatch": {"input": "$$this", "regex": "^(sacred|jsonpickle)=="}}, False]}
KEEP_LISTED: dict[str, Any] = {
    "$set": {
        LISTED: {"$cond": [_IS_FOREIGN, "$info.metrics", "$$REMOVE"]},
        ENCODERS: {"$cond": [_IS_FOREIGN, {"$filter": {"input": _DEPENDENCIES, "cond": _IS_ENCODER}}, "$$REMOVE"]},
    }
}


def _text_or(path: str, otherwise: Any) -> dict[str, Any]:
    is_text = {"$and": [{"$eq": [{"$type": f"${path}"}, "string"]}, {"$ne": [f"${path}", ""]}]}
    return {"$cond": [is_text, f"${path}", otherwise]}


def _number_or(path: str, otherwise: float) -> dict[str, Any]:
    return {"$convert": {"input": f"${path}", "to": "double", "onError": otherwise, "onNull": otherwise}}


PROJECT_OF_RUN = _text_or(PROJECT, _text_or(EXPERIMENT_NAME, UNNAMED))
_BEATS_MISSED = {"$multiply": [3, {"$max": [_number_or(f"meta.options.{name}", 0) for name in BEAT_OPTIONS]}]}
_PATIENCE = {
    "$cond": [
        {"$eq": [{"$type": f"${UID}"}, "missing"]},
        {"$min": [{"$max": [FOREIGN_LOST_AFTER_SECONDS, _BEATS_MISSED]}, 1e9]},
        LOST_AFTER_SECONDS,
    ]
}
# Whether there was a sign of life lately. A run that never gave one, nor said when it began, may well go on.
ALIVE: dict[str, Any] = {
    "$gte": [
        {"$ifNull": ["$heartbeat", {"$ifNull": ["$start_time", "$$NOW"]}]},
        {"$subtract": ["$$NOW", {"$toLong": {"$multiply": [1000, _PATIENCE]}}]},
    ]
}
_PASSED = {
    "$cond": [
        {
            "$and": [
                {"$eq": [{"$type": "$start_time"}, "date"]},
                {"$in": [{"$type": "$stop_time"}, ["date", "null", "missing"]]},
            ]
        },
        {"$subtract": [{"$ifNull": ["$stop_time", "$$NOW"]}, "$start_time"]},
        None,
    ]
}
_DURATION = {"$subtract": [_PASSED, {"$multiply": [1000, _number_or(PAUSED_SECONDS, 0)]}]}
_SORT_VALUES: dict[str, Any] = {
    "duration": _DURATION,
    NAME: {"$ifNull": [f"${NAME}", f"${EXPERIMENT_NAME}"]},
    TAGS: {"$ifNull": [f"${OMNIBOARD_TAGS}", {"$ifNull": [f"${TAGS}", "$config.tags"]}]},
}


def _last_of_sacreds(collection: str, name: str) -> list[dict[str, Any]]:
    """Stages that set `_last` to the last value of the metric that `info.metrics` names, found by its `_id`."""
    listed = {"$ifNull": [f"${LISTED}", "$info.metrics"]}
    is_wanted = {"$and": [{"$eq": ["$$this.name", {"$literal": name}]}, {"$eq": [{"$type": "$$this.id"}, "string"]}]}
    named = {"$filter": {"input": {"$cond": [{"$isArray": [listed]}, listed, []]}, "cond": is_wanted}}
    metric_id = {"$convert": {"input": {"$first": "$_named.id"}, "to": "objectId", "onError": None, "onNull": None}}
    values = {"$cond": [{"$isArray": "$values"}, "$values", []]}
    found = {
        "from": collection,
        "let": {"metric": "$_metric", "run": "$_id"},
        "pipeline": [
            {"$match": {"$expr": {"$and": [{"$eq": ["$_id", "$$metric"]}, {"$eq": ["$run_id", "$$run"]}]}}},
            {"$project": {"last": {"$arrayElemAt": [values, -1]}}},
        ],
        "as": "_found",
    }
    return [
        {"$set": {"_named": named}},
        {"$set": {"_metric": metric_id}},
        {"$lookup": found},
        {"$set": {"_last": {"$first": "$_found.last"}}},
        {"$unset": ["_named", "_metric", "_found"]},
    ]
