"""Groups and the members of projects as they are stored, and what follows from them for one account."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..foreign_runs import mapping, sequence
from ..redaction.site_pseudonyms import site_pseudonym
from .principal import ALL_SCOPES, ROLES, VISIBILITIES, Kind, Principal, Role, Scope, SiteRole, Visibility, highest_role

if TYPE_CHECKING:
    from pymongo.database import Database


def load_principal(
    database: Database[dict[str, Any]],
    name: str,
    *,
    kind: Kind = "person",
    site: Collection[SiteRole] = (),
    scopes: Collection[Scope] = ALL_SCOPES,
    projects: Collection[str] | None = None,
    groups: frozenset[str] | None = None,
) -> Principal:
    """The account `name` with its groups and roles, as `database`, the first one that a viewer serves, has them now.

    Args:
        projects: those that a token is limited to.
        groups: instead of the groups that the account is in.
    """
    groups = groups_of(database, name) if groups is None else groups
    settings = list(database["projects"].find(_that_concerns(name, groups), {"visibility": 1, "members": 1}))
    return Principal(
        name,
        kind,
        groups=groups,
        roles=_roles(settings, name, groups),
        site=frozenset(site),
        scopes=frozenset(scopes),
        projects=None if projects is None else frozenset(projects),
        defaults=read_defaults(settings),
        pseudonym=site_pseudonym("person", name),
    )


def groups_of(database: Database[dict[str, Any]], name: str) -> frozenset[str]:
    return frozenset(str(found["_id"]) for found in database["groups"].find({"people": name}, {"_id": 1}))


def load_defaults(database: Database[dict[str, Any]]) -> dict[str, Visibility]:
    """Who sees runs that say nothing themselves, of the projects that have chosen other than "project"."""
    return read_defaults(database["projects"].find({"visibility": {"$in": ["private", "site"]}}, {"visibility": 1}))


def read_defaults(settings: Iterable[Mapping[str, Any]]) -> dict[str, Visibility]:
    """Who sees runs that say nothing themselves, of the projects that have chosen."""
    return {
        str(project["_id"]): project["visibility"]
        for project in settings
        if project.get("visibility") in VISIBILITIES and project["visibility"] != "project"
    }


def _that_concerns(name: str, groups: Collection[str]) -> dict[str, Any]:
    return {
        "$or": [
            {"visibility": {"$in": ["private", "site"]}},
            {"members": {"$elemMatch": {"kind": "person", "name": name}}},
            {"members": {"$elemMatch": {"kind": "group", "name": {"$in": sorted(groups)}}}},
        ]
    }


def _roles(settings: Iterable[Mapping[str, Any]], name: str, groups: Collection[str]) -> dict[str, Role]:
    roles: dict[str, Role] = {}
    for project in settings:
        given = [
            member["role"]
            for member in map(mapping, sequence(project.get("members")))
            if _is_of(member, name, groups) and member.get("role") in ROLES
        ]
        role = highest_role(*given)
        if role is not None:
            roles[str(project["_id"])] = role
    return roles


def _is_of(member: Mapping[str, Any], name: str, groups: Collection[str]) -> bool:
    if member.get("kind") == "group":
        return member.get("name") in groups
    return member.get("kind") == "person" and member.get("name") == name
