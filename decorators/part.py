"""What an experiment and an ingredient have in common: captured functions, commands, hooks, presets, entries."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from ..observer.errors import CloisterError
from .captured import Captured, Filling, where
from .config.presets import Presets
from .config.script import is_interactive
from .config_hooks import ConfigHook

if TYPE_CHECKING:
    from .config import ConfigSpec, Resolved
    from .experiment import Experiment

Function = TypeVar("Function", bound=Callable[..., Any])
StockAct: TypeAlias = "Callable[[Experiment[..., Any], ConfigSpec, Resolved], None]"


class CommandClash(CloisterError, ValueError):
    """Two commands would have one name."""

    def __init__(self, name: str, owner: str, one: Callable[..., Any], other: Callable[..., Any]) -> None:
        super().__init__(
            f"{owner} has two commands named {name!r}: {where(one)} and {where(other)}. Give one of them another "
            "name: @....command(name='...')."
        )


class NotAnIngredient(CloisterError, TypeError):
    """`ingredients=` holds something else."""

    def __init__(self, owner: str, what: object) -> None:
        super().__init__(
            f"{what!r} cannot be an ingredient of {owner}. Give a list of ingredients: "
            "ingredients=[cloister.Ingredient('data', config={...})]."
        )


class IngredientCycle(CloisterError, ValueError):
    """Ingredients use each other in a circle."""

    def __init__(self, chain: Sequence[Part]) -> None:
        drawn = " -> ".join(part.path or part.name for part in chain)
        super().__init__(
            f"Ingredients use each other in a circle: {drawn}. Take one of them out of the other's 'ingredients'; what "
            "both need can be an ingredient of its own."
        )


class IngredientClash(CloisterError, ValueError):
    """Two ingredients of one experiment have the same path."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"Two different ingredients are named {path!r}, so their entries could not be told apart. Give one of "
            "them another name, or use the same ingredient in both places."
        )


@dataclass(frozen=True)
class Command:
    """One command: what is run, and whether that is recorded.

    Attributes:
        act: of a stock command: what is called with the settled config in place of the function, without hooks.
    """

    name: str
    captured: Captured
    unobserved: bool = False
    act: StockAct | None = None


