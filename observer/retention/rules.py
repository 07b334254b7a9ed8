"""How long what is kept: days for each kind of records, of the site and of each project. The shorter time wins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..foreign_runs import mapping
from ..mongo import stored_for_good
from .errors import BadRetention, UnknownKind
from .tombstones import now

if TYPE_CHECKING:
    from pymongo.database import Database

TRASH_DAYS = 30.0  # where nobody has said anything
LONGEST_DAYS = 36_525.0
SHORTEST_DAYS = 1 / 24
SITE = "site"  # the id of the policy's document
_DAYS = {"h": 1 / 24, "d": 1.0, "": 1.0, "w": 7.0, "m": 30.0, "y": 365.0}
_AGE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?([hdwmy]?)", re.ASCII)


@dataclass(frozen=True)
class Kind:
    """A kind of records that may be kept for less time than the rest of its run.

    Attributes:
        name: stored in rules and reports, so it never changes once released.
        title: on pages.
        what: what goes, in words.
        stays: what the run still shows afterwards.
    """

    name: str
    title: str
    what: str
    stays: str


KINDS: tuple[Kind, ...] = (
    Kind("console", "Console", "what the run printed", "how many lines there were"),
    Kind("artifacts", "Artifacts and media", "the bytes of the files that the run made", "their names, sizes, digests"),
    Kind("sources", "Sources", "the code of the run and what was not committed", "file names, digests, the git commit"),
    Kind("metrics", "Metrics", "all points of all metrics", "the last, lowest and highest value of each"),
    Kind("runs", "Whole runs", "everything; the run goes into the trash first", "nothing"),
    Kind("trash", "Trash", "deleted runs, for good", "a report that they are gone"),
)
NAMES = [kind.name for kind in KINDS]


@dataclass(frozen=True)
class Rules:
    """Days by kind; a kind that is not there is kept for ever, the trash `TRASH_DAYS`.

    Attributes:
        site: what the site's policy says for all projects.
        projects: what it says for some.
        own: what projects say of themselves.
    """

    site: Mapping[str, float]
    projects: Mapping[str, Mapping[str, float]]
    own: Mapping[str, Mapping[str, float]]

    def days(self, project: str, kind: str) -> float | None:
        """How long records of this kind are kept in a project; None: for ever."""
        said = [given[kind] for given in self._sayings(project) if kind in given]
        return min(said, default=TRASH_DAYS if kind == "trash" else None)

    def source(self, project: str, kind: str) -> str:
        """Who says so: "project", "site", or "" where nobody does."""
        days = self.days(project, kind)
        own = self.own.get(project, {}).get(kind)
        if own is not None and own == days:
            return "project"
        return SITE if any(kind in given for given in self._sayings(project)[:2]) else ""

    def has_any(self, project: str) -> bool:
        return any(self.days(project, kind) is not None for kind in NAMES if kind != "trash")

    def _sayings(self, project: str) -> tuple[Mapping[str, float], ...]:
        return self.site, self.projects.get(project, {}), self.own.get(project, {})


def load_rules(database: Database[dict[str, Any]]) -> Rules:
    """The rules in force.

    Raises:
        UnknownPolicyKey, BadPolicy, UnreadablePolicy, BadRetention, UnknownKind: the policy, or what a project says,
            cannot be understood. Nothing may be deleted by age then.
    """
    from ..policy import load_policy

    site = dict(load_policy(database).retention)
    projects = mapping(site.pop("projects", {}))
    own = {
        str(found["_id"]): read_days(mapping(found["retention"]))
        for found in database["projects"].find({"retention": {"$exists": True}}, {"retention": 1})
    }
    return Rules(read_days(site), {str(name): read_days(mapping(each)) for name, each in projects.items()}, own)


def read_days(given: Mapping[str, Any]) -> dict[str, float]:
    """A stored or written table of kinds as days.

    Raises:
        BadRetention, UnknownKind: it is none.
    """
    found = {}
    for kind, value in given.items():
        days = parse_age(kind, value)
        if days is not None:
            found[kind] = days
    return found


def parse_age(kind: object, value: object) -> float | None:
    """`90`, `"90d"`, `"12w"`, `"2y"` in days; None for `"never"`.

    Raises:
        UnknownKind: there is no such kind of records.
        BadRetention: it is no age.
    """
    if kind not in NAMES:
        raise UnknownKind(kind, NAMES)
    if value is None or value == "never":
        return None
    days = -1.0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        days = float(value)
    elif isinstance(value, str) and (match := _AGE.fullmatch(value.strip().lower())):
        days = float(match[1]) * _DAYS[match[2]]
    if not SHORTEST_DAYS <= days <= LONGEST_DAYS:
        raise BadRetention(str(kind), value)
    return days


def age_words(days: float | None) -> str:
    """`30 days`, `12 hours`, `for ever`."""
    if days is None:
        return "for ever"
    amount, unit = (days, "day") if days >= 1 else (days * 24, "hour")
    return f"{amount:g} {unit}{'' if amount == 1 else 's'}"


def known_projects(database: Database[dict[str, Any]]) -> list[str]:
    """All projects that have runs, in `runs` or in the trash, or settings."""
    from ..project_lists import list_projects
    from .tombstones import TOMBSTONES

    found = {project.name for project in list_projects(database)}
    found.update(str(each["_id"]) for each in database["projects"].find({"renamed_to": None}, {"_id": 1}))
    found.update(str(each) for each in database[TOMBSTONES].distinct("project", {"state": "trash"}))
    return sorted(found)


def set_project_days(
    database: Database[dict[str, Any]], project: str, changes: Mapping[str, float | None], *, by: str
) -> None:
    """Change a project's own rules; None takes one away, so that the site's holds."""
    _set(database, "projects", project, "retention", changes, by)


def set_site_days(database: Database[dict[str, Any]], changes: Mapping[str, float | None], *, by: str) -> None:
    """Change the rules of the database's policy. A policy file may still say less."""
    _set(database, "policy", SITE, "retention", changes, by)


def _set(
    database: Database[dict[str, Any]], name: str, key: str, field: str, changes: Mapping[str, float | None], by: str
) -> None:
    said = {f"{field}.{kind}": days for kind, days in changes.items() if days is not None}
    gone = {f"{field}.{kind}": "" for kind, days in changes.items() if days is None}
    mark = (
        {"changed_at": now(), "changed_by": by} if name == "policy" else {f"{field}_changed": {"at": now(), "by": by}}
    )
    born = {"$setOnInsert": {"created_at": now()}} if name == "projects" else {}
    update = {"$set": {**said, **mark}, **({"$unset": gone} if gone else {}), **born}
    stored_for_good(database)[name].update_one({"_id": key}, update, upsert=True)


def policy_table(value: Any) -> dict[str, Any]:
    """What a policy says of retention, in days.

    Raises:
        ValueError: with what it should be.
    """
    if not isinstance(value, Mapping):
        raise ValueError("a table")
    site = {name: each for name, each in value.items() if name != "projects"}
    try:
        projects = {str(name): read_days(mapping(each)) for name, each in mapping(value.get("projects")).items()}
        return {**read_days(site), **({"projects": projects} if projects else {})}
    except (BadRetention, UnknownKind) as error:
        raise ValueError(f"a table of how long each kind of records is kept: {error}") from error
