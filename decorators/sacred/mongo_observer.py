"""An observer for Sacred's experiments in place of its `MongoObserver`: the same arguments, the same documents.

What Sacred tells it goes into a journal on local disk, and from there into MongoDB: an outage at any event loses
nothing and holds nothing up. It needs no Sacred to be imported, and is no subclass of Sacred's classes, which ask for
none: Sacred calls its observers by their methods' names.
"""

from __future__ import annotations

import functools
import logging
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...observer.run_record import SACRED_FORMAT
from .forked_children import ForkedWith, share_with_children
from .installed import warn_without_sacred
from .live_run import beat_once, find_live_run, wait_for_beats
from .overwriting import find_overwritten
from .recording import SacredRecording
from .run_header import header_of
from .sacred_capture import mend_capture
from .target import Target, target_of_arguments, target_of_collections

if TYPE_CHECKING:
    from pymongo import MongoClient

logger = logging.getLogger("cloister")

PRIORITY = 30
JOIN_SECONDS = 1.0  # for what the end of a run brings; `join` comes next, and waits for all of it
_Event = TypeVar("_Event", bound=Callable[..., Any])
# What Sacred's documents hold under names of its own; anything else in the run's entry is somebody else's.
_OWN_FIELDS = frozenset({
    "_id", "experiment", "format", "command", "host", "start_time", "stop_time", "config", "meta", "status",
    "resources", "artifacts", "captured_out", "info", "heartbeat", "result", "fail_trace", "cloister",
})  # fmt: skip


def _guarded(event: _Event) -> _Event:
    """An event that never raises: Sacred would stop telling this observer anything, or fail the run."""

    @functools.wraps(event)
    def guarded(self: MongoObserver, *arguments: Any, **named: Any) -> Any:
        thread = threading.get_ident()
        self._inside.add(thread)
        try:
            return event(self, *arguments, **named)
        except Exception as error:
            # Wide on purpose: the experiment outranks its record. Ctrl-C is not an Exception and still ends the run.
            self._note(f"{event.__name__} is not recorded whole: {error!r}", error)
            return None
        finally:
            self._inside.discard(thread)

    return guarded  # type: ignore[return-value]


