"""A Sacred user's values as they are stored: plain where they have a plain form, as Sacred flattens them where not."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from io import IOBase
from types import FunctionType, ModuleType
from typing import Any

from ...observer.bson_values import VALUE_LIMIT_BYTES, BsonConverter, key_text
from ...observer.field_names import decode_field_name, encode_field_name

FOREIGN_LIMIT_BYTES = 1_000_000  # of one object that only jsonpickle knows how to keep
PARTS_DEPTH, PARTS_LOOKED_AT = 8, 10_000  # of such an object


def to_stored(value: Any, limit_bytes: int = VALUE_LIMIT_BYTES) -> Any:
    """`value` as BSON holds it: tuples and arrays as lists, numpy's numbers as numbers, dates as dates.

    Sacred gives all of those to jsonpickle, whose readers take plain values as they are. Objects that have no plain
    form, such as a DataFrame, are stored as Sacred stores them. What cannot be stored costs itself alone.
    """
    return _SacredConverter(limit_bytes).convert(value, 0)


def to_info(value: Any) -> Any:
    """An entry of `info`, in which dates and bytes are as Sacred flattens them.

    Incense reads info as JSON: where one run has anything there that JSON has not, it finds no run at all.
    """
    return _InfoConverter(VALUE_LIMIT_BYTES).convert(value, 0)


def to_stored_fields(mapping: Any, limit_bytes: int = VALUE_LIMIT_BYTES) -> dict[str, Any]:
    """A mapping as a document; an empty one where it is none."""
    stored = to_stored(mapping, limit_bytes)
    return stored if isinstance(stored, dict) else {}


def stored_name(key: Any) -> str:
    """A key as Sacred's users know it, with escapes only where MongoDB or our reading would take it for another."""
    name = key_text(key)
    is_plain = name and "." not in name and not name.startswith("$") and "\0" not in name
    if is_plain and decode_field_name(name) == name and name.isprintable():
        return name
    return encode_field_name(name)


class _SacredConverter(BsonConverter):
    def field_name(self, key: Any) -> str:
        return stored_name(key)

    def foreign(self, value: Any) -> Any:
        flattened = _flatten(value)
        return super().foreign(value) if flattened is None else flattened


class _InfoConverter(_SacredConverter):
    def convert(self, value: Any, depth: int) -> Any:
        stored = super().convert(value, depth)
        return self.foreign(stored) if isinstance(stored, (datetime, bytes)) else stored


def _flatten(value: Any) -> Any:
    """What Sacred itself makes of an object; None where it makes nothing of it, or too much."""
    serializer = sys.modules.get("sacred.serializer")  # the experiment has imported it; we never do
    if serializer is None or isinstance(value, type) or callable(value):
        return None
    try:
        from bson import encode

        if _holds_iterator(value):
            return None
        flattened = serializer.flatten(value)
        if isinstance(flattened, Mapping) and len(encode({"": flattened})) <= FOREIGN_LIMIT_BYTES:
            return dict(flattened)
    except Exception:
        # Wide on purpose: jsonpickle calls methods of the user's own object, and BSON refuses what they give.
        return None
    return None


def _holds_iterator(value: Any) -> bool:
    """Whether jsonpickle would use up an iterator, which is the user's own to be used up, and may be endless."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    for looked_at, (part, depth) in enumerate(waiting):  # which grows meanwhile
        if isinstance(part, Iterator) and not isinstance(part, IOBase):
            return True
        if isinstance(part, (type, ModuleType, FunctionType)):
            continue  # kept by name
        if depth < PARTS_DEPTH and looked_at < PARTS_LOOKED_AT:
            if isinstance(part, Mapping):
                parts = list(part.values())
            elif isinstance(part, (list, tuple, set, frozenset)):
                parts = list(part)
            else:
                parts = list(getattr(part, "__dict__", {}).values())
            waiting += [(each, depth + 1) for each in parts[:PARTS_LOOKED_AT]]
    return False
