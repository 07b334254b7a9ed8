"""The uid of a run that Sacred recorded: it follows from the run, so that every adoption of it gives the same."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..run_ids import format_run_id
from .run_source import aware

UID_PATTERN = re.compile(r"\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_VERSION, _VARIANT = 0x7, 0b10


def adopted_uid(document: Mapping[str, Any], place: str) -> str:
    """A UUID of version 7: the run's start, then what its other facts hash to.

    The same run in a database, in a copy of it and in a folder beside it has one uid. Of a run without a start, which
    only its number tells from others, the place counts too.
    """
    started = aware(document.get("start_time")) or aware(_at(document, "meta", "queue_time"))
    run_id = document.get("_id")
    milliseconds = 0 if started is None else max(0, _milliseconds(started))
    facts = [
        # A folder, or TinyDB, has "7" for number 7.
        run_id if isinstance(run_id, str) and started is not None else format_run_id(run_id),
        str(milliseconds),
        str(_at(document, "experiment", "name")),
        str(_at(document, "host", "hostname")),
        str(document.get("command")),
    ]
    if started is None:
        facts.append(place)
    digest = hashlib.sha256("\0".join(facts).encode("utf-8", "backslashreplace")).digest()
    rest = int.from_bytes(digest[:10], "big") & ((1 << 74) - 1)
    number = (milliseconds & ((1 << 48) - 1)) << 80 | _VERSION << 76 | (rest >> 62) << 64 | _VARIANT << 62
    return str(uuid.UUID(int=number | rest & ((1 << 62) - 1)))


def further_uid(uid: str, run_id: Any) -> str:
    """The uid of a run whose facts are those of another one with an earlier number."""
    digest = hashlib.sha256(f"{uid}\0{format_run_id(run_id)}".encode()).digest()
    number = uuid.UUID(uid).int >> 62 << 62 | int.from_bytes(digest[:8], "big") >> 2
    return str(uuid.UUID(int=number))


def is_unchanged(seen: Any, noted: Any) -> bool:
    """Whether values are the same ones: as they are stored, so that NaN is itself, and a date with and without zone."""
    return format_run_id({"": seen}) == format_run_id({"": noted})


def goes_on_here(ours: Mapping[str, Any]) -> bool:
    """Whether an adopted run was resumed, so that its record is ours by now: no other adoption may touch it.

    Args:
        ours: `cloister` of its document, with `journal` and `resumed`.
    """
    return bool(ours.get("journal") or ours.get("resumed"))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _at(document: Mapping[str, Any], *path: str) -> Any:
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
