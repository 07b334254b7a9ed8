"""`cloister.runs` and `cloister.load_run`: stored runs in a script or a notebook, whoever recorded them."""

from __future__ import annotations

import atexit
import difflib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from .amounts import count_of
from .errors import CloisterError
from .run_collections import Collections
from .run_query import BadRunQuery, RunQuery
from .run_record import RunRecord
from .run_status import RunStatus
from .runs import RunStore

if TYPE_CHECKING:
    import pandas

    from .blobs import Blob
    from .metric_reader import Axis, Curve
    from .metric_summary import MetricSummary
    from .notebook_charts import StoredChart
    from .points import Points
    from .run_files import ArtifactEntry, ResourceEntry, SourceEntry
    from .run_record import RunId

# What a list of runs leaves out; the whole run is loaded when one of them is asked for.
_OF_THE_WHOLE = frozenset(
    ("info", "fail_trace", "environment", "sources", "source_notes", "system", "ranks", "artifacts", "resources")
) | {"console_bytes", "meta", "recording_notes"}

_STATES: tuple[str, ...] = get_args(RunStatus)

_stores: dict[tuple[int, str, str, str], RunStore] = {}
_lock = threading.Lock()


class FileNotInRun(CloisterError, LookupError):
    """A run has no stored artifact, resource or source of this name."""

    def __init__(self, run_id: RunId, kind: str, name: str, known: list[str]) -> None:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"It has {', '.join(known[:10]) or 'none'}."
        super().__init__(f"Run {run_id} has no {kind} {name!r}. {hint}")


