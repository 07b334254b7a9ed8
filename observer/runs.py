"""RunStore: every read of runs, metrics, console and files, for pages, the REST API and scripts."""

from __future__ import annotations

import contextlib
import copy
import difflib
import itertools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .access.principal import LOCAL, Principal
from .access.visibility import visible_runs
from .account import login_name
from .blobs import Blob, BlobNotFound, open_blob
from .console_store import ConsolePage, load_console
from .encryption.opened import opened_document
from .errors import CloisterError
from .foreign_console import BYTES, WITHOUT_CAPTURED, load_captured
from .foreign_files import fill_files, spellings
from .foreign_metrics import list_names, load_many_series, load_summaries, load_summary, summaries_of
from .foreign_runs import is_foreign
from .metric_reader import Axis, Curve, StoredMetric, find_metric, load_curve, load_points, spelled
from .metric_stretches import join_points, load_many
from .metric_summary import SYSTEM_PREFIX, MetricSummary
from .points import Points
from .project_lists import Columns, ProjectNotFound, ProjectSummary, discover_columns, list_projects
from .retention.tombstones import find_tombstone
from .run_changes import RunChange, changes_since
from .run_files import named_files
from .run_ids import format_run_id
from .run_query import KEEP_LISTED, BadRunQuery, RunQuery, match_project
from .run_record import (
    JOURNAL,
    LEFT_OUT_OF_LISTS,
    UID,
    UPDATED_AT,
    RunId,
    RunRecord,
    read_run,
)
from .store_connection import lenient, open_database, open_place

if TYPE_CHECKING:
    import pandas
    from pymongo.database import Database

    from .access.reasons import SeenBecause
    from .field_catalogue import FieldInfo
    from .kept_columns import KeptColumns
    from .kept_columns.answers import FoundIds
    from .run_collections import Collections
    from .run_grouping import RunGroups
    from .run_heads import RunHead
    from .run_places import RunPlace

ESTIMATED_FROM = 10_000  # runs of all projects
LISTED_AT_ONCE = 200  # runs whose last values are asked for together


class RunNotFound(CloisterError, LookupError):
    """No run has this id, or the reader may not know of it."""

    def __init__(self, run_id: RunId) -> None:
        super().__init__(f"There is no run {run_id!r}. It may have been deleted, or it is in another database.")


class MetricNotFound(CloisterError, LookupError):
    """A run has no metric of this name."""

    def __init__(self, run_id: RunId, name: str, known: list[str]) -> None:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"It has {', '.join(known[:10]) or 'none yet'}."
        super().__init__(f"Run {run_id} has no metric {name!r}. {hint}")


@dataclass(frozen=True)
class RunPage:
    """One page of a list of runs; `total` counts the matches on all pages."""

    runs: tuple[RunRecord, ...]
    total: int
    page: int
    page_size: int
    next: str | None = None  # where the list goes on, for `RunQuery.after`; None at its end


