"""`@experiment`: a function whose every call is a recorded run, configured by its signature."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ..observer.settings import CaptureMode, RanksMode, load_settings
from .config import ConfigSpec, Resolved
from .config.script import explained_exit, program_name
from .run import OnBadValue, Run
from .run_start import RunPlan, begin_run, main_file_of_process
from .seeds import check_seed, seed_everything

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

NAMED_OVERRIDES = 3  # a run's default name tells its first overrides; more would not fit a table's column
NAME_CHARACTERS = 60


class Experiment(Generic[Parameters, Result]):
    """A function under `@experiment`. Calling it records a run and returns what the function returns.

    Attributes:
        function: the function itself; calling it records nothing.
        last_run: the run of the newest call, None before the first.
    """

    def __init__(
        self,
        function: Callable[Parameters, Result],
        *,
        project: str | None,
        name: str | None,
        run_name: str | None,
        tags: Sequence[str],
        notes: str,
        config: Any,
        command_line: bool | None,
        uri: str | None,
        capture: CaptureMode | None,
        hardware: bool,
        on_bad_value: OnBadValue,
        resume: int | str | None,
        fork_from: Any,
        ranks: RanksMode | None,
    ) -> None:
        self.function = function
        self.name = name or function.__name__
        self.last_run: Run | None = None
        self._spec = ConfigSpec.from_function(function, config)
        self._project = project
        self._run_name = run_name
        self._tags = tuple(tags)
        self._notes = notes
        self._command_line = command_line
        self._uri = uri
        self._capture = capture
        self._hardware = hardware
        self._on_bad_value: OnBadValue = on_bad_value
        self._resume = resume
        self._fork_from = fork_from
        self._ranks = ranks
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """Settle the config, record a run while the function runs, and return its result.

        An exception of the function is recorded and re-raised as it is.

        Raises:
            ConfigError: the arguments do not fit; where the command line was read, the process ends with one sentence
                and exit code 2 instead. No run is recorded then.
            RunIsAlive, RunHasEnded, NoRunToResume, ResumeNeedsDatabase: this call may not, or cannot, record the run
                that it was told to.
        """
        resolved = self._spec.resolve_call(args, kwargs, command_line=self._command_line)
        is_command_line = self._spec.reads_command_line(args, kwargs, self._command_line)
        self._seed(resolved, is_command_line=is_command_line)
        settled = [resolved]

        def config_beside(kept: dict[str, Any]) -> dict[str, Any]:
            settled.append(self._spec.resolve_call(args, kwargs, command_line=self._command_line, kept=kept))
            return settled[-1].config

        with explained_exit(program_name()) if is_command_line else contextlib.nullcontext():
            run = self._begin(resolved, config_beside)
        if settled[-1] is not resolved:
            resolved = settled[-1]
            run.config = resolved.config
            self._seed(resolved, is_command_line=is_command_line)
        self.last_run = run
        bound = resolved.bind(run)
        try:
            result = self.function(*bound.args, **bound.kwargs)
        except BaseException as error:  # Ctrl-C and SystemExit end the run too, each in its own way
            run.end_as(error)
            raise
        run.end_as(None, result=result)
        return result

    def _seed(self, resolved: Resolved, *, is_command_line: bool) -> None:
        seed = resolved.config.get("seed")
        if seed is None:
            return
        if is_command_line:
            with explained_exit(program_name()):
                check_seed(seed)
        seed_everything(seed)

    def _begin(self, resolved: Resolved, config_beside: Callable[[dict[str, Any]], dict[str, Any]]) -> Run:
        plan = RunPlan(
            experiment=self.name,
            command=self.function.__name__,
            config=resolved.config,
            config_beside=config_beside,
            defaults=resolved.defaults,
            project=self._project,
            name=self._run_name or name_from_overrides(self.name, resolved.overrides),
            tags=self._tags,
            notes=self._notes,
            main_file=main_file_of_process() or _file_of(self.function),
            resume=resolved.run_options.get("resume", self._resume),
            fork_from=resolved.run_options.get("fork_from", self._fork_from),
        )
        settings = load_settings(uri=self._uri, capture=self._capture, ranks=self._ranks)
        return begin_run(plan, settings, hardware=self._hardware, on_bad_value=self._on_bad_value)


@overload
def experiment(function: Callable[Parameters, Result], /) -> Experiment[Parameters, Result]: ...


@overload
def experiment(
    *,
    project: str | None = None,
    name: str | None = None,
    run_name: str | None = None,
    tags: Sequence[str] = (),
    notes: str = "",
    config: Any = None,
    command_line: bool | None = None,
    uri: str | None = None,
    capture: CaptureMode | None = None,
    hardware: bool = True,
    on_bad_value: OnBadValue = "warn",
    resume: int | str | None = None,
    fork_from: Any = None,
    ranks: RanksMode | None = None,
) -> Callable[[Callable[Parameters, Result]], Experiment[Parameters, Result]]: ...


def experiment(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Record every call of a function as a run: `@experiment` or `@experiment(project="digits", tags=["baseline"])`.

    The function's parameters are the config, with their defaults and type hints; a parameter named `run` receives the
    `Run`. Called without arguments from the script that is started, the command line overrides the config
    (`python train.py lr=0.01 @base.yaml`); see docs/config.md.

    Args:
        function: what to decorate, when used without parentheses.
        project: where the runs belong; else the setting `project`, else "default".
        name: the experiment's name; the function's when left out.
        run_name: the name of each run; made from the experiment's name and the overrides when left out.
        tags, notes: to find the runs again.
        config: defaults of the parameters, or the whole config: a mapping, dataclass, pydantic model, argparse
            namespace, or the path of a YAML, JSON or TOML file.
        command_line: True reads `sys.argv` at every call, False never; None decides as said above.
        uri: a MongoDB URI; else the setting `uri`, else the embedded database.
        capture: how stdout and stderr are recorded: "sys", "fd" or "none".
        hardware: whether CPU, memory, disk, network and GPUs are sampled.
        on_bad_value: what `run.log` does with a value that is no number: "warn" or "raise".
        resume, fork_from, ranks: as `start_run` takes them; `--resume` and `--fork-from` on the command line win.
    """
    if function is not None:
        return experiment(**options)(function)
    defaults: dict[str, Any] = {
        "project": None,
        "name": None,
        "run_name": None,
        "tags": (),
        "notes": "",
        "config": None,
        "command_line": None,
        "uri": None,
        "capture": None,
        "hardware": True,
        "on_bad_value": "warn",
        "resume": None,
        "fork_from": None,
        "ranks": None,
    }
    return lambda decorated: Experiment(decorated, **{**defaults, **options})


def name_from_overrides(experiment_name: str, overrides: Mapping[str, Any]) -> str | None:
    """A run's name that tells what was changed ('train-lr0.01-epochs5'), None when nothing was."""
    parts = [
        f"{key.rpartition('.')[2]}{value}"
        for key, value in overrides.items()
        if isinstance(value, (bool, int, float, str)) and len(str(value)) <= 20
    ]
    if not parts:
        return None
    return "-".join([experiment_name, *parts[:NAMED_OVERRIDES]])[:NAME_CHARACTERS]


def _file_of(function: Callable[..., Any]) -> Path | None:
    file = getattr(function, "__globals__", {}).get("__file__")
    return Path(file).resolve() if isinstance(file, str) else None
