"""`@experiment`: a function whose every call is a recorded run, configured by its signature."""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from ..observer.errors import CloisterError
from .captured import where
from .command_run import Asked, CommandRun, with_seed
from .config import ConfigSpec, HelpWanted
from .config.command_word import split_command_line
from .config.docstrings import first_paragraph
from .config.script import explained_exit, program_name
from .executions import executing
from .experiment_options import Options, complete
from .ingredient import Ingredient
from .part import Command, Function, Part, is_same
from .read_only import ReadOnlyDict
from .run_options import options_of
from .run_start import main_file_of_process
from .stock_commands import STOCK_COMMANDS, TRIED_OUT, without_word_for_help

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .queueing import QueuedRun
    from .run import Run

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class NoSuchCommand(CloisterError, LookupError):
    """A command was asked for in code by a name that none has, or an experiment without one of its own was called."""

    def __init__(self, experiment: str, name: str | None, known: Collection[str]) -> None:
        problem = (
            f"Experiment {experiment!r} has no function of its own that could run. Name a command"
            if name is None
            else f"Experiment {experiment!r} has no command {name!r}"
        )
        super().__init__(f"{problem}: there are {', '.join(known)}.")


class TwoMainFunctions(CloisterError, ValueError):
    """An experiment was given a second function to run by default."""

    def __init__(self, experiment: str, one: Callable[..., Any], other: Callable[..., Any]) -> None:
        super().__init__(
            f"Experiment {experiment!r} runs {where(one)} by default, so {where(other)} cannot be that too. Write "
            "@....command over it."
        )