class StoredRun:
    """A stored run: everything that `RunRecord` has, and what was logged. Nothing here writes.

    What a list leaves out (info, traceback, environment, files) is loaded with the first attribute that needs it.
    Metrics, files and output are read anew at each call; `reloaded` gives the run as it is now.
    """

    id: RunId
    uid: str | None
    project: str
    name: str
    experiment: str
    command: str
    status: RunStatus
    custom_status: str
    tags: tuple[str, ...]
    notes: str
    owner: str
    host: str
    start_time: datetime | None
    stop_time: datetime | None
    heartbeat: datetime | None
    duration: timedelta | None
    config: dict[str, Any]
    config_defaults: dict[str, Any]
    summary: dict[str, MetricSummary]
    result: Any
    info: dict[str, Any]
    meta: dict[str, Any]
    fail_trace: tuple[str, ...]
    artifacts: tuple[ArtifactEntry, ...]
    resources: tuple[ResourceEntry, ...]
    sources: tuple[SourceEntry, ...]
    git: dict[str, Any]
    environment: dict[str, Any]
    unreadable: tuple[str, ...]

    def __init__(self, store: RunStore, record: RunRecord, *, is_whole: bool = False) -> None:
        self._store = store
        self._listed = record
        self._whole = record if is_whole else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # before __init__, as copying and pickling ask
            raise AttributeError(name)
        if name in _OF_THE_WHOLE:
            return getattr(self.record, name)
        try:
            return getattr(self._listed if self._whole is None else self._whole, name)
        except AttributeError:
            raise AttributeError(f"A stored run has no attribute {name!r}.", name=name, obj=self) from None

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *RunRecord.__dataclass_fields__, "duration", "ended"})

    def __repr__(self) -> str:
        return f"<StoredRun {self.id!r} {self.name!r} {self.custom_status or self.status}>"

    @property
    def record(self) -> RunRecord:
        """All that the run's document holds.

        Raises:
            RunNotFound: it has been deleted meanwhile.
        """
        if self._whole is None:
            self._whole = self._store.load_run(self.id)
        return self._whole

    def reloaded(self) -> StoredRun:
        """The run as it is now."""
        return StoredRun(self._store, self._store.load_run(self.id), is_whole=True)

    # ---- what was logged

    def metrics(self) -> tuple[MetricSummary, ...]:
        """All metrics by name: count, last, lowest and highest value; hardware metrics are under `system/`."""
        return self._store.list_metrics(self.id)

    def points(self, name: str) -> Points:
        """Every point of a metric as columns `steps`, `values`, `wall_times`, in the order of logging.

        Raises:
            MetricNotFound: the run has no such metric.
        """
        return self._store.load_points(self.id, name)

    def curve(self, name: str, *, pixels: int = 1000, axis: Axis = "step") -> Curve:
        """A metric as a chart of `pixels` draws it; see `RunStore.load_curve`."""
        return self._store.load_curve(self.id, name, pixels=pixels, axis=axis)

    def chart(self, metric: str, *, axis: Axis = "step", log: bool = False) -> StoredChart:
        """A chart of a metric, which a notebook shows; `.figure()` is the Bokeh figure of it."""
        from .notebook_charts import StoredChart

        return StoredChart([self], metric, axis=axis, log=log)

    def _repr_html_(self) -> str:
        from .notebook import run_html  # whoever only reads in a script never needs it

        return run_html(self)

    def history(self, metrics: str | Sequence[str] | None = None, *, wall_time: bool = False) -> pandas.DataFrame:
        """The metrics as a table with a row for each step; see `RunStore.load_history`."""
        return self._store.load_history(self.id, metrics, wall_time=wall_time)

    def open_artifact(self, name: str) -> Blob:
        """The bytes of an artifact, the one logged last of several with this name: `.read()`, `.size`, iteration.

        Raises:
            FileNotInRun: the run has no such artifact.
            BlobNotFound, DamagedBlob: the database has lost it, or a part of it.
        """
        return self._open("artifact", name, [(entry.name, entry.file_id) for entry in self.artifacts])

    def open_resource(self, path: str) -> Blob:
        """The bytes of a file that the run read with `open_resource`, by its path; raises as `open_artifact`.

        Sacred's own observer stores no bytes of them.
        """
        stored = [(entry.path, entry.file_id) for entry in self.resources if entry.file_id is not None]
        return self._open("resource", path, stored)

    def open_source(self, path: str) -> Blob:
        """The bytes of a file of the run's code; raises as `open_artifact`."""
        return self._open("source", path, [(entry.path, entry.file_id) for entry in self.sources])

    def console(self) -> str:
        """All that the run printed, stdout and stderr in the order in which they were caught; escapes are kept."""
        return "".join(self._console_texts())

    def _console_texts(self) -> Iterator[str]:
        page = self._store.load_console(self.id, after="")
        while page.pieces:
            yield from (piece.text for piece in page.pieces)
            if not page.more:
                return
            page = self._store.load_console(self.id, after=page.last)

    def _open(self, kind: str, name: str, files: list[tuple[str, Any]]) -> Blob:
        found = dict(files)
        if name not in found:
            raise FileNotInRun(self.id, kind, name, list(found))
        return self._store.open_blob(found[name])


class StoredRuns(Sequence[StoredRun]):
    """Runs in the order that was asked for. They were read once: a new call of `cloister.runs` has newer ones."""

    def __init__(self, runs: Sequence[StoredRun]) -> None:
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, place: int) -> StoredRun: ...
    @overload
    def __getitem__(self, place: slice) -> StoredRuns: ...
    def __getitem__(self, place: int | slice) -> StoredRun | StoredRuns:
        return StoredRuns(self._runs[place]) if isinstance(place, slice) else self._runs[place]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self._runs[:3]))
        return (
            f"<{count_of(len(self), 'run')}: {shown}{', ...' if len(self) > 3 else ''}>" if self._runs else "<no runs>"
        )

    def chart(self, metric: str, *, axis: Axis = "step", log: bool = False) -> StoredChart:
        """A chart of a metric of all these runs, which a notebook shows; runs that have none of it are left out."""
        from .notebook_charts import StoredChart

        return StoredChart(self, metric, axis=axis, log=log)

    def _repr_html_(self) -> str:
        from .notebook import runs_html  # whoever only reads in a script never needs it

        return runs_html(self)


