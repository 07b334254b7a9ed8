"""Values as they read by themselves, before or without a hint, and the place that a value is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...observer.bson_values import key_text as plain_key_text
from .errors import BadConfigValue
from .hints import describe
from .literals import Scalar, TooLarge, parse_literal

MAX_DEPTH = 100


@dataclass(frozen=True)
class Where:
    """The place that a value is for, and where it was written."""

    key: str
    source: str = ""

    def inside(self, name: object) -> Where:
        return Where(f"{self.key}.{name}" if self.key else str(name), self.source)

    def item(self, index: int) -> Where:
        return Where(f"{self.key}[{index}]", self.source)

    def wrong(self, value: object, expected: str) -> BadConfigValue:
        line = value.line if isinstance(value, Scalar) else None
        source = f"{self.source}, line {line}" if self.source and line is not None else self.source
        return BadConfigValue(self.key, value, expected, source)


def read_freely(value: Any, where: Where, _above: tuple[int, ...] = ()) -> Any:
    """`value` as it reads by itself, for keys without a hint: `3` is an int, `[a, b]` a list, `abc` text.

    Dicts and lists are copied, so that a function that changes its config does not change the next call's.
    """
    if isinstance(value, Scalar):
        if value.quoted:
            return value.text
        if value.text[:1] in ("[", "{"):
            return _read_brackets_freely(value, where)
        try:
            return parse_literal(value.text)
        except TooLarge:
            raise where.wrong(value, "a number within the range of its type (put it in quotes if it is text)") from None
    if id(value) in _above or len(_above) > MAX_DEPTH:
        return value  # it contains itself
    above = (*_above, id(value))
    if type(value) is list:
        return [read_freely(item, where.item(index), above) for index, item in enumerate(value)]
    if type(value) is dict:
        return {
            read_freely(key, where): read_freely(item, where.inside(key_text(key)), above)
            for key, item in value.items()
        }
    return value


def parse_brackets(value: Any, opening: str, hint: Any, where: Where) -> Any:
    """The list or dict that a word like `[64, 32]` spells, with its scalars undecided; other values as they are."""
    if not isinstance(value, Scalar) or value.text[:1] not in tuple(opening):
        return value
    from .yaml_text import YamlProblem, parse_yaml  # spares PyYAML whoever gives no lists

    text = f"[{value.text[1:-1]}]" if value.text[0] == "(" and value.text[-1] == ")" else value.text
    try:
        return parse_yaml(text, with_lines=False)
    except YamlProblem as problem:
        raise where.wrong(value, f"{describe(hint)}; {problem.reason}") from None


def key_text(key: Any) -> str:
    """The key of a mapping as a path names it."""
    return key.text if isinstance(key, Scalar) else plain_key_text(key)


def is_array_scalar(value: Any) -> bool:
    """Whether `value` is a numpy scalar: known by its parts, numpy need not be imported."""
    return type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item")


def _read_brackets_freely(value: Scalar, where: Where) -> Any:
    try:
        return read_freely(parse_brackets(value, "[{", Any, where), where)
    except BadConfigValue:
        return value.text  # `[draft] second try` is a note, not a list
