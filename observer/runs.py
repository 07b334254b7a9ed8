"""RunStore: every read of runs, metrics, console and files, for pages, the REST API and scripts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .blobs import Blob, open_blob
from .console_store import ConsolePage, load_console
from .errors import CloisterError
from .field_names import decode_field_name
from .metric_reader import Axis, Curve, find_metric, load_curve, load_points, spelled
from .metric_stretches import join_points, load_many
from .metric_summary import SYSTEM_PREFIX, MetricSummary, read_summary
from .points import Points
from .run_query import BadRunQuery, RunQuery, match_project
from .run_record import (
    EXPERIMENT_NAME,
    JOURNAL,
    LEFT_OUT_OF_LISTS,
    LOST_AFTER_SECONDS,
    PROJECT,
    SUMMARY,
    UID,
    UPDATED_AT,
    RunId,
    RunRecord,
    read_run,
)

if TYPE_CHECKING:
    import pandas
    from pymongo.database import Database

COLUMNS_FROM_RUNS = 50
CHANGES_LIMIT = 500


class RunNotFound(CloisterError, LookupError):
    """No run has this id, or the reader may not know of it."""

    def __init__(self, run_id: RunId) -> None:
        super().__init__(f"There is no run {run_id!r}. It may have been deleted, or it is in another database.")


class ProjectNotFound(CloisterError, LookupError):
    """No run belongs to a project of this name."""

    def __init__(self, name: str, known: list[str]) -> None:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else " The first recorded run creates its project."
        super().__init__(f"There is no project {name!r}.{hint}")
        self.nearest = nearest[0] if nearest else None


class MetricNotFound(CloisterError, LookupError):
    """A run has no metric of this name."""

    def __init__(self, run_id: RunId, name: str, known: list[str]) -> None:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"It has {', '.join(known[:10]) or 'none yet'}."
        super().__init__(f"Run {run_id} has no metric {name!r}. {hint}")


@dataclass(frozen=True)
class ProjectSummary:
    """A project in one line of the list."""

    name: str
    run_count: int
    running_count: int
    last_started: datetime | None


@dataclass(frozen=True)
class RunPage:
    """One page of a list of runs; `total` counts the matches on all pages."""

    runs: tuple[RunRecord, ...]
    total: int
    page: int
    page_size: int


@dataclass(frozen=True)
class Columns:
    """What a table of a project's runs can show: config keys and metric names as `RunQuery.sort` takes them."""

    config: tuple[str, ...]
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class RunChange:
    """A run that changed, and when the database learned of it."""

    run_id: RunId
    project: str
    status: str
    updated_at: datetime


