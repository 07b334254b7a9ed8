"""The document of a run that a Sacred experiment made: Sacred's fields as its own observer writes them, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .run_record import SACRED_FORMAT, new_run_document

OBSERVER = "cloister.observer"  # {notes: [{time, text}], wanted_id}: what the observer has to say of itself
OBSERVER_NOTES = f"{OBSERVER}.notes"
ENCODER = "sacred"  # config, info, result and meta may hold what jsonpickle makes of an object, nothing else of it
# What an earlier run under the same id has left, and a new one has not: `$unset` when it is overwritten.
STALE_FIELDS = ("stop_time", "result", "fail_trace")


def is_from_sacred(header: Mapping[str, Any]) -> bool:
    return isinstance(header.get("sacred"), Mapping)


def new_sacred_document(header: Mapping[str, Any], run_id: Any) -> dict[str, Any]:
    """The document of a run that Sacred starts or queues now.

    Args:
        header: as `new_run_document` takes it; under `sacred` the experiment's description and what Sacred calls meta.
    """
    given = header["sacred"]
    status = given.get("status", "RUNNING")
    ours = new_run_document(header, run_id)["cloister"]
    document = {
        "_id": run_id,
        # The sources follow, each as it is stored.
        "experiment": {**given.get("experiment", {}), "sources": []},
        "format": SACRED_FORMAT,
        "command": header.get("command"),
        "host": header.get("host", {}),
        "start_time": header["start_time"],
        "config": header.get("config", {}),
        "meta": given.get("meta", {}),
        "status": status,
        "resources": [],
        "artifacts": [],
        "captured_out": "",
        "info": {},
        "heartbeat": None,
        "cloister": {**ours, "encoder": ENCODER, "observer": {"notes": []}},
    }
    if status == "QUEUED":
        del document["start_time"]  # it has none yet, and Omniboard fails over one that is no date
    return document
