"""Giving a project another name, with all that is stored under the old one; and what the old one leads to since."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .mongo import stored_for_good
from .project_aliases import PROJECTS, RENAMED_TO
from .project_lists import ProjectNotFound
from .run_query import match_project
from .run_record import EDITED, PROJECT, UID, UPDATED_AT, VERSION

if TYPE_CHECKING:
    from pymongo.database import Database

FOLLOWING = ("tombstones", "reports")  # whose documents name their project as `project`
# Of a project's document, what goes along to its new name is all but these.
_STAYS = ("_id", RENAMED_TO, "renamed_at", "renamed_by")


class ProjectTaken(CloisterError, ValueError):
    """A project is to have the name of another one."""

    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a project {name!r} already. Move the runs there instead, or choose another name.")


class ProjectHasKey(CloisterError, ValueError):
    """A project is to have another name whose encryption key is known by the one that it has."""

    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Project {name!r} has an encryption key, which is kept under this name where keys are kept. It cannot be "
            "called otherwise."
        )


def rename(database: Database[dict[str, Any]], old: str, new: str, by: str) -> int:
    """Call project `old` `new`: its runs, also those in the trash, its members and rules. The old name leads there.

    Cut off anywhere it can be begun again: what has moved stays, and members have their roles under both names until
    the last run has come along.

    Returns:
        How many runs it has.

    Raises:
        ProjectNotFound: there is no such project.
        ProjectTaken: another one has the name.
        ProjectHasKey: its encryption key is known by its old name.
    """
    trusted = stored_for_good(database)
    document = trusted[PROJECTS].find_one({"_id": {"$eq": old}})
    _check(database, old, new, document)
    moment = datetime.now(timezone.utc)
    settings = {key: value for key, value in (document or {}).items() if key not in _STAYS}
    trusted[PROJECTS].replace_one({"_id": new}, {**settings, "renaming_from": old}, upsert=True)
    for name in ("runs", "trash"):
        _move_all(trusted[name], old, new, by, moment)
    alias = {RENAMED_TO: new, "renamed_at": moment, "renamed_by": by}
    trusted[PROJECTS].replace_one({"_id": old}, alias, upsert=True)
    trusted[PROJECTS].update_many({RENAMED_TO: old}, {"$set": {RENAMED_TO: new}})
    # Runs that were registered meanwhile. Later ones find the alias (run_registry.py).
    for name in ("runs", "trash"):
        _move_all(trusted[name], old, new, by, moment)
    for name in FOLLOWING:
        trusted[name].update_many({"project": old}, {"$set": {"project": new}})
    trusted[PROJECTS].update_one({"_id": new}, {"$unset": {"renaming_from": ""}})
    return int(database["runs"].count_documents(match_project(new)))


def _check(database: Database[dict[str, Any]], old: str, new: str, document: dict[str, Any] | None) -> None:
    is_alias = document is not None and RENAMED_TO in document
    if is_alias or not any(database[name].find_one(match_project(old), {"_id": 1}) for name in ("runs", "trash")):
        raise ProjectNotFound(old, [])
    known = database[PROJECTS].find_one({"_id": {"$eq": new}})
    is_own = known is not None and (known.get(RENAMED_TO) == old or known.get("renaming_from") == old)
    has_runs = any(database[name].find_one(match_project(new), {"_id": 1}) for name in ("runs", "trash"))
    if old == new or (known is not None and not is_own) or (has_runs and not is_own):
        raise ProjectTaken(new)
    # A key is one of MongoDB's key vault: its project stands in its name, "project#id".
    from .encryption.key_care import living_documents

    if living_documents(database, old):
        raise ProjectHasKey(old)


def _move_all(collection: Any, old: str, new: str, by: str, moment: datetime) -> None:
    fields = {PROJECT: new, f"{EDITED}.project": {"at": moment, "by": by}}
    ours = {"$and": [match_project(old), {UID: {"$type": "string"}}]}
    collection.update_many(ours, {"$set": {**fields, UPDATED_AT: moment}, "$inc": {VERSION: 1}})
    collection.update_many(match_project(old), {"$set": fields})
