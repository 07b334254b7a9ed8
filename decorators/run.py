"""A run as the training script sees it: what it logs, and how it ends."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Literal

from ..observer.bson_values import NAME_LIMIT, to_bson, to_text
from ..observer.errors import CloisterError
from ..observer.recorder import Recorder
from ..observer.settings import CaptureMode, Settings
from .active_runs import enter, leave
from .console_filter import ConsoleFilter
from .interruptions import check_status, interruption_status
from .run_companions import RunCompanions
from .run_ending import end_with_process, settle_at_exit
from .run_files import RunFiles
from .run_identity import Identity
from .run_info import RunInfo
from .run_reading import RunReading
from .run_travel import hand_over
from .scalars import BadStep, Scalars, as_step
from .stopping import Stopping

if TYPE_CHECKING:
    import pandas

    from ..observer.points import Points
    from ..observer.runs import RunStore

logger = logging.getLogger("cloister")

OnBadValue = Literal["warn", "raise"]

_STORED: dict[str, str] = {"completed": "COMPLETED", "failed": "FAILED", "interrupted": "INTERRUPTED"}


class RunEnded(CloisterError, RuntimeError):
    """A run that has ended was asked to record more."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Run {name!r} has ended; what it logs now is not recorded. Start another with start_run().")


class Run:
    """One execution of an experiment, open for recording. Made by `start_run` and `@experiment`.

    All methods may be called from any thread and from forked children. Logging never raises for what happens outside
    (disk, database); a value that cannot be recorded is refused with one warning for each cause, or raises where the
    run was started with `on_bad_value="raise"`.

    Attributes:
        uid: the run's identity in every database, a UUID.
        project, name, experiment, tags: as given or derived at the start.
        config: what the run was started with, a nested dict of plain values.
        rank, world_size: which of the processes that share the run this is, and how many there are; 0 and 1 alone.
        resumed: whether it goes on with a run that was there before.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        header: dict[str, Any],
        config: dict[str, Any],
        settings: Settings,
        on_bad_value: OnBadValue,
        identity: Identity,
        next_step: int = 0,
        interruptions: Mapping[type[BaseException], str] | None = None,
        console_filter: ConsoleFilter | None = None,
    ) -> None:
        self.uid: str = header["uid"]
        self.project: str = header["project"]
        self.name: str = header["name"]
        self.experiment: str = header["experiment"]
        self.tags: tuple[str, ...] = tuple(header["tags"])
        self.config = config
        self.rank = identity.place.rank
        self.world_size = identity.place.world_size
        self.resumed = identity.is_resumed
        self.result: Any = None
        self._header = header
        self._identity = identity
        self._recorder = recorder
        self._settings = settings
        self._on_bad_value = on_bad_value
        self._prefix = f"rank/{self.rank}/" if self.rank and settings.ranks == "tag" else ""
        self._scalars = Scalars(self._prefix)
        self._files = RunFiles(recorder, self._refuse, self._report)
        self._info = RunInfo(recorder.record_fields)
        self._interruptions = dict(interruptions or {})
        self._companions = RunCompanions(recorder, identity, self._guard, self._report, console_filter)
        self._reading = RunReading(recorder, self.uid, self.name, self.store)
        self._stopping = Stopping(recorder, self.name)
        self._next_step = next_step
        self._reported: set[object] = set()
        self._ended = False
        self._end_fields: dict[str, Any] | None = None
        self._pid = os.getpid()
        self._token: Token[Run | None] | None = None

    # ---- what a script calls

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record one point of each metric; when this returns, killing the process cannot lose it.

        Args:
            metrics: numbers by metric name: Python's, numpy's and torch's (one element), NaN and infinities included,
                bools as 0 and 1. Nested dicts are flattened with "/".
            step: any 64-bit int, in any order. Left out, it is one more than the largest so far.

        Raises:
            BadMetric, BadStep, NoMetrics: only with `on_bad_value="raise"`.
        """
        if step is None:
            step = self._next_step
        if type(step) is not int or not -(2**63) <= step < 2**63:
            try:
                step = as_step(metrics, step)
            except BadStep as error:
                self._refuse(error, error.cause)
                return
        if step >= self._next_step:
            self._next_step = step + 1
        values, refused = self._scalars.read(metrics)
        if not self._is_open():
            return
        if values:
            self._guard(self._recorder.record_points, values, step)
        for refusal in refused:
            self._refuse(refusal, refusal.cause)

    def points(self, name: str) -> Points:
        """Every point of a metric that was logged before the call, in the order of logging, as numpy columns.

        Waits up to 2 s for the courier; what it has not shipped by then is read from the journal, which is all there
        is while the database is away.

        Raises:
            MetricNotFound: nothing was logged under this name.
        """
        [points] = self._reading.load([name]).values()
        return points

    def history(self, metrics: str | Sequence[str] | None = None, *, wall_time: bool = False) -> pandas.DataFrame:
        """What was logged before the call as a pandas DataFrame, one row for each step; see `RunStore.load_history`.

        Args:
            metrics: which, in the order of the columns; all but hardware metrics, by name, when left out.
            wall_time: whether to add the column `wall_time` (UTC): when the last point of the row was logged.

        Raises:
            MetricNotFound: nothing was logged under one of these names.
            PandasMissing: pandas is not installed.
        """
        from ..observer.history import tabulate

        return tabulate(self._reading.load(metrics), wall_time=wall_time)

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a file as it is now; it may be changed or deleted afterwards.

        Args:
            path: the file.
            name: how the run calls it; its file name when left out. Slashes make folders on the run's page.
            content_type: as in HTTP; guessed from the name when left out.
            metadata: anything to keep beside it.

        Raises:
            OSError: only with `on_bad_value="raise"`: the file cannot be read.
        """
        if self._is_open():
            self._files.log_artifact(path, name, content_type, metadata)

    def add_resource(self, path: str | os.PathLike[str]) -> None:
        """Record a file that the run reads: where it lies, and its bytes as they are now, which are stored once.

        Raises:
            OSError: only with `on_bad_value="raise"`: the file cannot be read.
        """
        if self._is_open():
            self._files.add_resource(path)

    def open_resource(self, path: str | os.PathLike[str], mode: str = "r", **how: Any) -> IO[Any]:
        """Open a file that the run reads, as `open` does, and record it as `add_resource` does.

        Args:
            mode: "r" or "rb".
            how: further arguments of `open`, such as `encoding`.

        Raises:
            BadResourceMode: `mode` would write the file.
            OSError: the file cannot be opened.
        """
        if self._is_open():
            return self._files.open_resource(path, mode, **how)
        return open(path, mode, **how)  # noqa: PTH123 - the caller closes it, as with open()

    def add_tags(self, *tags: str) -> None:
        """Add tags to those that the run has."""
        self.tags = tuple(dict.fromkeys((*self.tags, *(to_text(tag, NAME_LIMIT) for tag in tags))))
        self._guard(self._recorder.record_fields, {"cloister.tags": list(self.tags)})

    def note(self, text: str) -> None:
        """Set the run's notes."""
        self._guard(self._recorder.record_fields, {"cloister.notes": to_text(text)})

    @property
    def info(self) -> dict[str, Any]:
        """A dict for whatever else is worth keeping; its plain values are stored with each sign of life (every 5 s) and
        at the end. The key "metrics" is taken."""
        return self._info.values

    @property
    def next_step(self) -> int:
        """The step of a `log` that gives none: one more than the largest so far, of a resumed run before it too."""
        return self._next_step

    @property
    def id(self) -> int | None:
        """The run's number, as pages show it. Waits up to 5 s for the database; None if that is out of reach."""
        if self._identity.known is not None and self._identity.known.id is not None:
            return int(self._identity.known.id)
        number: int | None = self._recorder.run_id(timeout_seconds=5.0)
        if number is None and self._ended and self.observed:
            number = self._reading.look_up_number()
        return number

    def finish(
        self,
        status: Literal["completed", "failed", "interrupted"] | str = "completed",
        *,
        result: Any = None,
    ) -> None:
        """End the run. A `with` block, `@experiment` and the end of the script do this by themselves.

        Args:
            status: "completed", "failed", "interrupted", or the name of another interruption: "OUT_OF_BUDGET".

        Raises:
            BadStatus: `status` is none of these.
        """
        stored = _STORED.get(status) or check_status(status)
        self._end(stored, result=result, exit_as={"code": 0 if status == "completed" else 1})

    def wait_until_stored(self, timeout_seconds: float | None = None) -> bool:
        """Wait until all of an ended run is in the database.

        Args:
            timeout_seconds: how long at most; the setting `exit_wait` (15 s) when left out.

        Returns:
            Whether it is. If not, it is kept on disk and shipped later.
        """
        limit = self._settings.exit_wait if timeout_seconds is None else timeout_seconds
        return self._recorder.wait_until_stored(limit)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_as(error)

    def __reduce__(self) -> Any:
        return hand_over(self._header, self._settings, self._identity, self._on_bad_value)

    def __repr__(self) -> str:
        return f"<Run {self.name!r} of project {self.project!r}>"

    # ---- how it starts and ends

    belongs_to_parent = False  # opened by a process that was started with it

    def begin(self, *, capture: CaptureMode, hardware: bool, main_file: Path | None) -> None:
        """Start everything that works beside the script: console, hardware, snapshot, signs of life."""
        self._token = enter(self)
        end_with_process(self)
        self._recorder.before_beat = lambda: self._guard(self._info.record_changes)
        self._recorder.on_stop = self._stopping.obey
        self._guard(self._recorder.start)
        self._companions.start(capture=capture, hardware=hardware, main_file=main_file)
        if self._recorder.observed:
            logger.info("Run %r of project %r is being recorded.", self.name, self.project)

    def end_as(self, error: BaseException | None, *, result: Any = None) -> None:
        """End the run as `error` says: None is success, Ctrl-C is interruption, SystemExit has its code."""
        if error is None:
            self._end("COMPLETED", result=result, exit_as={"code": 0})
        elif isinstance(error, KeyboardInterrupt):
            self._end("INTERRUPTED", exit_as={"signal": 2})
        elif isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
            if self._stopping.has_interrupted:  # Lightning exits so once it has ended cleanly
                self._end("INTERRUPTED", result=result, exit_as={"code": code})
                return
            trace = [] if code == 0 else [f"SystemExit: {error.code}\n"]
            self._end("COMPLETED" if code == 0 else "FAILED", result=result, fail_trace=trace, exit_as={"code": code})
        elif (status := interruption_status(error, self._interruptions)) is not None:
            said = to_text(error, NAME_LIMIT)
            self._end(status, exit_as={"code": 1, **({"reason": said} if said else {})})
        else:
            lines = [to_bson(line) for line in traceback.format_exception(type(error), error, error.__traceback__)]
            self._end("FAILED", fail_trace=lines, exit_as={"code": 1})

    def end_by_signal(self, number: int) -> None:
        """End the run because a signal ends the process. Called from the signal's handler, so it waits for nothing."""
        self._companions.let_go()
        self._end("INTERRUPTED", exit_as={"signal": number})
        self._record_end()  # which may be what the signal has interrupted
        self._guard(self._recorder.give_up_memory)

    def settle(self, timeout_seconds: float, on_wait: Callable[[int], None], on_waited: Callable[[], None]) -> bool:
        """At exit: wait for the courier; if it cannot finish, say once where the record is."""
        stored = self._recorder.wait_until_stored(timeout_seconds, on_wait=on_wait)
        on_waited()
        if not stored:
            self._guard(self._recorder.give_up_memory)
            self._recorder.warn_unless_stored()
        return stored

    @property
    def destination(self) -> Path:
        """The folder that all runs to one database share on this machine."""
        return self._recorder.destination

    def say_where_it_is(self) -> None:
        """Say once where the record is, if the database does not have all of it."""
        self._guard(self._recorder.give_up_memory)
        self._recorder.warn_unless_stored()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def observed(self) -> bool:
        """Whether anything of the run is recorded; `--unobserved` says no."""
        return self._recorder.observed

    def _end(
        self, status: str, *, result: Any = None, fail_trace: Sequence[str] = (), exit_as: Mapping[str, Any]
    ) -> None:
        if self._ended or self.belongs_to_parent or os.getpid() != self._pid:  # a child may not end its parent's run
            return
        self._ended = True
        status, exit_as = self._stopping.settle(status, exit_as)
        self.result = result
        self._end_fields = {"status": status, "fail_trace": list(fail_trace), "exit_as": exit_as}
        try:
            self._end_fields["result"] = to_bson(result)
            self._guard(self._info.record_changes)
            self._companions.stop()
        finally:  # a second Ctrl-C comes through here: the end is recorded all the same
            self._record_end()
            # A signal's handler writes nothing: it may have interrupted a line.
            if self._recorder.observed and "signal" not in exit_as:
                logger.info("Run %r of project %r has ended: %s.", self.name, self.project, status)
            if self._identity.lock is not None:
                self._guard(self._identity.lock.release)
            if self._token is not None:
                leave(self, self._token)
            settle_at_exit(self)

    def _record_end(self) -> None:
        fields, self._end_fields = self._end_fields, None
        if fields is not None:
            self._guard(lambda: self._recorder.record_end(**fields))

    # ---- when something cannot be recorded

    def _guard(self, act: Callable[..., object], *arguments: Any) -> None:
        try:
            act(*arguments)
        except Exception as error:
            # Wide on purpose: the training outranks its record. Ctrl-C is not an Exception and still ends the run.
            self._report(error, (getattr(act, "__name__", ""), type(error)))

    def _is_open(self) -> bool:
        if self._ended:
            self._refuse(RunEnded(self.name), "ended")
        return not self._ended

    def _refuse(self, error: Exception, cause: object) -> None:
        if self._on_bad_value == "raise" and not isinstance(error, RunEnded):
            raise error
        if cause not in self._reported:
            self._reported.add(cause)
            logger.warning("%s", error)

    def _report(self, error: Exception, cause: object) -> None:
        if cause not in self._reported:
            self._reported.add(cause)
            logger.warning("Run %r goes on, but something of it is not recorded: %s", self.name, error, exc_info=error)

    def store(self) -> RunStore:
        """A store that reads from where this run goes; close it, or use it in a `with` block."""
        from ..observer.runs import RunStore

        return RunStore.connect(self._settings.uri)
