"""Any Python value as something that BSON holds: bounded in size and depth, never raising, never executing for long."""

from __future__ import annotations

import datetime
import enum
import sys
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

from .field_names import encode_field_name

DEPTH_LIMIT = 50  # MongoDB takes 100 levels; readers of ours and of Sacred's add a few around a value
ITEMS_LIMIT = 100_000
TEXT_LIMIT = 1_000_000
PLACEHOLDER_TEXT_LIMIT = 1_000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def to_bson(value: Any) -> Any:
    """`value` as plain documents, lists, numbers, text, dates; what has no such form becomes a short text.

    Dict keys are encoded as field names. Ints beyond 64 bits become text. Arrays and scalars of numpy and torch become
    lists and numbers. A cycle, a value nested too deeply and the rest of a huge list leave a mark in angle brackets.
    """
    return _Converter().convert(value, 0)


class _Converter:
    """Carries what has been seen on the way down and how many items are left, for one value."""

    def __init__(self) -> None:
        self._ancestors: set[int] = set()
        self._items_left = ITEMS_LIMIT

    def convert(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.convert(value.value, depth + 1)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int):
            return _plain_int(value)
        if isinstance(value, str):
            return _clean_text(value, TEXT_LIMIT)
        if isinstance(value, bytes):
            return value if len(value) <= TEXT_LIMIT else f"<{len(value)} bytes>"
        if isinstance(value, datetime.datetime):
            return value
        if isinstance(value, (PurePath, datetime.date, datetime.time, datetime.timedelta)):
            return _clean_text(str(value), TEXT_LIMIT)
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if depth >= DEPTH_LIMIT:
            return "<nested too deeply>"
        if id(value) in self._ancestors:
            return "<contains itself>"
        self._ancestors.add(id(value))
        try:
            return self._children(value, depth + 1)
        except Exception:
            # Wide on purpose: the value is the user's own object, its methods may raise anything, and one bad value
            # may cost that value alone.
            return _placeholder(value)
        finally:
            self._ancestors.discard(id(value))

    def _children(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple)):
            return self._items(value, depth)
        if isinstance(value, (set, frozenset, Set)):
            return self._items(sorted(value, key=repr), depth)
        if is_dataclass(value) and not isinstance(value, type):
            return self._mapping({field.name: getattr(value, field.name) for field in fields(value)}, depth)
        plain = _plain_number_or_array(value)
        if plain is not value:
            return self.convert(plain, depth)
        return _placeholder(value)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for key, child in value.items():
            if self._items_left <= 0:
                document["<more>"] = f"<{len(value) - len(document)} more keys>"
                break
            self._items_left -= 1
            name = encode_field_name(key if isinstance(key, str) else _short(str(key)))
            while name in document:  # 1 and "1" are two keys in Python and must stay two
                name += "'"
            document[name] = self.convert(child, depth)
        return document

    def _items(self, value: Any, depth: int) -> list[Any]:
        items: list[Any] = []
        for child in value:
            if self._items_left <= 0:
                items.append(f"<{len(value) - len(items)} more>")
                break
            self._items_left -= 1
            items.append(self.convert(child, depth))
        return items


def _plain_number_or_array(value: Any) -> Any:
    """numpy's and torch's numbers and arrays as Python's; anything else unchanged. Imports neither of the two."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (
            value.tolist() if value.numel() <= ITEMS_LIMIT else f"<tensor of shape {tuple(value.shape)}, {value.dtype}>"
        )
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item() if not isinstance(value, numpy.void) else _placeholder(value)
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.tolist() if value.size <= ITEMS_LIMIT else f"<array of shape {value.shape}, {value.dtype}>"
    return value


def _plain_int(value: int) -> int | str:
    if INT64_MIN <= value <= INT64_MAX:
        return int(value)
    return str(int(value)) if value.bit_length() < 3000 else f"<an int of {value.bit_length()} bits>"


def _placeholder(value: Any) -> str:
    """What a value is, in words. Never calls its repr: that may take for ever, or raise, or hold a secret."""
    kind = type(value)
    name = getattr(value, "__qualname__", None) if callable(value) else None
    return _short(f"<{kind.__module__}.{kind.__qualname__}{f' {name}' if isinstance(name, str) else ''}>")


def _short(text: str) -> str:
    return _clean_text(text, PLACEHOLDER_TEXT_LIMIT)


def _clean_text(text: str, limit: int) -> str:
    if len(text) > limit:
        text = f"{text[:limit]} <{len(text) - limit} more characters>"
    # Lone surrogates have no UTF-8; they come from file names and from broken decoding.
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")
