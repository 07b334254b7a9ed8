"""Type hints: resolving them, taking them apart, saying them in words."""

from __future__ import annotations

import collections.abc
import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

NO_HINT: Any = inspect.Parameter.empty
_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    type(None): "None",
}
_SEQUENCES: Mapping[Any, type] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def resolve_hints(owner: Callable[..., Any] | type) -> dict[str, Any]:
    """The hints of a function's parameters or of a class's fields, string annotations evaluated.

    One that cannot be resolved (a name under `if TYPE_CHECKING`) is left out; it must not cost the others.
    """
    try:
        return typing.get_type_hints(owner, localns=_closure(owner), include_extras=True)
    except Exception:  # an annotation is an arbitrary expression: what it raises is anything
        return _resolve_one_by_one(owner)


def unwrap(hint: Any) -> Any:
    """`hint` without Annotated, Final, NewType, type aliases and type variables around it."""
    while True:
        origin = typing.get_origin(hint)
        if origin in (typing.Annotated, typing.Final, typing.ClassVar):
            hint = typing.get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":  # `type X = ...`, Python 3.12 and typing_extensions
            hint = hint.__value__
        elif isinstance(hint, typing.TypeVar):
            hint = hint.__bound__ or Any
        else:
            return hint


def is_free(hint: Any) -> bool:
    """Whether `hint` says nothing: absent, Any, object."""
    return hint is NO_HINT or hint is Any or hint is object or isinstance(hint, str)


def union_members(hint: Any) -> tuple[Any, ...]:
    """The unwrapped members of a union, in its order; of anything else the hint alone."""
    hint = unwrap(hint)
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return (hint,)
    return tuple(member for part in typing.get_args(hint) for member in union_members(part))


def with_none(hint: Any) -> Any:
    """`hint` or None: what a parameter takes whose default is None, whatever its hint forgot to say."""
    if is_free(hint) or type(None) in union_members(hint):
        return hint
    return typing.Optional[hint]  # noqa: UP045 - `hint | None` fails for hints that are not types


def sequence_of(hint: Any) -> tuple[type, tuple[Any, ...]] | None:
    """What to build and the hints of the items, for list, tuple, set and their relatives; None for other hints."""
    hint = unwrap(hint)
    target = _SEQUENCES.get(typing.get_origin(hint) or hint) if _is_hashable(hint) else None
    return None if target is None else (target, typing.get_args(hint))


def mapping_of(hint: Any) -> tuple[Any, Any] | None:
    """The hints of key and value, for dict and its relatives (NO_HINT where it does not say); None for other hints."""
    hint = unwrap(hint)
    origin = typing.get_origin(hint) or hint
    if typing.is_typeddict(origin):
        return str, NO_HINT
    if origin not in _MAPPINGS:
        return None
    arguments = typing.get_args(hint)
    return (arguments[0], arguments[1]) if len(arguments) == 2 else (NO_HINT, NO_HINT)


def class_of(hint: Any) -> type | None:
    """`hint` where it is a plain class."""
    hint = unwrap(hint)
    return hint if isinstance(hint, type) and not typing.get_args(hint) else None


def hint_of_default(default: Any) -> Any:
    """What a parameter without a hint takes, judged by its default.

    A whole number stands for any number: `weight_decay=0` was never meant to keep `1e-4` out.
    """
    if default is None or default is NO_HINT:
        return NO_HINT
    kind = type(default)
    if kind is int:
        return int | float
    if kind in (bool, float, str) or isinstance(default, enum.Enum):
        return kind
    if isinstance(default, Path):
        return Path
    if kind in (list, set, frozenset, tuple):
        items = {type(item) for item in default}
        item = hint_of_default(next(iter(default))) if len(items) == 1 and items <= {int, float, bool, str} else Any
        return tuple.__class_getitem__((item, ...)) if kind is tuple else kind.__class_getitem__(item)
    return kind if not isinstance(default, Mapping) else NO_HINT


def describe(hint: Any) -> str:
    """`hint` in the words of an error message: 'a whole number or None'."""
    hint = unwrap(hint)
    members = union_members(hint)
    if len(members) > 1:
        return " or ".join(dict.fromkeys(describe(member) for member in members))
    if is_free(hint):
        return "any value"
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(repr(option) for option in typing.get_args(hint))}"
    if (sequence := sequence_of(hint)) is not None:
        return _describe_sequence(*sequence)
    if mapping_of(hint) is not None:
        return "a mapping such as {a: 1}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return f"one of {', '.join(spell_enum(member) for member in hint)}"
    return _WORDS.get(hint) or f"a {getattr(hint, '__qualname__', hint)}"


def spell(hint: Any) -> str:
    """`hint` as the help shows it: 'float | None', '{adam,sgd}', 'list[int]'."""
    hint = unwrap(hint)
    members = union_members(hint)
    if len(members) > 1:
        return " | ".join(dict.fromkeys(spell(member) for member in members))
    if is_free(hint):
        return ""
    if hint is type(None):
        return "None"
    if typing.get_origin(hint) is typing.Literal:
        return f"{{{','.join(str(option) for option in typing.get_args(hint))}}}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return f"{{{','.join(spell_enum(member) for member in hint)}}}"
    arguments = typing.get_args(hint)
    name = str(getattr(typing.get_origin(hint) or hint, "__name__", hint))
    if not arguments:
        return name
    return f"{name}[{', '.join('...' if part is ... else spell(part) or 'Any' for part in arguments)}]"


def spell_enum(member: enum.Enum) -> str:
    """An enum's member as it is recorded and typed: its value where that is text, else its name."""
    return member.value if isinstance(member.value, str) else member.name


def _describe_sequence(target: type, items: tuple[Any, ...]) -> str:
    kind = "a set" if issubclass(target, (set, frozenset)) else "a list"
    if target is tuple and items and items[-1] is not ...:
        return f"{len(items)} values ({', '.join(describe(item) for item in items)})"
    if not items or is_free(items[0]):
        return f"{kind} such as [1, 2]"
    return f"{kind}, each item {describe(items[0])}"


def _resolve_one_by_one(owner: Callable[..., Any] | type) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for holder in reversed(owner.__mro__) if isinstance(owner, type) else (inspect.unwrap(owner),):
        for name, annotation in inspect.get_annotations(holder).items():
            probe = types.FunctionType((lambda: None).__code__, _globals_of(holder))
            probe.__annotations__ = {name: annotation}
            try:
                hints[name] = typing.get_type_hints(probe, localns=_closure(owner), include_extras=True)[name]
            except Exception:  # noqa: S112 - as above: anything, and an unresolved hint is the documented outcome
                continue
    return hints


def _globals_of(holder: Any) -> dict[str, Any]:
    if isinstance(holder, type):
        return vars(sys.modules[holder.__module__]) if holder.__module__ in sys.modules else {}
    return getattr(holder, "__globals__", {})


def _closure(owner: Any) -> dict[str, Any]:
    """The local names around a function that it uses: a class defined beside it in another function is one."""
    function = owner if isinstance(owner, type) else inspect.unwrap(owner)
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    found = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
