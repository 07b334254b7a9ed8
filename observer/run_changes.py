"""What a change stream on `runs` says, read as `RunChange`s."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from .run_record import EXPERIMENT_NAME, PROJECT, UID, UPDATED_AT, read_run
from .runs import RunChange

# The server looks the run up and sends these few fields of it: a run's config may be large and is not needed to say
# that the run has changed.
_FIELDS = ("_id", "status", "heartbeat", "start_time", "meta.options", UID, PROJECT, EXPERIMENT_NAME, UPDATED_AT)

CHANGE_STAGES: list[dict[str, Any]] = [
    {"$match": {"operationType": {"$in": ["insert", "update", "replace"]}}},
    {"$project": {"operationType": 1, **{f"fullDocument.{field}": 1 for field in _FIELDS}}},
]


def read_change(event: Mapping[str, Any]) -> RunChange | None:
    """The change that an event of a stream over `CHANGE_STAGES` tells of; None if the run is gone by now."""
    document = event.get("fullDocument")
    if not isinstance(document, Mapping) or "_id" not in document:
        return None
    run = read_run(document)
    return RunChange(run.id, run.project, run.status, run.updated_at or datetime.now(timezone.utc))
