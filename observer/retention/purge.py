"""Purging: a run's records are deleted for good, and a report says what there was and that it is gone.

`purges`: one report for each: `of` the tombstone's `_id` (or the run's id), `run_id`, `project`, `kind` "runs" or what
has expired, `state` "open" | "done", `started_at`, `finished_at`, `by`, `reason`, `before` and `after` {collection:
documents}, `files` [{file_id, sha256, size, chunks, outcome, left_chunks}].

What is to be done follows from the document in the trash (or from the open report) alone, and each step can be
repeated: whoever is killed in the middle leaves it to the next start, which ends it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..blob_upload import UPLOADS
from ..errors import CloisterError
from ..foreign_runs import mapping, sequence, text
from ..mongo import stored_for_good
from ..run_ids import format_run_id
from ..run_record import RunId, read_run
from .blob_purge import PurgedFile, count_chunks, planned_file, purge_files, stored_files
from .errors import NotInTrash, RunHeld
from .holds import refuse_held
from .named_files import NamedFiles, files_named_by, still_named
from .purge_progress import PROGRESS, PurgeProgress, Tell, noting, read_progress
from .run_data import Selection, count, delete, select_console, select_metrics
from .tombstones import TOMBSTONES, TRASH, aware, find_tombstone, now

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

PURGES = "purges"
DOCUMENT = "run document"


@dataclass(frozen=True)
class PurgeReport:
    """What one purge deleted, and what was found of it afterwards.

    Attributes:
        before, after: documents by collection. Only what others share is left: `shared` names those files.
    """

    run_id: RunId
    project: str
    kind: str
    by: str
    reason: str
    started_at: datetime | None
    finished_at: datetime | None
    before: dict[str, int]
    after: dict[str, int]
    files: tuple[PurgedFile, ...]
    id: Any = None
    progress: PurgeProgress | None = None

    @property
    def is_proven(self) -> bool:
        """Whether nothing is left: no document, and no chunk of a file that no other run names."""
        return not any(self.after.values()) and not any(file.left_chunks for file in self.gone)

    @property
    def gone(self) -> tuple[PurgedFile, ...]:
        return tuple(file for file in self.files if file.outcome in ("gone", "stored again"))

    @property
    def shared(self) -> tuple[PurgedFile, ...]:
        return tuple(file for file in self.files if file.outcome in ("shared", "in use"))

    @property
    def freed_bytes(self) -> int:
        return sum(file.size for file in self.gone)


def purge_run(database: Database[dict[str, Any]], run_id: RunId, *, by: str) -> PurgeReport:
    """Delete a run in the trash for good.

    Raises:
        NotInTrash: it is not there (any more).
        RunHeld: a legal hold lies on it; it stays in the trash.
    """
    return finish_purging(database, begin_purging(database, run_id, by=by))


def purge_runs(
    database: Database[dict[str, Any]], run_ids: Sequence[RunId], *, by: str, left: list[str]
) -> list[PurgeReport]:
    """Delete runs in the trash for good, all at once: other runs are looked through for their files only once.

    Args:
        left: takes what could not be done, in words.
    """
    begun = []
    for run_id in run_ids:
        try:
            begun.append(begin_purging(database, run_id, by=by))
        except NotInTrash as error:
            left.append(str(error))
    reports, errors = _finish(database, begun)
    left.extend(map(str, errors))
    return reports


def begin_purging(database: Database[dict[str, Any]], run_id: RunId, *, by: str) -> dict[str, Any]:
    """Note that a run in the trash is to be deleted for good: from now on it cannot be brought back.

    Returns:
        Its tombstone, for `finish_purging`.

    Raises:
        NotInTrash: it is not there (any more).
    """
    found = find_tombstone(database, run_id)
    if found is None or found.get("state") not in ("trash", "purging"):
        raise NotInTrash(run_id, "is purged already" if found and found.get("state") == "purged" else "")
    change = {"$set": {"state": "purging", "purged_by": by}}
    known = {"_id": found["_id"], "state": found["state"]}
    if not stored_for_good(database)[TOMBSTONES].update_one(known, change).matched_count:
        raise NotInTrash(run_id)
    return {**found, "state": "purging", "purged_by": by}


def finish_purging(database: Database[dict[str, Any]], tombstone: Mapping[str, Any]) -> PurgeReport:
    """Purge a run whose tombstone says so, from wherever that was left; raises as `purge_run` does."""
    reports, errors = _finish(database, [tombstone])
    if errors:
        raise errors[0]
    return reports[0]


def _finish(
    database: Database[dict[str, Any]], tombstones: Sequence[Mapping[str, Any]]
) -> tuple[list[PurgeReport], list[CloisterError]]:
    trusted = stored_for_good(database)
    reports: list[PurgeReport] = []
    errors: list[CloisterError] = []
    ready = []
    for tombstone in tombstones:
        try:
            document = trusted[TRASH].find_one({"_id": {"$eq": tombstone["run_id"]}})
            if document is None:  # cut off after the last step but one
                reports.append(_close(trusted, tombstone))
            else:
                refuse_held(database, document)
                ready.append((tombstone, document, _open_report(trusted, tombstone, document)))
        except RunHeld as error:
            trusted[TOMBSTONES].update_one({"_id": tombstone["_id"]}, {"$set": {"state": "trash"}})
            errors.append(error)
        except NotInTrash as error:
            errors.append(error)
    report_ids = [report_id for _, _, report_id in ready]
    told = noting(trusted, PURGES, report_ids, "files")
    purged = _purge_files_of(trusted, [(tombstone, document) for tombstone, document, _ in ready], told)
    for tombstone, document, report_id in ready:
        own = {entry["file_id"] for entry in planned_files(trusted, report_id)}
        note_files(trusted, report_id, [file for file in purged if file.file_id in own])
        selections = _selections(trusted, document)
        total = sum(count(trusted, selections).values())
        delete(trusted, selections, total=total, tell=noting(trusted, PURGES, [report_id], "records"))
        trusted[PURGES].update_one({"_id": report_id}, {"$set": {"after": count(trusted, selections)}})
        # Links to it hold its names; those of a database that another one's viewer serves beside it lie there.
        trusted["shares"].delete_many({"run_id": {"$eq": tombstone["run_id"]}, "database": ""})
        trusted[TRASH].delete_one({"_id": {"$eq": tombstone["run_id"]}})
        reports.append(_close(trusted, tombstone))
    return reports, errors


def _purge_files_of(
    database: Database[dict[str, Any]], runs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], tell: Tell
) -> list[PurgedFile]:
    named = NamedFiles()
    for _, document in runs:
        named.add(files_named_by(document))
    files = stored_files(database, named) if named else []
    if not files:
        return []
    places = [(database[TRASH].name, tombstone["run_id"]) for tombstone, _ in runs]
    claimants = [str(tombstone["_id"]) for tombstone, _ in runs]
    return purge_files(database, files, but=places, ignored_claims=claimants, tell=tell)


def count_files(
    database: Database[dict[str, Any]], named: NamedFiles, places: Sequence[tuple[str, RunId]]
) -> dict[str, int]:
    """How many files and chunks would go with the documents at `places`."""
    files = stored_files(database, named)
    shared = still_named(database, files, but=places)
    own = [file["_id"] for file in files if file["_id"] not in shared]
    return {"fs.files": len(own), "fs.chunks": _chunks(database, own)}


def list_purges(
    database: Database[dict[str, Any]], condition: Mapping[str, Any] | None = None, limit: int = 100
) -> list[PurgeReport]:
    """The newest reports first, those that are still open among them."""
    found = database[PURGES].find(dict(condition or {})).sort("started_at", -1).limit(limit)
    return [read_report(document) for document in found]


def read_report(document: Mapping[str, Any]) -> PurgeReport:
    files = tuple(_read_file(entry) for entry in map(mapping, sequence(document.get("files"))))
    return PurgeReport(
        run_id=document.get("run_id"),
        project=text(document.get("project")),
        kind=text(document.get("kind")),
        by=text(document.get("by")),
        reason=text(document.get("reason")),
        started_at=aware(document.get("started_at")),
        finished_at=aware(document.get("finished_at")),
        before={text(name): int(value) for name, value in mapping(document.get("before")).items()},
        after={text(name): int(value) for name, value in mapping(document.get("after")).items()},
        files=files,
        id=document.get("_id"),
        progress=None if document.get("finished_at") else read_progress(document.get(PROGRESS)),
    )


def report_json(report: PurgeReport) -> dict[str, Any]:
    """A report as JSON has it."""
    return {
        "run_id": format_run_id(report.run_id),
        "project": report.project,
        "kind": report.kind,
        "by": report.by,
        "reason": report.reason,
        "started_at": report.started_at.isoformat() if report.started_at else None,
        "finished_at": report.finished_at.isoformat() if report.finished_at else None,
        "is_proven": report.is_proven,
        "progress": None if report.progress is None else report.progress.as_document(),
        "before": report.before,
        "after": report.after,
        "files": [{**file.as_document(), "file_id": str(file.file_id)} for file in report.files],
    }


def _selections(
    database: Database[dict[str, Any]], document: Mapping[str, Any], *, is_deleted: bool = True
) -> list[Selection]:
    return [*select_console(document), *select_metrics(database, document, is_deleted=is_deleted)]


def _open_report(database: Database[dict[str, Any]], tombstone: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Note what there is before anything is deleted; what a purge that was cut off has noted stays."""
    report_id = f"{tombstone['_id']} {tombstone['at'].isoformat()}"
    files = stored_files(database, files_named_by(document))
    before = count(database, _selections(database, document))
    before.update(
        {"fs.files": len(files), "fs.chunks": _chunks(database, [file["_id"] for file in files]), DOCUMENT: 1}
    )
    run = read_run(document)
    open_report(
        database,
        {
            "_id": report_id,
            "of": tombstone["_id"],
            "run_id": run.id,
            "project": run.project,
            "kind": "runs",
            "by": text(tombstone.get("purged_by")),
            "reason": text(tombstone.get("reason")),
            "before": before,
            **who_sees(document),
        },
        files,
    )
    return report_id