def runs(
    query: str | None = None,
    *,
    project: str | None = None,
    text: str = "",
    status: str | Sequence[str] | None = None,
    tags: str | Sequence[str] | None = None,
    sort: str | Sequence[str] = "-started",
    limit: int | None = None,
    archived: Literal["without", "with", "only"] = "without",
    uri: str | None = None,
    collections: str | Collections = "",
) -> StoredRuns:
    """Stored runs, of ours and of Sacred's.

    Args:
        query: a query such as "status = completed and config.lr < 1e-2"; docs/query.md describes the language.
        project: only those of this project. A run of Sacred's belongs to that of its experiment's name.
        text: words that each must occur in name, experiment, tags, status or id.
        status: queued, running, completed, failed, interrupted, lost, or one as Sacred stores it (TIMEOUT); or several.
        tags: one that they must have, or several of which they must have all.
        sort: any field of the query language, "-" in front for descending; or several, the first one first.
        limit: how many at most.
        archived: whether archived runs are among them.
        uri: which MongoDB and database; that of the settings in force where none is given.
        collections: Sacred's prefix ("lab"), or "runs=mine".

    Raises:
        BadRunQuery: runs cannot be asked for so; QueryError, which is one, says at which column of `query`.
        BadMongoUri, BadCollections: `uri` or `collections` is no such thing.
        DatabaseUnreachable: no MongoDB answered there.
    """
    if limit is not None and limit < 1:
        raise BadRunQuery(f"{limit} runs are none. Leave limit out for all.")
    order = sort if isinstance(sort, str) else tuple(sort)
    asked = RunQuery(
        project=project,
        text=text,
        sort=order,
        status=_states(status),
        tags=_words(tags),
        where=query or "",
        archived=archived,
    )
    store = _store(uri, collections)
    with _answering(store):
        return StoredRuns([StoredRun(store, record) for record in store.find_runs(asked, limit)])


def load_run(run_id: RunId, *, uri: str | None = None, collections: str | Collections = "") -> StoredRun:
    """One stored run by its id: a number, or whatever else Sacred's database has as ids (text, ObjectId).

    Raises:
        RunNotFound: there is none.
        BadMongoUri, BadCollections: `uri` or `collections` is no such thing.
        DatabaseUnreachable: no MongoDB answered there.
    """
    store = _store(uri, collections)
    with _answering(store):
        return StoredRun(store, store.load_run(run_id), is_whole=True)


def _words(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _states(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """The states; one that is nearly one of ours is a slip. A status of somebody's own may be any other text."""
    states = _words(given)
    for word in states:
        nearest = [] if word in _STATES else difflib.get_close_matches(word, _STATES, n=1, cutoff=0.75)
        if nearest:
            raise BadRunQuery(f"No run has the status {word!r}. Did you mean {nearest[0]!r}?")
    return states


@contextmanager
def _answering(store: RunStore) -> Iterator[None]:
    """Says in a sentence that no MongoDB answers; the driver's own error describes its topology instead."""
    from pymongo.errors import ConnectionFailure

    from .mongo import DatabaseUnreachable, address_of

    started = time.monotonic()
    try:
        yield
    except ConnectionFailure as error:
        raise DatabaseUnreachable(address_of(store.database.client), time.monotonic() - started, error) from None


def _store(uri: str | None, collections: str | Collections) -> RunStore:
    """One connection for each database and process, through which nothing is written."""
    from .mongo import database_name, resolve_uri
    from .settings import load_settings

    chosen = Collections.parse(collections) if isinstance(collections, str) else collections
    settings = load_settings(uri=uri)
    resolved = resolve_uri(settings)
    key = os.getpid(), resolved, database_name(resolved, settings), str(chosen)
    with _lock:
        if key not in _stores:
            if not _stores:
                atexit.register(_close_stores)
            _stores[key] = RunStore.connect(resolved, collections=chosen, read_only=True)
        return _stores[key]


def _close_stores() -> None:
    for (process, *_), store in _stores.items():
        if process == os.getpid():
            store.close()
