"""Which runs have changed: what a change stream on `runs` says, and what a question for changes finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .run_query import match_project
from .run_record import EXPERIMENT_NAME, PROJECT, UID, UPDATED_AT, RunId, read_run

if TYPE_CHECKING:
    from pymongo.database import Database

CHANGES_LIMIT = 500
_SIGNS_OF_LIFE = ("heartbeat", "stop_time", "start_time")  # of runs that nothing of ours records
# The server looks the run up and sends these few fields of it: a run's config may be large and is not needed to say
# that the run has changed.
_FIELDS = ("_id", "status", *_SIGNS_OF_LIFE, "meta.options", UID, PROJECT, EXPERIMENT_NAME, UPDATED_AT)

CHANGE_STAGES: list[dict[str, Any]] = [
    {"$match": {"operationType": {"$in": ["insert", "update", "replace"]}}},
    {"$project": {"operationType": 1, **{f"fullDocument.{field}": 1 for field in _FIELDS}}},
]


@dataclass(frozen=True)
class RunChange:
    """A run that changed, and when the database learned of it."""

    run_id: RunId
    project: str
    status: str
    updated_at: datetime


def read_change(event: Mapping[str, Any]) -> RunChange | None:
    """The change that an event of a stream over `CHANGE_STAGES` tells of; None if the run is gone by now."""
    document = event.get("fullDocument")
    if not isinstance(document, Mapping) or "_id" not in document:
        return None
    run = read_run(document)
    return RunChange(run.id, run.project, run.status, run.updated_at or datetime.now(timezone.utc))


def changes_since(database: Database[dict[str, Any]], when: datetime, project: str | None) -> list[RunChange]:
    """Runs that changed after `when`, oldest first, 500 at most. What Sacred writes has a new heartbeat then."""
    passed = {"$gt": when}
    chosen = {} if project is None else match_project(project)
    found = list(_find(database, {UPDATED_AT: passed, **chosen}))
    signs = [{field: passed} for field in _SIGNS_OF_LIFE]
    found += _find(database, {"$and": [{UPDATED_AT: None}, {"$or": signs}, chosen]})
    runs = sorted((read_run(document) for document in found), key=lambda run: run.updated_at or when)
    return [RunChange(run.id, run.project, run.status, run.updated_at or when) for run in runs[:CHANGES_LIMIT]]


def _find(database: Database[dict[str, Any]], condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return iter(database["runs"].find(condition, list(_FIELDS)).sort(UPDATED_AT, 1).limit(CHANGES_LIMIT))
