"""Which runs a principal sees: as MongoDB's filter for every query, and for one run that was read already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..run_record import EXPERIMENT_NAME, OWNER, PROJECT, SHARED_GROUPS, SHARED_PEOPLE, UNNAMED, VISIBILITY
from .principal import ALL_PROJECTS, DEFAULT_VISIBILITY, VISIBILITIES, Principal, Visibility

NO_RUN: dict[str, Any] = {"_id": {"$in": []}}  # the filter of whoever sees none
_Filter = dict[str, Any]


class Seeable(Protocol):
    """What decides who sees a run: of its record, or of the news that it has changed."""

    @property
    def id(self) -> Any: ...
    @property
    def project(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def visibility(self) -> str: ...
    @property
    def shared_people(self) -> tuple[str, ...]: ...
    @property
    def shared_groups(self) -> tuple[str, ...]: ...


_NO_NAME: _Filter = {"$not": {"$gt": ""}}  # missing, null, "", or anything that is no text


def visible_runs(principal: Principal, projects: Mapping[str, Visibility] | None = None) -> _Filter:
    """The condition that every run meets which the principal sees; {} for one who sees all.

    Args:
        projects: the default visibility of projects that have one; those that the principal was read with if left out.
    """
    if principal.sees_everything:
        return {}
    if not principal.sees_runs:
        return NO_RUN
    defaults = principal.defaults if projects is None else projects
    if principal.kind == "share":
        conditions: list[_Filter] = [{"_id": {"$eq": principal.run_id}}]
    else:
        conditions = [] if "admin" in principal.site else [{"$or": _ways(principal, defaults)}]
    if principal.projects is not None:
        conditions.append({"$or": in_projects(principal.projects)})
    if principal.limited_to is not None:
        conditions.append(visible_runs(principal.limited_to, projects))
    kept = [condition for condition in conditions if condition]
    return kept[0] if len(kept) == 1 else {"$and": kept} if kept else {}


def sees(principal: Principal, run: Seeable) -> bool:
    """Whether `visible_runs` lets this run through."""
    if principal.sees_everything:
        return True
    if principal.limited_to is not None and not sees(principal.limited_to, run):
        return False
    if not principal.sees_runs or (principal.projects is not None and run.project not in principal.projects):
        return False
    if principal.kind == "share":
        return bool(run.id == principal.run_id)
    if "admin" in principal.site or principal.owns(run) or (principal.name and principal.name in run.shared_people):
        return True
    if principal.groups & set(run.shared_groups):
        return True
    visibility = run.visibility or principal.defaults.get(run.project, DEFAULT_VISIBILITY)
    return visibility == "site" or (visibility == "project" and principal.role_in(run.project) is not None)


def _ways(principal: Principal, defaults: Mapping[str, Visibility]) -> list[_Filter]:
    """Each is enough to see a run."""
    ways: list[_Filter] = [{VISIBILITY: "site"}]
    if principal.name:  # runs without an owner are not those of whoever has no name
        ways.append({SHARED_PEOPLE: principal.name})
        ways += [{OWNER: name} for name in principal.owner_names]
    if principal.groups:
        ways.append({SHARED_GROUPS: {"$in": sorted(principal.groups)}})
    silent = {VISIBILITY: {"$nin": list(VISIBILITIES)}}  # the project decides
    open_to_all = [project for project, visibility in defaults.items() if visibility == "site"]
    if open_to_all:
        ways.append({**silent, "$or": in_projects(open_to_all)})
    closed = [project for project, visibility in defaults.items() if visibility == "private"]
    if ALL_PROJECTS in principal.roles:
        ways.append({VISIBILITY: "project"})
        ways.append({**silent, "$nor": in_projects(closed)} if closed else silent)
    elif principal.roles:
        mine = list(principal.roles)
        ways.append({VISIBILITY: "project", "$or": in_projects(mine)})
        ways.append({**silent, "$or": in_projects([project for project in mine if project not in closed])})
    return ways


def in_projects(names: Any) -> list[_Filter]:
    """Runs of these projects; one that names none belongs to that of its experiment's name, as `match_project` says."""
    chosen = sorted(names)
    choices: list[_Filter] = [
        {PROJECT: {"$in": chosen, "$not": {"$type": "array"}}},
        {PROJECT: _NO_NAME, EXPERIMENT_NAME: {"$in": chosen, "$not": {"$type": "array"}}},
    ]
    if UNNAMED in chosen:
        choices.append({PROJECT: _NO_NAME, EXPERIMENT_NAME: _NO_NAME})
    return choices