class Experiment(Part, Generic[Parameters, Result]):
    """A function under `@experiment`, or an experiment made by its name: `exp = cloister.Experiment("digits")`.

    Calling it records a run and returns what the function returns. One that is made by its name has no function until
    `@exp.main` stands over one; its entries are those of `config=`.

    Attributes:
        function: the function itself; calling it records nothing.
        last_run: the run of the newest call, None before the first.
    """

    @overload
    def __init__(self: Experiment[..., Any], name: str | None = None, **options: Unpack[Options]) -> None: ...

    @overload
    def __init__(
        self, name: str | None = None, *, function: Callable[Parameters, Result], **options: Unpack[Options]
    ) -> None: ...

    def __init__(
        self,
        name: str | None = None,
        *,
        function: Callable[Parameters, Result] | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.options = complete(options)
        script = main_file_of_process()
        fallback = script.stem if script is not None else "notebook"
        own_name: str | None = None if function is None else getattr(function, "__name__", None)
        super().__init__(name or own_name or fallback, "", self.options["ingredients"])
        self.last_run: Run | None = None
        self.function: Callable[Parameters, Result] | None = None
        # Whose parameters are the entries. Of an experiment made by its name those are what `config=` says.
        self.shaping: Callable[..., Any] = function or _nothing_of(sys._getframe(1).f_globals, self.name)
        self.__module__, self.__qualname__ = self.shaping.__module__, self.name
        for preset, values in self.options["presets"].items():
            self.add_preset(preset, values)
        ConfigSpec.from_function(self.shaping, self.options["config"])  # what is no config is refused here
        if function is not None:
            self._become(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """Settle the config, record a run while the function runs, and return its result.

        Where the command line is read, it may name another command. An exception of the function is recorded and
        re-raised as it is.

        Raises:
            ConfigError: the arguments do not fit; where the command line was read, the process ends with one sentence
                and exit code 2 instead. No run is recorded then.
            RunIsAlive, RunHasEnded, NoRunToResume, ResumeNeedsDatabase: this call may not, or cannot, record the run
                that it was told to.
        """
        spec = self.spec()
        if not spec.reads_command_line(args, kwargs, self.options["command_line"]):
            if self.options["command_line"] is None:
                spec.warn_of_unread_words(args, kwargs)
            return cast(Result, self._record(Asked(self._main(), args=args, kwargs=kwargs)).result)
        with explained_exit(program_name()):
            asked = self._read_words(sys.argv[1:], args, kwargs)
        return cast(Result, None if asked is None else self._record(asked).result)

    def run(
        self,
        command: str | None = None,
        config_updates: Mapping[str, Any] | None = None,
        presets: Sequence[Any] = (),
        **options: Any,
    ) -> Run:
        """Record a run of a command from code, whatever the command line says; gives the ended run.

        Args:
            command: its name, `data.stats` for one of an ingredient; the experiment's own function when left out.
            config_updates: values by dotted name, or nested: of a nested mapping only the entries that it names change.
            presets: names of presets, paths of files, or mappings; later ones win.
            options: what the command line could say of the run: `name`, `tags`, `comment`, `unobserved`, ...

        Raises:
            NoSuchCommand, ConfigError: there is no such command; the values do not fit.
        """
        return self._record(self._asked_in_code(command, config_updates, presets, options))

    def queue(
        self,
        command: str | None = None,
        config_updates: Mapping[str, Any] | None = None,
        presets: Sequence[Any] = (),
        **options: Any,
    ) -> QueuedRun:
        """Store a run for a `cloister worker` instead of making it; takes what `run` takes, and `priority`.

        Raises:
            NoSuchCommand, ConfigError: there is no such command; the values do not fit.
            CannotQueue: a worker could not make it: there is no script, or the experiment has no name in its module.
        """
        return CommandRun(self, self._asked_in_code(command, config_updates, presets, options)).queue()

    @contextlib.contextmanager
    def configured(
        self, config_updates: Mapping[str, Any] | None = None, presets: Sequence[Any] = (), /, **values: Any
    ) -> Iterator[ReadOnlyDict]:
        """Fill captured functions as in a run with these values, and run and record nothing: for tests and notebooks.

        Gives the config. Functions that ask for the run are to be given one.
        """
        asked = Asked(TRIED_OUT, updates={**(config_updates or {}), **values}, presets=presets)
        with executing(CommandRun(self, asked).execution(None)) as execution:
            yield execution.config

    def main(self, function: Function, /) -> Function:
        """Make a function the one that runs by default, of an experiment that was made by its name."""
        if self.function is not None and not is_same(self.function, function):
            raise TwoMainFunctions(self.name, self.function, function)
        self._become(function)
        return cast(Function, self.commands[function.__name__].captured.call)

    def __repr__(self) -> str:
        return f"<Experiment {self.name!r}>"

    def __reduce__(self) -> str:
        return self.global_name or self.__qualname__  # found there by other processes, as a function is

    # ---- for the runs

    @property
    def main_name(self) -> str | None:
        """The name of the command that is run by default."""
        return None if self.function is None else self.function.__name__

    @property
    def global_name(self) -> str | None:
        """Its name at the top level of its module; None where it has none."""
        return next((name for name, value in self.shaping.__globals__.items() if value is self), None)

    @property
    def main_file(self) -> Path | None:
        """The script that is recorded."""
        return main_file_of_process() or _file_of(self.shaping)

    def spec(self, parts: Sequence[Part] | None = None) -> ConfigSpec:
        """What it can be configured with."""
        parts = tuple(self.iter_parts()) if parts is None else parts
        return ConfigSpec(
            self.shaping,
            self.options["config"],
            presets=self.presets,
            config_functions=self.config_functions,
            ingredients={part.path: part.spec() for part in parts if isinstance(part, Ingredient)},
            taken_elsewhere=self.names_taken(),
        )

    def command_names(self) -> dict[str, str]:
        """What the command line may name, with a line on each."""
        own = {
            f"{part.path}.{name}" if part.path else name: _first_line(command.captured.function)
            for part in reversed(tuple(self.iter_parts()))
            for name, command in part.commands.items()
        }
        return {
            **own,
            **{name: _first_line(stock.captured.function) for name, stock in STOCK_COMMANDS.items() if name not in own},
        }

    def _become(self, function: Callable[..., Any]) -> None:
        self.command(function)
        self.function = function
        functools.update_wrapper(self, function)

    def _main(self) -> Command:
        if self.main_name is None:
            raise NoSuchCommand(self.name, None, list(self.command_names()))
        return self.commands[self.main_name]

    def _asked_in_code(
        self, command: str | None, updates: Mapping[str, Any] | None, presets: Sequence[Any], options: dict[str, Any]
    ) -> Asked:
        path, found = self._find_command(command)
        if found is None:
            raise NoSuchCommand(self.name, command, list(self.command_names()))
        return Asked(found, path, updates=updates or {}, presets=presets, options=options_of(options))

    def _find_command(self, name: str | None) -> tuple[str, Command | None]:
        if name is None:
            return "", self._main()
        path, _, last = name.rpartition(".")
        part = next((part for part in self.iter_parts() if part.path == path), None)
        own = None if part is None else part.commands.get(last)
        return path, own or STOCK_COMMANDS.get(name)

    def _read_words(self, words: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Asked:
        """What the command line asks for; raises HelpWanted."""
        spec, names = self.spec(), self.command_names()
        line = split_command_line(without_word_for_help(words), names, spec)
        path, command = "", None
        if line.command is not None or self.function is not None:
            path, command = self._find_command(line.command)
        if line.wants_help:
            spec = with_seed(spec, tuple(self.iter_parts()), None)
            if command is not None and line.command is not None:
                spec = spec.for_command(command.captured.function, path)
            raise HelpWanted(spec.usage(names))
        if command is None:
            raise NoSuchCommand(self.name, line.command, list(names))
        return Asked(command, path, args=args, kwargs=kwargs, words=line.words)

    def _record(self, asked: Asked) -> Run:
        with explained_exit(program_name()) if asked.words is not None else contextlib.nullcontext():
            command_run = CommandRun(self, asked)
            run = command_run.begin()
            if asked.command.act is not None:  # print_config and its like: what they refuse is told in a sentence too
                return command_run.execute(run)
        return command_run.execute(run)


@overload
def experiment(function: Callable[Parameters, Result], /) -> Experiment[Parameters, Result]: ...


@overload
def experiment(
    *, name: str | None = None, **options: Unpack[Options]
) -> Callable[[Callable[Parameters, Result]], Experiment[Parameters, Result]]: ...


def experiment(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Unpack[Options]
) -> Any:
    """Record every call of a function as a run: `@experiment` or `@experiment(project="digits", tags=["baseline"])`.

    The function's parameters are the config, with their defaults and type hints; a parameter named `run` receives the
    `Run`. Called without arguments from the script that is started, the command line overrides the config
    (`python train.py lr=0.01 @base.yaml`); see docs/config.md. Further commands, captured functions, hooks and
    ingredients: docs/experiments.md.

    Args:
        function: what to decorate, when used without parentheses.
        name: the experiment's name; the function's when left out.
        project: where the runs belong; else the setting `project`, else "default".
        run_name: the name of each run; made from the experiment's name and the overrides when left out.
        tags, notes: to find the runs again.
        config: defaults of the parameters, or the whole config: a mapping, dataclass, pydantic model, argparse
            namespace, or the path of a YAML, JSON or TOML file.
        ingredients: parts of the config with functions of their own; see `Ingredient`.
        presets: named sets of values: mappings, dataclasses, functions, or paths of files.
        command_line: True reads `sys.argv` at every call, False never; None decides as said above.
        uri: a MongoDB URI; else the setting `uri`, else the embedded database.
        capture: how stdout and stderr are recorded: "sys", "fd" or "none".
        hardware: whether CPU, memory, disk, network and GPUs are sampled.
        on_bad_value: what `run.log` does with a value that is no number: "warn" or "raise".
        resume, fork_from, ranks: as `start_run` takes them; `--resume` and `--fork-from` on the command line win.
        comment, unobserved, enforce_clean, beat_interval, interruptions, console_filter: as `start_run` takes them.
        visibility, shared_with: who sees the runs, as `start_run` takes them; the command line wins.
    """
    if function is not None:
        return Experiment(name, function=function, **options)
    complete(options)  # a wrong option is refused where it is written
    return lambda decorated: Experiment(name, function=decorated, **options)


def _file_of(function: Callable[..., Any]) -> Path | None:
    file = getattr(function, "__globals__", {}).get("__file__")
    return Path(file).resolve() if isinstance(file, str) and file != "<stdin>" else None


def _first_line(function: Callable[..., Any]) -> str:
    return first_paragraph(function.__doc__)


def _nothing_of(names: dict[str, Any], name: str) -> Callable[..., Any]:
    """A function that takes nothing, of the module with these names: of an experiment that has none of its own."""
    return types.FunctionType((lambda: None).__code__, names, name)
