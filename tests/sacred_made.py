"""Documents in Sacred's layout, made by hand."""

from __future__ import annotations

import datetime
from typing import Any


def sacred_run(run_id: Any, **fields: Any) -> dict[str, Any]:
    """A run as Sacred stores it."""
    now = datetime.datetime(2024, 3, 1, 12, 0, tzinfo=datetime.timezone.utc)
    return {
        "_id": run_id,
        "experiment": {"name": "made", "base_dir": "/x", "sources": [], "dependencies": [], "repositories": []},
        "format": "MongoObserver-0.7.0",
        "command": "main",
        "host": {"hostname": "node"},
        "start_time": now,
        "heartbeat": now + datetime.timedelta(minutes=1),
        "stop_time": now + datetime.timedelta(minutes=1),
        "config": {"lr": 0.1},
        "meta": {"command": "main", "options": {}},
        "status": "COMPLETED",
        "resources": [],
        "artifacts": [],
        "captured_out": "",
        "info": {},
        "result": None,
        **fields,
    }


def sacred_metric(run_id: Any, name: str, values: list[Any], **fields: Any) -> dict[str, Any]:
    """A metric as Sacred stores it."""
    start = datetime.datetime(2024, 3, 1, 12, 0, tzinfo=datetime.timezone.utc)
    times = [start + datetime.timedelta(milliseconds=place) for place in range(len(values))]
    return {
        "run_id": run_id,
        "name": name,
        "steps": list(range(len(values))),
        "values": values,
        "timestamps": times,
    } | fields
