"""How many runs of a project somebody sees, reckoned from index entries alone: a filter would read every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..run_query import match_project
from ..run_record import OWNER, PROJECT, SHARED_GROUPS, SHARED_PEOPLE, VISIBILITY
from .principal import VISIBILITIES, Principal
from .visibility import in_projects, shown_in, visible_runs

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database


def count_visible(database: Database[dict[str, Any]], principal: Principal, project: str) -> int:
    """How many runs of `project` the principal sees, as many as `visible_runs` lets through.

    Args:
        database: with all runs, those too that the principal does not see.
    """
    runs = database["runs"]
    if principal.kind == "share" or principal.limited_to is not None or not principal.sees_runs:
        return runs.count_documents({"$and": [match_project(project), visible_runs(principal)]})
    if principal.sees_everything:
        return runs.count_documents(match_project(project))
    if principal.projects is not None and project not in principal.projects:
        return 0
    if "admin" in principal.site:
        return runs.count_documents(match_project(project))
    return _count_ours(runs, principal, project) + _count_others(runs, principal, project)


def _count_ours(runs: Collection[dict[str, Any]], principal: Principal, project: str) -> int:
    """Runs that name their project: by who sees them in general, and among the others those that are one's own.

    The index (visibility, project, owner) answers without a run being read, but for the few that are shared by name.
    """
    of_project: dict[str, Any] = {PROJECT: project}
    shown = sorted(shown_in(principal, project) - {""})
    if "" in shown_in(principal, project):
        hidden = [visibility for visibility in VISIBILITIES if visibility not in shown]
        rest: dict[str, Any] = {VISIBILITY: {"$in": hidden}}
        seen = runs.count_documents(of_project) - (runs.count_documents({**of_project, **rest}) if hidden else 0)
    else:
        rest = {VISIBILITY: {"$nin": shown}}
        seen = runs.count_documents({**of_project, VISIBILITY: {"$in": shown}})
    mine = {OWNER: {"$in": list(principal.owner_names)}}
    own = runs.count_documents({**of_project, **rest, **mine}) if principal.owner_names else 0
    named: list[dict[str, Any]] = [{SHARED_PEOPLE: principal.name}] if principal.name else []
    named += [{SHARED_GROUPS: {"$in": sorted(principal.groups)}}] if principal.groups else []
    if not named:
        return seen + own
    others = {OWNER: {"$nin": list(principal.owner_names)}}
    return seen + own + runs.count_documents({**of_project, **rest, **others, "$or": named})


def _count_others(runs: Collection[dict[str, Any]], principal: Principal, project: str) -> int:
    """Runs of Sacred's, which have no project but that of their experiment's name."""
    _, *nameless = in_projects([project])
    return runs.count_documents({"$and": [{"$or": nameless}, visible_runs(principal)]})
