"""Long metrics as a run leaves them: chunks by journal segment, a pyramid above them, the newest points in tails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cloister.observer.metric_chunks import CHUNK_POINTS, chunk_key, metric_id, pack_points
from cloister.observer.metric_pyramid import PyramidBuilder
from cloister.observer.metric_summary import empty_summary
from cloister.observer.metric_tails import Frame, pack_clock_entry, pack_frame, tail_key
from cloister.observer.points import Points
from cloister.observer.run_record import summary_path
from pymongo.database import Database

Documents = Database[dict[str, Any]]
UID = "01a1fd6d-8b44-7339-9421-{:012d}"


def store_segments(
    database: Documents,
    run_id: int,
    name: str,
    segments: Sequence[Points],
    *,
    in_tails: int = 0,
    with_pyramid: bool = True,
    is_open: bool = False,
) -> Points:
    """Store one metric of a run that `insert_run` made with `uid_of(run_id)`; returns all its points.

    Args:
        segments: the points of each journal segment.
        in_tails: so many points of the last segment are in no chunk.
        is_open: the last segment may get more points, so its last spans have no bins yet.
    """
    metric = metric_id(uid_of(run_id), name)
    document = {"run_id": run_id, "name": name, "steps": [], "values": [], "timestamps": []}
    database["metrics"].update_one({"_id": metric}, {"$set": document}, upsert=True)
    builder = PyramidBuilder(database)
    for number, points in enumerate(segments, 1):
        is_last = number == len(segments)
        in_chunks = len(points) - (in_tails if is_last else 0)
        chunks = []
        for offset in range(0, in_chunks, CHUNK_POINTS):
            part = points[slice(offset, min(offset + CHUNK_POINTS, in_chunks))]
            key = chunk_key(metric, number, offset)
            chunks.append({"_id": key, "run_id": run_id, "n": len(part), "c": pack_points(part)})
        if chunks:
            database["metric_chunks"].insert_many(chunks)
        if with_pyramid:
            for offset in range(0, in_chunks, CHUNK_POINTS):
                builder.add_chunk(metric, number, offset, points[slice(offset, min(offset + CHUNK_POINTS, in_chunks))])
            if not (is_last and (is_open or in_tails)):
                builder.finish_segment(metric, number, in_chunks)
        store_tails(database, run_id, name, number, points, in_chunks)
    builder.flush()
    whole = Points.concatenate(list(segments))
    if len(whole):
        summary = empty_summary(name).extended(whole).as_document()
        journal = {f"{number:016x}": {"offset": 1, "sequence": 1} for number in range(1, len(segments) + 1)}
        change = {summary_path(name): summary, "cloister.journal": journal}
        database["runs"].update_one({"_id": run_id}, {"$set": change})
    return whole


def store_tails(database: Documents, run_id: int, name: str, segment: int, points: Points, start: int) -> None:
    """The points from `start` on, in two tails that have some points in common, as a replay may leave them."""
    metric = metric_id(uid_of(run_id), name).binary
    middle = (start + len(points)) // 2
    for first, last in ((start, middle), (max(middle - 10, start), len(points))):
        part = points[slice(first, last)]
        if len(part):
            frame = Frame((metric,), np.array([first]), part, part.values.reshape(1, -1))
            tail = {
                "_id": tail_key(uid_of(run_id), segment, last),
                "run_id": run_id,
                "t": [pack_clock_entry(part)],
                "b": {metric[:1].hex(): pack_frame(frame, 0)},
            }
            database["metric_tails"].replace_one({"_id": tail["_id"]}, tail, upsert=True)


def uid_of(run_id: int) -> str:
    """A run's uid of the form that ours have: tails are found by it."""
    return UID.format(run_id)
