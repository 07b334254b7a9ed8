"""What has outlived its time, by the database's clock. Runs that go on, wait or are held never have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ..run_query import match_project
from ..run_record import SUMMARY, SYSTEM_SUMMARY, UPLOADS, RunId, read_run
from .errors import ClocksDisagree
from .holds import HOLD, held_projects
from .rules import KINDS, Rules
from .tombstones import TOMBSTONES, now
from .trash import list_trash

if TYPE_CHECKING:
    from pymongo.database import Database

EXPIRED = "cloister.expired"  # in a run: {kind: {at, days, ...what there was}}
CLOCKS_APART = timedelta(hours=1)
PARTS = tuple(kind.name for kind in KINDS if kind.name not in ("runs", "trash"))
_ENDED = {"status": {"$nin": ["RUNNING", "QUEUED"]}}
# What a run's document says where it has records of a kind.
_THERE: dict[str, list[dict[str, Any]]] = {
    "console": [{"cloister.console.bytes": {"$gt": 0}}, {"captured_out": {"$nin": [None, ""]}}],
    "artifacts": [{"artifacts.0": {"$exists": True}}],
    "sources": [
        {"cloister.sources.0": {"$exists": True}},
        {"experiment.sources.0": {"$exists": True}},
        {"cloister.git.diff_file": {"$exists": True}},
    ],
    "metrics": [
        {"info.metrics.0": {"$exists": True}},
        {SUMMARY: {"$nin": [None, {}]}},
        {SYSTEM_SUMMARY: {"$nin": [None, {}]}},
    ],
}


@dataclass(frozen=True)
class Due:
    """Something that has outlived its time: `kind` of a run, or a run in the trash."""

    kind: str
    run_id: RunId
    project: str
    name: str
    ended: datetime | None
    days: float


def find_due(
    database: Database[dict[str, Any]],
    rules: Rules,
    projects: Sequence[str],
    seen: Mapping[str, Any] | None = None,
) -> Iterator[Due]:
    """What has outlived its time in these projects, by the database's clock. Held and running runs are never due.

    Args:
        seen: only what meets this condition too, as `visible_runs` gives it.

    Raises:
        ClocksDisagree: the clocks of this machine and of the database's are of different days.
    """
    moment = agreed_time(database)
    held = held_projects(database)
    for project in projects:
        if project in held:
            continue
        whole = set()
        for kind in ("runs", *PARTS):
            days = rules.days(project, kind)
            if days is None:
                continue
            for document in _outlived(database, project, kind, moment - timedelta(days=days), dict(seen or {})):
                if document["_id"] not in whole:  # what goes as a whole need not lose parts first
                    run = read_run(document)
                    yield Due(kind, run.id, project, run.name, run.stop_time or run.heartbeat, days)
                if kind == "runs":
                    whole.add(document["_id"])
    yield from _due_in_trash(database, rules, projects, moment, dict(seen or {}))


def agreed_time(database: Database[dict[str, Any]]) -> datetime:
    """The time, by the database's clock, if this machine's says about the same.

    Raises:
        ClocksDisagree: it does not: by a clock that is a year ahead, everything is old.
    """
    there: datetime = database.client.admin.command("hello")["localTime"].replace(tzinfo=timezone.utc)
    here = now()
    if abs(here - there) > CLOCKS_APART:
        raise ClocksDisagree(here, there)
    return min(here, there)


def _outlived(
    database: Database[dict[str, Any]], project: str, kind: str, limit: datetime, seen: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Runs of a project that ended, or gave their last sign of life, before `limit`, and have this kind of records."""
    ended = [
        {"stop_time": {"$lte": limit}, **_ENDED},
        {"stop_time": None, "heartbeat": {"$lte": limit}, "status": {"$ne": "QUEUED"}},
        {"stop_time": None, "heartbeat": None, "start_time": {"$lte": limit}, "status": {"$ne": "QUEUED"}},
    ]
    conditions: list[dict[str, Any]] = [match_project(project), {"$or": ended}, {HOLD: None}, seen]
    if kind != "runs":
        at = f"{EXPIRED}.{kind}.at"
        # One that was resumed has new records since.
        conditions.append({"$or": [{at: None}, {"$expr": {"$lt": [f"${at}", "$stop_time"]}}]})
        conditions.append({UPLOADS: {"$in": [None, []]}})
        conditions.append({"$or": _THERE[kind]})
    shown = {"captured_out": 0, "info": 0, "cloister.environment": 0, "cloister.sources": 0}
    return iter(database["runs"].find({"$and": conditions}, shown))


def _due_in_trash(
    database: Database[dict[str, Any]],
    rules: Rules,
    projects: Sequence[str],
    moment: datetime,
    seen: dict[str, Any],
) -> Iterator[Due]:
    """What is in the trash for longer than it was to be, or than it may be by now."""
    held = held_projects(database)
    for trashed in list_trash(database, seen, limit=database[TOMBSTONES].estimated_document_count() + 1):
        run, days = trashed.run, rules.days(trashed.run.project, "trash") or 0.0
        if run.project not in projects or trashed.is_held or run.project in held or trashed.at is None:
            continue
        until = min(trashed.purge_after or trashed.at, trashed.at + timedelta(days=days))
        if until <= moment:
            yield Due("trash", run.id, run.project, run.name, trashed.at, days)
