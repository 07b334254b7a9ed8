"""What a list of runs is asked for (filter, sort, page), as MongoDB stages without a user's text as operator."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from .foreign_runs import BEAT_OPTIONS, ENCODERS
from .query.errors import BadRunQuery
from .query.parsing import Query, parse_query
from .run_record import ARCHIVED_AT, EXPERIMENT_NAME, NAME, OMNIBOARD_TAGS, PROJECT, TAGS, UID, UNNAMED
from .run_sessions import PAUSED_SECONDS
from .run_status import FOREIGN_LOST_AFTER_SECONDS, LOST_AFTER_SECONDS, QUEUED_STATES

if TYPE_CHECKING:
    from .run_order import RunOrder

PAGE_SIZE_LIMIT = 500
TEXT_LIMIT = 500
TAGS_LIMIT = 50
SORT_LIMIT = 5  # keys


@dataclass(frozen=True)
class RunQuery:
    """A page of a project's runs.

    Attributes:
        project: its name; None for the runs of all projects.
        text: only runs with this text, in any case, in name, experiment, tags, status or id.
        where: only runs that meet this query, as docs/query.md describes it.
        sort: one key or several, the first one first: any field of the query language, "-" in front for descending.
            Runs without the value come last either way.
        page: 1 is the first.
        page_size: 1 to 500.
        after: the `next` of an earlier page: only what comes after it, whatever `page` says.
        status: only runs of one of these, as `RunRecord.status` has them, or its `custom_status` (TIMEOUT).
        tags: only runs that have all of these.
        archived: whether archived runs are among them.
        me: the login names of whoever asks, for `owner = me`; a store that knows its reader fills it in.
    """

    project: str | None = None
    text: str = ""
    sort: str | tuple[str, ...] = "-started"
    page: int = 1
    page_size: int = 50
    status: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    where: str = ""
    archived: Literal["without", "with", "only"] = "without"
    after: str | None = None
    me: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.page < 1 or self.page > 1_000_000:
            raise BadRunQuery(f"Page {self.page} does not exist. The first page is 1.")
        if not 1 <= self.page_size <= PAGE_SIZE_LIMIT:
            raise BadRunQuery(f"A page of {self.page_size} runs is not possible. Ask for 1 to {PAGE_SIZE_LIMIT}.")
        if len(self.text) > TEXT_LIMIT:
            raise BadRunQuery(f"The text to search for has {len(self.text)} characters. {TEXT_LIMIT} are the most.")
        if len(self.tags) > TAGS_LIMIT or len(self.status) > TAGS_LIMIT:
            raise BadRunQuery(f"{max(len(self.tags), len(self.status))} tags or states are too many: {TAGS_LIMIT}.")
        if self.archived not in ("without", "with", "only"):
            raise BadRunQuery(f"Archived runs can be asked for as without, with or only, not {self.archived!r}.")
        self.order  # noqa: B018  # both refuse what has no meaning
        self.condition  # noqa: B018

    @property
    def order(self) -> RunOrder:
        """The order of the runs.

        Raises:
            BadRunQuery: runs cannot be sorted so.
        """
        from .run_order import parse_order

        return parse_order(self.sort)

    @property
    def condition(self) -> Query:
        """`where`, parsed. Raises QueryError where it cannot be understood."""
        return parsed_query(self.where)

    def filter(self, now: datetime | None = None) -> dict[str, Any]:
        conditions = [match_project(self.project)] if self.project is not None else []
        conditions += [match_word(word) for word in self.text.replace("\x00", "").split()]
        if self.status:
            conditions.append({"$or": [match_status(status) for status in self.status]})
        conditions += [match_tags({"$eq": tag}) for tag in self.tags]
        if self.where.strip():
            conditions.append(self.condition.to_filter(now, self.me))
        if self.archived != "with":
            is_archived = {"$type": "date"}
            conditions.append({ARCHIVED_AT: is_archived if self.archived == "only" else {"$not": is_archived}})
        return {"$and": conditions} if conditions else {}

    @property
    def is_all_of_a_project(self) -> bool:
        """Whether nothing but a project and its archived runs is asked for."""
        return self.project is not None and self._is_all

    @property
    def is_all_of_projects(self) -> bool:
        """The same, of one project or of all of them."""
        return self._is_all

    @property
    def _is_all(self) -> bool:
        return not (self.text.split() or self.status or self.tags or self.where.strip())

    @property
    def needs_metrics(self) -> bool:
        """Whether a metric's value decides which runs are shown, or in which order."""
        return any(field.family == "metrics" for field in (*self.order.fields, *self.condition.fields()))

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
        return [{"$match": self.filter()}, *self.order.stages(self.after, sacreds), *page]


