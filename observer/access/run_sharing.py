"""Who sees a run, as the run says it: reading the words people use, and changing it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from ..errors import CloisterError
from ..mongo import stored_for_good
from ..run_record import SHARED_GROUPS, SHARED_PEOPLE, UID, UPDATED_AT, VISIBILITY
from .principal import Visibility

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..run_record import RunId

GROUP_PREFIX = "group:"
NAMES_LIMIT = 200
NAME_LENGTH = 200


class BadVisibility(CloisterError, ValueError):
    """A run is to be seen in a way that there is not."""

    def __init__(self, given: object) -> None:
        super().__init__(
            f"{given!r} is no visibility. It is private (its owner and whom it is shared with), project (whoever has a "
            "role in its project) or site (everybody signed in)."
        )


class BadSharing(CloisterError, ValueError):
    """A run is to be shared with something that is no name."""

    def __init__(self, given: object) -> None:
        shown = repr(given) if len(repr(given)) <= 80 else repr(given)[:77] + "..."
        super().__init__(
            f"A run cannot be shared with {shown}. Give names of people, and of groups as 'group:vision'; "
            f"{NAMES_LIMIT} are the most."
        )


@dataclass(frozen=True)
class Sharing:
    """Who sees a run.

    Attributes:
        visibility: "" where the project decides.
        people, groups: who sees it besides, by name.
    """

    visibility: Visibility | str = ""
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def as_stored(self) -> dict[str, Any]:
        return {"people": list(self.people), "groups": list(self.groups)}


def parse_visibility(given: object) -> Visibility:
    """One of the three words.

    Raises:
        BadVisibility: it is another one.
    """
    for visibility in get_args(Visibility):
        if given == visibility:
            return visibility  # type: ignore[no-any-return]
    raise BadVisibility(given)


def parse_shared_with(given: str | Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """People and groups out of `["ana", "group:vision"]`, or out of one text: with commas between them, else spaces.

    Raises:
        BadSharing: something in it is no name.
    """
    if isinstance(given, str):
        words = [word for word in (given.split(",") if "," in given else given.split()) if word.strip()]
    else:
        words = list(given)
    if len(words) > NAMES_LIMIT:
        raise BadSharing(f"{len(words)} names")
    people: list[str] = []
    groups: list[str] = []
    for word in words:
        if not isinstance(word, str):
            raise BadSharing(word)
        is_group = word.strip().startswith(GROUP_PREFIX)
        (groups if is_group else people).append(_checked(word.strip().removeprefix(GROUP_PREFIX)))
    return tuple(dict.fromkeys(people)), tuple(dict.fromkeys(groups))


def _checked(name: str) -> str:
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable() or name.startswith("$"):
        raise BadSharing(name)
    return name.strip()


def store_sharing(database: Database[dict[str, Any]], run_id: RunId, sharing: Sharing) -> bool:
    """Have this run be seen so; False where there is none, or none that the database's reader sees."""
    changes: dict[str, Any] = {"$set": {SHARED_PEOPLE: list(sharing.people), SHARED_GROUPS: list(sharing.groups)}}
    if sharing.visibility:
        changes["$set"][VISIBILITY] = parse_visibility(sharing.visibility)
    else:
        changes["$unset"] = {VISIBILITY: ""}
    runs = stored_for_good(database)["runs"]
    if not runs.update_one({"_id": {"$eq": run_id}}, changes).matched_count:
        return False
    # What nothing of ours records has no such time: readers tell Sacred's runs by that.
    runs.update_one({"_id": {"$eq": run_id}, UID: {"$type": "string"}}, {"$currentDate": {UPDATED_AT: True}})
    return True


def unknown_names(database: Database[dict[str, Any]], people: Collection[str], groups: Collection[str]) -> list[str]:
    """Which of these are names of nobody, in the database with the accounts."""
    known_people = {each["_id"] for each in database["users"].find({"_id": {"$in": list(people)}}, {"_id": 1})}
    known_groups = {each["_id"] for each in database["groups"].find({"_id": {"$in": list(groups)}}, {"_id": 1})}
    return [
        *(name for name in people if name not in known_people),
        *(GROUP_PREFIX + name for name in groups if name not in known_groups),
    ]