class RunStore:
    """Reads what runs have recorded. Thread-safe, as the PyMongo client under it is; not to be used across a fork."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self.database = database

    @classmethod
    def connect(cls, uri: str | None = None) -> RunStore:
        """The store of `uri`, else of the settings in force; the embedded database is started where none is named.

        Raises:
            BadMongoUri, NoMongod: there is nothing to connect to.
        """
        from .mongo import connect, database_name, resolve_uri
        from .settings import load_settings

        settings = load_settings(uri=uri)
        resolved = resolve_uri(settings)
        return cls(connect(settings)[database_name(resolved, settings)])

    def close(self) -> None:
        """Close the connection; the store is of no use afterwards."""
        self.database.client.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # ---- runs

    def load_run(self, run_id: RunId) -> RunRecord:
        """One run with all that its document holds, but the captured output.

        Raises:
            RunNotFound: there is none.
        """
        document = self.database["runs"].find_one({"_id": run_id}, {"captured_out": 0})
        if document is None:
            raise RunNotFound(run_id)
        return read_run(document)

    def find_run_by_uid(self, uid: str) -> RunRecord | None:
        document = self.database["runs"].find_one({"cloister.uid": uid}, {"captured_out": 0})
        return read_run(document) if document else None

    def list_runs(self, query: RunQuery) -> RunPage:
        """A page of runs without their large fields (environment, sources, hardware summaries, traceback)."""
        stages = [*query.stages(), {"$unset": list(LEFT_OUT_OF_LISTS)}]
        runs = tuple(read_run(document) for document in self.database["runs"].aggregate(stages))
        total = self.database["runs"].count_documents(query.filter())
        return RunPage(runs, total, query.page, query.page_size)

    def changes_since(self, when: datetime, project: str | None = None) -> list[RunChange]:
        """Runs that the courier touched after `when`, oldest first: what a page polls where nothing is pushed."""
        condition: dict[str, Any] = {UPDATED_AT: {"$gt": when}}
        if project is not None:
            condition[PROJECT] = project
        fields = {"status": 1, "heartbeat": 1, "start_time": 1, PROJECT: 1, EXPERIMENT_NAME: 1, UPDATED_AT: 1}
        found = self.database["runs"].find(condition, fields).sort(UPDATED_AT, 1).limit(CHANGES_LIMIT)
        runs = [read_run(document) for document in found]
        return [RunChange(run.id, run.project, run.status, run.updated_at or when) for run in runs]

    # ---- projects

    def list_projects(self) -> tuple[ProjectSummary, ...]:
        """All projects, the one with the newest run first."""
        seen_since = datetime.now(timezone.utc) - timedelta(seconds=LOST_AFTER_SECONDS)
        alive = {"$gte": [{"$ifNull": ["$heartbeat", "$start_time"]}, seen_since]}
        running = {"$cond": [{"$and": [{"$eq": ["$status", "RUNNING"]}, alive]}, 1, 0]}
        groups = self.database["runs"].aggregate(
            [
                {
                    "$group": {
                        "_id": {"$ifNull": [f"${PROJECT}", f"${EXPERIMENT_NAME}"]},
                        "run_count": {"$sum": 1},
                        "running_count": {"$sum": running},
                        "last_started": {"$max": "$start_time"},
                    }
                },
                {"$sort": {"last_started": -1, "_id": 1}},
            ]
        )
        return tuple(
            ProjectSummary(
                str(group["_id"] or "unnamed"),
                group["run_count"],
                group["running_count"],
                _aware(group["last_started"]),
            )
            for group in groups
        )

    def find_project(self, name: str) -> ProjectSummary:
        """One project.

        Raises:
            ProjectNotFound: no run belongs to it; the error names the nearest one that exists.
        """
        projects = self.list_projects()
        for project in projects:
            if project.name == name:
                return project
        raise ProjectNotFound(name, [project.name for project in projects])

    def discover_columns(self, project: str) -> Columns:
        """The config keys and metrics that the project's newest runs have, most widespread first."""
        found = (
            self.database["runs"]
            .find(match_project(project), {"config": 1, SUMMARY: 1})
            .sort("start_time", -1)
            .limit(COLUMNS_FROM_RUNS)
        )
        config: dict[str, int] = {}
        metrics: dict[str, int] = {}
        for document in found:
            for key in _leaf_paths(document.get("config") or {}):
                config[key] = config.get(key, 0) + 1
            for field in (document.get("cloister") or {}).get("summary") or {}:
                name = decode_field_name(field)
                metrics[name] = metrics.get(name, 0) + 1
        # Keys as often found keep the order that the newest run gave them: what matters stands first in a signature.
        return Columns(tuple(sorted(config, key=lambda key: -config[key])), _by_count(metrics))

    # ---- metrics

    def list_metrics(self, run_id: RunId) -> tuple[MetricSummary, ...]:
        """All metrics of a run by name; hardware metrics are those under `system/`.

        Raises:
            RunNotFound: there is no such run.
        """
        run = self.load_run(run_id)
        summaries = {**run.summary, **{f"system/{name}": summary for name, summary in run.system.items()}}
        # Their names stand in the index: of our own runs no document is read, each of which may hold 10,000 points.
        named = self.database["metrics"].find({"run_id": run_id}, {"_id": 0, "name": 1})
        unknown = [found.get("name") for found in named if str(found.get("name")) not in summaries]
        if unknown:  # written by Sacred: its documents hold no summary
            last = {"name": 1, "values": {"$slice": -1}, "steps": {"$slice": -1}}
            for document in self.database["metrics"].find({"run_id": run_id, "name": {"$in": unknown}}, last):
                values, steps = document.get("values") or [None], document.get("steps") or [-1]
                name = str(document.get("name"))
                summaries[name] = read_summary(name, {"last": values[-1], "last_step": steps[-1]})
        return tuple(
            MetricSummary(name, summary.last, summary.min, summary.max, summary.last_step, summary.count)
            for name, summary in sorted(summaries.items())
        )

    def load_points(self, run_id: RunId, name: str) -> Points:
        """Every point of a metric, bit for bit, in the order in which it was logged.

        Raises:
            MetricNotFound: the run has no such metric.
        """
        points = load_points(self.database, find_metric(self.database, run_id, name))
        if points is None:
            raise self._metric_not_found(run_id, name)
        return points

    def load_curve(
        self,
        run_id: RunId,
        name: str,
        *,
        pixels: int = 1000,
        axis: Axis = "step",
        low: float | None = None,
        high: float | None = None,
    ) -> Curve:
        """A metric as a chart of `pixels` draws it, between `low` and `high` on `axis`.

        Raises:
            MetricNotFound: the run has no such metric.
            BadRunQuery: `axis` is unknown, or `pixels` is not 2 to 20,000.
        """
        if axis not in ("step", "relative", "wall") or not 2 <= pixels <= 20_000:
            raise BadRunQuery(
                f"A curve on axis {axis!r} with {pixels} pixels is not possible. Axes are step, relative, wall."
            )
        metric = find_metric(self.database, run_id, name)
        curve = load_curve(self.database, metric, pixels=pixels, axis=axis, low=low, high=high)
        if curve is None:
            raise self._metric_not_found(run_id, name)
        return curve

    def load_history(
        self, run_id: RunId, metrics: str | Sequence[str] | None = None, *, wall_time: bool = False
    ) -> pandas.DataFrame:
        """The metrics of a run as a pandas DataFrame, one row for each step at which any of them was logged.

        Args:
            metrics: which, in the order of the columns; all but hardware metrics, by name, when left out.
            wall_time: whether to add the column `wall_time` (UTC): when the last point of the row was logged.

        Returns:
            The column `step`, then a column for each metric: NaN where it was not logged, the value logged last where
            it was logged several times at a step.

        Raises:
            RunNotFound, MetricNotFound: there is no such run, or the run has no such metric.
            PandasMissing: pandas is not installed.
        """
        from .history import tabulate

        run = self.load_run(run_id)
        if metrics is None:
            known = [metric.name for metric in self.list_metrics(run_id)]
            metrics = [name for name in known if not name.startswith(SYSTEM_PREFIX)]
        chosen = [metrics] if isinstance(metrics, str) else metrics  # one name is not a list of letters
        names = list(dict.fromkeys(map(spelled, chosen)))
        stored = load_many(self.database, run_id, run.uid, names) if run.uid else {}
        points = {name: join_points(stored.get(name, [])) for name in names}
        for name in names:
            if not len(points[name]):  # by Sacred, or by nobody
                points[name] = self.load_points(run_id, name)
        return tabulate(points, wall_time=wall_time)

    def load_checkpoints(self, uid: str) -> dict[int, int]:
        """How many bytes of each journal segment of a run have been applied."""
        document = self.database["runs"].find_one({UID: uid}, {JOURNAL: 1}) or {}
        segments = (document.get("cloister") or {}).get("journal") or {}
        return {int(segment, 16): int(place.get("offset", 0)) for segment, place in segments.items()}

    def _metric_not_found(self, run_id: RunId, name: str) -> MetricNotFound:
        known = self.database["metrics"].distinct("name", {"run_id": run_id})
        return MetricNotFound(run_id, name, [str(name) for name in known])

    # ---- console and files

    def load_console(
        self, run_id: RunId, *, after: str | None = None, before: str | None = None, limit: int = 1000
    ) -> ConsolePage:
        """Pieces of a run's output after or before a cursor; with neither, the newest ones.

        Raises:
            BadCursor: `after` or `before` is not a cursor.
        """
        return load_console(self.database, run_id, after=after, before=before, limit=limit)

    def open_blob(self, file_id: Any) -> Blob:
        """A stored file: an artifact, a source, a diff.

        Raises:
            BlobNotFound: there is none.
        """
        return open_blob(self.database, file_id)


def _aware(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


def _by_count(counts: dict[str, int]) -> tuple[str, ...]:
    return tuple(sorted(counts, key=lambda key: (-counts[key], key)))


def _leaf_paths(config: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted paths of the values in a config, its keys as stored (a dot inside a key stays encoded)."""
    paths = []
    for key, value in config.items():
        if isinstance(value, dict) and value:
            paths += _leaf_paths(value, f"{prefix}{key}.")
        else:
            paths.append(f"{prefix}{key}")
    return paths
