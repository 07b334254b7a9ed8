"""Collections under other names: Sacred's prefix, or its runs collection, for everything that a run has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pymongo  # noqa: F401  # whole before a part of it: beside a thread that imports it, a part finds it half made
from pymongo.collection import Collection
from pymongo.database import Database

from .errors import CloisterError

RUNS, METRICS = "runs", "metrics"  # Sacred's own two
# All that a run has outside of GridFS; other names are nobody's to change (fs.*, uploads, omniboard.*, system.*).
RENAMED = frozenset(
    (
        RUNS,
        METRICS,
        "metric_chunks",
        "metric_tails",
        "metric_pyramid",
        "metric_values",
        "console",
        "projects",
        "counters",
        "trash",
        "tombstones",
        "purges",
        "retention_state",
        "views",
        "reports",
        "report_versions",
    )
)
_RUNS_SIGN, _METRICS_SIGN = "runs=", ",metrics="  # how a runs collection is written where a prefix may stand as well


class BadCollections(CloisterError, ValueError):
    """A name for collections that MongoDB, or Sacred's layout, does not take."""

    def __init__(self, given: object, reason: str) -> None:
        super().__init__(
            f"{given!r} names no collections of runs: {reason}. Give a prefix, such as 'lab' for lab_runs and "
            "lab_metrics, or 'runs=mine' for runs in the collection 'mine'; leave it out for 'runs' and 'metrics'."
        )


@dataclass(frozen=True)
class Collections:
    """Where the runs of one set lie: `prefix` + "_" before each name, or a runs collection of another name.

    As in Sacred, only one of the two may be given, and the metrics of a renamed runs collection lie in "metrics",
    unless `metrics` says otherwise.
    """

    prefix: str = ""
    runs: str = RUNS
    metrics: str = METRICS

    def __post_init__(self) -> None:
        for given in (self.prefix, self.runs, self.metrics):
            if not isinstance(given, str) or "\0" in given or "$" in given or given.startswith((".", "system.")):
                raise BadCollections(given, "MongoDB takes no such name")
        if not self.runs or not self.metrics:
            raise BadCollections(self.runs and self.metrics, "the name is empty")
        if self.prefix and (self.runs, self.metrics) != (RUNS, METRICS):
            raise BadCollections(f"{self.prefix}, runs={self.runs}", "it is either a prefix or a runs collection")

    @classmethod
    def parse(cls, text: str) -> Collections:
        """What people write in settings and commands: "", "lab" or "lab_", "runs=mine", "runs=mine,metrics=own".

        Raises:
            BadCollections: the text names none.
        """
        text = text.strip()
        if text.startswith(_RUNS_SIGN):
            runs, _, metrics = text[len(_RUNS_SIGN) :].partition(_METRICS_SIGN)
            return cls(runs=runs, metrics=metrics or METRICS)
        return cls(prefix=text.removesuffix("_"))

    @classmethod
    def of_header(cls, header: Mapping[str, Any]) -> Collections:
        """Those of a run, from what its journal's first record says of it."""
        given = header.get("collections") or {}
        return cls(given.get("prefix") or "", given.get("runs") or RUNS, given.get("metrics") or METRICS)

    @property
    def is_default(self) -> bool:
        return self == Collections()

    @property
    def has_shared_metrics(self) -> bool:
        """Whether runs of other collections may have their metrics in the same one."""
        return not self.prefix and self.runs != RUNS

    def name(self, collection: str) -> str:
        """What `collection` is called in this set."""
        if collection not in RENAMED or self.is_default:
            return collection
        if self.prefix:
            return f"{self.prefix}_{collection}"
        if collection == RUNS:
            return self.runs
        return self.metrics if collection == METRICS else f"{self.runs}_{collection}"

    def as_header(self) -> dict[str, Any]:
        """What a journal's first record says of them: nothing where it is the default."""
        names = {"prefix": self.prefix, "runs": self.runs, "metrics": self.metrics}
        return {} if self.is_default else {"collections": names}

    def __str__(self) -> str:
        """As `parse` takes it."""
        metrics = "" if self.metrics == METRICS else f"{_METRICS_SIGN}{self.metrics}"
        return self.prefix if (self.runs, self.metrics) == (RUNS, METRICS) else f"{_RUNS_SIGN}{self.runs}{metrics}"


class RunDatabase(Database[dict[str, Any]]):
    """A database whose `["runs"]`, `["metrics"]`, ... are those of one set, whatever they are called there."""

    collections: Collections

    def collection_name(self, name: str) -> str:
        """The stored name, for what takes names: $lookup, a change stream's filter, listing."""
        return self.collections.name(name)

    def __getitem__(self, name: str) -> Collection[dict[str, Any]]:
        return super().__getitem__(self.collections.name(name))

    def get_collection(self, name: str, *arguments: Any, **options: Any) -> Collection[dict[str, Any]]:
        return super().get_collection(self.collections.name(name), *arguments, **options)

    def create_collection(self, name: str, *arguments: Any, **options: Any) -> Collection[dict[str, Any]]:
        return super().create_collection(self.collections.name(name), *arguments, **options)

    def drop_collection(self, name_or_collection: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(name_or_collection, str):
            name_or_collection = self.collections.name(name_or_collection)
        return super().drop_collection(name_or_collection, *arguments, **options)

    def with_options(self, *arguments: Any, **options: Any) -> RunDatabase:  # type: ignore[override]
        return _wrapped(super().with_options(*arguments, **options), self.collections)


def with_collections(
    database: Database[dict[str, Any]],
    collections: Collections = Collections(),
) -> RunDatabase:
    """The same database with the collections of this set, whichever it had."""
    return _wrapped(database, collections)


def collections_of(database: Database[dict[str, Any]]) -> Collections:
    """The set that a database gives; the default for one that nobody wrapped."""
    return database.collections if isinstance(database, RunDatabase) else Collections()


def _wrapped(database: Database[dict[str, Any]], collections: Collections) -> RunDatabase:
    wrapped = RunDatabase(
        database.client,
        database.name,
        database.codec_options,
        database.read_preference,
        database.write_concern,
        database.read_concern,
    )
    wrapped.collections = collections
    return wrapped


__all__ = ["BadCollections", "Collections", "RunDatabase", "collections_of", "with_collections"]
