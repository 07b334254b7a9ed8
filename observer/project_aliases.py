"""What the names of projects that were renamed lead to. Recording asks this, too: nothing heavy is imported here."""

from __future__ import annotations

import contextlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .mongo import stored_for_good
from .run_record import EDITED, PROJECT, UID

if TYPE_CHECKING:
    from pymongo.database import Database

PROJECTS = "projects"
RENAMED_TO = "renamed_to"  # in a project's document: all that is left of it is where it went


class ProjectRenamed(CloisterError, ValueError):
    """Something is to be put into a project that has another name by now."""

    status = 409

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"Project {old!r} is called {new!r} by now, and the old name leads there. Choose {new!r}.")


def find_alias(database: Database[dict[str, Any]], name: str) -> str | None:
    """What the project of this name is called by now; None where that is its name."""
    found = database[PROJECTS].find_one({"_id": {"$eq": name}, RENAMED_TO: {"$type": "string"}}, {RENAMED_TO: 1})
    return None if found is None else str(found[RENAMED_TO])


def refuse_alias(database: Database[dict[str, Any]], name: str) -> None:
    """Return if nothing was called `name` before it was renamed; raises `ProjectRenamed` otherwise."""
    alias = find_alias(database, name)
    if alias is not None:
        raise ProjectRenamed(name, alias)


def add_project(database: Database[dict[str, Any]], name: str) -> None:
    """Have the project be there, also before its first run is."""
    from pymongo.errors import DuplicateKeyError

    with contextlib.suppress(DuplicateKeyError):
        stored_for_good(database)[PROJECTS].insert_one({"_id": name, "created_at": datetime.now(timezone.utc)})


def follow_alias(database: Database[dict[str, Any]], document: dict[str, Any]) -> None:
    """Have a run that was just stored under the old name of a project belong to it, as it is called by now.

    Asked after the run is there: either the one who renames finds the run, or this finds the alias.
    """
    alias = find_alias(database, document["cloister"]["project"])
    if alias is None:
        return
    fields = {PROJECT: alias, f"{EDITED}.project": {"at": datetime.now(timezone.utc), "by": ""}}
    database["runs"].update_one({"_id": document["_id"], UID: document["cloister"]["uid"]}, {"$set": fields})
    document["cloister"]["project"] = alias
    document["cloister"]["edited"] = {"project": fields[f"{EDITED}.project"]}
