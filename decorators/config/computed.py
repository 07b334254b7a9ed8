"""Entries that follow from others: `computed(lambda lr: lr / 10)` as a default, and functions that give entries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .errors import UncomputableConfig
from .hints import NO_HINT, resolve_hints
from .structures import MAPPING, TYPED_KINDS, StructureKind, kind_of_class, kind_of_value

_WITHOUT_PARTS = (bool, int, float, str, bytes, list, tuple)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, eq=False)  # compared by identity, so hashable: a dataclass takes it as a default
class Computed:
    """A default that is a function of other entries. Made by `computed`."""

    function: Callable[..., Any]

    @cached_property
    def needs(self) -> dict[str, bool]:
        """The entries that the function takes, by name, and whether it cannot do without."""
        return needs_of(self.function, "A computed entry")

    @property
    def hint(self) -> Any:
        """The type that the function says it returns."""
        return resolve_hints(self.function).get("return", NO_HINT)

    def __repr__(self) -> str:
        return f"computed from {', '.join(self.needs) or 'nothing'}"


def computed(function: Callable[..., Any]) -> Any:
    """A default that follows from other entries: `lr_min: float = computed(lambda lr: lr / 10)`.

    The function's arguments are entries by name: those beside it first, then further out. It is called once overrides
    are in; an override of the entry itself wins.

    Raises:
        UncomputableConfig: the function takes more than names (`*args`, `**kwargs`, positional-only ones).
    """
    entry = Computed(function)
    _ = entry.needs  # what cannot be called is refused where it is written
    return entry


def needs_of(function: Callable[..., Any], who: str) -> dict[str, bool]:
    """The names that `function` takes, and whether each is needed; `who` is what an error is about."""
    needs = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _NAMED:
            raise UncomputableConfig(who, f"takes config entries by name, and cannot give {str(parameter)!r}")
        needs[parameter.name] = parameter.default is inspect.Parameter.empty
    return needs


def holds_computed(value: Any, hint_class: type | None = None) -> bool:
    """Whether a structure, or the class that is to be built, has computed entries in it. Makes no drafts: a config may
    be large, and mostly has none."""
    if _kind_to_search(value) is not None:
        return _value_holds_computed(value, set())
    return hint_class is not None and _class_holds_computed(hint_class, ())


def _value_holds_computed(value: Any, seen: set[int]) -> bool:
    if isinstance(value, Computed):
        return True
    kind = _kind_to_search(value)
    if kind is None or id(value) in seen:  # it may contain itself
        return False
    seen.add(id(value))
    return any(_value_holds_computed(part, seen) for part in kind.values(value).values())


def _kind_to_search(value: Any) -> StructureKind | None:
    """The kind of a structure that can have computed entries; not of a mapping that makes its values up as it goes."""
    if value is None or type(value) in _WITHOUT_PARTS:
        return None
    kind = kind_of_value(value)
    return None if kind is MAPPING and not isinstance(value, dict) else kind


def _class_holds_computed(cls: type, above: tuple[type, ...]) -> bool:
    kind = kind_of_class(cls)
    if kind is None or kind not in TYPED_KINDS or cls in above:
        return False
    for member in kind.members(cls).values():
        default = NO_HINT if member.default is None else member.default()
        if isinstance(default, Computed) or (default is not NO_HINT and holds_computed(default)):
            return True
        if default is NO_HINT and isinstance(member.hint, type) and _class_holds_computed(member.hint, (*above, cls)):
            return True
    return False
