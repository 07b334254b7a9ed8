"""Renaming a project from a page or by REST: its runs, and what people keep under its name in this viewer."""

from __future__ import annotations

from ..observer.chart_layouts import LAYOUTS, forget_own, load_own, store_own
from ..observer.errors import CloisterError
from ..observer.project_aliases import PROJECTS
from ..observer.run_edits import checked_project, rename_project
from .audit_notes import note
from .run_deletion import acting_name
from .store_access import current_database, current_store, home_database, served_databases


class SettingsOfAnother(CloisterError, ValueError):
    """A project of one database is to have a name under which members stand for runs of another."""

    status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} has members already, whose roles would hold for these runs. Choose another name.")


def change_project_name(old: str, new: str) -> int:
    """Give a project another name, with all that is kept under the old one; returns how many runs it has.

    Raises:
        ProjectNotFound, ProjectTaken, ProjectHasKey, BadEdit: as `rename_project` does.
        SettingsOfAnother: members stand under the new name already.
    """
    name = checked_project(new)
    note("project-renamed", target=f"project {old}", project=old, after=name)
    if current_database() is not served_databases()[0]:
        _copy_settings(old, name)
    count = rename_project(current_store(), old, name, acting_name())
    home, place = home_database(), current_database().path
    home["views"].update_many({"project": old, "place": place}, {"$set": {"project": name}})
    home["shares"].update_many({"project": old, "database": place}, {"$set": {"project": name}})
    _rename_layouts(old, name, place)
    if place == "":  # tokens name projects of all databases; those of the first one count
        home["tokens"].update_many({"projects": old}, {"$addToSet": {"projects": name}})
        home["tokens"].update_many({"projects": old}, {"$pull": {"projects": old}})
    return count


def _copy_settings(old: str, new: str) -> None:
    """Roles are kept in the first database, by name, for the projects of all."""
    projects = home_database()[PROJECTS]
    settings = projects.find_one({"_id": {"$eq": old}})
    if projects.find_one({"_id": {"$eq": new}}, {"_id": 1}) is not None:
        raise SettingsOfAnother(new)
    if settings is not None:
        projects.insert_one({**settings, "_id": new})


def _rename_layouts(old: str, new: str, place: str) -> None:
    home = home_database()
    kept = {"project": {"$eq": old}, "place": {"$eq": place}}
    for found in home[LAYOUTS].find({**kept, "shared": False}, {"person": 1}):
        person = str(found.get("person") or "")
        layout = load_own(home, person, old, place=place)
        if layout is not None:
            store_own(home, person, new, layout, place=place)
            forget_own(home, person, old, place=place)
    home[LAYOUTS].update_many(kept, {"$set": {"project": new}})
