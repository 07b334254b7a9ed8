"""The states of a run, and when its silence means that it is lost."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal, get_args

HEARTBEAT_SECONDS = 5.0
SHORTEST_BEAT_SECONDS, LONGEST_BEAT_SECONDS = 1.0, 20.0  # what anybody may choose instead: see below
# Nine beats missed. A courier behind a slow network is late by seconds, a killed training for ever.
LOST_AFTER_SECONDS = 45.0
FOREIGN_LOST_AFTER_SECONDS = 120.0  # of runs that Sacred records, which beats every 10 s; Omniboard waits as long

RunStatus = Literal["queued", "running", "completed", "failed", "interrupted", "lost"]
StoredStatus = Literal["QUEUED", "RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"]
_USUAL = frozenset(word.lower() for word in get_args(StoredStatus))
STATUS_LIMIT = 100  # characters


QUEUED_STATES = ("queued", "staged", "pending")  # the last two of seml, which queues Sacred's runs for a cluster
_STATES: dict[str, RunStatus] = {
    **dict.fromkeys(QUEUED_STATES, "queued"),
    "running": "running",
    "completed": "completed",
    "failed": "failed",
    "interrupted": "interrupted",
}


def derive_status(
    stored: Any,
    heartbeat: datetime | None,
    start_time: datetime | None,
    patience_seconds: float = LOST_AFTER_SECONDS,
) -> RunStatus:
    """What to show for a stored status: a running run without a recent sign of life is lost.

    TIMEOUT and whatever else an interruption of a user's own is called are "interrupted"; see `custom_status`.
    """
    status = _STATES.get(stored.lower() if isinstance(stored, str) else str(stored or "").lower(), "interrupted")
    if status == "running":
        seen = heartbeat or start_time
        silent = (datetime.now(timezone.utc) - seen).total_seconds() if seen else 0.0
        return "lost" if silent > patience_seconds else "running"
    return status


def custom_status(stored: Any) -> str:
    """A status as it is stored, where that says more than the one that is shown for it: TIMEOUT, KILLED, MY_STATUS."""
    if not isinstance(stored, str) or stored.lower() in _USUAL:
        return ""
    return stored[:STATUS_LIMIT]
