"""The trash: where deleted runs wait, out of every reader's sight, until they are brought back or purged.

A run's document moves from `runs` to `trash` as it is; its points, console and files stay where they are. So no query
can forget to leave deleted runs out, also none of Sacred's readers. Each move is noted in the run's tombstone first:
who dies in between leaves something that the next start finishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..foreign_runs import is_foreign, text
from ..mongo import stored_for_good
from ..run_record import UPDATED_AT, RunId, RunRecord, read_run
from ..run_status import LOST_AFTER_SECONDS
from ..runs import RunNotFound
from .errors import IdInTrash, IdTaken, NotInTrash, RecordedElsewhere, RunHeld
from .holds import HOLD, refuse_held
from .tombstones import TOMBSTONES, TRASH, aware, find_tombstone, now, tombstone_key

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

LISTED_RUNS = 1_000
_STEADY = ("start_time", "experiment", "config", "info", "artifacts")
_IDENTITY = {"cloister.uid": 1, **dict.fromkeys(_STEADY, 1)}
_LEFT_OUT = {"captured_out": 0, "cloister.environment": 0, "cloister.sources": 0, "info": 0}


@dataclass(frozen=True)
class TrashedRun:
    """A run in the trash.

    Attributes:
        by: who deleted it; "retention" where a rule did.
        purge_after: when it is purged.
        is_held: whether a legal hold keeps it from that.
    """

    run: RunRecord
    at: datetime | None
    by: str
    purge_after: datetime | None
    is_held: bool


def move_to_trash(
    database: Database[dict[str, Any]], run_id: RunId, *, by: str, trash_days: float, reason: str = ""
) -> RunRecord:
    """Delete a run so that it can be brought back for `trash_days`.

    A training that still records it is told by its courier, which keeps nothing of it any more.

    Raises:
        RunNotFound: there is none.
        RunHeld: a legal hold lies on it.
        RecordedElsewhere: Sacred itself records it, which cannot be told.
        IdInTrash: an earlier run with its id is in the trash.
    """
    trusted = stored_for_good(database)
    document = trusted["runs"].find_one({"_id": {"$eq": run_id}}, {"captured_out": 0})
    if document is None:
        raise RunNotFound(run_id)
    refuse_held(database, document)
    run = read_run(document)
    if is_foreign(document) and run.status == "running":
        raise RecordedElsewhere(run_id)
    other = trusted[TRASH].find_one({"_id": {"$eq": run_id}}, _IDENTITY)
    if other is not None and not _is_same(other, document):
        raise IdInTrash(run_id)
    moment = now()
    note = {
        "run_id": run_id,
        "state": "moving",
        "at": moment,
        "by": by,
        "project": run.project,
        "purge_after": moment + timedelta(days=trash_days),
        "reason": reason,
    }
    trusted[TOMBSTONES].create_index("run_id")
    trusted[TOMBSTONES].replace_one({"_id": tombstone_key(document)}, note, upsert=True)
    if not finish_moving(database, tombstone_key(document), run_id):
        raise RunHeld(run_id, "", None, "run, in this moment")
    return run


def finish_moving(database: Database[dict[str, Any]], key: str, run_id: RunId) -> bool:
    """Move the document of a run whose tombstone says so; False where a hold was faster, and the run stays."""
    trusted = stored_for_good(database)
    runs, trash, tombstone = _raw(trusted["runs"]), _raw(trusted[TRASH]), {"_id": key}
    document, copy = runs.find_one(_own(key, run_id)), trash.find_one({"_id": {"$eq": run_id}})
    if document is not None and (copy is None or _is_same(copy, document)):
        trash.replace_one({"_id": run_id}, document, upsert=True)
        # As it was in its last moment: a shipper may have written it since.
        last = runs.find_one_and_delete({**_own(key, run_id), HOLD: None})
        if last is None and runs.find_one(_own(key, run_id), {"_id": 1}) is not None:
            trash.delete_one({"_id": run_id})
            trusted[TOMBSTONES].delete_one(tombstone)
            return False
        if last is not None and last.raw != document.raw:
            trash.replace_one({"_id": run_id}, last, upsert=True)
    trusted[TOMBSTONES].update_one({**tombstone, "state": "moving"}, {"$set": {"state": "trash"}})
    return True


def restore(database: Database[dict[str, Any]], run_id: RunId) -> RunRecord:
    """Bring a run back from the trash.

    Raises:
        NotInTrash: it is not there (any more).
        IdTaken: another run has its id by now.
    """
    found = find_tombstone(database, run_id)
    if found is None:
        raise NotInTrash(run_id)
    change = {"$set": {"state": "restoring"}}
    if (
        not stored_for_good(database)[TOMBSTONES]
        .update_one({"_id": found["_id"], "state": "trash"}, change)
        .matched_count
    ):
        raise NotInTrash(run_id, "is purged" if found.get("state") in ("purging", "purged") else "")
    return finish_restoring(database, found["_id"], run_id)


def finish_restoring(database: Database[dict[str, Any]], key: str, run_id: RunId) -> RunRecord:
    """Bring back a run whose tombstone says so; raises as `restore` does."""
    from pymongo.errors import DuplicateKeyError

    trusted = stored_for_good(database)
    document = _raw(trusted[TRASH]).find_one({"_id": {"$eq": run_id}})
    if document is not None:
        try:
            _raw(trusted["runs"]).insert_one(document)
        except DuplicateKeyError:
            present = _raw(trusted["runs"]).find_one(_own(key, run_id))
            if present is None or not _is_same(present, document):
                trusted[TOMBSTONES].update_one({"_id": key}, {"$set": {"state": "trash"}})
                raise IdTaken(run_id) from None
        trusted["runs"].update_one({"_id": {"$eq": run_id}, UPDATED_AT: {"$ne": None}}, {"$set": {UPDATED_AT: now()}})
        trusted[TRASH].delete_one({"_id": {"$eq": run_id}})
    trusted[TOMBSTONES].delete_one({"_id": key})
    restored = trusted["runs"].find_one({"_id": {"$eq": run_id}}, {"captured_out": 0})
    if restored is None:
        raise NotInTrash(run_id)
    return read_run(restored)


def list_trash(
    database: Database[dict[str, Any]], condition: Mapping[str, Any] | None = None, limit: int = LISTED_RUNS
) -> list[TrashedRun]:
    """The runs in the trash, the last deleted first.

    Args:
        condition: which of them, as `visible_runs` gives it; all when left out.
    """
    from ..store_connection import lenient

    readable = lenient(database)
    notes = {}
    for note in readable[TOMBSTONES].find({"state": "trash"}).sort("at", -1).limit(limit):
        notes[note["_id"]] = note
    wanted = [note["run_id"] for note in notes.values()]
    known = readable[TRASH].find({"$and": [{"_id": {"$in": wanted}}, dict(condition or {})]}, _LEFT_OUT)
    documents = {tombstone_key(document): document for document in known}
    held = {str(each["_id"]) for each in readable["projects"].find({"hold": {"$ne": None}}, {"_id": 1})}
    return [_trashed(note, documents[key], held) for key, note in notes.items() if key in documents]


def find_trashed(
    database: Database[dict[str, Any]], run_id: RunId, condition: Mapping[str, Any] | None = None
) -> TrashedRun:
    """One run in the trash.

    Raises:
        NotInTrash: it is not there, or does not meet `condition`.
    """
    from ..store_connection import lenient

    readable = lenient(database)
    document = readable[TRASH].find_one({"$and": [{"_id": {"$eq": run_id}}, dict(condition or {})]}, _LEFT_OUT)
    note = readable[TOMBSTONES].find_one({"_id": tombstone_key(document), "state": "trash"}) if document else None
    if document is None or note is None:
        raise NotInTrash(run_id)
    held = {str(each["_id"]) for each in readable["projects"].find({"hold": {"$ne": None}}, {"_id": 1})}
    return _trashed(note, document, held)


def is_running_here(run: RunRecord, moment: datetime) -> bool:
    """Whether a training still records it, as far as its last sign of life tells."""
    return (
        run.stop_time is None
        and run.heartbeat is not None
        and moment - run.heartbeat < timedelta(seconds=LOST_AFTER_SECONDS)
    )


def _trashed(note: Mapping[str, Any], document: Mapping[str, Any], held: set[str]) -> TrashedRun:
    run = read_run(document)
    is_held = bool((document.get("cloister") or {}).get("hold")) or run.project in held
    return TrashedRun(run, aware(note.get("at")), text(note.get("by")), aware(note.get("purge_after")), is_held)


def _own(key: str, run_id: RunId) -> dict[str, Any]:
    """A condition that this run's document meets, and no other with its id."""
    uid = None if key.startswith("run ") else key
    return {"_id": {"$eq": run_id}, "cloister.uid": uid}


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two documents of one id are of one run: by uid; where they have none, by what an ended run keeps."""
    uids = [(each.get("cloister") or {}).get("uid") for each in (one, other)]
    if uids != [None, None]:
        return uids[0] == uids[1]
    return all(one.get(name) == other.get(name) for name in _STEADY)


def _raw(collection: Collection[dict[str, Any]]) -> Any:
    """Documents as bytes: what moves stays what it was, also text that is no UTF-8 and dates of the year 10000."""
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument

    return collection.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))