@lru_cache(maxsize=256)
def parsed_query(where: str) -> Query:
    """A query as it was understood before, or now. Raises QueryError."""
    if not where.strip():
        return Query("", None)
    return parse_query(where)


def match_project(project: str) -> dict[str, Any]:
    """Runs of `project`. A run that Sacred wrote belongs to the project of its experiment's name."""
    is_its_project = {"$eq": [PROJECT_OF_RUN, {"$literal": project}]}
    # The two fields have an index; what the expression asks is asked of what they let through.
    choices: list[dict[str, Any]] = [{PROJECT: project}, {EXPERIMENT_NAME: project, "$expr": is_its_project}]
    if project == UNNAMED:
        choices.append({"$expr": is_its_project})
    return {"$or": choices}


def match_word(word: str) -> dict[str, Any]:
    pattern = {"$regex": re.escape(word), "$options": "i"}
    choices: list[dict[str, Any]] = [{field: pattern} for field in (NAME, EXPERIMENT_NAME, "status")]
    choices.append(match_tags(pattern))
    choices.append({"_id": pattern})  # ids that are text
    if word.isascii() and word.isdigit() and len(word) < 19:
        choices.append({"_id": int(word)})
    if re.fullmatch("[0-9a-f]{24}", word, re.ASCII):
        from bson import ObjectId

        choices.append({"_id": ObjectId(word)})
    return {"$or": choices}


def match_tags(met: Any) -> dict[str, Any]:
    """Runs of whose tags one meets a condition: those that people see, which are Omniboard's where it has any."""
    return {
        "$or": [
            {OMNIBOARD_TAGS: met},
            {"$and": [{OMNIBOARD_TAGS: {"$in": [None, []]}}, {TAGS: met}]},
            {"$and": [{UID: None, OMNIBOARD_TAGS: None}, {"config.tags": met}]},  # of runs that Sacred recorded
        ]
    }


def match_status(status: str) -> dict[str, Any]:
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


def text_or(path: str, otherwise: Any) -> dict[str, Any]:
    is_text = {"$and": [{"$eq": [{"$type": f"${path}"}, "string"]}, {"$ne": [f"${path}", ""]}]}
    return {"$cond": [is_text, f"${path}", otherwise]}


def _number_or(path: str, otherwise: float) -> dict[str, Any]:
    return {"$convert": {"input": f"${path}", "to": "double", "onError": otherwise, "onNull": otherwise}}


PROJECT_OF_RUN = text_or(PROJECT, text_or(EXPERIMENT_NAME, UNNAMED))
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


def duration_at(now: Any = "$$NOW") -> dict[str, Any]:
    """Milliseconds from start to stop without the pauses; of a running run until `now`, of a lost one until its last
    sign of life; null without a start."""
    going_on = {"$and": [{"$eq": ["$status", "RUNNING"]}, {"$not": [ALIVE]}]}
    until = {"$ifNull": ["$stop_time", {"$cond": [going_on, {"$ifNull": ["$heartbeat", now]}, now]}]}
    is_known = {
        "$and": [
            {"$eq": [{"$type": "$start_time"}, "date"]},
            {"$in": [{"$type": "$stop_time"}, ["date", "null", "missing"]]},
            {"$in": [{"$type": "$heartbeat"}, ["date", "null", "missing"]]},
        ]
    }
    passed = {"$subtract": [until, "$start_time"]}
    paused = {"$multiply": [1000, _number_or(PAUSED_SECONDS, 0)]}
    return {"$cond": [is_known, {"$max": [0, {"$subtract": [passed, paused]}]}, None]}


def last_of_sacreds(collection: str, name: str) -> list[dict[str, Any]]:
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


__all__ = ["BadRunQuery", "RunQuery", "match_project"]
