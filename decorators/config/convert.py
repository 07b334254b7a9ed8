"""A given value as the value that a type hint asks for, or an error that says what would have fitted."""

from __future__ import annotations

import enum
import numbers
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import BadConfigValue
from .free_values import Where, is_array_scalar, key_text, parse_brackets, read_freely
from .hints import class_of, describe, is_free, mapping_of, sequence_of, spell_enum, union_members, unwrap
from .literals import (
    Scalar,
    TooLarge,
    is_none,
    parse_bool,
    parse_float,
    parse_int,
    parse_whole,
    split_at_commas,
)
from .structures import kind_of_class, kind_of_value

# One row per type that a single word can spell: how it is read from text.
_FROM_TEXT: Mapping[type, Callable[[str], Any]] = {
    str: str,
    Path: lambda text: Path(_not_empty(text)),
    bool: parse_bool,
    int: parse_whole,
    float: parse_float,
    complex: complex,
    bytes: str.encode,
}
# The same for classes whose modules only their users import: the class reads text itself, or its method does.
_READERS: Mapping[str, str] = {
    "decimal.Decimal": "__call__",
    "uuid.UUID": "__call__",
    "datetime.datetime": "fromisoformat",
    "datetime.date": "fromisoformat",
    "datetime.time": "fromisoformat",
}
# In a union the pickier type is asked first; text, which takes anything, comes last.
_ORDER: Mapping[Any, int] = {type(None): 0, bool: 1, int: 2, float: 3, complex: 4, Path: 8, str: 9}


def convert(value: Any, hint: Any, where: Where, *, strict: bool = False) -> Any:
    """`value` as `hint` asks for it; raises BadConfigValue.

    `value` is a `Scalar`, a list or dict of them as a file or a bracketed word gives it, or any Python value. What is
    not made of plain values (an array, a tensor, an object of yours) passes as it is: only you know what it can stand
    for. `strict` is for the members of a union: nothing is read generously while another member may fit better.
    """
    hint = unwrap(hint)
    members = union_members(hint)
    if len(members) > 1:
        return _convert_union(value, hint, members, where)
    if is_free(hint):
        return read_freely(value, where)
    if is_array_scalar(value):
        value = value.item()
    if hint is None or hint is type(None):
        return _convert_none(value, where)
    if typing.get_origin(hint) is typing.Literal:
        return _convert_literal(value, hint, where)
    if (items := sequence_of(hint)) is not None:
        return _convert_sequence(value, hint, *items, where=where, strict=strict)
    if (pair := mapping_of(hint)) is not None:
        return _convert_mapping(value, hint, pair, where)
    return _convert_class(value, hint, where, strict=strict)


def _convert_none(value: Any, where: Where) -> None:
    if not is_none(value):
        raise where.wrong(value, "None")


def _convert_union(value: Any, hint: Any, members: tuple[Any, ...], where: Where) -> Any:
    if type(None) in members and is_none(value):
        return None
    named = [member for member in members if member is not type(None)]
    if len(named) == 1:
        try:
            return convert(value, named[0], where)
        except BadConfigValue as error:
            if error.key != where.key:  # inside a dataclass: that message is the better one
                raise
            raise where.wrong(value, describe(hint)) from None
    if type(value) in named:
        return value
    for strict in (True, False):
        for member in sorted(named, key=lambda member: _ORDER.get(member, 5) if isinstance(member, type) else 5):
            try:
                return convert(value, member, where, strict=strict)
            except BadConfigValue:
                continue
    raise where.wrong(value, describe(hint))


def _convert_literal(value: Any, hint: Any, where: Where) -> Any:
    options = typing.get_args(hint)
    for option in options:
        if type(option) is type(value) and option == value:
            return option
    if isinstance(value, (Scalar, str)):
        text = value.text if isinstance(value, Scalar) else value
        for option in options:
            if _spells(text, option):
                return option
    raise where.wrong(value, describe(hint))


def _spells(text: str, option: Any) -> bool:
    if isinstance(option, enum.Enum):
        return text in (option.name, str(option.value))
    if option is None:
        return is_none(Scalar(text))
    if isinstance(option, (str, bytes)):
        return text == (option if isinstance(option, str) else option.decode(errors="replace"))
    try:
        return bool(_FROM_TEXT[type(option)](text) == option)  # an int or a bool: Literal takes no other
    except ValueError:
        return False


def _convert_sequence(
    value: Any, hint: Any, target: type, items: tuple[Any, ...], *, where: Where, strict: bool
) -> Any:
    if isinstance(value, str):
        value = Scalar(value, quoted=True)
    value = parse_brackets(value, "[(", hint, where)
    if isinstance(value, Scalar) and not strict:
        value = split_at_commas(value.text)
    if not isinstance(value, (list, tuple, set, frozenset)):
        if isinstance(value, (Scalar, dict)) or _is_plain(value):
            raise where.wrong(value, describe(hint))
        return value
    if isinstance(value, (set, frozenset)) and not issubclass(target, (set, frozenset)):
        raise where.wrong(value, f"{describe(hint)} (a set has no order)")
    if target is tuple and items and items[-1] is not ...:
        fixed = () if items == ((),) else items
        if len(value) != len(fixed):
            raise where.wrong(value, describe(hint))
        return tuple(
            convert(item, part, where.item(index)) for index, (item, part) in enumerate(zip(value, fixed, strict=True))
        )
    part = items[0] if items else Any
    converted = [convert(item, part, where.item(index)) for index, item in enumerate(value)]
    try:
        return target(converted)
    except TypeError:  # a list in a set
        raise where.wrong(value, f"{describe(hint)} that can be hashed") from None


