"""One run of a Sacred experiment on its way into the journal: Sacred's events as records."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...observer.bson_values import NAME_LIMIT, to_text
from ...observer.content_types import content_type_of
from ...observer.private_copies import CopyNotKept
from ...observer.sacred_recorder import SacredRecorder
from ...observer.sacred_records import NOTES_LIMIT, OBSERVER_NOTES
from ...observer.session_names import session_time
from ..run_ending import end_with_process, settle_at_exit
from ..stopping import Stopping
from .captured_output import CapturedOutput
from .info_entries import InfoEntries, differs
from .metric_columns import metric_name, read_columns
from .run_header import moment_of
from .sacred_encoding import stored_name, to_stored, to_stored_fields
from .surroundings import SacredSurroundings, start_sampler
from .target import Target

if TYPE_CHECKING:
    from ...observer.hardware import HardwareSampler

logger = logging.getLogger("cloister")

SETTLE_SECONDS = 1.0  # that an event waits until it is stored, while the database answers
START_SECONDS = 10.0  # a courier that finds no database says so within 3 s of its start
LAST_BEAT_SECONDS = 2.0  # for what was logged since the last beat, when a signal ends the process
METADATA_LIMIT_BYTES = 64 * 1024
OUTPUT_FIELDS = ("captured_out", "cloister.console.captured")


class SacredRecording:
    """Records one run until its end. Thread-safe as far as Sacred calls it: beats come from a thread of its own.

    Attributes:
        last_beat: called when a signal ends the process, to record what Sacred would have at its next beat.
    """

    def __init__(self, target: Target, header: Mapping[str, Any]) -> None:
        self._target = target
        self._header = dict(header)
        self._recorder = SacredRecorder(header, target.settings, target.lent)
        self._stopping = Stopping(self._recorder, str(header.get("name") or header.get("experiment") or ""))
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._ended = False
        self._info = InfoEntries()
        self._result: tuple[Any, ...] = ()  # as it was recorded
        self._extra: dict[str, Any] = {}
        self._output = CapturedOutput(self._record_output, self._replace_output)
        self._notes = 0
        self._surroundings: SacredSurroundings | None = None
        self._sampler: HardwareSampler | None = None
        self.last_beat: Callable[[], None] | None = None

    # ---- starting

    def start(self, *, hardware: bool) -> Any:
        """Begin to ship, and wait a moment for the run's id; None while the database is out of reach."""
        end_with_process(self)
        self._recorder.on_stop = self._stopping.obey
        self._recorder.start()
        described = self._header["sacred"]["experiment"]
        base_dir, main_file = str(described.get("base_dir") or "."), described.get("mainfile")
        has_git = bool(described.get("repositories"))
        self._surroundings = SacredSurroundings(self._recorder, base_dir, main_file, has_git=has_git)
        self._surroundings.start()
        if hardware:
            self._sampler = start_sampler(self._recorder)
        self._recorder.settle(START_SECONDS)
        return self._recorder.known_id()

    def queue(self) -> Any:
        """Ship a run that is only queued, and let go of it; returns its id, or None as `start`."""
        self._recorder.start()
        self._recorder.settle(START_SECONDS)
        number = self._recorder.known_id()
        self._ended = True
        self._recorder.release()
        settle_at_exit(self)
        return number

    def settle_event(self) -> None:
        """An event has been recorded: wait until it is stored, but not long."""
        if os.getpid() == self._pid:
            self._recorder.settle(SETTLE_SECONDS)

    @property
    def known_id(self) -> Any:
        return self._recorder.known_id()

    # ---- what Sacred sends

    def record_sources(self, base_dir: str, sources: Any) -> None:
        """Record the experiment's files of code, each as it is now."""
        missing = []
        for name, _digest in sources:
            path = Path(base_dir, name)
            try:
                self._recorder.record_source_file(str(name), str(path), path.read_bytes())
            except OSError as error:
                missing.append(f"{name} could not be read: {error.strerror or error}")
        if missing:
            self._recorder.record_fields({"cloister.source_notes": missing})

    def record_metrics(self, metrics_by_name: Mapping[Any, Any]) -> None:
        for name, columns in metrics_by_name.items():
            try:
                encoded = metric_name(name)
                read = read_columns(columns)
                self._recorder.record_column(encoded, read.steps, read.values, read.wall_times)
                for group in read.unusual_groups():
                    self._recorder.record_unusual(encoded, group)
            except Exception as error:
                # Wide on purpose: values and names are the user's own objects, and one metric may cost itself alone.
                self.note(f"Metric {to_text(name, NAME_LIMIT)!r} is not recorded: {error}", error)

    def record_beat(self, info: Any, captured_out: str, beat_time: Any, result: Any) -> None:
        self.record_output(captured_out)
        self.record_info(info)
        fields: dict[str, Any] = {"heartbeat": moment_of(beat_time)}
        stored = to_stored(result)
        if not self._result or differs(self._result[0], stored):
            self._result = (stored,)
            fields["result"] = stored
        self._recorder.record_fields(fields)

    def record_output(self, captured_out: Any) -> None:
        with self._lock:
            if isinstance(captured_out, str):
                self._output.take(captured_out)

    def record_info(self, info: Any) -> None:
        """Record what has changed in Sacred's `info` since it was last recorded, entry by entry."""
        if isinstance(info, Mapping):
            with self._lock:
                changed, gone = self._info.take(info)
                for name, value in changed.items():
                    self._recorder.record_fields({f"info.{name}": value})
                if gone:
                    self._recorder.record_gone([f"info.{name}" for name in gone])

    def record_extra(self, fields: Mapping[str, Any]) -> None:
        """Record what others have put beside Sacred's own fields in the run's entry, as seml does."""
        for name, value in fields.items():
            stored = to_stored(value)
            if name not in self._extra or differs(self._extra[name], stored):
                self._extra[name] = stored
                self._recorder.record_fields({stored_name(name): stored})

    def record_resource(self, filename: str) -> None:
        try:
            self._recorder.record_resource(Path(filename), filename)
        except CopyNotKept as error:
            self.note(str(error))
        except OSError as error:
            reason = error.strerror or str(error)
            self.note(f"Resource {filename!r} is not recorded: {reason}. Pass the path of a file that can be read.")

    def record_artifact(self, name: str, filename: str, metadata: Any, content_type: Any) -> None:
        try:
            self._recorder.record_artifact(
                Path(filename),
                to_text(name, NAME_LIMIT),
                content_type_of(filename) if content_type is None else to_text(content_type, NAME_LIMIT),
                to_stored_fields(metadata, METADATA_LIMIT_BYTES),
            )
        except CopyNotKept as error:
            self.note(str(error))
        except OSError as error:
            reason = error.strerror or str(error)
            self.note(f"Artifact {filename!r} is not recorded: {reason}. Pass the path of a file that can be read.")

    def record_end(
        self, status: str, stop_time: Any, *, result: Any = None, fail_trace: Any = None, has_result: bool = False
    ) -> None:
        """Record how the run ended, once, and let go of its journal."""
        if self._ended or os.getpid() != self._pid:  # a forked child may not end its parent's run
            return
        if has_result:
            self._recorder.record_fields({"result": to_stored(result)})
        if self._surroundings is not None:
            self._surroundings.finish()
        if self._sampler is not None:
            self._sampler.stop()
        self.settle_event()
        self._close(status, stop_time, fail_trace, _exit_of(status))

    def note(self, text: str, error: BaseException | None = None) -> None:
        """Something could not be recorded: say it, and have the run say it too."""
        self._notes += 1
        if self._notes <= NOTES_LIMIT:
            logger.warning("%s", text, exc_info=error)
            entry = {"time": session_time(), "text": to_text(text, NAME_LIMIT)}
            self._recorder.record_added({OBSERVER_NOTES: [entry]})

    # ---- how it ends

    def join(self, timeout_seconds: float) -> bool:
        """Wait until all of an ended run is stored, if the database answers."""
        return self._ended and self._recorder.wait_until_stored(timeout_seconds)

    @property
    def ended(self) -> bool:
        return self._ended

    def end_as(self, _error: BaseException | None) -> None:
        """The process ends, and Sacred has not said how the run did: its thread was left behind."""
        self._close("INTERRUPTED", None, None, {})

    def end_by_signal(self, number: int) -> None:
        """A signal ends the process, which Sacred does not notice. Called from its handler."""
        if self._ended or os.getpid() != self._pid:
            return
        if self.last_beat is not None:
            # In a thread: the main one is held up here, perhaps in the middle of what a beat needs.
            beat = threading.Thread(target=self._last_beat, name="cloister-last-beat", daemon=True)
            beat.start()
            beat.join(LAST_BEAT_SECONDS)
        self._close("INTERRUPTED", None, None, {"signal": number})
        if self._target.lent is not None:  # nobody else can ship it now
            self._recorder.wait_until_stored(LAST_BEAT_SECONDS)
        self._recorder.give_up_memory()

    def settle(self, timeout_seconds: float, on_wait: Callable[[int], None], on_waited: Callable[[], None]) -> bool:
        """At exit: wait for the courier; if it cannot finish, say once where the record is."""
        stored = self._recorder.wait_until_stored(timeout_seconds, on_wait=on_wait)
        on_waited()
        if not stored:
            self.say_where_it_is()
        return stored

    @property
    def destination(self) -> Path:
        return self._recorder.destination

    def say_where_it_is(self) -> None:
        self._recorder.give_up_memory()
        self._recorder.warn_unless_stored()

    def _last_beat(self) -> None:
        try:
            assert self.last_beat is not None
            self.last_beat()
        except Exception as error:
            # Wide on purpose: a process that ends has other things to do than this one.
            logger.debug("The last beat before a signal failed: %s", error)

    def _close(self, status: str, stop_time: Any, fail_trace: Any, exit_as: Mapping[str, Any]) -> None:
        if self._ended:
            return
        self._ended = True
        status, exit_as = self._stopping.settle(status, exit_as)
        trace = fail_trace if isinstance(fail_trace, str) else [to_text(line) for line in fail_trace or ()]
        self._recorder.record_end(
            status,
            fail_trace=trace or None,  # type: ignore[arg-type]
            exit_as=exit_as,
            stop_time=moment_of(stop_time),
        )
        settle_at_exit(self)

    # ---- for forked children, and what is printed

    def continue_after_fork(self, info: Any) -> None:
        """In a forked child: what it finds in `info` is its parent's to record."""
        self._lock = threading.RLock()
        if isinstance(info, Mapping):
            self._info.take(info)

    def record_output_of_child(self, text: str) -> None:
        self._recorder.record_console("stdout", text, time.time())

    def _record_output(self, text: str) -> None:
        self._recorder.record_console("stdout", text, time.time())

    def _replace_output(self, text: str) -> None:
        self._recorder.record_fields(dict(zip(OUTPUT_FIELDS, (text, True), strict=True)))


def _exit_of(status: str) -> dict[str, Any]:
    return {"COMPLETED": {"code": 0}, "FAILED": {"code": 1}}.get(status, {})
