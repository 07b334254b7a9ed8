"""Which runs have changed: what a change stream on `runs` says, and what a question for changes finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .run_query import match_project
from .run_record import (
    EXPERIMENT_NAME,
    OWNER,
    PROJECT,
    SHARED_GROUPS,
    SHARED_PEOPLE,
    UID,
    UPDATED_AT,
    VISIBILITY,
    RunId,
    RunRecord,
    read_run,
)

if TYPE_CHECKING:
    from pymongo.database import Database

CHANGES_LIMIT = 500
_SIGNS_OF_LIFE = ("heartbeat", "stop_time", "start_time")  # of runs that nothing of ours records
# The server looks the run up and sends these few fields of it: a run's config may be large and is not needed to say
# that the run has changed.
_FIELDS = (
    *("_id", "status", *_SIGNS_OF_LIFE, "meta.options", UID, PROJECT, EXPERIMENT_NAME, UPDATED_AT),
    *(OWNER, VISIBILITY, SHARED_PEOPLE, SHARED_GROUPS),
)

CHANGE_STAGES: list[dict[str, Any]] = [
    {"$match": {"operationType": {"$in": ["insert", "update", "replace"]}}},
    {"$project": {"operationType": 1, **{f"fullDocument.{field}": 1 for field in _FIELDS}}},
]


@dataclass(frozen=True)
class RunChange:
    """A run that changed, when the database learned of it, and what says who sees it."""

    run_id: RunId
    project: str
    status: str
    updated_at: datetime
    owner: str = ""
    visibility: str = ""
    shared_people: tuple[str, ...] = ()
    shared_groups: tuple[str, ...] = ()

    @property
    def id(self) -> RunId:
        return self.run_id


def read_change(event: Mapping[str, Any]) -> RunChange | None:
    """The change that an event of a stream over `CHANGE_STAGES` tells of; None if the run is gone by now."""
    document = event.get("fullDocument")
    if not isinstance(document, Mapping) or "_id" not in document:
        return None
    return _change_of(read_run(document), datetime.now(timezone.utc))


def changes_since(database: Database[dict[str, Any]], when: datetime, project: str | None) -> list[RunChange]:
    """Runs that changed after `when`, oldest first, 500 at most. What Sacred writes has a new heartbeat then."""
    passed = {"$gt": when}
    chosen = {} if project is None else match_project(project)
    found = list(_find(database, {UPDATED_AT: passed, **chosen}))
    signs = [{field: passed} for field in _SIGNS_OF_LIFE]
    found += _find(database, {"$and": [{UPDATED_AT: None}, {"$or": signs}, chosen]})
    runs = sorted((read_run(document) for document in found), key=lambda run: run.updated_at or when)
    return [_change_of(run, when) for run in runs[:CHANGES_LIMIT]]


def _change_of(run: RunRecord, otherwise: datetime) -> RunChange:
    return RunChange(
        run_id=run.id,
        project=run.project,
        status=run.status,
        updated_at=run.updated_at or otherwise,
        owner=run.owner,
        visibility=run.visibility,
        shared_people=run.shared_people,
        shared_groups=run.shared_groups,
    )


def _find(database: Database[dict[str, Any]], condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return iter(database["runs"].find(condition, list(_FIELDS)).sort(UPDATED_AT, 1).limit(CHANGES_LIMIT))