class MongoObserver:
    """Records the runs of a Sacred experiment: `ex.observers.append(cloister.MongoObserver())`.

    Attributes:
        runs, metrics, fs: PyMongo's collections and GridFS, connected when used.
        run_entry: the run's fields as Sacred's own observer keeps them; None before the first run. What others add is
            stored with the next event.
        overwrite: the document of the run to overwrite, or None.
        priority: Sacred tells observers with a higher one first.
        failure_dir: taken for Sacred's sake; what the database does not take waits in the journal.
    """

    COLLECTION_NAME_BLACKLIST = frozenset(
        {"fs.files", "fs.chunks", "_properties", "system.indexes", "search_space", "search_spaces"}
    )
    VERSION = SACRED_FORMAT

    def __init__(
        self,
        url: str | None = None,
        db_name: str | None = None,
        collection: str = "runs",
        collection_prefix: str = "",
        overwrite: int | str | None = None,
        priority: int = PRIORITY,
        client: MongoClient[Any] | None = None,
        failure_dir: str | Path | None = None,
        *,
        project: str | None = None,
        hardware: bool = False,
        **options: Any,
    ) -> None:
        """
        Args:
            url: as PyMongo's client takes it. Without it, and without a client, the settings decide, as for any other
                run; where they name no database and `db_name` is given, it is MongoDB on this machine, as in Sacred.
            db_name: the database; "sacred" where a url or a client is given.
            collection: of the runs, deprecated in Sacred.
            collection_prefix: "lab" has runs in lab_runs, metrics in lab_metrics.
            overwrite: the id of a run whose place the next one takes.
            priority: see the attribute.
            client: ships through this client, in a thread of this process.
            failure_dir: see the attribute.
            project: under which the viewer shows the runs; the experiment's name when left out.
            hardware: whether to record how busy processors, memory, disks and GPUs are.
            options: further arguments of PyMongo's client.

        Raises:
            ValueError, KeyError: as Sacred's own.
            RuntimeError: there is no run to overwrite.
        """
        warn_without_sacred()
        target = target_of_arguments(url, db_name, collection, collection_prefix, client, options)
        self._begin(target, overwrite, priority, failure_dir, project)
        self._hardware = hardware

    @classmethod
    def create(cls, *arguments: Any, **named: Any) -> MongoObserver:
        """Deprecated in Sacred: the same as the constructor."""
        message = f"{cls.__name__}.create(...) is deprecated. Please use {cls.__name__}(...) instead."
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return cls(*arguments, **named)

    @classmethod
    def create_from(cls, *arguments: Any, **named: Any) -> MongoObserver:
        """An observer for collections that are open already; takes what `initialize` takes."""
        observer = cls.__new__(cls)
        observer.initialize(*arguments, **named)
        return observer

    def initialize(
        self,
        runs_collection: Any,
        fs: Any,
        overwrite: int | str | None = None,
        metrics_collection: Any = None,
        failure_dir: str | Path | None = None,
        priority: int = PRIORITY,
    ) -> None:
        """Begin with collections that are open already.

        Args:
            fs: kept as the attribute; files go to GridFS's usual collections beside the runs.
            metrics_collection: where metrics go; "metrics" beside the runs when left out.
        """
        self._begin(target_of_collections(runs_collection, metrics_collection), overwrite, priority, failure_dir)
        self.runs, self.metrics, self.fs = runs_collection, metrics_collection, fs

    def _begin(
        self,
        target: Target,
        overwrite: int | str | None,
        priority: int,
        failure_dir: str | Path | None,
        project: str | None = None,
    ) -> None:
        self._target = target
        self._project = project
        self._hardware = False
        self._recording: SacredRecording | None = None
        self._inside: set[int] = set()  # threads whose events are with us now
        # By Sacred's object of the run: several threads may run one experiment at once.
        self._shared: weakref.WeakKeyDictionary[Any, ForkedWith] = weakref.WeakKeyDictionary()
        self.run_entry: dict[str, Any] | None = None
        self.priority = priority
        self.failure_dir = failure_dir
        self.overwrite = None if overwrite is None else find_overwritten(target, overwrite)

    def __getattr__(self, name: str) -> Any:
        # Connecting takes time, and starts the embedded database: only for who asks.
        if name in ("runs", "metrics", "fs") and "_target" in self.__dict__:
            value = getattr(self._target, name)
            setattr(self, name, value)
            return value
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- Sacred's events

    def queued_event(
        self, ex_info: Any, command: Any, host_info: Any, queue_time: Any, config: Any, meta_info: Any, _id: Any
    ) -> Any:
        """A run is noted for later; returns its id, None while the database is out of reach."""
        if self.overwrite is not None:
            raise RuntimeError("Can't overwrite with QUEUED run.")
        given = {"ex_info": ex_info, "command": command, "host_info": host_info, "queue_time": queue_time}
        given.update(config=config, meta_info=meta_info, _id=_id)
        return self._start(given, "QUEUED")

    def started_event(
        self, ex_info: Any, command: Any, host_info: Any, start_time: Any, config: Any, meta_info: Any, _id: Any
    ) -> Any:
        """A run begins; returns its id, None while the database is out of reach."""
        if self.overwrite is not None and self.run_entry is not None:
            raise RuntimeError("Cannot overwrite more than once!")
        given = {"ex_info": ex_info, "command": command, "host_info": host_info, "start_time": start_time}
        given.update(config=config, meta_info=meta_info, _id=_id)
        return self._start(given, "RUNNING")

    @_guarded
    def heartbeat_event(self, info: Any, captured_out: Any, beat_time: Any, result: Any) -> None:
        self._enter(info=info, captured_out=captured_out, heartbeat=beat_time, result=result)
        recording = self._current()
        if recording is not None:
            recording.record_beat(info, captured_out, beat_time, result)
            recording.settle_event()

    @_guarded
    def log_metrics(self, metrics_by_name: Any, info: Any) -> None:
        recording = self._current()
        if recording is not None:
            recording.record_metrics(metrics_by_name)

    @_guarded
    def resource_event(self, filename: Any) -> None:
        recording = self._current()
        if recording is not None:
            recording.record_resource(str(filename))
            self._save()

    @_guarded
    def artifact_event(self, name: Any, filename: Any, metadata: Any = None, content_type: Any = None) -> None:
        recording = self._current()
        if recording is not None:
            recording.record_artifact(str(name), str(filename), metadata, content_type)
            self._save()

    @_guarded
    def completed_event(self, stop_time: Any, result: Any) -> None:
        self._end("COMPLETED", stop_time, result=result, has_result=True)

    @_guarded
    def interrupted_event(self, interrupt_time: Any, status: Any) -> None:
        self._end(str(status), interrupt_time)

    @_guarded
    def failed_event(self, fail_time: Any, fail_trace: Any) -> None:
        self._end("FAILED", fail_time, fail_trace=fail_trace)

    @_guarded
    def join(self) -> None:
        """Wait until the ended run is stored, while the database answers."""
        recording = self._current()
        if recording is not None:
            recording.join(self._target.settings.exit_wait)

    # ---- inside

    @_guarded
    def _start(self, given: dict[str, Any], status: str) -> Any:
        overwritten = self.overwrite["_id"] if self.overwrite is not None else None
        header = header_of(self._project, self._target, given, status=status, overwrite=overwritten)
        recording = self._recording = SacredRecording(self._target, header)
        self.run_entry = self._new_entry(header, given)
        recording.record_sources(str(given["ex_info"].get("base_dir") or "."), given["ex_info"].get("sources") or ())
        if status == "QUEUED":
            number = recording.queue()
        else:
            self._look_after(recording)
            number = recording.start(hardware=self._hardware)
        asked = given["_id"] if overwritten is None else overwritten
        if None not in (number, asked) and number != asked:
            logger.warning(
                "The id %r is another run's already in %s; this run is %r there.", asked, self._target, number
            )
        self.run_entry["_id"] = asked if number is None else number
        return self.run_entry["_id"]

    def _current(self) -> SacredRecording | None:
        """The recording of the run that calls us; the newest where nobody can tell."""
        run = find_live_run() if self._shared else None
        shared = None if run is None else self._shared.get(run)
        return self._recording if shared is None else shared.recording

    def _look_after(self, recording: SacredRecording) -> None:
        run = find_live_run()
        if run is not None:
            mend_capture(run)
            self._shared[run] = share_with_children(run, recording)
            recording.last_beat = functools.partial(beat_once, run)

    def _new_entry(self, header: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        kept = dict(self.overwrite or {})
        kept.pop("cloister", None)
        sacred = header["sacred"]
        return {
            **kept,
            "_id": given["_id"],
            "experiment": sacred["experiment"],
            "format": self.VERSION,
            "command": header["command"],
            "host": header["host"],
            "start_time": given.get("start_time"),
            "config": header["config"],
            "meta": sacred["meta"],
            "status": sacred["status"],
            "resources": [],
            "artifacts": [],
            "captured_out": "",
            "info": {},
            "heartbeat": None,
        }

    def _enter(self, **fields: Any) -> None:
        if self.run_entry is not None:
            self.run_entry.update(fields)

    def _save(self) -> None:
        """Record what others have put into the run's entry, and wait a moment for all that was recorded."""
        recording = self._current()
        if recording is not None:
            known = self.overwrite or {}
            entry = self.run_entry or {}
            theirs = {
                name: value
                for name, value in entry.items()
                if name not in _OWN_FIELDS and not (name in known and known[name] is value)
            }
            recording.record_extra(theirs)
            recording.settle_event()

    def _end(self, status: str, stop_time: Any, **details: Any) -> None:
        run = find_live_run()
        if run is not None:
            wait_for_beats(run, lambda: bool(self._inside - {threading.get_ident()}))
        entry = {name: details[name] for name in ("result", "fail_trace") if name in details}
        self._enter(status=status, stop_time=stop_time, **entry)
        recording = self._current()
        if recording is not None:
            self._save()
            recording.record_end(status, stop_time, **details)
            recording.join(JOIN_SECONDS)

    def _note(self, text: str, error: BaseException) -> None:
        recording = self._current()
        if recording is not None:
            recording.note(text, error)
        else:
            logger.error("%s", text, exc_info=error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MongoObserver) and self._target.is_same_as(other._target)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target}>"