class Part:
    """An experiment or an ingredient.

    Attributes:
        name: what it is called.
        path: where its entries are in the config; "" is the top.
        ingredients: those that it uses.
    """

    def __init__(self, name: str, path: str, ingredients: Sequence[Part]) -> None:
        self.name = name
        self.path = path
        for used in ingredients:
            if not isinstance(used, Part) or not used.path:
                raise NotAnIngredient(repr(name), used)
        self.ingredients = list(ingredients)
        self.presets = Presets()
        self.captured_functions: list[Captured] = []
        self.commands: dict[str, Command] = {}
        self.pre_run_hooks: list[Captured] = []
        self.post_run_hooks: list[Captured] = []
        self.config_hooks: list[ConfigHook] = []
        self.config_functions: list[Callable[..., Any]] = []

    @property
    def described(self) -> str:
        """How messages call it."""
        return repr(self.name)

    # ---- functions that are filled from the config

    @overload
    def capture(self, function: Function, /) -> Function: ...

    @overload
    def capture(self, /, *, prefix: str | None = None) -> Callable[[Function], Function]: ...

    def capture(self, function: Any = None, /, *, prefix: str | None = None) -> Any:
        """Fill in what calls of a function leave out, by name, from the config of the run that is going on.

        What a call gives comes first, then the config, then the function's own default. Beside config entries a
        function may ask for `run` (or `_run`), `_config` (all entries, read-only), `_log` (a logger), `_seed` and
        `_rnd` (a new number and generator at each call, which follow from the run's seed).

        Args:
            function: what to decorate; in a class, under @staticmethod or @classmethod too.
            prefix: the part of the config that is looked into: "optimizer", or "optimizer.schedule".
        """
        if function is None:
            return lambda decorated: self.capture_function(decorated, prefix)[0]
        return self.capture_function(function, prefix)[0]

    @overload
    def command(self, function: Function, /) -> Function: ...

    @overload
    def command(
        self, /, *, name: str | None = None, unobserved: bool = False, prefix: str | None = None
    ) -> Callable[[Function], Function]: ...

    def command(
        self, function: Any = None, /, *, name: str | None = None, unobserved: bool = False, prefix: str | None = None
    ) -> Any:
        """Make a function a command: `python train.py evaluate lr=0.1`, or `train.run("evaluate")`.

        Each is a run of its own, with the same config and hooks. The function is a captured one: called in a run, it
        is a part of that run.

        Args:
            function: what to decorate.
            name: the command's name; the function's when left out.
            unobserved: nothing is recorded of it.
            prefix: as of `capture`.
        """
        if function is None:
            return lambda decorated: self._add_command(decorated, name, unobserved, prefix)
        return self._add_command(function, name, unobserved, prefix)

    @overload
    def pre_run(self, function: Function, /) -> Function: ...

    @overload
    def pre_run(self, /, *, prefix: str | None = None) -> Callable[[Function], Function]: ...

    def pre_run(self, function: Any = None, /, *, prefix: str | None = None) -> Any:
        """Call a captured function at the start of each run, before its command; those of ingredients come first.

        An exception ends the run as failed, and the command is not called.
        """
        return self._add_hook(self.pre_run_hooks, function, prefix)

    @overload
    def post_run(self, function: Function, /) -> Function: ...

    @overload
    def post_run(self, /, *, prefix: str | None = None) -> Callable[[Function], Function]: ...

    def post_run(self, function: Any = None, /, *, prefix: str | None = None) -> Any:
        """Call a captured function after each run's command has returned, while the run is still open.

        It is not called where the command raised; an exception of its own fails the run.
        """
        return self._add_hook(self.post_run_hooks, function, prefix)

    # ---- the config

    def config(self, function: Function, /) -> Function:
        """Add entries that follow from others: a function whose arguments are entries and that returns a mapping."""
        self.config_functions.append(function)
        return function

    def config_hook(self, function: Function, /) -> Function:
        """Have a function look at the settled config, and add to it or change it, before a run starts.

        It is called with the config (all of it, a copy) and the name of the command, and as third, where it takes
        that, a logger. It returns a mapping of entries, relative to this ingredient; or None. They stand in for the
        defaults: what a call, the command line or a preset has set stays as it is.
        """
        self.config_hooks.append(ConfigHook(function))
        return function

    @overload
    def preset(self, source: Function, /) -> Function: ...

    @overload
    def preset(self, /, *, name: str | None = None) -> Callable[[Function], Function]: ...

    def preset(self, source: Any = None, /, *, name: str | None = None) -> Any:
        """Name a set of values: a function that returns them, or a dataclass. `python train.py @big` takes it."""
        if source is None:
            return lambda decorated: self._add_preset_of(decorated, name)
        return self._add_preset_of(source, name)

    named_config = preset  # as Sacred calls it

    def add_preset(self, name: str, values: Mapping[str, Any] | str | Path | Any) -> None:
        """Name a set of values: a mapping, a dataclass or model, or the path of a YAML, JSON or TOML file."""
        self.presets.add(name, values)

    # ---- for the runs

    def capture_function(self, function: Any, prefix: str | None = None) -> tuple[Any, Captured]:
        """`function` as one that fills itself in, and what is known of it. A static or class method stays one."""
        if isinstance(function, (staticmethod, classmethod)):
            inner, captured = self.capture_function(function.__func__, prefix)
            return type(function)(inner), captured
        known = next((known for known in self.captured_functions if known.call is function), None)
        if known is not None and (prefix is None or prefix == known.prefix):
            return function, known  # under two decorators: @train.pre_run over @train.capture
        name = getattr(function, "__qualname__", None)
        twins = sum(known.function.__qualname__ == name for known in self.captured_functions)
        captured = Captured(function, self, prefix or "", twins)
        self.captured_functions.append(captured)
        return captured.call, captured

    def find_filling(self, captured: Captured) -> Filling:
        """What one of its functions is given where it is called now."""
        from .executions import find_filling  # executions know parts

        return find_filling(captured)

    def names_taken(self) -> frozenset[str]:
        """The entries of its own that its captured functions, commands and config functions ask for."""
        captured = [[each.prefix.partition(".")[0]] if each.prefix else each.names for each in self.captured_functions]
        given = [tuple(inspect.signature(function).parameters) for function in self.config_functions]
        return frozenset(name for names in (*captured, *given) for name in names)

    def iter_parts(self) -> Iterator[Part]:
        """This part and all that it uses, each once and after all that it uses itself.

        Raises:
            IngredientCycle: they use each other in a circle.
            IngredientClash: two of them have one path.
        """
        ordered: dict[Part, None] = {}
        self._collect(ordered, ())
        paths: set[str] = set()
        for part in ordered:
            if part.path in paths:
                raise IngredientClash(part.path)
            paths.add(part.path)
        yield from ordered

    def _collect(self, ordered: dict[Part, None], above: tuple[Part, ...]) -> None:
        if self in above:
            raise IngredientCycle((*above[above.index(self) :], self))
        for used in self.ingredients:
            if used not in ordered:
                used._collect(ordered, (*above, self))
        ordered[self] = None

    def _add_command(self, function: Any, name: str | None, unobserved: bool, prefix: str | None) -> Any:
        call, captured = self.capture_function(function, prefix)
        command = Command(name or captured.name, captured, unobserved)
        known = self.commands.get(command.name)
        if known is not None and not is_same(known.captured.function, captured.function):
            raise CommandClash(command.name, self.described, known.captured.function, captured.function)
        self.commands[command.name] = command
        return call

    def _add_hook(self, hooks: list[Captured], function: Any, prefix: str | None) -> Any:
        def add(decorated: Any) -> Any:
            call, captured = self.capture_function(decorated, prefix)
            hooks.append(captured)
            return call

        return add if function is None else add(function)

    def _add_preset_of(self, source: Any, name: str | None) -> Any:
        self.presets.add(name or source.__name__, source)
        return source


def is_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Whether the same function is defined a second time: a notebook's cell was run again, perhaps changed."""
    return is_interactive() or where(one) == where(other)
