"""Reading metrics: exact points from their chunks, and curves thinned to the pixels of a chart."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .metric_chunks import DamagedChunk, chunk_keys_of, unpack_points
from .points import Float64s, Int64s, Points
from .thinning import thin

if TYPE_CHECKING:
    from pymongo.database import Database

Axis = Literal["step", "relative", "wall"]
logger = logging.getLogger("cloister")


@dataclass(frozen=True)
class Curve:
    """One metric as a chart draws it.

    Attributes:
        x: float64, shape (n,), ascending, on the axis asked for: step, seconds since the start, or since 1970.
        steps, values, wall_times: the same points' columns, shape (n,). NaN and infinities are as logged.
        total: how many points lie in the range asked for.
        thinned: True when fewer than `total` were kept; the lowest and the highest of each pixel always are.
    """

    x: Float64s
    steps: Int64s
    values: Float64s
    wall_times: Float64s
    total: int
    thinned: bool


def load_metric(database: Database[dict[str, Any]], metric: dict[str, Any]) -> Points:
    """All points of the metric whose document in `metrics` this is, in the order in which they were logged."""
    parts = []
    for chunk in database["metric_chunks"].find({"_id": chunk_keys_of(metric["_id"])}).sort("_id", 1):
        try:
            parts.append(unpack_points(chunk.get("c", b""), chunk.get("n", 0)))
        except DamagedChunk as damage:
            logger.warning("Run %s, metric %r: %s", metric.get("run_id"), metric.get("name"), damage)
    return Points.concatenate(parts) if parts else _sacred_points(metric)


def cut_curve(
    points: Points, *, pixels: int, axis: Axis, start: datetime | None, low: float | None, high: float | None
) -> Curve:
    """The part of `points` between `low` and `high` on `axis`, thinned to `pixels`.

    One point on each side of the range is kept, so that the line leaves the chart instead of ending inside it.
    """
    x, points = _place_on_axis(points, axis, start)
    first = 0 if low is None else max(int(np.searchsorted(x, low, "left")) - 1, 0)
    last = len(x) if high is None else min(int(np.searchsorted(x, high, "right")) + 1, len(x))
    x, points = x[first:last], points[first:last]
    chosen = thin(x, points.values, pixels)
    kept = points[chosen]
    return Curve(x[chosen], kept.steps, kept.values, kept.wall_times, len(points), len(chosen) < len(points))


def _place_on_axis(points: Points, axis: Axis, start: datetime | None) -> tuple[Float64s, Points]:
    if axis == "step":
        points = points.sorted_by_step()
        return points.steps.astype(np.float64), points
    order = np.argsort(points.wall_times, kind="stable")
    points = points[order]
    if axis == "wall":
        return points.wall_times, points
    origin = start.timestamp() if start is not None else float(points.wall_times[0]) if len(points) else 0.0
    return points.wall_times - origin, points


def _sacred_points(metric: dict[str, Any]) -> Points:
    """The points of a document that Sacred wrote: three arrays, of which any may be missing or shorter."""
    values, steps, times = (metric.get(name) or [] for name in ("values", "steps", "timestamps"))
    count = min(len(values), len(steps))
    rows = [
        (int(step), float(value), _seconds(times, place))
        for place, (step, value) in enumerate(zip(steps[:count], values[:count], strict=True))
        if isinstance(step, (int, float)) and isinstance(value, (int, float)) and abs(step) < 2**63
    ]
    if not rows:
        return Points.empty()
    columns = list(zip(*rows, strict=True))
    return Points(np.array(columns[0], np.int64), np.array(columns[1], np.float64), np.array(columns[2], np.float64))


def _seconds(times: list[Any], place: int) -> float:
    return times[place].timestamp() if place < len(times) and isinstance(times[place], datetime) else 0.0
