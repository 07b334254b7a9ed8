"""Which runs a principal sees: as MongoDB's filter for every query, and for one run that was read already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def visible_in_project(principal: Principal, project: str) -> _Filter:
    """The same condition for questions that are about runs of `project` anyway: it does not look at their project."""
    if principal.sees_everything:
        return {}
    if not principal.sees_runs or (principal.projects is not None and project not in principal.projects):
        return NO_RUN
    if principal.kind == "share":
        conditions: list[_Filter] = [{"_id": {"$eq": principal.run_id}}]
    elif "admin" in principal.site:
        conditions = []
    else:
        shown = shown_in(principal, project)
        if "" in shown:
            rest = [visibility for visibility in VISIBILITIES if visibility not in shown]
            in_general: _Filter = _asked_first(_none_of(rest)) if rest else {}
        else:
            in_general = _asked_first({VISIBILITY: {"$in": sorted(shown)}})
        conditions = [{"$or": [in_general, *_by_name(principal)]}]
    if principal.limited_to is not None:
        conditions.append(visible_in_project(principal.limited_to, project))
    kept = [condition for condition in conditions if condition]
    return kept[0] if len(kept) == 1 else {"$and": kept} if kept else {}


def shown_in(principal: Principal, project: str) -> set[str]:
    """With which visibilities a run of the project is seen by somebody who is not named; "" stands for none."""
    shown = {"site", "project"} if principal.role_in(project) is not None else {"site"}
    return shown | {""} if principal.defaults.get(project, DEFAULT_VISIBILITY) in shown else shown


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
    """Each is enough to see a run. As few as can be said: MongoDB asks them of every run that a list goes through."""
    ways = [*_by_name(principal), *_by_role(principal, defaults)]
    open_to_all = [project for project, visibility in defaults.items() if visibility == "site"]
    if open_to_all:
        ways.append({**_none_of(VISIBILITIES), "$or": in_projects(open_to_all)})
    if _asked_first(_none_of(["private"])) not in ways:
        ways.append({VISIBILITY: "site"})
    return ways


def _none_of(visibilities: Iterable[str]) -> _Filter:
    """In this form no index serves it. With $nin MongoDB takes the one for counting, and reads runs in no order."""
    return {"$nor": [{VISIBILITY: {"$in": list(visibilities)}}]}


def _asked_first(condition: _Filter) -> _Filter:
    """The same condition as two, which MongoDB asks before single ones: most runs are then asked nothing else."""
    return {**condition, "_id": {"$exists": True}}


def _by_name(principal: Principal) -> list[_Filter]:
    ways: list[_Filter] = []
    if principal.owner_names:  # runs without an owner are not those of whoever has no name
        ways.append({OWNER: {"$in": list(principal.owner_names)}})
    if principal.name:
        ways.append({SHARED_PEOPLE: principal.name})
    if principal.groups:
        ways.append({SHARED_GROUPS: {"$in": sorted(principal.groups)}})
    return ways


def _by_role(principal: Principal, defaults: Mapping[str, Visibility]) -> list[_Filter]:
    """What is not private, and where a project's default is: what says itself that the project sees it."""
    closed = {project for project, visibility in defaults.items() if visibility == "private"}
    if ALL_PROJECTS in principal.roles:
        if not closed:
            return [_asked_first(_none_of(["private"]))]
        return [{VISIBILITY: "project"}, {"$nor": [*_none_of(VISIBILITIES)["$nor"], *in_projects(closed)]}]
    mine = set(principal.roles)
    ways: list[_Filter] = []
    if mine - closed:
        ways.append({**_none_of(["private"]), "$or": in_projects(mine - closed)})
    if mine & closed:
        ways.append({VISIBILITY: "project", "$or": in_projects(mine & closed)})
    return ways


def in_projects(names: Any) -> list[_Filter]:
    """Runs of these projects; one that names none belongs to that of its experiment's name, as `match_project` says."""
    chosen = sorted(names)
    choices: list[_Filter] = [
        {PROJECT: {"$in": chosen}},
        {PROJECT: _NO_NAME, EXPERIMENT_NAME: {"$in": chosen}},
    ]
    if UNNAMED in chosen:
        choices.append({PROJECT: _NO_NAME, EXPERIMENT_NAME: _NO_NAME})
    return choices
