"""Projects and the columns of their runs, reckoned from what runs say of themselves, whoever wrote them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .field_names import decode_field_name, encode_field_name
from .foreign_runs import is_foreign
from .run_query import ALIVE, KEEP_LISTED, LISTED, PROJECT_OF_RUN, match_project
from .run_record import SUMMARY, UID
from .sacred_references import RESERVED

if TYPE_CHECKING:
    from pymongo.database import Database

COLUMNS_FROM_RUNS = 50


class ProjectNotFound(CloisterError, LookupError):
    """No run belongs to a project of this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else " The first recorded run creates its project."
        super().__init__(f"There is no project {name!r}.{hint}")
        self.nearest = nearest[0] if nearest else None


@dataclass(frozen=True)
class ProjectSummary:
    """A project in one line of the list."""

    name: str
    run_count: int
    running_count: int
    last_started: datetime | None


@dataclass(frozen=True)
class Columns:
    """What a table of a project's runs can show: config keys and metric names as `RunQuery.sort` takes them."""

    config: tuple[str, ...]
    metrics: tuple[str, ...]


def list_projects(database: Database[dict[str, Any]]) -> tuple[ProjectSummary, ...]:
    """All projects, the one with the newest run first."""
    running = {"$cond": [{"$and": [{"$eq": ["$status", "RUNNING"]}, ALIVE]}, 1, 0]}
    started = {"$cond": [{"$eq": [{"$type": "$start_time"}, "date"]}, "$start_time", None]}
    groups = database["runs"].aggregate(
        [
            {
                "$group": {
                    "_id": PROJECT_OF_RUN,
                    "run_count": {"$sum": 1},
                    "running_count": {"$sum": running},
                    "last_started": {"$max": started},
                }
            },
            {"$sort": {"last_started": -1, "_id": 1}},
        ]
    )
    return tuple(
        ProjectSummary(str(group["_id"]), group["run_count"], group["running_count"], _aware(group["last_started"]))
        for group in groups
    )


def discover_columns(database: Database[dict[str, Any]], project: str) -> Columns:
    """The config keys and metrics that the project's newest runs have, most widespread first."""
    found = database["runs"].aggregate(
        [
            {"$match": match_project(project)},
            {"$sort": {"start_time": -1}},
            {"$limit": COLUMNS_FROM_RUNS},
            KEEP_LISTED,
            {"$project": {"config": 1, SUMMARY: 1, UID: 1, "cloister.encoder": 1, f"{LISTED}.name": 1}},
        ]
    )
    config: dict[str, int] = {}
    metrics: dict[str, int] = {}
    for document in found:
        for key in config_keys(document):
            config[key] = config.get(key, 0) + 1
        for name in metric_names(document):
            metrics[name] = metrics.get(name, 0) + 1
    # Keys as often found keep the order that the newest run gave them: what matters stands first in a signature.
    by_count = sorted(metrics, key=lambda name: (-metrics[name], name))
    return Columns(tuple(sorted(config, key=lambda key: -config[key])), tuple(by_count))


def metric_names(document: Mapping[str, Any]) -> Iterable[str]:
    ours = document.get("cloister")
    summary = ours.get("summary") if isinstance(ours, Mapping) else None
    if isinstance(summary, Mapping):
        yield from (decode_field_name(field) for field in summary)
    listed = document.get(LISTED)
    if isinstance(listed, list):
        yield from dict.fromkeys(str(each.get("name")) for each in listed if isinstance(each, Mapping) and each)


def config_keys(document: Mapping[str, Any]) -> list[str]:
    config = document.get("config")
    return _leaf_paths(config, encode=is_foreign(document)) if isinstance(config, Mapping) else []


def _leaf_paths(config: Mapping[str, Any], prefix: str = "", *, encode: bool) -> list[str]:
    """Dotted paths of the values in a config, each key as our own runs store it (a dot inside a key is encoded).

    Args:
        encode: whether the keys are as a user wrote them. An object of jsonpickle's is one value.
    """
    paths = []
    for key, value in config.items():
        name = encode_field_name(key) if encode else key
        if isinstance(value, Mapping) and value and not _is_object(value):
            paths += _leaf_paths(value, f"{prefix}{name}.", encode=encode)
        else:
            paths.append(f"{prefix}{name}")
    return paths


def _is_object(value: Mapping[str, Any]) -> bool:
    return not RESERVED.isdisjoint(value) or any(key.startswith("json://") for key in value)


def _aware(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
