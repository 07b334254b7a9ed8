"""From an account to a principal: groups, roles in projects, what projects show by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...observer.access.principal import (
    ALL_SCOPES,
    ROLES,
    VISIBILITIES,
    Kind,
    Principal,
    Role,
    Scope,
    Visibility,
    highest_role,
)

if TYPE_CHECKING:
    from pymongo.database import Database

    from .users import User


@dataclass(frozen=True)
class TokenLimits:
    """What a token may do of all that its owner may."""

    scopes: frozenset[Scope] = ALL_SCOPES
    projects: frozenset[str] | None = None


def principal_of(
    database: Database[dict[str, Any]], user: User, *, kind: Kind = "person", limits: TokenLimits | None = None
) -> Principal:
    """`user` as the access rules know somebody, read from the database as it is now."""
    limits = limits or TokenLimits()
    groups = frozenset(group["_id"] for group in database["groups"].find({"people": user.name}, {"_id": 1}))
    roles, defaults = _read_projects(database, user.name, groups)
    return Principal(
        user.name,
        kind,
        groups=groups,
        roles=roles,
        site=user.site,  # type: ignore[arg-type]  # `parse_user` keeps the two that there are
        scopes=limits.scopes,
        projects=limits.projects,
        defaults=defaults,
    )


def _read_projects(
    database: Database[dict[str, Any]], name: str, groups: frozenset[str]
) -> tuple[dict[str, Role], dict[str, Visibility]]:
    roles: dict[str, Role] = {}
    defaults: dict[str, Visibility] = {}
    asked = {"$or": [{"members.0": {"$exists": True}}, {"visibility": {"$in": list(VISIBILITIES)}}]}
    for project in database["projects"].find(asked, {"members": 1, "visibility": 1}):
        if project.get("visibility") in VISIBILITIES:
            defaults[project["_id"]] = project["visibility"]
        for member in project.get("members") or ():
            is_mine = member.get("name") in groups if member.get("kind") == "group" else member.get("name") == name
            if is_mine and member.get("role") in ROLES:
                role = highest_role(roles.get(project["_id"]), member["role"])
                assert role is not None
                roles[project["_id"]] = role
    return roles, defaults
