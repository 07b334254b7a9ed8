"""The parameters of an experiment's function, as config keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .docstrings import first_paragraph, parameter_texts
from .errors import CallMismatch
from .hints import NO_HINT, resolve_hints

RUN = "run"
# These parameters are given by Cloister and are never config keys. Those with a dash below are Sacred's names.
INJECTED = (RUN, "_run", "_config", "_log", "_seed", "_rnd")
_NAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


@dataclass(frozen=True)
class Parameter:
    """One parameter that is a config key; default is NO_HINT's marker where there is none."""

    name: str
    hint: Any
    default: Any
    description: str


@dataclass(frozen=True)
class ExperimentSignature:
    """What a function takes, without `run` and what else Cloister gives."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    var_positional: str | None
    var_keyword: str | None
    injected: tuple[str, ...]
    _full: inspect.Signature
    _without_run: inspect.Signature

    @property
    def takes_run(self) -> bool:
        return RUN in self.injected

    @classmethod
    def of(cls, function: Callable[..., Any]) -> ExperimentSignature:
        full = inspect.signature(function)
        kept = [parameter for parameter in full.parameters.values() if parameter.name not in INJECTED]
        hints = resolve_hints(function)
        texts = parameter_texts(function.__doc__)
        return cls(
            name=getattr(function, "__name__", type(function).__name__),
            summary=first_paragraph(function.__doc__),
            parameters=tuple(_read(item, hints, texts) for item in kept if item.kind in _NAMED),
            var_positional=next((item.name for item in kept if item.kind is inspect.Parameter.VAR_POSITIONAL), None),
            var_keyword=next((item.name for item in kept if item.kind is inspect.Parameter.VAR_KEYWORD), None),
            injected=tuple(name for name in full.parameters if name in INJECTED),
            _full=full,
            _without_run=full.replace(parameters=kept),
        )

    def bind_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a call gives: by parameter (the rest of the positional ones under `*args`' name), and further names."""
        if given := [name for name in self.injected if name in kwargs]:
            raise CallMismatch(self.name, f"gets its {given[0]!r} from Cloister: leave it out of the call")
        by_keyword = {
            name
            for name, parameter in self._without_run.parameters.items()
            if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        }
        own = {name: value for name, value in kwargs.items() if name in by_keyword}
        further = {name: value for name, value in kwargs.items() if name not in by_keyword}
        try:
            return dict(self._without_run.bind_partial(*args, **own).arguments), further
        except TypeError as error:
            raise CallMismatch(self.name, f"cannot be called so: {error}") from None

    def bind(self, arguments: Mapping[str, Any], run: Any, special: Mapping[str, Any]) -> inspect.BoundArguments:
        """The call of the function: `function(*bound.args, **bound.kwargs)`. `special` are values of INJECTED."""
        given = {RUN: run, "_run": run, **special}
        bound = inspect.BoundArguments(self._full, {})
        for name, parameter in self._full.parameters.items():
            if name in INJECTED:
                if name in given or parameter.default is inspect.Parameter.empty:
                    bound.arguments[name] = given.get(name)
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                own = {item.name for item in self.parameters} | {self.var_positional}
                bound.arguments[name] = {key: value for key, value in arguments.items() if key not in own}
            elif name in arguments:
                bound.arguments[name] = arguments[name]
        return bound


def _read(item: inspect.Parameter, hints: Mapping[str, Any], texts: Mapping[str, str]) -> Parameter:
    hint = hints.get(item.name, NO_HINT)
    return Parameter(item.name, hint, item.default, texts.get(item.name, ""))
