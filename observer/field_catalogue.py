"""Which fields runs have: to be found by a search, and those in which some runs differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .project_lists import config_keys, metric_names
from .query.fields import RUN_FIELDS, Family, find_field, metric_field
from .run_order import sort_value
from .run_query import KEEP_LISTED, LISTED, match_project
from .run_record import SUMMARY, UID

if TYPE_CHECKING:
    from pymongo.database import Database

    from .run_record import RunRecord

SEARCHED_RUNS = 1000


@dataclass(frozen=True)
class FieldInfo:
    """A field that runs have.

    Attributes:
        key: as columns, sorts and queries name it.
        kind: "run", "config", "metrics", "git" or "env".
        title: for people.
        run_count: how many of the runs have it.
        types: which types its values have: "number", "text", "bool", "list", "other".
    """

    key: str
    kind: Family
    title: str
    run_count: int
    types: tuple[str, ...]


def find_fields(
    database: Database[dict[str, Any]],
    project: str | None,
    text: str = "",
    limit: int = 50,
    *,
    surveyed: Mapping[tuple[Family, str], int] | None = None,
) -> tuple[FieldInfo, ...]:
    """The fields with `text` in their key, in any case: those of every run first, then the most widespread ones.

    Args:
        surveyed: how many of all runs have which fields, where that is known; the newest runs are looked at anyway.
    """
    return choose_fields(catalogue_of(database, project, surveyed or {}), text, limit)


def choose_fields(infos: Iterable[FieldInfo], text: str, limit: int) -> tuple[FieldInfo, ...]:
    """The first ones with all words of `text` in their key, in any case."""
    words = text.lower().split()
    return tuple(itertools.islice((info for info in infos if all(word in info.key.lower() for word in words)), limit))


def catalogue_of(
    database: Database[dict[str, Any]], project: str | None, surveyed: Mapping[tuple[Family, str], int]
) -> tuple[FieldInfo, ...]:
    """All fields, as `find_fields` says."""
    found = database["runs"].aggregate(
        [
            *([{"$match": match_project(project)}] if project is not None else []),
            {"$sort": {"start_time": -1}},
            {"$limit": SEARCHED_RUNS},
            KEEP_LISTED,
            {"$project": {"config": 1, SUMMARY: 1, UID: 1, "cloister.encoder": 1, f"{LISTED}.name": 1}},
        ]
    )
    counts: dict[tuple[Family, str], int] = {}
    types: dict[tuple[Family, str], set[str]] = {}
    run_count = 0
    for document in found:
        run_count += 1
        for key in config_keys(document):
            counts["config", key] = counts.get(("config", key), 0) + 1
            types.setdefault(("config", key), set()).add(type_name(_at(document.get("config"), key)))
        for name in metric_names(document):
            counts["metrics", name] = counts.get(("metrics", name), 0) + 1
    for place, count in surveyed.items():
        counts[place] = max(count, counts.get(place, 0))
    infos = [FieldInfo(key, "run", key, run_count, (field.kind,)) for key, field in RUN_FIELDS.items()]
    for (family, name), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        field = metric_field(name) if family == "metrics" else find_field(f"config.{name}")
        kinds = ("number",) if family == "metrics" else tuple(sorted(types.get((family, name), ())))
        infos.append(FieldInfo(field.key, family, field.title, count, kinds))
    return tuple(infos)


def find_values(
    database: Database[dict[str, Any]], key: str, project: str | None, text: str = "", limit: int = 20
) -> tuple[Any, ...]:
    """Different texts, numbers and truths of a field of the newest runs, those of lists too, the most frequent first.

    Raises:
        UnknownField: there is no such field.
    """
    value = sort_value(find_field(key))
    stages: list[dict[str, Any]] = [
        *([{"$match": match_project(project)}] if project is not None else []),
        {"$sort": {"start_time": -1}},
        {"$limit": SEARCHED_RUNS},
        {"$project": {"value": value}},
        {"$unwind": "$value"},
        {"$group": {"_id": "$value", "count": {"$sum": 1}}},
        {"$sort": {"count": -1, "_id": 1}},
    ]
    return tuple(choose_values((each["_id"] for each in database["runs"].aggregate(stages)), text, limit))


def choose_values(values: Iterable[Any], text: str, limit: int) -> list[Any]:
    """The first ones that a query can name, with this text in them."""
    named = (value for value in values if isinstance(value, (str, int, float)) and value != "")
    return list(itertools.islice((value for value in named if text.lower() in str(value).lower()), limit))


def differing_fields(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """The keys of the config entries and facts in which at least two of the runs differ, config first."""
    if len(runs) < 2:
        return ()
    entries = [dict(_leaves(run.config)) for run in runs]
    keys = list(dict.fromkeys(key for each in entries for key in each))
    missing = object()
    differing = [key for key in keys if len({repr(each.get(key, missing)) for each in entries}) > 1]
    facts: dict[str, list[Any]] = {
        "experiment": [run.experiment for run in runs],
        "command": [run.command for run in runs],
        "owner": [run.owner for run in runs],
        "host": [run.host for run in runs],
        "git.commit": [run.git.get("commit") for run in runs],
        "git.branch": [run.git.get("branch") for run in runs],
    }
    return (*differing, *(key for key, values in facts.items() if len({repr(value) for value in values}) > 1))


def type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, (list, tuple)) else "other"


def _leaves(config: Mapping[str, Any], prefix: str = "config.") -> Iterable[tuple[str, Any]]:
    """Keys and values of a config with real names."""
    from .field_names import encode_field_name

    for name, value in config.items():
        part = encode_field_name(str(name))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{part}.")
        else:
            yield find_field(f"{prefix}{part}").key, value


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return None
        config = config[part]
    return config
