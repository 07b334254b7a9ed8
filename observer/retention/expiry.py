"""Applying the rules: what has outlived its time is deleted, in batches; in a rehearsal it is only counted.

A run's document says what it has lost: `cloister.expired` {kind: {at, days, ...what there was}}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..foreign_runs import mapping, read_pair, sequence
from ..mongo import stored_for_good
from ..run_record import LOST_ARTIFACTS, UPDATED_AT, RunId
from .blob_purge import purge_files, stored_files
from .due_records import EXPIRED, Due, find_due
from .errors import RunHeld
from .holds import HOLD, held_projects
from .named_files import NamedFiles, files_named_by
from .purge import PurgeReport, close_report, count_files, note_files, open_report, planned_files, purge_runs, who_sees
from .rules import Rules
from .run_data import Selection, count, delete, select_console, select_metrics
from .tombstones import TRASH, now, tombstone_key
from .trash import move_to_trash

if TYPE_CHECKING:
    from pymongo.database import Database

BY_RULE = "retention"  # who deleted what a rule did
BATCH_RUNS = 100  # whose files are looked for in all other runs at once
_FILES = {"artifacts": ("artifacts",), "sources": ("sources",)}  # which files a kind has
_ALL_FILES = ("artifacts", "sources", "other")


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


def apply_rules(
    database: Database[dict[str, Any]], rules: Rules, projects: Sequence[str], *, by: str = BY_RULE
) -> Applied:
    """Delete what has outlived its time."""
    applied = Applied(due=list(find_due(database, rules, projects)))
    for due in applied.due:
        if due.kind == "runs":
            try:
                days, reason = rules.days(due.project, "trash") or 0.0, f"older than {due.days:g} days"
                move_to_trash(database, due.run_id, by=BY_RULE, trash_days=days, reason=reason)
                applied.trashed.append(due.run_id)
            except CloisterError as error:  # held, or gone meanwhile
                applied.left.append(str(error))
    for batch in _batches([due for due in applied.due if due.kind not in ("runs", "trash")]):
        applied.reports += expire(database, batch, by=by, left=applied.left)
    for batch in _batches([due for due in applied.due if due.kind == "trash"]):
        applied.reports += purge_runs(database, [due.run_id for due in batch], by=by, left=applied.left)
    return applied


def rehearse_rules(
    database: Database[dict[str, Any]],
    rules: Rules,
    projects: Sequence[str],
    *,
    seen: Mapping[str, Any] | None = None,
    counted: int | None = None,
) -> Applied:
    """What `apply_rules` would do.

    Args:
        seen: only with runs that meet this condition, as `visible_runs` gives it.
        counted: for how many of the runs documents are counted; for all when left out.
    """
    applied = Applied(due=list(find_due(database, rules, projects, seen)))
    for batch in _batches(applied.due[:counted]):
        for name, amount in _rehearse(database, batch).items():
            applied.counts[name] = applied.counts.get(name, 0) + amount
    return applied


def expire(
    database: Database[dict[str, Any]], batch: Sequence[Due], *, by: str = BY_RULE, left: list[str] | None = None
) -> list[PurgeReport]:
    """Delete kinds of records of some runs; the runs stay, and say so.

    Args:
        left: takes what could not be done, in words.
    """
    opened = []
    for due in batch:
        try:
            opened.append(_open(database, due, by))
        except RunHeld as error:
            if left is not None:
                left.append(str(error))
    return finish_expiring(database, opened)


def finish_expiring(database: Database[dict[str, Any]], reports: Sequence[Mapping[str, Any]]) -> list[PurgeReport]:
    """Do, or end, what open reports say."""
    trusted = stored_for_good(database)
    found = {report["_id"]: _delete_records(trusted, report) for report in reports}
    planned = {report["_id"]: planned_files(trusted, report["_id"]) for report in reports}
    named = NamedFiles()
    for entry in (entry for entries in planned.values() for entry in entries):
        named.ids.add(entry["file_id"])
        named.known.update({entry["file_id"]: entry["sha256"]} if entry.get("sha256") else {})
    purged = {each.file_id: each for each in purge_files(trusted, stored_files(trusted, named))} if named else {}
    for report_id, entries in planned.items():
        own = [purged[entry["file_id"]] for entry in entries if entry["file_id"] in purged]
        note_files(trusted, report_id, own)
    return [close_report(trusted, report_id, left) for report_id, left in found.items()]


def _open(database: Database[dict[str, Any]], due: Due, by: str) -> dict[str, Any]:
    """Note what there is before anything is deleted.

    Raises:
        RunHeld: a legal hold lies on the run, or it is gone.
    """
    trusted = stored_for_good(database)
    document = trusted["runs"].find_one({"_id": {"$eq": due.run_id}, HOLD: None})
    if document is None or due.project in held_projects(database):
        raise RunHeld(due.run_id, "", None, "run or its project")
    files = stored_files(trusted, files_named_by(document, _FILES.get(due.kind, ())))
    key = tombstone_key(document)
    report: dict[str, Any] = {
        "_id": f"{key} {due.kind} {document.get('stop_time') or document.get('heartbeat')}",
        "of": key,
        "run_id": due.run_id,
        "project": due.project,
        "kind": due.kind,
        "by": by,
        "reason": f"older than {due.days:g} days",
        "days": due.days,
        "expires_at": now(),
        **who_sees(document),
    }
    before = count(trusted, _selections(trusted, document, due.kind))
    if due.kind in _FILES:
        before["fs.files"] = len(files)
    open_report(trusted, {**report, "before": before}, files)
    return report


def _delete_records(database: Database[dict[str, Any]], report: Mapping[str, Any]) -> dict[str, int]:
    """Have the run name its files no more, and delete what else is of the kind; what is left of that."""
    kind, place = report["kind"], {"_id": {"$eq": report["run_id"]}, HOLD: None}
    document = database["runs"].find_one(place)
    if (
        document is None
    ):  # held, or deleted as a whole: its files are looked for all the same, and kept if it names them
        return {}
    selections = _selections(database, document, kind)
    change = _change(document, kind, {"at": report["expires_at"], "days": report.get("days")})
    database["runs"].update_one(place, change)  # first: no reader follows a name to what is being deleted
    delete(database, selections)
    return count(database, selections)


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


def _rehearse(database: Database[dict[str, Any]], batch: Sequence[Due]) -> dict[str, int]:
    """How many documents would go, by collection; files that others name are not counted."""
    found: dict[str, int] = {}
    named, places = NamedFiles(), []
    for due in batch:
        is_deleted = due.kind == "trash"
        collection = database[TRASH if is_deleted else "runs"]
        document = collection.find_one({"_id": {"$eq": due.run_id}})
        if document is None:
            continue
        whole = due.kind in ("runs", "trash")
        selections = (
            [*select_console(document), *select_metrics(database, document, is_deleted=is_deleted)]
            if whole
            else _selections(database, document, due.kind)
        )
        for name, amount in count(database, selections).items():
            found[name] = found.get(name, 0) + amount
        named.add(files_named_by(document, _ALL_FILES if whole else _FILES.get(due.kind, ())))
        places.append((collection.name, due.run_id))
    return {**found, **count_files(database, named, places)} if named else found


def _batches(due: Sequence[Due]) -> Iterator[Sequence[Due]]:
    return (due[start : start + BATCH_RUNS] for start in range(0, len(due), BATCH_RUNS))
