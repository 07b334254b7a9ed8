"""Captured functions: what a call leaves out is filled in by name from the config of the run that is going on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from .config.errors import suggest

if TYPE_CHECKING:
    from .part import Part

# Filled in beside the config, where a function asks for them. `run` and `_run` are the same: Sacred says `_run`.
SPECIALS = ("run", "_run", "_config", "_log", "_seed", "_rnd")
DRAWN = ("_seed", "_rnd")  # new for each call


class NotCapturable(CloisterError, TypeError):
    """A decorator of an experiment or ingredient stands over something that is no function."""

    def __init__(self, what: object) -> None:
        super().__init__(
            f"{what!r} cannot be captured: it is no Python function. Write the decorator over a 'def', inside a class "
            "too."
        )


class MissingArgument(CloisterError, TypeError):
    """A captured function was called without something, and the config does not have it either."""

    def __init__(self, function: str, names: Collection[str], place: str, known: Collection[str]) -> None:
        listed = ", ".join(repr(name) for name in names)
        it = "it" if len(names) == 1 else "them"
        hint = " ".join(dict.fromkeys(suggest(name, known) for name in names))
        super().__init__(
            f"{function}() needs {listed}: the call does not give {it}, and {place} has no such entry. {hint}"
        )
        self.names = tuple(names)


class NoSuchPrefix(CloisterError, LookupError):
    """A captured function is filled from a part of the config that is not there."""

    def __init__(self, function: str, prefix: str, place: str, known: Collection[str]) -> None:
        super().__init__(f"{function}() is captured with prefix={prefix!r}, and {place} has no such entry. "
                         f"{suggest(prefix, known)}")  # fmt: skip


class NoRunToFillFrom(CloisterError, TypeError):
    """A captured function was called without something while no run is active that could fill it in."""

    def __init__(self, function: str, names: Collection[str], owner: str) -> None:
        listed = ", ".join(repr(name) for name in names)
        it = "it" if len(names) == 1 else "them"
        super().__init__(
            f"{function}() needs {listed}, and no run of {owner} is active here that could fill {it} in. Pass {it} in "
            "the call, or call it in a run. To try it without a run: 'with train.configured(lr=0.1):', where train is "
            "your experiment."
        )
        self.names = tuple(names)


class Captured:
    """One captured function: what it takes, and where in the config that is looked for.

    Attributes:
        owner: the experiment or ingredient whose config it is filled from.
        prefix: the dotted path of the part of that config; "" is all of it.
        names: the parameters that can be filled in.
        positional: those that a call may give by place, in their order, with `self` of a method.
        only_positional: how many of these cannot be given by name.
        defaults: the function's own defaults.
        twins: how many functions of the owner have this name and came before: they draw other numbers.
        call: the function that fills itself in; what the decorator gives to the user.
    """

    def __init__(self, function: Callable[..., Any], owner: Part, prefix: str, twins: int = 0) -> None:
        if not inspect.isfunction(function):
            raise NotCapturable(function)
        named = [item for item in inspect.signature(function).parameters.values() if item.kind not in _VARIABLE]
        self.function = function
        self.owner = owner
        self.prefix = prefix
        self.twins = twins
        self.positional = tuple(item.name for item in named if item.kind is not item.KEYWORD_ONLY)
        self.only_positional = sum(item.kind is item.POSITIONAL_ONLY for item in named)
        self.defaults = {item.name: item.default for item in named if item.default is not item.empty}
        receiver = self.positional[:1] if _is_method(function, self.positional) else ()
        self.names = tuple(item.name for item in named if item.name not in receiver)
        self.call: Callable[..., Any] = _filled(self)

    @property
    def name(self) -> str:
        return str(self.function.__name__)

    @property
    def label(self) -> str:
        """How messages call it."""
        return str(self.function.__qualname__).rpartition("<locals>.")[2]

    @property
    def draws(self) -> bool:
        """Whether it asks for random numbers."""
        return any(name in DRAWN for name in self.names)


@dataclass(frozen=True)
class Filling:
    """What one captured function is given in one execution.

    Attributes:
        by_count: by how many arguments a call gives by place: the others, by name.
        absent: by the same count: what has neither a value nor a default.
        places: the last index of both; a call may give more (`*args`).
        tail: all parameters that can only be given by place, where there are such.
        draw: called for each call with how many arguments it gives by place, and with those by name: fills in `_seed`
            and `_rnd`. None where neither is asked for.
        explain: the error for names that nobody gives.
    """

    by_count: tuple[Mapping[str, Any], ...]
    absent: tuple[tuple[str, ...], ...]
    places: int
    tail: tuple[Any, ...]
    draw: Callable[[int, dict[str, Any]], None] | None
    explain: Callable[[Collection[str]], Exception]


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_NOTHING: dict[Captured, Filling] = {}
# Of the innermost execution in this context. One look-up here is all that most calls pay for.
current_fillings: ContextVar[dict[Captured, Filling]] = ContextVar("cloister_current_fillings", default=_NOTHING)


def _filled(captured: Captured) -> Callable[..., Any]:
    """The function that fills itself in. One that is awaited stays one to `inspect` and to frameworks that ask it."""
    function = captured.function
    find = current_fillings.get

    @functools.wraps(function)
    def filled(*args: Any, **kwargs: Any) -> Any:
        filling = find().get(captured) or captured.owner.find_filling(captured)
        count = len(args) if len(args) < filling.places else filling.places
        given = {**filling.by_count[count], **kwargs}
        if filling.absent[count]:
            _refuse_absent(filling, count, kwargs)
        if filling.draw is not None:
            filling.draw(len(args), given)
        if filling.tail:
            args = (*args, *filling.tail[len(args) :])
        return function(*args, **given)

    if not inspect.iscoroutinefunction(function):
        return filled

    @functools.wraps(function)
    async def filled_when_awaited(*args: Any, **kwargs: Any) -> Any:
        return await filled(*args, **kwargs)

    return filled_when_awaited


def _refuse_absent(filling: Filling, count: int, kwargs: Mapping[str, Any]) -> None:
    names = [name for name in filling.absent[count] if name not in kwargs]
    if names:
        raise filling.explain(names)


def _is_method(function: Callable[..., Any], positional: tuple[str, ...]) -> bool:
    """Whether `function` is defined in a class and takes what it is called on."""
    inside = function.__qualname__.rpartition(".")[0]
    return positional[:1] in (("self",), ("cls",)) and bool(inside) and not inside.endswith("<locals>")


def where(function: Callable[..., Any]) -> str:
    """Where a function is written, for messages."""
    code = function.__code__
    return f"{function.__name__}() in {Path(code.co_filename).name}, line {code.co_firstlineno}"
