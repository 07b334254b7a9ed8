"""View as: the site as somebody else, or whoever has some role, would see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import CloisterError
from ..foreign_runs import mapping
from .memberships import load_defaults, load_principal
from .principal import ROLES, Principal, Role

if TYPE_CHECKING:
    from pymongo.database import Database

ViewAsKind = Literal["person", "group", "role", "signed-in"]


class CannotViewAs(CloisterError, LookupError):
    """Somebody wants to look at the site as one whom there is not, or whom they have no part in."""

    def __init__(self, whom: str) -> None:
        super().__init__(
            f"You cannot view the site as {whom}. A site admin can choose every person, group and role; an admin of a "
            "project the roles in it and its members; everybody else whoever they share a run with, and all signed in."
        )


def principal_viewed_as(database: Database[dict[str, Any]], own: Principal, chosen: Any) -> Principal:
    """What a session's `view_as` makes of `own`: another principal to look as, or `own` where nothing is chosen.

    Nothing is ever seen that `own` does not see itself, so a choice that was made with more rights does no harm.
    """
    choice = mapping(chosen)
    if not choice:
        return own
    return own.looking_as(read_choice(database, choice))


def read_choice(database: Database[dict[str, Any]], choice: Mapping[str, Any]) -> Principal:
    """The principal that a choice describes; one with no part in anything where it describes none."""
    name, project, role = (str(choice.get(key) or "") for key in ("name", "project", "role"))
    defaults = load_defaults(database)
    kind = choice.get("kind")
    if kind == "person":
        user = mapping(database["users"].find_one({"_id": name}, {"site": 1}))
        return load_principal(database, name, site=[each for each in user.get("site") or () if each in _SITE])
    if kind == "group":
        return load_principal(database, "", groups=frozenset({name}))
    if kind == "role" and role in ROLES:
        return Principal("", "person", roles={project: _role(role)}, defaults=defaults)
    return Principal("", "person", defaults=defaults)


def describe_choice(choice: Mapping[str, Any]) -> str:
    """Whom somebody looks as, in words: "ana", "the group vision", "a viewer of digits", "anybody signed in"."""
    kind = choice.get("kind")
    if kind == "person":
        return str(choice.get("name"))
    if kind == "group":
        return f"the group {choice.get('name')}"
    if kind == "role":
        article = "an" if str(choice.get("role"))[:1] in "aeiou" else "a"
        return f"{article} {choice.get('role')} of {choice.get('project')}"
    return "anybody signed in"


_SITE = ("admin", "auditor")


def _role(word: str) -> Role:
    assert word in get_args(Role)
    return word  # type: ignore[return-value]  # one of the three, as was just seen
