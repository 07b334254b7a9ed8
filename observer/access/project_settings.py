"""The collection `projects`: what is chosen for a project, who has which role in it, who sees its runs by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from ..errors import CloisterError
from ..foreign_runs import mapping, sequence
from .principal import ALL_PROJECTS, DEFAULT_VISIBILITY, ROLES, VISIBILITIES, Principal, Role, Visibility
from .run_sharing import BadSharing, parse_visibility

if TYPE_CHECKING:
    from pymongo.database import Database

PROJECTS = "projects"
MEMBERS_LIMIT = 2_000
MemberKind = Literal["person", "group"]


class BadRole(CloisterError, ValueError):
    """A member is to have a role that there is not."""

    def __init__(self, given: object) -> None:
        super().__init__(
            f"{given!r} is no role. A viewer sees the project's runs, an editor also changes what is written beside "
            "them, an admin also manages members and settings."
        )


class TooManyMembers(CloisterError, ValueError):
    """A project is to have more members than is sensible."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} members are too many, {MEMBERS_LIMIT} the most. Make a group of them.")


@dataclass(frozen=True)
class Member:
    """A person or a group with a role in a project."""

    kind: MemberKind
    name: str
    role: Role

    def as_stored(self) -> dict[str, str]:
        return {"kind": self.kind, "name": self.name, "role": self.role}


@dataclass(frozen=True)
class ProjectSettings:
    """What has been chosen for a project, or holds where nothing was."""

    name: str
    visibility: Visibility = DEFAULT_VISIBILITY
    members: tuple[Member, ...] = ()


def load_settings_of(database: Database[dict[str, Any]], project: str) -> ProjectSettings:
    """The settings of a project; of one that nobody has set up what holds then."""
    document = database[PROJECTS].find_one({"_id": {"$eq": project}}, {"visibility": 1, "members": 1})
    return ProjectSettings(project) if document is None else _read(document)


def list_settings(database: Database[dict[str, Any]]) -> dict[str, ProjectSettings]:
    """All projects that have settings, by name."""
    living = {"renamed_to": None}  # of a project that was renamed only its old name is left: project_aliases.py
    settings = database[PROJECTS].find(living, {"visibility": 1, "members": 1})
    return {str(found["_id"]): _read(found) for found in settings}


def set_default_visibility(database: Database[dict[str, Any]], project: str, visibility: str) -> None:
    """Who sees runs of the project that say nothing themselves.

    Raises:
        BadVisibility: there is no such one.
    """
    _change(database, project, {"$set": {"visibility": parse_visibility(visibility)}})


def set_members(database: Database[dict[str, Any]], project: str, members: Iterable[Member]) -> None:
    """Have exactly these members. Of one that is named twice the last role counts.

    Raises:
        TooManyMembers, BadSharing
    """
    chosen = {(member.kind, member.name): member for member in members}
    if len(chosen) > MEMBERS_LIMIT:
        raise TooManyMembers(len(chosen))
    _change(database, project, {"$set": {"members": [member.as_stored() for member in chosen.values()]}})


def put_member(database: Database[dict[str, Any]], project: str, member: Member) -> None:
    """Give one member a role, instead of the one it has; raises as `set_members`."""
    known = load_settings_of(database, project).members
    set_members(database, project, [*(each for each in known if not _is_same(each, member)), member])


def remove_member(database: Database[dict[str, Any]], project: str, kind: str, name: str) -> bool:
    """Take a member's role away; False where there was none."""
    gone = database[PROJECTS].update_one({"_id": project}, {"$pull": {"members": {"kind": kind, "name": name}}})
    return bool(gone.modified_count)


def parse_member(kind: object, name: object, role: object) -> Member:
    """A member out of what somebody typed.

    Raises:
        BadRole, BadSharing
    """
    if role not in ROLES:
        raise BadRole(role)
    if kind not in ("person", "group") or not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise BadSharing(name)
    return Member(kind, name.strip(), role)


def managed_projects(principal: Principal, names: Iterable[str]) -> list[str]:
    """Of these projects those whose settings the principal may change."""
    return [name for name in names if principal.may("manage", project=name) and name != ALL_PROJECTS]


def _change(database: Database[dict[str, Any]], project: str, changes: Mapping[str, Any]) -> None:
    made = {"created_at": datetime.now(timezone.utc)}
    database[PROJECTS].update_one({"_id": project}, {**changes, "$setOnInsert": made}, upsert=True)


def _is_same(one: Member, other: Member) -> bool:
    return (one.kind, one.name) == (other.kind, other.name)


def _read(document: Mapping[str, Any]) -> ProjectSettings:
    visibility = document.get("visibility")
    members = [
        Member(each["kind"], each["name"], each["role"])
        for each in map(mapping, sequence(document.get("members")))
        if each.get("kind") in ("person", "group") and isinstance(each.get("name"), str) and each.get("role") in ROLES
    ]
    return ProjectSettings(
        str(document["_id"]),
        visibility if visibility in VISIBILITIES else DEFAULT_VISIBILITY,
        tuple(sorted(members, key=lambda member: (-ROLES.index(member.role), member.kind, member.name))),
    )
