"""Values of a policy as they are written, and which of two is the stricter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def parse_yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def parse_positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise ValueError("a number above zero")
    return float(value)


def parse_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise ValueError("a list of texts")
    return tuple(value)


def parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def parse_retention(value: Any) -> dict[str, Any]:
    from .retention.rules import policy_table  # only a policy that says something of it needs it

    return policy_table(value)


def join_both(one: bool, other: bool) -> bool:
    return one and other


def join_either(one: bool, other: bool) -> bool:
    return one or other


def join_common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(text for text in one if text in other)


def join_first(one: Any, other: Any) -> Any:
    return one or other


def join_tables(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables; where both say something of one thing the smaller number, both lists, or both tables again."""
    joined = dict(one)
    for name, value in other.items():
        known = joined.get(name, value)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            joined[name] = join_tables(known, value)
        elif isinstance(known, (list, tuple)) and isinstance(value, (list, tuple)):
            joined[name] = list(dict.fromkeys((*known, *value)))
        elif isinstance(known, bool) and isinstance(value, bool):
            joined[name] = known or value
        elif isinstance(known, (int, float)) and isinstance(value, (int, float)):
            joined[name] = min(known, value)
    return joined
