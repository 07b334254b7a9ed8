"""Config hooks: functions that look at a settled config, and add to it or change it, before there is a run."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from .captured import where
from .config import ConfigSpec
from .values_by_path import copied, merge

if TYPE_CHECKING:
    from .part import Part


class BadConfigHook(CloisterError, TypeError):
    """A config hook does not take what it is called with, or returns no entries."""

    def __init__(self, function: Callable[..., Any], said: object = None) -> None:
        is_written_wrong = (
            "is called with two or three arguments: def hook(config, command): or (config, command, logger)"
        )
        returned = f"returned {said!r}; it has to return a mapping of entries, such as {{'lr': 0.1}}, or None"
        super().__init__(f"The config hook {where(function)} {is_written_wrong if said is None else returned}.")


class ConfigHook:
    """A function that adds to a settled config."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        parameters = inspect.signature(function).parameters.values()
        places = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
        needed = [item for item in parameters if item.default is item.empty and item.kind is item.KEYWORD_ONLY]
        self._count = len(places)
        if needed or self._count not in (2, 3):
            raise BadConfigHook(function)

    def ask(self, config: Mapping[str, Any], command: str) -> dict[str, Any]:
        """What it says; it gets a copy, which it may change without harm."""
        given = (copied(config), command, logging.getLogger("cloister"))[: self._count]
        said = self.function(*given)
        if said is not None and not isinstance(said, Mapping):
            raise BadConfigHook(self.function, said)
        return dict(said or {})


def ask_config_hooks(parts: Sequence[Part], config: Mapping[str, Any], command: str) -> dict[Part, dict[str, Any]]:
    """What the hooks of each part say, in the order of the parts; each sees what those before it have said."""
    answers: dict[Part, dict[str, Any]] = {}
    settled = copied(config)
    for part in parts:
        for hook in part.config_hooks:
            said = hook.ask(settled, command)
            merge(settled, {part.path: said} if part.path else said)
            merge(answers.setdefault(part, {}), said)
    return {part: said for part, said in answers.items() if said}


def with_entries(spec: ConfigSpec, said: Mapping[Part, dict[str, Any]]) -> ConfigSpec:
    """`spec` with what config hooks say in the place of the defaults."""
    ingredients = dict(spec.ingredients)
    own = list(spec.config_functions)
    for part, entries in said.items():
        given = _giver_of(entries, " and ".join(f"{hook.function.__name__}()" for hook in part.config_hooks))
        if part.path:
            inner = ingredients[part.path]
            ingredients[part.path] = replace(inner, config_functions=[*inner.config_functions, given])
        else:
            own.append(given)
    return replace(spec, config_functions=own, ingredients=ingredients)


def _giver_of(entries: dict[str, Any], names: str) -> Callable[[], dict[str, Any]]:
    def config_hooks() -> dict[str, Any]:
        return entries

    config_hooks.__name__ = f"the hook {names}"  # who computed an entry is told by this name
    return config_hooks
