"""Where a person's name, address and account stand: what an export collects and an erasure takes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..foreign_runs import mapping, text

if TYPE_CHECKING:
    from pymongo.database import Database

SHORTEST_WORD = 3  # a shorter name is found as a whole value only


@dataclass(frozen=True)
class Person:
    """Somebody, by all names that stored records may have for them.

    Attributes:
        name: of the account, or the login name that runs have as their owner.
        words: further ones: full name, e-mail address, other login names.
    """

    name: str
    words: tuple[str, ...] = ()

    @property
    def logins(self) -> tuple[str, ...]:
        """What `owner` and the like may say: one word without spaces."""
        return tuple(dict.fromkeys((self.name, *(word for word in self.words if not re.search(r"[\s@]", word)))))


@dataclass(frozen=True)
class Place:
    """A field that holds a login name and nothing else, or one of a list of them."""

    collection: str
    field: str
    is_list: bool = False


# A new field that names a person is a row.
PLACES: tuple[Place, ...] = (
    Place("runs", "cloister.owner"),
    Place("runs", "cloister.shared_with.people", is_list=True),
    Place("runs", "cloister.hold.by"),
    Place("trash", "cloister.owner"),
    Place("trash", "cloister.shared_with.people", is_list=True),
    Place("trash", "cloister.hold.by"),
    Place("projects", "hold.by"),
    Place("projects", "retention_changed.by"),
    Place("policy", "changed_by"),
    Place("tombstones", "by"),
    Place("tombstones", "purged_by"),
    Place("purges", "by"),
    Place("purges", "cloister.owner"),
    Place("purges", "cloister.shared_with.people", is_list=True),
    Place("shares", "made_by"),
    Place("views", "owner"),
    Place("reports", "owner"),
    Place("reports", "changed_by"),
    Place("report_versions", "changed_by"),
    Place("groups", "people", is_list=True),
    Place("layouts", "owner"),
)
# Documents that are this person's and nobody else's. What proves who they are is never exported.
OWN: tuple[tuple[str, str], ...] = (
    ("users", "_id"),
    ("sessions", "user"),
    ("tokens", "user"),
    ("pending_sign_ins", "user"),
    ("layouts", "person"),
)
SECRET_FIELDS = frozenset({"password", "totp", "recovery", "hash", "totp_offered", "_id"})


def find_person(database: Database[dict[str, Any]], name: str, also: Sequence[str] = ()) -> Person:
    """The person of this name, with what their account says of them."""
    account = database["users"].find_one({"_id": {"$eq": name}}) or {}
    words = [text(account.get("full_name")), text(account.get("email")), *also]
    return Person(name, tuple(dict.fromkeys(word.strip() for word in words if len(word.strip()) >= SHORTEST_WORD)))


def matching(place: Place, person: Person) -> dict[str, Any]:
    """The condition that a document meets which names the person there: as it is, or as `ana@host`."""
    exact: list[Any] = list(person.logins)
    return {place.field: {"$in": [*exact, *(re.compile(f"^{re.escape(login)}@[^@ ]*$") for login in person.logins)]}}


def own_runs(person: Person) -> dict[str, Any]:
    """The condition that the person's own runs meet."""
    return {"$or": [{"cloister.owner": {"$in": list(person.logins)}}, {"host.user": {"$in": list(person.logins)}}]}


def replacer(person: Person, pseudonym: str) -> Callable[[str], str]:
    """Takes the person out of a text: names and addresses as words, the login name where it is one.

    A login name by itself may be any word of a text; it counts as whole value, in a home folder, before or after an @.
    """
    words = [word for word in person.words if word not in person.logins]
    ways = [rf"(?<![\w.-]){re.escape(word)}(?![\w-])" for word in sorted(words, key=len, reverse=True)]
    for login in person.logins:
        escaped = re.escape(login)
        ways.append(rf"(?<=/home/){escaped}(?![\w-])")
        ways.append(rf"(?<=/Users/){escaped}(?![\w-])")
        ways.append(rf"(?<=\\Users\\){escaped}(?![\w-])")
        ways.append(rf"(?<=@){escaped}(?![\w.-])")
        ways.append(rf"(?<![\w.-]){escaped}(?=@[\w.-])")
    pattern = re.compile("|".join(ways), re.IGNORECASE)
    whole = {login.casefold() for login in person.logins}

    def replace(given: str) -> str:
        if given.casefold() in whole:
            return pseudonym
        return pattern.sub(lambda _found: pseudonym, given)

    return replace


# Fields of a run's document that `PLACES` has.
IN_PLACES = frozenset({"cloister.owner", "cloister.shared_with", "cloister.hold"})
# What a run computed with stays as it is, however much a value of it looks like a name.
LEFT_ALONE = frozenset({"_id", "status", "format", "captured_out"})
WHOLE_VALUES_STAY = frozenset({"config", "result", "command"})


def replaced(value: Any, replace: Callable[[str], str], *, whole: bool = True) -> Any:
    """`value` with each text in it replaced; the same object where nothing is.

    Args:
        whole: whether a text that is nothing but the login name is one.
    """
    if isinstance(value, str):
        fresh = replace(value)
        is_word = fresh != value and not re.search(r"[\s/@\\]", value)
        return value if (is_word and not whole) or fresh == value else fresh
    if isinstance(value, Mapping):
        pairs = {key: replaced(inner, replace, whole=whole) for key, inner in value.items()}
        return pairs if any(pairs[key] is not value[key] for key in pairs) else value
    if isinstance(value, (list, tuple)):
        items = [replaced(inner, replace, whole=whole) for inner in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def changed_fields(
    document: Mapping[str, Any], replace: Callable[[str], str], *, but: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """What to set in a run's document so that it does not name the person any more.

    Args:
        but: fields that are left to somebody else.
    """
    changes: dict[str, Any] = {}
    for field, value in _fields(document):
        if field in but:
            continue
        fresh = replaced(value, replace, whole=field.split(".")[0] not in WHOLE_VALUES_STAY)
        if fresh is not value:
            changes[field] = fresh
    output = document.get("captured_out")
    if isinstance(output, str) and replace(output) != output:
        changes["captured_out"] = replace(output)
    return changes


def _fields(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Fields that are set as a whole: those of `cloister` one by one, since a courier may write others of them."""
    for name, value in document.items():
        if name in LEFT_ALONE:
            continue
        if name == "cloister":
            yield from ((f"cloister.{inner}", each) for inner, each in mapping(value).items() if inner not in _COUNTED)
        else:
            yield name, value


_COUNTED = frozenset(
    {"uid", "schema", "version", "journal", "losses", "lost", "console", "summary", "system", "uploads"}
)
