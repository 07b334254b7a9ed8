"""The states of a run, and when its silence means that it is lost."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal

HEARTBEAT_SECONDS = 5.0
SHORTEST_BEAT_SECONDS, LONGEST_BEAT_SECONDS = 1.0, 20.0  # what anybody may choose instead: see below
# Nine beats missed. A courier behind a slow network is late by seconds, a killed training for ever.
LOST_AFTER_SECONDS = 45.0

RunStatus = Literal["queued", "running", "completed", "failed", "interrupted", "lost"]
StoredStatus = Literal["QUEUED", "RUNNING", "COMPLETED", "FAILED", "INTERRUPTED"]


def derive_status(stored: Any, heartbeat: datetime | None, start_time: datetime | None) -> RunStatus:
    """What to show for a stored status: a running run without a recent sign of life is lost."""
    status = stored.lower() if isinstance(stored, str) else str(stored or "").lower()
    if status == "running":
        seen = heartbeat or start_time
        silent = (datetime.now(timezone.utc) - seen).total_seconds() if seen else 0.0
        return "lost" if silent > LOST_AFTER_SECONDS else "running"
    if status in ("queued", "completed", "failed"):
        return status  # type: ignore[return-value]
    return "interrupted"  # TIMEOUT and Sacred's own interruption statuses
