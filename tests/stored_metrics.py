"""Metrics in the database as the courier leaves them: packed chunks, a document in Sacred's layout, a summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cloister.observer.metric_chunks import CHUNK_POINTS, chunk_key, metric_id, pack_points
from cloister.observer.metric_summary import empty_summary
from cloister.observer.points import Points
from cloister.observer.run_record import summary_path
from pymongo.database import Database


def store_metric(
    database: Database[dict[str, Any]],
    run_id: int,
    name: str,
    values: Sequence[float] | np.ndarray[Any, Any],
    *,
    steps: Sequence[int] | np.ndarray[Any, Any] | None = None,
    seconds_apart: float = 1.0,
) -> None:
    """All points of one metric of a run that `insert_run` made; called again, it replaces them."""
    run = database["runs"].find_one({"_id": run_id})
    assert run is not None, f"insert run {run_id} first"
    count = len(values)
    points = Points(
        np.arange(count, dtype=np.int64) if steps is None else np.asarray(steps, np.int64),
        np.asarray(values, np.float64),
        run["start_time"].timestamp() + np.arange(count) * seconds_apart,
    )
    key = metric_id(run["cloister"]["uid"], name)
    database["metrics"].update_one(
        {"_id": key},
        {"$set": {"run_id": run_id, "name": name, "steps": [], "values": [], "timestamps": []}},
        upsert=True,
    )
    for start in range(0, count, CHUNK_POINTS):
        part = points[slice(start, start + CHUNK_POINTS)]
        chunk = {"_id": chunk_key(key, 1, start), "run_id": run_id, "n": len(part), "c": pack_points(part)}
        database["metric_chunks"].replace_one({"_id": chunk["_id"]}, chunk, upsert=True)
    summary = empty_summary(name).extended(points).as_document() if count else empty_summary(name).as_document()
    database["runs"].update_one({"_id": run_id}, {"$set": {summary_path(name): summary}})
