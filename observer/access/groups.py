"""The collection `groups`: people who get rights together."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from ..errors import CloisterError
from ..foreign_runs import sequence
from ..run_record import SHARED_GROUPS

if TYPE_CHECKING:
    from pymongo.database import Database

GROUPS = "groups"
PEOPLE_LIMIT = 5_000
_NAME = re.compile(r"[\w][\w.@+ -]{0,62}[\w]|\w")


class BadGroupName(CloisterError, ValueError):
    """A name that no group can have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name[:80]!r} cannot be the name of a group. Take 1 to 64 letters, digits, or . _ - @ + and spaces "
            "between them, such as vision."
        )


class GroupExists(CloisterError, ValueError):
    """A group is to be made whose name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is a group {name!r} already. Change that one, or take another name.")


class GroupNotFound(CloisterError, LookupError):
    """No group has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no group {name!r}. /privacy/groups lists those there are.")


class GroupFromOutside(CloisterError, ValueError):
    """The people of a group are to be changed that an identity provider rules."""

    def __init__(self, name: str, source: str) -> None:
        super().__init__(
            f"Who is in the group {name!r} says {source.upper()}, at each sign-in. Change it there, or make a group of "
            "another name here."
        )


@dataclass(frozen=True)
class Group:
    """People by name. `source` names the identity provider that says who is in it; "" for a group made here."""

    name: str
    people: tuple[str, ...]
    source: str = ""


def list_groups(database: Database[dict[str, Any]]) -> tuple[Group, ...]:
    """All groups by name."""
    return tuple(map(_read, database[GROUPS].find({}).sort("_id", 1)))


def find_group(database: Database[dict[str, Any]], name: str) -> Group:
    """One group.

    Raises:
        GroupNotFound: there is none.
    """
    document = database[GROUPS].find_one({"_id": {"$eq": name}})
    if document is None:
        raise GroupNotFound(name)
    return _read(document)


def add_group(database: Database[dict[str, Any]], name: str) -> Group:
    """A new group without people.

    Raises:
        BadGroupName, GroupExists
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise BadGroupName(name)
    try:
        database[GROUPS].insert_one({"_id": name, "people": []})
    except DuplicateKeyError:
        raise GroupExists(name) from None
    return Group(name, ())


def set_people(database: Database[dict[str, Any]], name: str, people: Iterable[str]) -> Group:
    """Have exactly these be in the group.

    Raises:
        GroupNotFound, GroupFromOutside
    """
    group = find_group(database, name)
    if group.source:
        raise GroupFromOutside(name, group.source)
    chosen = sorted(set(people))[:PEOPLE_LIMIT]
    database[GROUPS].update_one({"_id": group.name}, {"$set": {"people": chosen}})
    return Group(group.name, tuple(chosen))


def remove_group(
    database: Database[dict[str, Any]], name: str, run_databases: Iterable[Database[dict[str, Any]]] = ()
) -> Group:
    """Remove a group from all that it had a right to: a later group of the same name begins without any.

    Args:
        run_databases: further databases with runs that may be shared with it.

    Raises:
        GroupNotFound: there is none.
    """
    group = find_group(database, name)
    database["projects"].update_many({}, {"$pull": {"members": {"kind": "group", "name": group.name}}})
    for each in (database, *run_databases):
        each["runs"].update_many({SHARED_GROUPS: group.name}, {"$pull": {SHARED_GROUPS: group.name}})
    database[GROUPS].delete_one({"_id": group.name})
    return group


def _read(document: dict[str, Any]) -> Group:
    people = tuple(sorted(name for name in sequence(document.get("people")) if isinstance(name, str)))
    source = document.get("source")
    return Group(str(document["_id"]), people, source if isinstance(source, str) and source != "local" else "")