class RunStore:
    """Reads what runs have recorded. Thread-safe, as the PyMongo client under it is; not to be used across a fork.

    Attributes:
        principal: who reads. A run that they may not see is not there for any method.
        columns: what answers lists of many runs instead of MongoDB, where `keeping_columns` has been called.
    """

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self.database = lenient(database)
        self.principal: Principal = LOCAL
        self.columns: KeptColumns | None = None

    @classmethod
    def connect(
        cls, uri: str | None = None, *, collections: str | Collections = "", read_only: bool = False
    ) -> RunStore:
        """The store of `uri`, else of the settings in force; the embedded database is started where none is named.

        Args:
            collections: where the runs have a prefix ("lab": lab_runs, lab_metrics) or lie elsewhere ("runs=mine").
            read_only: whether whatever is done with `store.database` may write. Reading never does.

        Raises:
            BadMongoUri, NoMongod: there is nothing to connect to.
            BadCollections: `collections` names none.
        """
        return cls(open_database(uri, collections, read_only=read_only))

    def seen_by(self, principal: Principal) -> RunStore:
        """The same store, by the same connection, as `principal` sees it."""
        from .access.seen_database import only_seen, unfiltered

        seen = copy.copy(self)
        condition = visible_runs(principal)
        plain = unfiltered(self.database)
        seen.database = only_seen(plain, condition) if condition else plain
        seen.principal = principal
        return seen

    def keeping_columns(self) -> RunStore:
        """The same store, which keeps fields of all runs in this process to answer lists at once: for viewers."""
        from .kept_columns import kept_columns_of

        keeping = copy.copy(self)
        keeping.columns = kept_columns_of(self.database)
        return keeping

    def list_databases(self) -> tuple[RunPlace, ...]:
        """Which databases of this server hold runs that may be read, and under which collection names."""
        from .run_places import list_places

        if not self.principal.sees_everything:
            return ()  # what lies beside this database is no affair of whoever may not see all of it
        return list_places(self.database.client, self.database.name)

    def at(self, place: RunPlace) -> RunStore:
        """The store of another set of runs, by the same connection; read only where this one is."""
        return RunStore(open_place(self.database, place)).seen_by(self.principal)

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
        found = self.database["runs"].aggregate([{"$match": {"_id": {"$eq": run_id}}}, *WITHOUT_CAPTURED])
        document = next(iter(found), None)
        if document is None:
            raise RunNotFound(run_id)
        run = fill_files(self.database, read_run(opened_document(self.database, document)))
        if not is_foreign(document):
            return run
        return replace(run, console_bytes=document[BYTES], summary=load_summary(self.database, document))

    def explain_visibility(
        self, run_id: RunId, accounts: Database[dict[str, Any]] | None = None
    ) -> tuple[RunRecord, SeenBecause]:
        """The run, and why the reader sees it.

        Args:
            accounts: the database with accounts and projects, where that is another one.

        Raises:
            RunNotFound: there is none, or none that the reader sees.
        """
        from .access.reasons import explain

        run = self.load_run(run_id)
        return run, explain(self.database if accounts is None else accounts, self.principal, run)

    def find_run_by_uid(self, uid: str) -> RunRecord | None:
        document = self.database["runs"].find_one({"cloister.uid": uid}, {"captured_out": 0})
        return read_run(opened_document(self.database, document)) if document else None

    def list_runs(self, query: RunQuery) -> RunPage:
        """A page of runs without their large fields (environment, sources, hardware summaries, traceback)."""
        query = self._asking(query)
        if self.columns is not None and (found := self.columns.find_page(query, self.principal)) is not None:
            return self._page_of(query, found)
        skipped = [] if query.after is not None else [{"$skip": (query.page - 1) * query.page_size}]
        stages = query.stages_to([*skipped, {"$limit": query.page_size + 1}], self._sacreds_metrics(query))
        documents = list(self._about(query.project)._find_listed(stages))
        more = documents[query.page_size :]
        following = query.order.cursor_of(documents[query.page_size - 1]) if more else None
        runs = tuple(self._read_listed(iter(documents[: query.page_size])))
        return RunPage(runs, self._count(query), query.page, query.page_size, following)

    def _page_of(self, query: RunQuery, found: FoundIds) -> RunPage:
        """The page whose runs are known by their ids."""
        stages = [{"$match": {"_id": {"$in": list(found.ids)}}}, *query.order.key_stages(), {"$limit": query.page_size}]
        documents = {document["_id"]: document for document in self._about(query.project)._find_listed(stages)}
        ordered = [documents[run_id] for run_id in found.ids if run_id in documents]
        following = query.order.cursor_of(ordered[-1]) if found.more and ordered else None
        return RunPage(tuple(self._read_listed(iter(ordered))), found.total, query.page, query.page_size, following)

    def _asking(self, query: RunQuery) -> RunQuery:
        """The query, with whose runs are those of `owner = me`."""
        if query.me or not query.where:
            return query
        own = self.principal.owner_names
        return replace(query, me=own or ((login_name(),) if self.principal.kind == "local" else ()))

    def _count(self, query: RunQuery) -> int:
        if not query.is_all_of_projects:
            return self._about(query.project).database["runs"].count_documents(query.filter())
        # Archived runs are few and have an index; to look for what all others lack would read every run.
        archived = 0
        if query.archived != "with":
            only = replace(query, archived="only", sort="-started").filter()
            archived = self._about(query.project).database["runs"].count_documents(only)
        return archived if query.archived == "only" else self._count_all(query.project) - archived

    def _count_all(self, project: str | None) -> int:
        if project is None and self.principal.sees_everything:
            # MongoDB's own count is right but after a crash, where it may be off by a few of many.
            known = self.database["runs"].estimated_document_count()
            return known if known > ESTIMATED_FROM else self.database["runs"].count_documents({})
        if project is None or self.principal.sees_everything:
            asked = {} if project is None else match_project(project)
            return self.database["runs"].count_documents(asked)
        from .access.counting import count_visible
        from .access.seen_database import unfiltered

        return count_visible(unfiltered(self.database), self.principal, project)

    def _about(self, project: str | None) -> RunStore:
        """The same store, for questions about runs of `project` alone: what is asked of each run is then less."""
        if project is None or self.principal.sees_everything:
            return self
        from .access.seen_database import only_seen, unfiltered
        from .access.visibility import visible_in_project

        narrowed = copy.copy(self)
        condition = visible_in_project(self.principal, project)
        plain = unfiltered(self.database)
        narrowed.database = only_seen(plain, condition) if condition else plain
        return narrowed

    def find_runs(self, query: RunQuery, limit: int | None = None) -> tuple[RunRecord, ...]:
        """All runs that a query matches, in its order, its page apart; each as `list_runs` gives it."""
        cut = [] if limit is None else [{"$limit": limit}]
        query = self._asking(query)
        stages = query.stages_to(cut, self._sacreds_metrics(query))
        return tuple(self._read_listed(self._about(query.project)._find_listed(stages)))

    def _sacreds_metrics(self, query: RunQuery) -> str | None:
        """Where a sort by a metric has to look too; None for a database that only we have written."""
        runs = self.database["runs"]
        if not query.needs_metrics or runs.find_one({UPDATED_AT: None}, {"_id": 1}) is None:
            return None
        return self.database["metrics"].name

    def _find_listed(self, stages: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        left_out = [KEEP_LISTED, {"$unset": list(LEFT_OUT_OF_LISTS)}]
        stages = [*left_out, *stages] if _sorts_all(stages) else [*stages, *left_out]
        return iter(self.database["runs"].aggregate(stages))

    def _read_listed(self, found: Iterator[dict[str, Any]]) -> Iterator[RunRecord]:
        while documents := list(itertools.islice(found, LISTED_AT_ONCE)):
            for document, summary in zip(documents, summaries_of(self.database, documents), strict=True):
                run = read_run(opened_document(self.database, document))
                yield replace(run, summary=summary) if summary else run

    def group_runs(self, query: RunQuery, by: Sequence[str], columns: Sequence[str] = ()) -> RunGroups:
        """The runs that a query matches, grouped by up to three fields, with the spread of others in each group.

        Raises:
            BadRunQuery: runs cannot be grouped so.
        """
        from .run_grouping import group_runs

        query = self._asking(query)
        if self.columns is not None:
            found = self.columns.group(query, self.principal, by, columns)
            if found is not None:
                return found
        return group_runs(self._about(query.project).database, query, by, columns)

    def find_fields(self, project: str | None = None, text: str = "", limit: int = 50) -> tuple[FieldInfo, ...]:
        """The fields that runs have, of one project or of all, with `text` in their key."""
        from .field_catalogue import find_fields

        seen = self._about(project).database
        if self.columns is not None:
            found = self.columns.find_fields(seen, project, text, limit, self.principal)
            if found is not None:
                return found
        return find_fields(seen, project, text, limit)

    def find_values(self, key: str, project: str | None = None, text: str = "", limit: int = 20) -> tuple[Any, ...]:
        """Different values of a field with `text` in them, the most frequent ones first: what may be asked for.

        Raises:
            UnknownField: there is no such field.
        """
        from .field_catalogue import find_values

        if self.columns is not None:
            found = self.columns.find_values(key, project, text, limit, self.principal)
            if found is not None:
                return found
        return find_values(self._about(project).database, key, project, text, limit)

    def differing_fields(self, run_ids: Sequence[RunId]) -> tuple[str, ...]:
        """The fields in which at least two of these runs differ; ids that the reader does not see count as none."""
        from .field_catalogue import differing_fields

        found = self._find_listed([{"$match": {"_id": {"$in": list(run_ids)}}}, {"$limit": len(run_ids) or 1}])
        return differing_fields(tuple(self._read_listed(found)))

    def load_listed(self, run_ids: Sequence[RunId]) -> tuple[RunRecord, ...]:
        """Those of the runs that are there, in no order, each as `list_runs` gives it."""
        return tuple(
            self._read_listed(
                self._find_listed([{"$match": {"_id": {"$in": list(run_ids)}}}, {"$limit": len(run_ids) or 1}])
            )
        )

    def changes_since(self, when: datetime, project: str | None = None) -> list[RunChange]:
        """Runs that changed after `when`, oldest first: what a page polls where nothing is pushed.

        What Sacred writes has a new heartbeat then, or its end.
        """
        return changes_since(self._about(project).database, when, project)

    def count_queued(self, project: str) -> int:
        """How many runs of the project wait to be started. Lists by start have them last."""
        waiting = {"$and": [match_project(project), {"start_time": None, "status": "QUEUED"}]}
        return self._about(project).database["runs"].count_documents(waiting)

    # ---- projects

    def list_projects(self) -> tuple[ProjectSummary, ...]:
        """All projects, the one with the newest run first."""
        if self.columns is not None and (found := self.columns.list_projects(self.principal)) is not None:
            return found
        return list_projects(self.database)

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
        return discover_columns(self._about(project).database, project)

    # ---- metrics

    def list_metrics(self, run_id: RunId) -> tuple[MetricSummary, ...]:
        """All metrics of a run by name; hardware metrics are those under `system/`.

        Raises:
            RunNotFound: there is no such run.
        """
        run = self.load_run(run_id)
        summaries = {**run.summary, **{f"system/{name}": summary for name, summary in run.system.items()}}
        summaries |= load_summaries(self.database, self._metrics_without_summary(run, summaries))
        return tuple(replace(summary, name=name) for name, summary in sorted(summaries.items()))

    def _metrics_without_summary(self, run: RunRecord, known: Container[str]) -> dict[str, list[Any]]:
        """Documents that Sacred wrote, by the metric's name."""
        if run.uid is None:
            return list_names(self.database, run.id)
        # Their names stand in the index: of our own runs no document is read, each of which may hold 10,000 points.
        named = self.database["metrics"].find({"run_id": run.id}, {"_id": 0, "name": 1})
        if all(str(found.get("name")) in known for found in named):
            return {}
        return {name: ids for name, ids in list_names(self.database, run.id).items() if name not in known}

    def load_points(self, run_id: RunId, name: str) -> Points:
        """Every point of a metric, bit for bit, in the order in which it was logged.

        Raises:
            MetricNotFound: the run has no such metric.
        """
        points = load_points(self.database, self._find_metric(run_id, name))
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
        metric = self._find_metric(run_id, name)
        curve = load_curve(self.database, metric, pixels=pixels, axis=axis, low=low, high=high)
        if curve is None:
            raise self._metric_not_found(run_id, name)
        return curve

    def load_heads(self, run_ids: Sequence[RunId], metrics: Sequence[str]) -> list[RunHead | None]:
        """What charts of these metrics need of the runs, with one question; None for a run that there is not."""
        from .run_heads import RunHead, find_heads

        known = find_heads(self.database, run_ids, metrics)
        heads: list[RunHead | None] = []
        for run_id in run_ids:
            head = known.get(format_run_id(run_id))
            if head is None:  # Sacred's, or with encrypted parts, or not there
                with contextlib.suppress(RunNotFound):
                    head = RunHead(self.load_run(run_id))
            heads.append(head)
        return heads

    def find_metric_names(self, run_ids: Sequence[RunId]) -> set[str]:
        """The metrics that at least one of the runs has, hardware ones under `system/`."""
        from .run_heads import find_metric_names

        names = find_metric_names(self.database, run_ids)
        if names is not None:
            return names
        found: set[str] = set()
        for run_id in run_ids:
            with contextlib.suppress(RunNotFound):
                found |= {summary.name for summary in self.list_metrics(run_id)}
        return found

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
        if run.uid:
            stored = load_many(self.database, run_id, run.uid, names)
            points = {name: join_points(stored.get(name, [])) for name in names}
        else:
            points = {name: Points.empty() for name in names} | load_many_series(self.database, run_id, names)
        for name in names:
            if not len(points[name]):  # by Sacred, or by nobody
                points[name] = self.load_points(run_id, name)
        return tabulate(points, wall_time=wall_time)

    def load_checkpoints(self, uid: str) -> dict[int, int]:
        """How many bytes of each journal segment of a run have been applied."""
        document = self.database["runs"].find_one({UID: uid}, {JOURNAL: 1}) or {}
        segments = (document.get("cloister") or {}).get("journal") or {}
        return {int(segment, 16): int(place.get("offset", 0)) for segment, place in segments.items()}

    def _find_metric(self, run_id: RunId, name: str) -> StoredMetric:
        metric = find_metric(self.database, run_id, name)
        if not metric.is_of_known_run and not self._sees_leftovers(run_id):
            raise MetricNotFound(run_id, name, [])
        return metric

    def _sees_leftovers(self, run_id: RunId) -> bool:
        """Whether records of a run are read that has no document: what others have left behind, by those alone who see
        everything; of a run that was deleted here, by nobody."""
        return self.principal.sees_everything and find_tombstone(self.database, run_id) is None

    def _is_there(self, run_id: RunId) -> bool:
        return self.database["runs"].find_one({"_id": {"$eq": run_id}}, {"_id": 1}) is not None

    def _metric_not_found(self, run_id: RunId, name: str) -> MetricNotFound:
        return MetricNotFound(run_id, name, list(list_names(self.database, run_id)))

    # ---- console and files

    def load_console(
        self, run_id: RunId, *, after: str | None = None, before: str | None = None, limit: int = 1000
    ) -> ConsolePage:
        """Pieces of a run's output after or before a cursor ("" is before the first); with neither, the newest ones.

        Raises:
            BadCursor: `after` or `before` is not a cursor.
        """
        if not self._is_there(run_id) and not self._sees_leftovers(run_id):
            from bson import ObjectId

            run_id = ObjectId()  # nobody's: a run that is hidden answers like one that never was
        captured = load_captured(self.database, run_id, after=after, before=before, limit=limit)
        if captured is not None:
            return captured
        return load_console(self.database, run_id, after=after, before=before, limit=limit)

    def open_blob(self, file_id: Any, run: RunRecord | None = None) -> Blob:
        """A stored file: an artifact, a source, a diff.

        Args:
            run: the run that names it, as this store has read it. Whoever may not see all runs opens no file without:
                a file's id alone is no right to its bytes.

        Raises:
            BlobNotFound: there is none.
        """
        if self.principal.sees_everything or (run is not None and self._may_open(file_id, run)):
            for spelling in spellings(file_id):
                with contextlib.suppress(BlobNotFound):
                    return open_blob(self.database, spelling)
        raise BlobNotFound(file_id)

    def _may_open(self, file_id: Any, run: RunRecord) -> bool:
        return self.principal.may("see", run=run) and str(file_id) in {str(each) for each in named_files(run)}


def _sorts_all(stages: list[dict[str, Any]]) -> bool:
    """Whether all runs are sorted: what is not shown would then be more than MongoDB sorts in memory."""
    return not any("$limit" in stage for stage in stages)


__all__ = [
    "Columns",
    "MetricNotFound",
    "ProjectNotFound",
    "ProjectSummary",
    "RunChange",
    "RunNotFound",
    "RunPage",
    "RunStore",
]
