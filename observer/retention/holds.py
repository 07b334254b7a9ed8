"""Legal hold: as long as it lies on a run or its project, nothing of the run is deleted by anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..foreign_runs import mapping, text
from ..mongo import stored_for_good
from ..run_record import read_run
from .errors import NotInTrash, RunHeld
from .tombstones import TRASH, aware, find_tombstone, now

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..run_record import RunId

HOLD = "cloister.hold"  # of a run: {at, by, reason}; the same in a project's document, as `hold`
REASON_LIMIT = 500


@dataclass(frozen=True)
class Hold:
    """A legal hold. `run_id` is None for one of a whole project."""

    project: str
    run_id: RunId | None
    at: datetime | None
    by: str
    reason: str
    name: str = ""
    in_trash: bool = False


def hold_run(database: Database[dict[str, Any]], run_id: RunId, *, by: str, reason: str) -> bool:
    """Put a run under hold, in the trash too; says whether it was not yet.

    Raises:
        NotInTrash: it is being purged in this moment, or there is no such run.
    """
    place = {"_id": {"$eq": run_id}, HOLD: None}
    note = {"$set": {HOLD: _note(by, reason)}}
    trusted = stored_for_good(database)
    if trusted["runs"].update_one(place, note).matched_count:
        return True
    if trusted["runs"].find_one({"_id": {"$eq": run_id}}, {"_id": 1}) is not None:
        return False
    fresh = bool(trusted[TRASH].update_one(place, note).matched_count)
    # Asked after the note is there: who purges writes its state first and looks for a hold then, so one of us sees it.
    found = find_tombstone(database, run_id)
    if found is None or found.get("state") not in ("trash", "moving"):
        raise NotInTrash(run_id, "is being purged" if found and found.get("state") == "purging" else "")
    return fresh


def lift_run(database: Database[dict[str, Any]], run_id: RunId) -> bool:
    """Take the hold off a run; says whether there was one."""
    place, change = {"_id": {"$eq": run_id}, HOLD: {"$ne": None}}, {"$unset": {HOLD: ""}}
    return any(stored_for_good(database)[name].update_one(place, change).matched_count for name in ("runs", TRASH))


def hold_project(database: Database[dict[str, Any]], project: str, *, by: str, reason: str) -> bool:
    """Put all runs of a project under hold, later ones too; says whether they were not yet."""
    projects = stored_for_good(database)["projects"]
    projects.update_one({"_id": project}, {"$setOnInsert": {"created_at": now()}}, upsert=True)
    return bool(
        projects.update_one({"_id": project, "hold": None}, {"$set": {"hold": _note(by, reason)}}).matched_count
    )


def lift_project(database: Database[dict[str, Any]], project: str) -> bool:
    """Take the hold off a project; says whether there was one."""
    place, change = {"_id": project, "hold": {"$ne": None}}, {"$unset": {"hold": ""}}
    return bool(stored_for_good(database)["projects"].update_one(place, change).matched_count)


def list_holds(database: Database[dict[str, Any]], seen: Mapping[str, Any] | None = None) -> list[Hold]:
    """All holds: those of projects first, then those of runs, the oldest first.

    Args:
        seen: only of runs that meet this condition, as `visible_runs` gives it.
    """
    found = [
        _read(project["hold"], str(project["_id"]), None)
        for project in database["projects"].find({"hold": {"$ne": None}}).sort("_id", 1)
    ]
    for name in ("runs", TRASH):
        kept = {"cloister.hold": 1, "cloister.project": 1, "cloister.name": 1, "experiment.name": 1}
        for document in (
            database[name].find({"$and": [{HOLD: {"$ne": None}}, dict(seen or {})]}, kept).sort(f"{HOLD}.at", 1)
        ):
            run = read_run(document)
            found.append(_read(document["cloister"]["hold"], run.project, run.id, run.name, in_trash=name == TRASH))
    return found


def held_projects(database: Database[dict[str, Any]]) -> dict[str, Hold]:
    """The projects under hold, by name."""
    found = database["projects"].find({"hold": {"$ne": None}}, {"hold": 1})
    return {str(each["_id"]): _read(each["hold"], str(each["_id"]), None) for each in found}


def refuse_held(database: Database[dict[str, Any]], document: Mapping[str, Any]) -> None:
    """Return if nothing holds the run with this document.

    Raises:
        RunHeld: something does.
    """
    run = read_run(document)
    own = mapping(document.get("cloister")).get("hold")
    if own is not None:
        hold = _read(own, run.project, run.id)
        raise RunHeld(run.id, hold.by, hold.at, "run")
    project = database["projects"].find_one({"_id": run.project, "hold": {"$ne": None}}, {"hold": 1})
    if project is not None:
        hold = _read(project["hold"], run.project, None)
        raise RunHeld(run.id, hold.by, hold.at, f"project {run.project!r}")


def _note(by: str, reason: str) -> dict[str, Any]:
    return {"at": now(), "by": by, "reason": reason[:REASON_LIMIT]}


def _read(note: Any, project: str, run_id: RunId | None, name: str = "", *, in_trash: bool = False) -> Hold:
    fields = mapping(note)
    by, reason = text(fields.get("by")), text(fields.get("reason"))
    return Hold(project, run_id, aware(fields.get("at")), by, reason, name, in_trash)
