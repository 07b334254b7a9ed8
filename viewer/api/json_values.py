"""Stored values as JSON that every parser reads: NaN as text, times as ISO 8601, what JSON lacks as a placeholder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

DEPTH_LIMIT = 100
TOO_DEEP = "(nested too deeply to show)"


def json_value(value: Any, depth: int = 0) -> Any:
    """`value` in JSON's own types. Never raises, whatever a foreign database holds."""
    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, str) else _whole_text(value)
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, datetime):
        return json_time(value)
    if depth >= DEPTH_LIMIT:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {_whole_text(str(key)): json_value(child, depth + 1) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(child, depth + 1) for child in value]
    if isinstance(value, (bytes, bytearray)):
        return f"({len(value)} bytes)"
    return _whole_text(str(value))  # ObjectId, Decimal128, UUID, Code, ...: their text


def json_number(value: float) -> float | str:
    """A float, or "NaN", "Infinity", "-Infinity": bare NaN is not JSON, and browsers refuse the whole answer."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def json_numbers(values: Iterable[float]) -> list[float | str]:
    return [json_number(value) for value in values]


def json_time(when: datetime | None) -> str | None:
    """UTC with milliseconds, which is what MongoDB keeps."""
    if when is None:
        return None
    aware = when.replace(tzinfo=timezone.utc) if when.tzinfo is None else when.astimezone(timezone.utc)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _whole_text(text: str) -> str:
    """Text without halves of surrogate pairs, which have no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
