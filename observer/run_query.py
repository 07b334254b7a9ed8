"""What a list of runs is asked for (filter, sort, page), as MongoDB stages without a user's text as operator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .errors import CloisterError
from .run_record import EXPERIMENT_NAME, NAME, PROJECT, TAGS, summary_path
from .run_sessions import PAUSED_SECONDS

PAGE_SIZE_LIMIT = 500
TEXT_LIMIT = 500
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
    """

    project: str | None = None
    text: str = ""
    sort: str = "-started"
    page: int = 1
    page_size: int = 50

    def __post_init__(self) -> None:
        if self.page < 1 or self.page > 1_000_000:
            raise BadRunQuery(f"Page {self.page} does not exist. The first page is 1.")
        if not 1 <= self.page_size <= PAGE_SIZE_LIMIT:
            raise BadRunQuery(f"A page of {self.page_size} runs is not possible. Ask for 1 to {PAGE_SIZE_LIMIT}.")
        if len(self.text) > TEXT_LIMIT:
            raise BadRunQuery(f"The text to search for has {len(self.text)} characters. {TEXT_LIMIT} are the most.")
        sort_path(self.sort.removeprefix("-"))

    def filter(self) -> dict[str, Any]:
        conditions = [match_project(self.project)] if self.project is not None else []
        conditions += [_match_word(word) for word in self.text.replace("\x00", "").split()]
        return {"$and": conditions} if conditions else {}

    def stages(self) -> list[dict[str, Any]]:
        """Aggregation stages that filter, sort and cut out the page."""
        descending = self.sort.startswith("-")
        path = sort_path(self.sort.removeprefix("-"))
        order = -1 if descending else 1
        page: list[dict[str, Any]] = [{"$skip": (self.page - 1) * self.page_size}, {"$limit": self.page_size}]
        if path in ("start_time", "_id"):  # an index gives this order, without reading what is not shown
            return [{"$match": self.filter()}, {"$sort": {path: order, "_id": order}}, *page]
        value: Any = f"${path}"
        if path == "duration":
            paused = {"$convert": {"input": f"${PAUSED_SECONDS}", "to": "double", "onError": 0, "onNull": 0}}
            passed = {"$subtract": [{"$ifNull": ["$stop_time", "$$NOW"]}, "$start_time"]}
            value = {"$subtract": [passed, {"$multiply": [1000, paused]}]}
        return [
            {"$match": self.filter()},
            {"$addFields": {"_key": value}},
            {"$addFields": {"_missing": {"$in": [{"$type": "$_key"}, ["missing", "null", "undefined"]]}}},
            {"$sort": {"_missing": 1, "_key": order, "_id": -1}},
            *page,
            {"$unset": ["_key", "_missing"]},
        ]


def match_project(project: str) -> dict[str, Any]:
    """Runs of `project`. A run that Sacred wrote belongs to the project of its experiment's name."""
    return {"$or": [{PROJECT: project}, {PROJECT: {"$exists": False}, EXPERIMENT_NAME: project}]}


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
    choices: list[dict[str, Any]] = [{field: pattern} for field in (NAME, EXPERIMENT_NAME, TAGS, "status")]
    if word.isascii() and word.isdigit() and len(word) < 19:
        choices.append({"_id": int(word)})
    return {"$or": choices}
