"""What Sacred wrote into files, in the shape that its MongoObserver stores."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from ..run_record import SACRED_FORMAT
from .run_source import aware, parse_moment

TEXT_KEYS = ("command", "status")
_MOMENTS = ("start_time", "stop_time", "heartbeat")
_INT64 = 2**63
_STORABLE = (int, bool, float, type(None), bytes, datetime, ObjectId)


def run_document(run_id: Any, entry: Mapping[str, Any], config: Any, info: Any, captured_out: str) -> dict[str, Any]:
    """A run's document, every field that Sacred's readers look for in it.

    Args:
        entry: what the observer kept of the run; its dates may be ISO texts.
    """
    document: dict[str, Any] = {
        "_id": run_id,
        "experiment": _mapping(entry.get("experiment")),
        "format": SACRED_FORMAT,
        "command": entry.get("command"),
        "host": _mapping(entry.get("host")),
        "start_time": None,
        "config": config if isinstance(config, Mapping) else {},
        "meta": _mapping(entry.get("meta")),
        "status": entry.get("status"),
        "resources": [],
        "artifacts": [],
        "captured_out": captured_out,
        "info": info if isinstance(info, Mapping) else {},
        "heartbeat": None,
        "result": entry.get("result"),
        "stop_time": None,
        "fail_trace": entry.get("fail_trace") if isinstance(entry.get("fail_trace"), list) else [],
    }
    for name in _MOMENTS:
        value = entry.get(name)
        document[name] = parse_moment(value) if isinstance(value, str) else aware(value)
    return storable(document)  # type: ignore[no-any-return]


def storable(value: Any, depth: int = 0) -> Any:
    """JSON as BSON takes it: keys without NUL, no whole number beyond 64 bits, no more than 90 levels."""
    if isinstance(value, dict):
        if depth > 90:
            return "<nested too deeply>"
        return {clean_text(str(key)).replace("\0", ""): storable(child, depth + 1) for key, child in value.items()}
    if isinstance(value, list):
        return "<nested too deeply>" if depth > 90 else [storable(child, depth + 1) for child in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -_INT64 <= value < _INT64:
        return str(value) if value.bit_length() < 3000 else f"<an int of {value.bit_length()} bits>"
    if isinstance(value, str):
        return clean_text(value)
    return value if type(value) in _STORABLE else f"<{type(value).__name__}>"


def clean_text(text: str) -> str:
    """Text that UTF-8 can hold, what it cannot as escapes."""
    # JSON can spell lone surrogates, UTF-8 cannot. Most text is not copied: one may stand in many places.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
