"""One run of one command of an experiment: its config settled, its hooks and its function called, its end recorded."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.settings import Settings, load_settings
from .captured import Captured
from .config import ConfigSpec, Resolved
from .config.draft import MISSING
from .config.files import has_config_suffix
from .config.resolving import Sources
from .config.settled import WHOLE
from .config_hooks import ask_config_hooks, with_entries
from .executions import Execution, executing
from .part import Command, Part
from .queued_job import pending_job
from .run_options import RunOptions, post_mortem
from .run_start import RunPlan, begin_run
from .seeds import check_seed, derive_seed, seed_everything

if TYPE_CHECKING:
    from .experiment import Experiment
    from .queueing import QueuedRun
    from .run import Run

NAMED_OVERRIDES = 3  # a run's default name tells its first overrides; more would not fit a table's column
NAME_CHARACTERS = 60


class CommandNamedAsEntry(CloisterError, ValueError):
    """A command and a config entry have one name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is a command and a config entry of this experiment, so a command line could mean either. Give "
            "the command another name: @....command(name='...')."
        )


class LoopIsRunning(CloisterError, RuntimeError):
    """A run whose function is a coroutine was called where an event loop is running."""

    def __init__(self, function: str) -> None:
        super().__init__(
            f"{function}() is a coroutine function, and its run needs an event loop of its own, but one is running "
            f"here. Have the run made in a thread: await asyncio.to_thread({function})"
        )


@dataclass(frozen=True)
class Asked:
    """What a call or a command line asks for.

    Attributes:
        command: what is to run.
        path: the ingredient that the command belongs to; "" is the experiment.
        args, kwargs: what the call gives.
        words: the command line, where it is read, without the command.
        updates: single values, by dotted key or nested.
        presets: by name, the last one wins.
        options: what code says of the run.
    """

    command: Command
    path: str = ""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    words: Sequence[str] | None = None
    updates: Mapping[str, Any] = field(default_factory=dict)
    presets: Sequence[Any] = ()
    options: RunOptions = field(default_factory=RunOptions)

    @property
    def name(self) -> str:
        return f"{self.path}.{self.command.name}" if self.path else self.command.name