def _convert_mapping(value: Any, hint: Any, pair: tuple[Any, Any], where: Where) -> Any:
    if isinstance(value, str):
        value = Scalar(value, quoted=True)
    value = parse_brackets(value, "{", hint, where)
    if type(value) is dict:
        return {
            convert(key, pair[0], where): convert(item, pair[1], where.inside(key_text(key)))
            for key, item in value.items()
        }
    if isinstance(value, Scalar) or (_is_plain(value) and not isinstance(value, Mapping)):
        raise where.wrong(value, describe(hint))
    return value


def _convert_class(value: Any, hint: Any, where: Where, *, strict: bool) -> Any:
    cls = class_of(hint)
    if cls is not None and kind_of_class(cls) is not None:
        return _convert_structure(value, cls, where)
    if cls is not None and isinstance(value, cls) and not (isinstance(value, bool) and cls is not bool):
        return value
    if cls is not None and issubclass(cls, enum.Enum):
        return _convert_enum(value, cls, where)
    if isinstance(value, (str, Scalar)):
        return _convert_text(value, hint, cls, where, strict=strict)
    if cls in (int, float, bool, complex) and isinstance(value, numbers.Number):
        return _convert_number(value, cls, where, strict=strict)
    if _is_plain(value) and (_reader_of(cls) is not None or isinstance(value, (list, dict))):
        raise where.wrong(value, describe(hint))
    return value


def _convert_structure(value: Any, cls: type, where: Where) -> Any:
    from .draft import build_structure  # a draft converts its members, so the two need each other

    value = parse_brackets(value, "{", cls, where)
    if isinstance(value, cls):
        return value
    kind = None if isinstance(value, Scalar) else kind_of_value(value)
    if kind is None:
        if not _is_plain(value) and not isinstance(value, Scalar):
            return value
        raise where.wrong(value, f"the fields of {cls.__qualname__}, such as {{name: value}}")
    return build_structure(cls, kind.values(value), where)


def _convert_enum(value: Any, cls: type[enum.Enum], where: Where) -> Any:
    text = value.text if isinstance(value, Scalar) else value
    for member in cls:
        if text == member.name or text == member.value:
            return member
    for member in cls:
        if isinstance(text, str) and text.lower() in (member.name.lower(), str(member.value).lower()):
            return member
    if isinstance(value, Scalar) or _is_plain(value):
        raise where.wrong(value, f"one of {', '.join(spell_enum(member) for member in cls)}")
    return value


def _convert_text(value: str | Scalar, hint: Any, cls: type | None, where: Where, *, strict: bool) -> Any:
    text = value.text if isinstance(value, Scalar) else value
    if strict and cls is bool and text.lower() not in ("true", "false"):
        raise where.wrong(value, "true or false")
    read: Callable[[str], Any] | None = parse_int if strict and cls is int else None
    read = read or _reader_of(cls)
    if read is None:
        if isinstance(value, str):
            return value
        raise where.wrong(value, f"{describe(hint)}, which cannot be written as text: set it in code")
    try:
        return read(text)
    except TooLarge:
        raise where.wrong(value, f"{describe(hint)} within the range of its type") from None
    except (ValueError, ArithmeticError):  # the latter is Decimal's
        raise where.wrong(value, describe(hint)) from None


def _reader_of(cls: type | None) -> Callable[[str], Any] | None:
    if cls is None or cls in _FROM_TEXT:
        return _FROM_TEXT.get(cls)  # type: ignore[arg-type]
    method = _READERS.get(f"{cls.__module__}.{cls.__qualname__}")
    return cls if method == "__call__" else None if method is None else getattr(cls, method)


def _convert_number(value: Any, cls: type, where: Where, *, strict: bool) -> Any:
    if isinstance(value, bool):
        raise where.wrong(value, describe(cls))
    if cls is bool:
        if value in (0, 1) and not strict:
            return bool(value)
    elif cls is complex:
        return complex(value)
    elif not isinstance(value, numbers.Real):
        pass  # a complex number is neither
    elif cls is float:
        try:
            return float(value)
        except OverflowError:
            raise where.wrong(value, "a number within the range of its type") from None
    elif isinstance(value, numbers.Integral) or (not strict and float(value).is_integer()):
        return int(float(value)) if not isinstance(value, numbers.Integral) else int(value)
    raise where.wrong(value, describe(cls))


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _is_plain(value: Any) -> bool:
    """Whether `value` is one that a file could hold, so that a hint of another type speaks against it."""
    return value is None or isinstance(value, (str, bytes, numbers.Number, list, tuple, dict, set, frozenset))
