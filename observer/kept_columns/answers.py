"""Lists, counts, groups and projects, answered from columns as somebody sees them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from ..access.seen_database import unfiltered
from ..field_catalogue import FieldInfo, catalogue_of, choose_fields, choose_values, find_fields
from ..project_lists import ProjectSummary
from ..query.fields import Field, find_field
from ..run_collections import collections_of
from ..run_grouping import RunGroups, read_grouping
from ..run_order import BadCursor, read_cursor
from ..run_query import RunQuery
from .grouping import frequent_values, group_rows
from .masks import Asked, asked_fields
from .ordering import Rows, first_rows
from .reading import FoundValues, read_rows
from .seen import seen_rows
from .survey import Survey, survey_fields
from .table import BASE, ColumnTable, NotKept, column_expression, column_name

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..access.principal import Principal

logger = logging.getLogger("cloister")
LEAST_RUNS = 2_000  # of fewer, MongoDB reads them all as fast
SCANNED_TOGETHER = 24  # columns that one look at all documents fills
WARMED = 400  # fields that are read before anybody asks for them, as far as there is room
SURVEYED_EVERY_SECONDS = 3600.0
CATALOGUE_SECONDS, CATALOGUES_LIMIT = 15.0, 64
_SEARCHED_FIRST = ("name", "experiment", "tags", "notes")  # by a search for words
_ON_CLIENT = "_cloister_kept_columns"  # they refer to their client, so a weak dict by client would keep both for ever
_lock = Lock()
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def kept_columns_of(database: Database[dict[str, Any]]) -> KeptColumns:
    """Those of this database, the same ones for all that read it by one client; they go with the client."""
    plain = unfiltered(database)
    name = collections_of(plain).name("runs")
    with _lock:
        known: dict[tuple[str, str], KeptColumns] | None = getattr(plain.client, _ON_CLIENT, None)
        if known is None:
            setattr(plain.client, _ON_CLIENT, known := {})
        if (plain.name, name) not in known:
            known[plain.name, name] = KeptColumns(plain)
        return known[plain.name, name]


@dataclass(frozen=True)
class FoundIds:
    """A page of a list, by ids in its order; `more` if something comes after it."""

    ids: tuple[int, ...]
    total: int
    more: bool


class KeptColumns:
    """Answers from the columns of one database's runs. Thread-safe.

    Each method returns None where MongoDB has to answer instead.
    """

    def __init__(self, database: Database[dict[str, Any]], *, least_runs: int = LEAST_RUNS) -> None:
        self.least_runs = least_runs
        self._database = database
        self._runs = database["runs"]
        self._preparing = Lock()
        self._survey: Survey | None = None
        self._surveyed_at = 0.0
        self._catalogues: dict[Any, tuple[float, tuple[FieldInfo, ...]]] = {}
        self.table = ColumnTable(database)

    def prepare(self) -> None:
        """Read the columns that each question needs, before anybody asks.

        Raises:
            NotKept: these runs are not kept as columns.
        """
        self.table.load(BASE)

    def prepare_where_many(self) -> None:
        """Read what most questions need in the background, where so many runs are that columns are kept."""
        if self._runs.estimated_document_count() >= self.least_runs:
            self.prepare_in_background()

    def prepare_in_background(self) -> None:
        """The same in a thread of its own, with what most runs have."""
        if not self.table.is_refused() and self._preparing.acquire(blocking=False):
            Thread(target=self._prepare_what_most_have, name="reading columns of runs", daemon=True).start()

    def is_preparing(self) -> bool:
        return self._preparing.locked()

    def _prepare_what_most_have(self) -> None:
        try:
            self.prepare()
            found = [info.key for info in find_fields(self._database, None, limit=WARMED) if info.kind != "run"]
            widespread = [*_SEARCHED_FIRST, *found]
            for first in range(0, len(widespread), SCANNED_TOGETHER):
                if not self.table.has_room():
                    break
                fields = [find_field(key) for key in widespread[first : first + SCANNED_TOGETHER]]
                self.table.load_beside({column_name(field): column_expression(field) for field in fields})
            self._surveyed_at = time.monotonic()  # also where it fails: it is not tried anew with each question
            self._survey, self._catalogues = survey_fields(self._runs), {}
        except NotKept:
            return
        except Exception as error:
            # Wide on purpose: nobody waits for this thread. Whoever asks next has MongoDB's answer, or its error.
            logger.info("Columns of runs could not be read: %s", error)
        finally:
            self._preparing.release()

    def find_page(self, query: RunQuery, principal: Principal) -> FoundIds | None:
        """The page that a query asks for."""
        with self._asking(query, principal, asked_fields(query)) as found:
            if found is None:
                return None
            asked, rows = found
            if query.after is None:
                first = (query.page - 1) * query.page_size
                ordered = first_rows(asked, rows, query.order, first + query.page_size + 1)[first:]
            else:
                following = _behind(asked, rows, query)
                if following is None:
                    return None
                ordered = following
            ids = tuple(asked.table.ids[ordered[: query.page_size]].tolist())
            return FoundIds(ids, len(rows), len(ordered) > query.page_size)

    def group(
        self, query: RunQuery, principal: Principal, by: Sequence[str], columns: Sequence[str]
    ) -> RunGroups | None:
        """As `run_grouping.group_runs`; raises BadRunQuery as that does."""
        grouped, summed = read_grouping(by, columns)
        fields = {field for field in (*grouped, *summed) if field.key not in ("id", "duration")}
        with self._asking(query, principal, asked_fields(query) | fields) as found:
            if found is None:
                return None
            return group_rows(*found, grouped, dict(zip(columns, summed, strict=True)))

    def read(self, query: RunQuery, principal: Principal, fields: Sequence[Field], most: int) -> FoundValues | None:
        """The values of `fields` of the first `most` runs of a query. No field of times is read so."""
        if any(field.kind == "time" for field in fields):
            return None
        kept = {field for field in fields if field.key not in ("id", "duration")}
        with self._asking(query, principal, asked_fields(query) | kept) as found:
            if found is None:
                return None
            asked, rows = found
            return read_rows(asked, first_rows(asked, rows, query.order, most), fields, len(rows))

    def list_projects(self, principal: Principal) -> tuple[ProjectSummary, ...] | None:
        """As `project_lists.list_projects`."""
        with self._asking(RunQuery(archived="with"), principal, set()) as found:
            if found is None:
                return None
            return _projects(*found)

    def find_fields(
        self, seen: Database[dict[str, Any]], project: str | None, text: str, limit: int, principal: Principal
    ) -> tuple[FieldInfo, ...] | None:
        """As `field_catalogue.find_fields`, of all runs, known for some seconds: it is asked for with each letter.

        Args:
            seen: the database as the principal sees it.
        """
        if self._runs.estimated_document_count() < self.least_runs:
            return None
        if self._surveyed_at + SURVEYED_EVERY_SECONDS < time.monotonic():
            self.prepare_in_background()
        now, key = time.monotonic(), (project, repr(principal))
        until, infos = self._catalogues.get(key, (0.0, ()))
        if until < now:
            surveyed = self._survey.seen_by(principal, project) if self._survey is not None else {}
            infos = catalogue_of(seen, project, surveyed)
            if len(self._catalogues) >= CATALOGUES_LIMIT:
                self._catalogues = {}
            self._catalogues[key] = now + CATALOGUE_SECONDS, infos
        return choose_fields(infos, text, limit)

    def find_values(
        self, key: str, project: str | None, text: str, limit: int, principal: Principal
    ) -> tuple[Any, ...] | None:
        """As `field_catalogue.find_values`, of all runs."""
        field = find_field(key)
        if field.key in ("id", "duration"):
            return None
        with self._asking(RunQuery(project=project, archived="with"), principal, {field}) as found:
            if found is None:
                return None
            return tuple(choose_values(frequent_values(*found, field), text, limit))

    @contextmanager
    def _asking(self, query: RunQuery, principal: Principal, fields: set[Field]) -> Iterator[tuple[Asked, Rows] | None]:
        if principal.kind == "share" or self._runs.estimated_document_count() < self.least_runs:
            yield None
            return
        # An index has this order, and no more runs are read than are shown.
        is_easy = query.order.indexed is not None and query.is_all_of_projects
        if not self.table.columns:
            self.prepare_in_background()
        try:
            lock = self.table.holding(fields, at_once=is_easy)
        except NotKept:
            yield None
            return
        try:
            asked = Asked(self.table, datetime.now(timezone.utc), query.me)
            yield asked, seen_rows(self.table, principal, np.flatnonzero(asked.matching(query)))
        finally:
            lock.release()


def _behind(asked: Asked, rows: Rows, query: RunQuery) -> Rows | None:
    """The rows behind a cursor; None where the run that it names is no longer among them."""
    run_id = read_cursor(query.after or "", len(query.order.keys)).run_id
    if type(run_id) is not int:
        raise BadCursor(query.after or "")
    ordered = first_rows(asked, rows, query.order, len(rows))
    places = np.flatnonzero(asked.table.ids[ordered] == run_id)
    if not len(places):
        return None
    return ordered[places[0] + 1 : places[0] + 2 + query.page_size]


def _projects(asked: Asked, rows: Rows) -> tuple[ProjectSummary, ...]:
    column = asked.column("project")
    codes = column.codes[rows]
    counts = np.bincount(codes, minlength=len(column.values))
    is_running = (asked.column("status").where_text("RUNNING") & asked.is_alive())[rows]
    running = np.bincount(codes[is_running], minlength=len(column.values))
    started = np.full(len(column.values), -np.inf)
    times = asked.column("started").numbers[rows]
    np.fmax.at(started, codes, times)
    projects = [
        ProjectSummary(str(name), int(counts[code]), int(running[code]), _date(started[code]))
        for code, name in enumerate(column.values)
        if counts[code]
    ]
    oldest = datetime.min.replace(tzinfo=timezone.utc)
    projects.sort(key=lambda project: project.name)
    return tuple(sorted(projects, key=lambda project: project.last_started or oldest, reverse=True))


def _date(milliseconds: float) -> datetime | None:
    return _EPOCH + timedelta(milliseconds=milliseconds) if np.isfinite(milliseconds) else None
