"""What has outlived its time: found, counted in a rehearsal, deleted. Runs that go on or are held are left alone.

A run's document says what it has lost: `cloister.expired` {kind: {at, days, ...what there was}}.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..foreign_runs import mapping, read_pair, sequence
from ..mongo import stored_for_good
from ..run_query import match_project
from ..run_record import LOST_ARTIFACTS, SUMMARY, SYSTEM_SUMMARY, UPDATED_AT, UPLOADS, RunId, read_run
from .blob_purge import purge_files, stored_files
from .errors import ClocksDisagree, RunHeld
from .holds import HOLD, held_projects
from .named_files import NamedFiles, files_named_by
from .purge import PURGES, PurgeReport, close_report, note_files, open_report, purge_run, rehearse_purge
from .rules import KINDS, Rules
from .run_data import Selection, count, delete, select_console, select_metrics
from .tombstones import TOMBSTONES, now, tombstone_key
from .trash import list_trash, move_to_trash

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

EXPIRED = "cloister.expired"
BY_RULE = "retention"  # who deleted what a rule did
CLOCKS_APART = timedelta(hours=1)
_PARTS = tuple(kind.name for kind in KINDS if kind.name not in ("runs", "trash"))
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
_FILES = {"artifacts": ("artifacts",), "sources": ("sources",)}  # which files a kind has


@dataclass(frozen=True)
class Due:
    """Something that has outlived its time: `kind` of a run, or a run in the trash."""

    kind: str
    run_id: RunId
    project: str
    name: str
    ended: datetime | None
    days: float


@dataclass
class Applied:
    """What one application of the rules did, or would do.

    Attributes:
        due: what had outlived its time.
        reports: of what was deleted for good.
        trashed: runs that went into the trash.
        counts: in a rehearsal, documents by collection.
        left: what could not be done, in words.
    """

    due: list[Due] = field(default_factory=list)
    reports: list[PurgeReport] = field(default_factory=list)
    trashed: list[RunId] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def find_due(database: Database[dict[str, Any]], rules: Rules, projects: Sequence[str]) -> Iterator[Due]:
    """What has outlived its time in these projects, by the database's clock. Held and running runs are never due.

    Raises:
        ClocksDisagree: the clocks of this machine and of the database's are of different days.
    """
    moment = agreed_time(database)
    held = held_projects(database)
    for project in projects:
        if project in held:
            continue
        whole = set()
        for kind in ("runs", *_PARTS):
            days = rules.days(project, kind)
            if days is None:
                continue
            for document in _outlived(database, project, kind, moment - timedelta(days=days)):
                if document["_id"] not in whole:  # what goes as a whole need not lose parts first
                    run = read_run(document)
                    yield Due(kind, run.id, project, run.name, run.stop_time or run.heartbeat, days)
                if kind == "runs":
                    whole.add(document["_id"])
    yield from _due_in_trash(database, rules, projects, moment)


def apply_rules(
    database: Database[dict[str, Any]],
    rules: Rules,
    projects: Sequence[str],
    *,
    by: str = BY_RULE,
    dry_run: bool = False,
) -> Applied:
    """Delete what has outlived its time; in a dry run only say what that would be."""
    applied = Applied()
    for due in list(find_due(database, rules, projects)):
        applied.due.append(due)
        try:
            if dry_run:
                _rehearse(database, due, applied)
            elif due.kind == "runs":
                trash_days = rules.days(due.project, "trash") or 0.0
                reason = f"older than {due.days:g} days"
                move_to_trash(database, due.run_id, by=BY_RULE, trash_days=trash_days, reason=reason)
                applied.trashed.append(due.run_id)
            elif due.kind == "trash":
                applied.reports.append(purge_run(database, due.run_id, by=by))
            else:
                applied.reports.append(expire(database, due, by=by))
        except CloisterError as error:  # held, brought back, or gone meanwhile
            applied.left.append(str(error))
    return applied


def expire(database: Database[dict[str, Any]], due: Due, *, by: str = BY_RULE) -> PurgeReport:
    """Delete one kind of a run's records; the run stays, and says so.

    Raises:
        RunHeld: a legal hold lies on it.
    """
    trusted = stored_for_good(database)
    document = trusted["runs"].find_one({"_id": {"$eq": due.run_id}, HOLD: None})
    if document is None or due.project in held_projects(database):
        raise RunHeld(due.run_id, "", None, "run or its project")
    files = stored_files(trusted, files_named_by(document, _FILES.get(due.kind, ())))
    key, moment = tombstone_key(document), now()
    report_id = f"{key} {due.kind} {document.get('stop_time') or document.get('heartbeat')}"
    report: dict[str, Any] = {"_id": report_id, "of": key, "run_id": due.run_id, "project": due.project}
    report.update({"kind": due.kind, "by": by, "reason": f"older than {due.days:g} days", "days": due.days})
    before = count(trusted, _selections(trusted, document, due.kind))
    if due.kind in _FILES:
        before["fs.files"] = len(files)
    open_report(trusted, {**report, "before": before, "expires_at": moment}, files)
    return finish_expiring(trusted, {**report, "expires_at": moment})


def finish_expiring(database: Database[dict[str, Any]], report: Mapping[str, Any]) -> PurgeReport:
    """Do, or end, what an open report of one kind says."""
    trusted = stored_for_good(database)
    kind, place = report["kind"], {"_id": {"$eq": report["run_id"]}, HOLD: None}
    planned = trusted[PURGES].find_one({"_id": report["_id"]}, {"files": 1}) or {}
    document = trusted["runs"].find_one(place)
    left: dict[str, int] = {}
    if document is not None:
        selections = _selections(trusted, document, kind)
        change = _change(document, kind, {"at": report["expires_at"], "days": report.get("days")})
        trusted["runs"].update_one(place, change)  # first: no reader follows a name to what is being deleted
        delete(trusted, selections)
        left = count(trusted, selections)
    entries = [mapping(entry) for entry in sequence(planned.get("files"))]
    named = NamedFiles(ids={entry["file_id"] for entry in entries})
    named.known.update({entry["file_id"]: entry["sha256"] for entry in entries if entry.get("sha256")})
    if entries and document is not None:
        note_files(trusted, report["_id"], purge_files(trusted, stored_files(trusted, named)))
    return close_report(trusted, report["_id"], left)


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


def _outlived(database: Database[dict[str, Any]], project: str, kind: str, limit: datetime) -> Iterator[dict[str, Any]]:
    """Runs of a project that ended, or gave their last sign of life, before `limit`, and have this kind of records."""
    ended = [
        {"stop_time": {"$lte": limit}, **_ENDED},
        {"stop_time": None, "heartbeat": {"$lte": limit}, "status": {"$ne": "QUEUED"}},
        {"stop_time": None, "heartbeat": None, "start_time": {"$lte": limit}, "status": {"$ne": "QUEUED"}},
    ]
    conditions: list[dict[str, Any]] = [match_project(project), {"$or": ended}, {HOLD: None}]
    if kind != "runs":
        at = f"{EXPIRED}.{kind}.at"
        # One that was resumed has new records since.
        conditions.append({"$or": [{at: None}, {"$expr": {"$lt": [f"${at}", "$stop_time"]}}]})
        conditions.append({UPLOADS: {"$in": [None, []]}})
        conditions.append({"$or": _THERE[kind]})
    shown = {"captured_out": 0, "info": 0, "cloister.environment": 0, "cloister.sources": 0}
    return iter(database["runs"].find({"$and": conditions}, shown))


def _due_in_trash(
    database: Database[dict[str, Any]], rules: Rules, projects: Sequence[str], moment: datetime
) -> Iterator[Due]:
    """What is in the trash for longer than it was to be, or than it may be by now."""
    held = held_projects(database)
    for trashed in list_trash(database, limit=database[TOMBSTONES].estimated_document_count() + 1):
        run, days = trashed.run, rules.days(trashed.run.project, "trash") or 0.0
        if run.project not in projects or trashed.is_held or run.project in held or trashed.at is None:
            continue
        until = min(trashed.purge_after or trashed.at, trashed.at + timedelta(days=days))
        if until <= moment:
            yield Due("trash", run.id, run.project, run.name, trashed.at, days)


def _selections(database: Database[dict[str, Any]], document: Mapping[str, Any], kind: str) -> list[Selection]:
    if kind == "console":
        return select_console(document)
    return select_metrics(database, document, is_deleted=False) if kind == "metrics" else []


def _change(document: Mapping[str, Any], kind: str, note: dict[str, Any]) -> dict[str, Any]:
    """What a run's document says once one kind of its records is gone."""
    ours = mapping(document.get("cloister"))
    fields: dict[str, Any] = {UPDATED_AT: now()}
    gone: dict[str, Any] = {}
    if kind == "console":
        had = mapping(ours.get("console"))
        note.update({name: had[name] for name in ("lines", "bytes") if name in had})
        fields["captured_out"] = ""
        if had:
            fields.update({"cloister.console.lines": 0, "cloister.console.bytes": 0})
    elif kind == "artifacts":
        entries = [_without_bytes(entry) for entry in sequence(document.get("artifacts"))]
        note["files"] = len(entries)
        # Sacred's readers open every file that is named: over one that is not there Omniboard's server ends.
        fields["artifacts"] = []
        fields[LOST_ARTIFACTS] = [*sequence(ours.get("lost_artifacts")), *entries]
    elif kind == "sources":
        entries = [_without_bytes(entry) for entry in sequence(ours.get("sources"))]
        note["files"] = len(entries) or len(sequence(mapping(document.get("experiment")).get("sources")))
        fields["experiment.sources"] = []
        if entries:
            fields["cloister.sources"] = entries
        gone["cloister.git.diff_file"] = ""
    elif kind == "metrics":
        note["metrics"] = len(mapping(ours.get("summary"))) + len(mapping(ours.get("system")))
        if "metrics" in mapping(document.get("info")):
            fields["info.metrics"] = []
    known = mapping(mapping(ours.get("expired")).get(kind))
    fields[f"{EXPIRED}.{kind}"] = {**note, **{name: known[name] for name in known if not note.get(name)}}
    return {"$set": fields, **({"$unset": gone} if gone else {})}


def _without_bytes(entry: Any) -> dict[str, Any]:
    if isinstance(entry, Mapping):
        return {**entry, "file_id": None, "expired": True}
    pair = read_pair(entry)
    return {"name": pair[0] if pair else "", "file_id": None, "expired": True}


def _rehearse(database: Database[dict[str, Any]], due: Due, applied: Applied) -> None:
    """Count what would go."""
    place = "trash" if due.kind == "trash" else "runs"
    document = database[place].find_one({"_id": {"$eq": due.run_id}})
    if document is None:
        return
    if due.kind in ("runs", "trash"):
        counted = rehearse_purge(database, document, is_deleted=due.kind == "trash")
    else:
        counted = count(database, _selections(database, document, due.kind))
        counted["fs.files"] = len(stored_files(database, files_named_by(document, _FILES.get(due.kind, ()))))
    for name, amount in counted.items():
        applied.counts[name] = applied.counts.get(name, 0) + amount