def who_sees(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a run's document by which `visible_runs` decides: its report is seen by those who saw the run."""
    ours = mapping(document.get("cloister"))
    kept = {name: ours[name] for name in ("project", "owner", "visibility", "shared_with") if name in ours}
    return {"cloister": kept, "experiment": {"name": mapping(document.get("experiment")).get("name")}}


def open_report(
    database: Database[dict[str, Any]], report: Mapping[str, Any], files: Sequence[Mapping[str, Any]]
) -> None:
    """Store a report that is open, unless there is one already."""
    from pymongo.errors import DuplicateKeyError

    chunks = count_chunks(database, [file["_id"] for file in files])
    planned = [{**planned_file(file), "chunks": chunks.get(file["_id"], 0)} for file in files]
    fresh = {**report, "state": "open", "started_at": now(), "after": {}, "files": planned}
    with contextlib.suppress(DuplicateKeyError):  # of a purge that was cut off, or of somebody else who does the same
        database[PURGES].insert_one(fresh)


def planned_files(database: Database[dict[str, Any]], report_id: Any) -> list[dict[str, Any]]:
    """What a report says of files."""
    report = database[PURGES].find_one({"_id": report_id}, {"files": 1}) or {}
    return [mapping(entry) for entry in sequence(report.get("files"))]


def note_files(database: Database[dict[str, Any]], report_id: Any, files: Sequence[PurgedFile]) -> None:
    """Say what became of each file; of those that a purge deleted and could not say so, look."""
    noted = {entry["file_id"]: entry for entry in planned_files(database, report_id)}
    noted.update((file.file_id, file.as_document()) for file in files)
    unsaid = [file_id for file_id, entry in noted.items() if not entry["outcome"]]
    if unsaid:
        database[UPLOADS].delete_many({"_id": {"$in": unsaid}, "sweeping": True})  # the purge's own
        left = count_chunks(database, unsaid)
        present = {each["_id"] for each in database["fs.files"].find({"_id": {"$in": unsaid}}, {"_id": 1})}
        for file_id in unsaid:
            outcome = "stored again" if file_id in present else "gone"
            remains = 0 if file_id in present else left.get(file_id, 0)
            noted[file_id].update({"outcome": outcome, "left_chunks": remains})
    database[PURGES].update_one({"_id": report_id}, {"$set": {"files": list(noted.values())}})


def close_report(database: Database[dict[str, Any]], report_id: Any, left: Mapping[str, int]) -> PurgeReport:
    """End a report with what is found now.

    Args:
        left: documents by collection; files and chunks are counted here.
    """
    report = database[PURGES].find_one({"_id": report_id}) or {}
    files = [mapping(entry) for entry in sequence(report.get("files"))]
    gone = [entry["file_id"] for entry in files if entry.get("outcome") == "gone"]
    after = {**left, "fs.files": database["fs.files"].count_documents({"_id": {"$in": gone}})}
    after["fs.chunks"] = _chunks(database, gone)
    done = {"state": "done", "finished_at": now(), "after": after}
    database[PURGES].update_one({"_id": report_id}, {"$set": done})
    return read_report({**report, **done})


def _close(database: Database[dict[str, Any]], tombstone: Mapping[str, Any]) -> PurgeReport:
    """End the report, then the tombstone, which keeps no more than that there was a run."""
    key, run_id = tombstone["_id"], tombstone["run_id"]
    report = database[PURGES].find_one({"of": key, "kind": "runs"}, sort=[("started_at", -1)])
    if report is None:
        raise NotInTrash(run_id, "is purged already")
    left = {**mapping(report.get("after")), DOCUMENT: database[TRASH].count_documents({"_id": {"$eq": run_id}})}
    done = close_report(database, report["_id"], left)
    kept = {"run_id": run_id, "at": tombstone.get("at"), "state": "purged", "purge": report["_id"]}
    database[TOMBSTONES].replace_one({"_id": key}, kept, upsert=True)
    return done


def _chunks(database: Database[dict[str, Any]], file_ids: Sequence[Any]) -> int:
    return database["fs.chunks"].count_documents({"files_id": {"$in": list(file_ids)}}) if file_ids else 0


def _read_file(entry: Mapping[str, Any]) -> PurgedFile:
    outcome: Any = text(entry.get("outcome"))
    numbers = [int(entry.get(name) or 0) for name in ("size", "chunks", "left_chunks")]
    return PurgedFile(entry.get("file_id"), text(entry.get("sha256")), numbers[0], numbers[1], outcome, numbers[2])