class CommandRun:
    """One run, from what is asked for to its end.

    Attributes:
        resolved: its config.
    """

    def __init__(self, experiment: Experiment[..., Any], asked: Asked) -> None:
        self._experiment = experiment
        self._asked = asked
        self._parts = tuple(experiment.iter_parts())  # ingredients before whoever uses them
        self._drawn_seed = derive_seed(None)
        job = pending_job(experiment.name, asked.name)  # a queued run's config was settled when it was queued
        self.resolved = self.settle(None if job is None else job.config)
        self._check()

    # ---- the config

    def settle(self, kept: Mapping[str, Any] | None = None) -> Resolved:
        """The config, with what config hooks say, and with a seed where functions draw random numbers.

        `kept` is the config of a run that goes on: its values stand in for the defaults.
        """
        self._spec = with_seed(self._command_spec(), self._parts, self._drawn_seed)
        resolved = self._resolve(kept)
        said = ask_config_hooks(self._parts, resolved.config, self._asked.name)
        if not said:
            return resolved
        self._spec = with_entries(self._spec, said)
        return self._resolve(kept)

    def _command_spec(self) -> ConfigSpec:
        spec = self._experiment.spec(self._parts)
        command = self._asked.command
        # The parameters of a command with a prefix are looked for there; the others are entries themselves.
        if command.captured.function is self._experiment.shaping or command.captured.prefix:
            return spec
        return spec.for_command(command.captured.function, self._asked.path)

    def _resolve(self, kept: Mapping[str, Any] | None) -> Resolved:
        asked = self._asked
        return self._spec.resolve(
            asked.args, asked.kwargs, asked.words, kept=kept, updates=asked.updates, presets=asked.presets
        )

    # ---- before there is a run

    def _check(self) -> None:
        """Find what is wrong before anything is recorded."""
        names = {command.name for command in self._experiment.commands.values()}
        for name in sorted(names - {self._experiment.main_name}):
            if name in self.resolved.config:
                raise CommandNamedAsEntry(name)
        execution = self.execution(None)
        for hook in [*self._hooks("pre_run_hooks"), *self._hooks("post_run_hooks")]:
            execution.check(hook)

    def _hooks(self, kind: str) -> list[Captured]:
        if self._asked.command.act is not None:
            return []
        return [hook for part in self._parts for hook in getattr(part, kind)]

    def execution(self, run: Run | None) -> Execution:
        """What captured functions are filled from."""
        resolved = self.resolved
        whole = {} if resolved.values.whole is MISSING else {WHOLE: resolved.values.whole}
        return Execution(
            name=self._experiment.name,
            places={part: part.path for part in self._parts},
            # A config that is passed in one piece is there under the name that the function has for it.
            values={**whole, **resolved.arguments, **resolved.namespace},
            config=resolved.config,
            run=run,
            seed=resolved.config.get("seed"),
            missing=resolved.values.all_missing(),
        )

    # ---- the run

    @property
    def options(self) -> RunOptions:
        """What was said of the run beside its config: by the command line, where it is read, else by code."""
        return self._asked.options if self._asked.words is None else self.resolved.options

    def begin(self) -> Run:
        """Open the run. What keeps it from beginning is raised here, and nothing of the experiment has been called."""
        resolved, said = self.resolved, self._experiment.options
        self.options.set_up_logging()
        plan = self.plan()
        if plan.queue:
            from .queueing import end_after_queueing

            end_after_queueing(self.queue())
        _seed(resolved)
        run = begin_run(plan, self.settings(), hardware=said["hardware"], on_bad_value=said["on_bad_value"])
        if self.resolved is not resolved:  # it goes on with a run, whose config it keeps
            run.config = self.resolved.config
            _seed(self.resolved)
        self.resolved.announce(self._experiment.name)
        self._experiment.last_run = run
        return run

    def queue(self) -> QueuedRun:
        """Store the run for a worker instead of making it."""
        from .queueing import entry_of, queue_run  # reads sources and git: 50 ms that a run which is made now spares

        entry = entry_of(self._experiment, self._asked.name, from_command_line=self._asked.words is not None)
        return queue_run(self.plan(), self.settings(), entry)

    def settings(self) -> Settings:
        """The settings, as the experiment, code and command line have them, each over the one before."""
        said = self._experiment.options
        asked = {name: value for name, value in self.options.settings().items() if value is not None}
        return load_settings(
            uri=said["uri"],
            project=asked.get("project"),
            capture=asked.get("capture", said["capture"]),
            ranks=said["ranks"],
            beat_interval=asked.get("beat_interval", said["beat_interval"]),
            visibility=asked.get("visibility", said["visibility"]),
            shared_with=asked.get("shared_with", said["shared_with"]),
        )

    def plan(self) -> RunPlan:
        """What the run is to be; the options of code and of the command line over those of the experiment."""
        experiment, said, resolved = self._experiment, self._experiment.options, self.resolved
        is_main = self._asked.name == experiment.main_name
        label = experiment.name if is_main else f"{experiment.name}-{self._asked.name}"
        plan = RunPlan(
            experiment=experiment.name,
            command=self._asked.name,
            config=resolved.config,
            config_beside=self._config_beside,
            defaults=resolved.defaults,
            project=said["project"],
            name=said["run_name"] or name_of_run(label, resolved) or (None if is_main else label),
            tags=said["tags"],
            notes=said["notes"],
            main_file=experiment.main_file,
            resume=said["resume"],
            fork_from=said["fork_from"],
            comment=said["comment"],
            unobserved=said["unobserved"] or self._asked.command.unobserved,
            enforce_clean=said["enforce_clean"],
            interruptions=said["interruptions"],
            console_filter=said["console_filter"],
            meta=resolved.meta,
            config_changes=resolved.change_records,
        )
        return self.options.over(plan)

    def execute(self, run: Run) -> Run:
        """Call the hooks and the function; gives the ended run. What they raise is recorded and raised."""
        try:
            with executing(self.execution(run)) as execution:
                for hook in self._hooks("pre_run_hooks"):
                    _await(hook, hook.call())
                run.result = result = _await(self._asked.command.captured, self._call(execution, run))
                for hook in self._hooks("post_run_hooks"):
                    _await(hook, hook.call())
        except BaseException as error:  # Ctrl-C and SystemExit end the run too, each in its own way
            run.end_as(error)
            if self.options.pdb and isinstance(error, Exception):
                post_mortem(error)
            raise
        run.end_as(None, result=result)
        return run

    def _call(self, execution: Execution, run: Run) -> Any:
        captured, act = self._asked.command.captured, self._asked.command.act
        if act is not None:
            return act(self._experiment, self._spec, self.resolved)
        if captured.prefix:
            return captured.call()
        bound = self.resolved.bind(run, execution.specials_of(captured))
        return captured.function(*bound.args, **bound.kwargs)

    def _config_beside(self, kept: dict[str, Any]) -> dict[str, Any]:
        self.resolved = self.settle(kept)
        return self.resolved.config


def _await(captured: Captured, result: Any) -> Any:
    """What a function returned; of a coroutine, what that returns."""
    if not inspect.iscoroutine(result):
        return result
    import asyncio  # 30 ms that only its users pay

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(result)
    result.close()
    raise LoopIsRunning(captured.label)


def name_of_run(label: str, resolved: Resolved) -> str | None:
    """A run's name that tells its presets and what was changed ('train-fast-lr0.01-epochs5'), None when nothing was."""
    parts = [Path(name).stem if has_config_suffix(name) else name for name in resolved.presets]
    parts += [
        f"{key.rpartition('.')[2]}{value}"
        for key, value in resolved.overrides.items()
        if isinstance(value, (bool, int, float, str)) and len(str(value)) <= 20
    ]
    if not parts:
        return None
    return "-".join([label, *parts[:NAMED_OVERRIDES]])[:NAME_CHARACTERS]


def _seed(resolved: Resolved) -> None:
    seed = resolved.config.get("seed")
    if seed is not None:
        seed_everything(check_seed(seed))


def with_seed(spec: ConfigSpec, parts: Sequence[Part], drawn: int | None) -> ConfigSpec:
    """`spec` with an entry `seed`, where a function draws random numbers and there is no seed yet."""
    drawing = any(captured.draws for part in parts for captured in part.captured_functions)
    if not drawing or Sources.read(spec).defaults().root.plain_defaults().get("seed") is not None:
        return spec

    def seed() -> dict[str, int | None]:
        """Drawn for each run that is given none.

        Args:
            seed: what all random numbers of the run follow from
        """
        return {"seed": drawn}

    seed.__name__ = "drawing one for each run"  # who computed an entry is told by this name

    return replace(spec, config_functions=[seed, *spec.config_functions])
