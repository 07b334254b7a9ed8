"""Shipping the points of one run: into packed chunks exactly once, and into Sacred's documents at a bounded price."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from .field_names import decode_field_name
from .journal_batches import PointColumns
from .metric_chunks import CHUNK_POINTS, DamagedChunk, chunk_key, metric_id, pack_points, unpack_points
from .metric_reader import load_metric
from .metric_summary import MetricSummary, empty_summary, read_summary
from .points import Points
from .run_record import summary_path
from .thinning import thin

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

SACRED_POINTS = 10_000  # exact up to here; Sacred's layout has a limit at 385,000 points, where a document is full
SACRED_GROWTH = 1.25  # a document is rewritten when it has grown by a quarter: all rewrites cost four times the last
SACRED_SECONDS = 10.0


@dataclass
class _Tail:
    """The chunk of one metric in one segment that still takes points."""

    index: int
    points: Points
    sequence: int  # of the newest point in it: what a replay may not add again
    is_changed: bool = False


@dataclass
class _Metric:
    name: str
    key: Any  # ObjectId
    summary: MetricSummary
    in_sacred: int  # points that Sacred's document covers
    sacred_written: float = 0.0
    tails: dict[int, _Tail] = field(default_factory=dict)  # by segment


class MetricShipper:
    """Takes points in the order of the journal and stores them; the run's own document is left to the caller."""

    def __init__(self, database: Database[dict[str, Any]], run: dict[str, Any], *, is_new: bool) -> None:
        """
        Args:
            run: its document, at least `_id` and `cloister`.
            is_new: nothing of the run can be stored yet, so nothing needs to be looked up.
        """
        self._database = database
        self._run_id = run["_id"]
        self._uid = run["cloister"]["uid"]
        self._stored = run["cloister"]
        self._is_new = is_new
        self._metrics: dict[str, _Metric] = {}
        self._full: list[tuple[_Metric, int, _Tail]] = []
        self._touched: set[str] = set()
        self._named: list[dict[str, str]] = []

    def take(self, segment: int, columns: Mapping[str, PointColumns]) -> None:
        """Add the points of `columns`, by encoded metric name, those that are stored already excepted."""
        for encoded, column in columns.items():
            points = Points(column.steps, column.values, column.wall_times)
            self._add(decode_field_name(encoded), segment, points, column.sequences)

    def store(self) -> None:
        """Write the chunks that changed. Each is one document under its own key: a replay overwrites it with itself."""
        from pymongo import ReplaceOne

        writes = []
        for metric, segment, tail in self._full:
            writes.append(self._chunk(metric, segment, tail))
        for name in self._touched:
            metric = self._metrics[name]
            for segment, tail in metric.tails.items():
                if tail.is_changed:
                    writes.append(self._chunk(metric, segment, tail))
                    tail.is_changed = False
        self._full = []
        if writes:
            operations = [ReplaceOne({"_id": chunk["_id"]}, chunk, upsert=True) for chunk in writes]
            self._database["metric_chunks"].bulk_write(operations, ordered=False)

    def summary_changes(self) -> dict[str, Any]:
        """What to set in the run's document for the metrics that got points since the last call."""
        changes = {summary_path(name): self._metrics[name].summary.as_document() for name in self._touched}
        self._touched = set()
        return changes

    def newly_named(self) -> list[dict[str, str]]:
        """Entries for `info.metrics`, by which Sacred's readers find the metrics of a run."""
        named, self._named = self._named, []
        return named

    def refresh_sacred_documents(self, *, force: bool) -> None:
        """Rewrite the documents in Sacred's layout that have fallen behind; all of them if `force`."""
        now = time.monotonic()
        for metric in self._metrics.values():
            behind = metric.summary.count - metric.in_sacred
            due = (
                metric.summary.count >= SACRED_GROWTH * metric.in_sacred
                and now - metric.sacred_written >= SACRED_SECONDS
            )
            if behind > 0 and (force or due):
                self._write_sacred_document(metric)
                metric.sacred_written = now

    def forget_segment(self, segment: int) -> None:
        """Drop the open chunks of a segment that gets no more points."""
        for metric in self._metrics.values():
            metric.tails.pop(segment, None)

    # ---- one metric

    def _add(self, name: str, segment: int, points: Points, sequences: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        metric = self._metrics.get(name) or self._load(name)
        # The summary starts from the checkpoint as the records do, so it takes them all; chunks may be further.
        metric.summary = metric.summary.extended(points)
        self._touched.add(name)
        tail = metric.tails.get(segment)
        if tail is None:
            tail = metric.tails[segment] = self._load_tail(metric, segment)
        fresh = sequences > tail.sequence
        if not fresh.all():
            points, sequences = points[np.flatnonzero(fresh)], sequences[fresh]
        while len(points):
            room = CHUNK_POINTS - len(tail.points)
            tail.points = Points.concatenate([tail.points, points[:room]])
            tail.sequence = int(sequences[:room][-1])
            tail.is_changed = True
            points, sequences = points[room:], sequences[room:]
            if len(tail.points) == CHUNK_POINTS:
                self._full.append((metric, segment, tail))
                tail = metric.tails[segment] = _Tail(tail.index + 1, Points.empty(), tail.sequence)

    def _load(self, name: str) -> _Metric:
        key = metric_id(self._uid, name)
        in_sacred = 0
        if self._is_new or (known := self._database["metrics"].find_one({"_id": key}, {"cloister": 1})) is None:
            self._database["metrics"].update_one(
                {"_id": key},
                {"$setOnInsert": {"run_id": self._run_id, "name": name, "steps": [], "values": [], "timestamps": []}},
                upsert=True,
            )
        else:
            in_sacred = (known.get("cloister") or {}).get("count", 0)
        self._named.append({"name": name, "id": str(key)})
        metric = _Metric(name, key, self._stored_summary(name), in_sacred)
        self._metrics[name] = metric
        return metric

    def _stored_summary(self, name: str) -> MetricSummary:
        _, kind, encoded = summary_path(name).split(".", 2)
        document = (self._stored.get(kind) or {}).get(encoded)
        return read_summary(name, document) if document else empty_summary(name)

    def _load_tail(self, metric: _Metric, segment: int) -> _Tail:
        """Where the metric's newest chunk of this segment ends, for a courier that goes on where another died."""
        if not self._is_new:
            lowest, highest = chunk_key(metric.key, segment, 0), chunk_key(metric.key, segment, 2**32 - 1)
            chunk = self._database["metric_chunks"].find_one(
                {"_id": {"$gte": lowest, "$lte": highest}}, sort=[("_id", -1)]
            )
            if chunk is not None:
                index = int.from_bytes(bytes(chunk["_id"])[-4:], "big") // CHUNK_POINTS
                try:
                    points = unpack_points(chunk["c"], chunk["n"])
                except DamagedChunk as damage:  # left as it is for whoever repairs it; the metric goes on behind it
                    logger.warning("Run %s, metric %r: %s", self._run_id, metric.name, damage)
                    return _Tail(index + 1, Points.empty(), chunk["seq"])
                if len(points) == CHUNK_POINTS:
                    return _Tail(index + 1, Points.empty(), chunk["seq"])
                return _Tail(index, points, chunk["seq"])
        return _Tail(0, Points.empty(), 0)

    def _chunk(self, metric: _Metric, segment: int, tail: _Tail) -> dict[str, Any]:
        points = tail.points
        finite = points.values[np.isfinite(points.values)]
        return {
            "_id": chunk_key(metric.key, segment, tail.index * CHUNK_POINTS),
            "run_id": self._run_id,
            "n": len(points),
            "seq": tail.sequence,
            "first": int(points.steps.min()),
            "last": int(points.steps.max()),
            "min": float(finite.min()) if len(finite) else None,
            "max": float(finite.max()) if len(finite) else None,
            "bad": len(points) - len(finite),
            "c": pack_points(points),
        }

    def _write_sacred_document(self, metric: _Metric) -> None:
        points = load_metric(self._database, {"_id": metric.key, "run_id": self._run_id, "name": metric.name})
        total = len(points)
        if total > SACRED_POINTS:
            ordered = points.sorted_by_step()
            points = ordered[thin(ordered.steps.astype(np.float64), ordered.values, SACRED_POINTS // 4)]
        self._database["metrics"].update_one(
            {"_id": metric.key},
            {
                "$set": {
                    "steps": points.steps.tolist(),
                    "values": points.values.tolist(),
                    "timestamps": [datetime.fromtimestamp(when, timezone.utc) for when in points.wall_times.tolist()],
                    "cloister": {"count": total, "stored": len(points), "thinned": len(points) < total},
                }
            },
        )
        metric.in_sacred = total
