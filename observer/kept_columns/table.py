"""The columns of all runs of one database, filled on demand and kept as the database is."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
import numpy.typing as npt

from ..query.fields import RUN_FIELDS, Field
from ..run_order import sort_value
from ..run_record import ARCHIVED_AT, OWNER, SHARED_GROUPS, SHARED_PEOPLE, UID, UPDATED_AT, VISIBILITY
from ..run_sessions import PAUSED_SECONDS
from .changes import RunWrites
from .column import Bools, Column

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

logger = logging.getLogger("cloister")
LIMIT_BYTES = 96 * 2**20  # of columns; those that were not asked for longest go first
KEPT_EVERY_SECONDS = 20.0  # how often the stream is read while nobody asks
IDLE_SECONDS = 900.0  # after so long without a question the columns go
FETCHED_TOGETHER = 1000  # runs
BATCH = 5000  # documents
PATIENCE_SECONDS = 4.0  # how long a question waits for columns; a request has 5 s in all
RECHECK_SECONDS = 60.0  # how long a database with Sacred's runs is not looked at again

# What each table has from its beginning: which runs there are, whose they are, in which state.
_OURS = "ours"
BASE: dict[str, Any] = {
    _OURS: {"$and": [{"$eq": [{"$type": f"${UID}"}, "string"]}, {"$eq": [{"$type": f"${UPDATED_AT}"}, "date"]}]},
    "status": "$status",
    "started": "$start_time",
    "ended": "$stop_time",
    "heartbeat": "$heartbeat",
    "paused": f"${PAUSED_SECONDS}",
    "project": sort_value(RUN_FIELDS["project"]),
    "owner": f"${OWNER}",
    "visibility": f"${VISIBILITY}",
    "people": f"${SHARED_PEOPLE}",
    "groups": f"${SHARED_GROUPS}",
    "archived": f"${ARCHIVED_AT}",
}
_TIMES = frozenset({"started", "ended", "heartbeat", "archived", "updated"})


class NotKept(Exception):  # no error: MongoDB answers instead
    """These runs are not kept as columns."""


class NotReady(NotKept):
    """They will be: `load` what a table has from its beginning."""


@dataclass
class _Loading:
    """What was written while columns are being read."""

    written: set[Any] = field(default_factory=set)


class ColumnTable:
    """All runs of a collection: a row for each, columns by name. Thread-safe where a method says so."""

    def __init__(self, database: Database[dict[str, Any]], *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._runs: Collection[dict[str, Any]] = database["runs"]
        self._limit = limit_bytes
        self._writes = RunWrites(self._runs)
        self._expressions: dict[str, Any] = {}
        self._loadings: list[_Loading] = []
        self._scan_lock = threading.Lock()
        self._news = threading.Condition()
        self._demanded: dict[str, Any] = {}
        self._loader: threading.Thread | None = None
        self._failures = 0
        self._refused_until = 0.0
        self._asked_at = self._read_at = 0.0
        self._keeper: threading.Thread | None = None
        self.lock = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        self.columns: OrderedDict[str, Column] = OrderedDict()
        self.rows: dict[int, int] = {}
        self.ids: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.alive: Bools = np.zeros(0, np.bool_)
        self._free: list[int] = []
        self.version = 0  # moves on when a run comes, goes, or changes
        self._writes.close()

    # ---- asked from outside, thread-safe

    def holding(self, fields: Iterable[Field], *, at_once: bool = False) -> threading.RLock:
        """See that the columns of these fields are there and as the database is; returns the lock to read them under.

        The lock is held when this returns: whoever asked releases it.

        Args:
            at_once: whether MongoDB would answer sooner than an empty table is filled.

        Raises:
            NotReady: the table is empty, and it was asked at once.
            NotKept: these runs are not kept as columns.
        """
        wanted = {column_name(each): column_expression(each) for each in fields}
        asked_at = self._asked_at = time.monotonic()
        if asked_at < self._refused_until:
            raise NotKept
        for _ in range(5):  # what was loaded may be thrown out again by others, or the database be dropped
            if not self.lock.acquire(timeout=PATIENCE_SECONDS):
                raise NotKept
            try:
                if self._read_at < asked_at:  # else whoever came before has read what this question needs too
                    self.refresh()
                if at_once and not self.columns:
                    raise NotReady
                if all(name in self.columns for name in (*BASE, *wanted)):
                    for name in wanted:
                        self.columns.move_to_end(name)
                    self._refuse_others()
                    return self.lock
            except BaseException:
                self.lock.release()
                raise
            self.lock.release()
            self._await({**BASE, **wanted})
        raise NotKept

    def _await(self, expressions: Mapping[str, Any]) -> None:
        """Have columns read by a thread of their own, many requests' together, and wait for them.

        A request has a deadline, and what it asks of the database ends with it: half a column is of no use to anybody.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._news:
            failures = self._failures
            self._demanded |= {name: each for name, each in expressions.items() if name not in self.columns}
            if self._demanded and self._loader is None:
                self._loader = threading.Thread(target=self._load_demanded, name="columns in demand", daemon=True)
                self._loader.start()
            while not all(name in self.columns for name in expressions):
                if self._failures != failures or not self._news.wait(deadline - time.monotonic()):
                    raise NotKept

    def _load_demanded(self) -> None:
        while True:
            with self._news:
                demanded, self._demanded = self._demanded, {}
                if not demanded:
                    self._loader = None
                    return
            failed = True
            try:
                self.load(demanded)
                failed = False
            except NotKept:
                pass
            except Exception as error:
                # Wide on purpose: MongoDB answers those who wait, or its error is theirs.
                logger.info("Columns of runs could not be read: %s", error)
            finally:
                with self._news:
                    self._failures += failed
                    self._news.notify_all()

    def load(self, expressions: Mapping[str, Any]) -> None:
        """Read columns that are not there yet; others may ask for those that are there meanwhile."""
        with self._scan_lock:  # many may wait for the same one
            with self.lock:
                if self.is_refused() or (not self.columns and not self._begin()):
                    raise NotKept
            self._load_missing(expressions)
            with self.lock:
                if _OURS in self.columns:
                    self._refuse_others()

    def load_beside(self, expressions: Mapping[str, Any]) -> None:
        """The same for columns that nobody waits for: nobody who does has to wait until they are there."""
        if self.columns:
            self._load_missing(expressions)

    def _load_missing(self, expressions: Mapping[str, Any]) -> None:
        with self.lock:
            missing = {name: expression for name, expression in expressions.items() if name not in self.columns}
        if missing:
            self._load_together(missing)

    def is_refused(self) -> bool:
        """Whether these runs are not kept, as far as is known by now."""
        return time.monotonic() < self._refused_until

    def has_room(self) -> bool:
        """Whether some of what columns may take is free, for what somebody will ask for."""
        with self.lock:
            return sum(column.size_bytes for column in self.columns.values()) < 0.85 * self._limit

    def close(self) -> None:
        with self.lock:
            self._forget()

    def _refuse_others(self) -> None:
        """Sacred's runs keep their values elsewhere and in other forms, so MongoDB's own way answers for all."""
        ours = self.columns[_OURS].where(None, lambda value: value is True)
        if not np.array_equal(ours, self.alive):
            self._refused_until = time.monotonic() + RECHECK_SECONDS
            self._forget()
            raise NotKept

    # ---- filling

    def _begin(self) -> bool:
        if self._runs.find_one({UPDATED_AT: None}, {"_id": 1}) is not None:  # Sacred's: not all has to be read to know
            self._refused_until = time.monotonic() + RECHECK_SECONDS
            return False
        if not self._writes.open():
            self._refused_until = float("inf")
            return False
        self._asked_at = time.monotonic()
        if self._keeper is None or not self._keeper.is_alive():
            # By a weak reference: a database that nobody reads any more goes, with its columns.
            self._keeper = threading.Thread(target=_keep, args=(ref(self),), name="kept columns", daemon=True)
            self._keeper.start()
        return True

    def _load_together(self, expressions: Mapping[str, Any]) -> None:
        loading = _Loading()
        with self.lock:
            self._loadings.append(loading)
            before = self.columns
        try:
            ids, columns = _scan(self._runs, expressions)
            with self.lock:
                self.refresh()
                if self.columns is not before:
                    return  # all was thrown away meanwhile
                rows = np.asarray(self._rows_of(ids), np.intp)
                for name, column in zip(expressions, columns, strict=True):
                    if name in self.columns:
                        continue  # somebody could not wait
                    column.rearrange(rows, len(self.ids))
                    self.columns[name] = column
                    self._expressions[name] = expressions[name]
                self._fetch(loading.written)
                self._make_room(keep=set(expressions))
                self.version += 1
        finally:
            with self.lock:
                self._loadings.remove(loading)

    def refresh(self) -> None:
        """Take in what was written until now. Call it under the lock."""
        if self.columns or self._loadings:
            # In a context of its own: the deadline of a request would end the stream for all.
            Context().run(self._take_in)

    def _take_in(self) -> None:
        self._read_at = time.monotonic()
        changes = self._writes.read()
        if changes.everything:
            self._forget()
            return
        for loading in self._loadings:
            loading.written |= changes.ids
        if changes.ids and self.columns:
            self._fetch(changes.ids)

    def _fetch(self, ids: Iterable[Any]) -> None:
        written = list(ids)
        names = list(self.columns)
        projection = {f"c{place}": self._expressions[name] for place, name in enumerate(names)}
        for first in range(0, len(written), FETCHED_TOGETHER):
            part = written[first : first + FETCHED_TOGETHER]
            found = list(self._runs.aggregate([{"$match": {"_id": {"$in": part}}}, {"$project": projection}]))
            rows = self._rows_of([document["_id"] for document in found])
            for place, name in enumerate(names):
                self.columns[name].put(rows, [document.get(f"c{place}") for document in found])
            self._remove(set(part) - {document["_id"] for document in found})
            self.version += 1

    def _rows_of(self, ids: Sequence[Any]) -> list[int]:
        """The rows of runs, new ones for those that have none."""
        fresh = [run_id for run_id in ids if run_id not in self.rows]
        if any(type(run_id) is not int for run_id in fresh):
            self._refused_until = time.monotonic() + RECHECK_SECONDS
            self._forget()
            raise NotKept
        self._make_rows(fresh)
        return [self.rows[run_id] for run_id in ids]

    def _make_rows(self, ids: Sequence[int]) -> None:
        lacking = len(ids) - len(self._free)
        if lacking > 0:
            used = len(self.ids)
            capacity = used + max(lacking, used // 8, 64)
            for column in self.columns.values():
                column.grow(capacity)
            self.ids = np.concatenate([self.ids, np.zeros(capacity - used, np.int64)])
            self.alive = np.concatenate([self.alive, np.zeros(capacity - used, np.bool_)])
            self._free = list(range(capacity - 1, used - 1, -1)) + self._free
        for run_id in ids:
            row = self._free.pop()
            self.rows[run_id] = row
            self.ids[row] = run_id
            self.alive[row] = True

    def _remove(self, ids: Iterable[Any]) -> None:
        gone = [self.rows.pop(run_id) for run_id in ids if run_id in self.rows]
        for row in gone:
            self.alive[row] = False
            for column in self.columns.values():
                column.put([row], [None])
        self._free += gone

    def _make_room(self, keep: set[str]) -> None:
        size = sum(column.size_bytes for column in self.columns.values())
        for name in list(self.columns):
            if size <= self._limit:
                return
            if name not in BASE and name not in keep:
                size -= self.columns.pop(name).size_bytes

    def look_after(self) -> bool:
        """Read the stream, so that the next question has little to take in; False once nobody asks any more."""
        with self.lock:
            if time.monotonic() - self._asked_at > IDLE_SECONDS:
                self._forget()
            if not self.columns:
                self._keeper = None
                return False
            try:
                self.refresh()
            except Exception as error:
                # Wide on purpose: whatever the database said, the next question begins anew and hears it itself.
                logger.info("Columns of runs are read anew with the next question: %s", error)
                self._forget()
            return True


def _keep(table: ref[ColumnTable]) -> None:
    while True:
        time.sleep(KEPT_EVERY_SECONDS)
        known = table()
        if known is None or not known.look_after():
            return
        del known


def column_name(asked: Field) -> str:
    return asked.key


def column_expression(asked: Field) -> Any:
    return BASE[asked.key] if asked.key in BASE else sort_value(asked)


def _scan(runs: Collection[dict[str, Any]], expressions: Mapping[str, Any]) -> tuple[list[Any], list[Column]]:
    """Some values of all documents: the ids, and in their order a column for each expression."""
    projection = {f"c{place}": expression for place, expression in enumerate(expressions.values())}
    ids: list[Any] = []
    columns = [Column(0, is_time=name in _TIMES) for name in expressions]
    found = runs.aggregate([{"$project": projection}], batchSize=BATCH)
    while batch := list(itertools.islice(found, BATCH)):
        rows = range(len(ids), len(ids) + len(batch))
        ids += [document["_id"] for document in batch]
        for column, name in zip(columns, projection, strict=True):
            column.grow(rows.stop)
            column.put(rows, [document.get(name) for document in batch])
    return ids, columns
