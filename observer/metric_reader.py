"""Reading metrics: every point exactly, and curves thinned to the pixels of a chart."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .bin_extremes import BinExtremes
from .errors import CloisterError
from .foreign_metrics import load_series
from .metric_bins import Bins
from .metric_chunks import metric_id
from .metric_sketch import BINS_PER_PIXEL, Sketch, Window, sketch_metric
from .metric_stretches import MetricKey, load_all_of
from .metric_summary import read_summary
from .metric_wishes import finish_all
from .points import Float64s, Int64s, Points
from .pyramid_levels import FINE
from .run_record import JOURNAL, UID, RunId, summary_path
from .thinning import ascending, thin

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

Axis = Literal["step", "relative", "wall"]

PYRAMID_POINTS = 65_536  # below that, all points are read as fast as bins would be
SKETCHES_AT_ONCE = 20  # 1.5 MB each, with what they are made of, for a chart of 600 pixels
POINTS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Curve:
    """One metric as a chart draws it.

    Attributes:
        x: float64, shape (n,), ascending, on the axis asked for: step, seconds since the start, or since 1970.
        steps, values, wall_times: the same points' columns, shape (n,). All are points that were logged; NaN and
            infinities are as logged.
        total: how many points lie in the range asked for.
        thinned: True when fewer than `total` were kept; the lowest and the highest of each pixel always are. In a long
            metric a pixel's column may begin and end up to a quarter of a pixel beside its place, where bins do.
    """

    x: Float64s
    steps: Int64s
    values: Float64s
    wall_times: Float64s
    total: int
    thinned: bool


@dataclass(frozen=True)
class StoredMetric:
    """A metric and what its run's document says of it.

    Attributes:
        start: when the run began.
        count: how many points it has, or had when the run's document was last written.
        ended: whether the run has ended, so that `count` is final.
        is_of_known_run: False when there is no such run, or none that the reader sees.
    """

    key: MetricKey
    start: datetime | None
    count: int
    ended: bool
    is_of_known_run: bool = True


def find_metric(database: Database[dict[str, Any]], run_id: RunId, name: str) -> StoredMetric:
    """Where the points of this metric are, if the run has it."""
    stored_name = spelled(name)
    path = summary_path(stored_name)
    fields = {UID: 1, JOURNAL: 1, "start_time": 1, "status": 1, path: 1}
    found = database["runs"].find_one({"_id": run_id}, fields)
    run = found or {}
    uid, summary = _at(run, UID), _at(run, path)
    uid = uid if isinstance(uid, str) else None
    key = MetricKey(metric_id(uid or "", stored_name), uid, run_id, stored_name, segments_in(_at(run, JOURNAL)))
    count = read_summary(name, summary).count if isinstance(summary, Mapping) else 0
    return StoredMetric(key, _aware(run.get("start_time")), count, run.get("status") != "RUNNING", found is not None)


def spelled(name: str) -> str:
    """A metric's name as `run.log` spells it: what UTF-8 cannot hold is written out."""
    return name.encode("utf-8", "backslashreplace").decode()


def load_points(database: Database[dict[str, Any]], metric: StoredMetric) -> Points | None:
    """All points in the order in which they were logged; None if the run has no such metric."""
    return _load_all_of(database, [metric])[0][0]


def load_points_of(database: Database[dict[str, Any]], metrics: Sequence[StoredMetric]) -> list[Points | None]:
    """As `load_points`, of several metrics with a few questions for all of them."""
    return [points for points, _ in _load_all_of(database, metrics)]


def _load_all_of(
    database: Database[dict[str, Any]], metrics: Sequence[StoredMetric]
) -> list[tuple[Points | None, Float64s | None]]:
    """The points, and their steps as floats where Sacred was given such as are no whole numbers."""
    ours = [metric.key for metric in metrics if metric.key.run_uid is not None]
    points_of = dict(zip((key.id for key in ours), load_all_of(database, ours), strict=True))
    found: list[tuple[Points | None, Float64s | None]] = []
    for metric in metrics:
        points = points_of.get(metric.key.id)
        if metric.key.run_uid is not None and points is not None and len(points):
            found.append((points, None))
            continue
        series = load_series(database, metric.key.run_id, metric.key.name)
        found.append((None, None) if series is None else (series.points, series.x))
    return found


def load_curve(
    database: Database[dict[str, Any]],
    metric: StoredMetric,
    *,
    pixels: int,
    axis: Axis,
    low: float | None,
    high: float | None,
) -> Curve | None:
    """The part of a metric between `low` and `high` on `axis`, thinned to `pixels`; None if the run has no such metric.

    One point on each side of the range is kept, so that the line leaves the chart instead of ending inside it. A long
    metric is drawn of its pyramid wherever a pixel has many points.
    """
    [curve] = load_curves(database, [metric], pixels=pixels, axis=axis, low=low, high=high)
    return curve


def load_curves(
    database: Database[dict[str, Any]],
    metrics: Sequence[StoredMetric],
    *,
    pixels: int,
    axis: Axis,
    low: float | None,
    high: float | None,
) -> list[Curve | None]:
    """As `load_curve`, of several metrics with a few questions for all of them."""
    curves: list[Curve | None] = [None] * len(metrics)
    windows = [window_of(metric, axis, low, high, pixels) for metric in metrics]
    for place, view in iter_views(database, metrics, windows, axis):
        curves[place] = None if view is None else draw_view(view)
    return curves


@dataclass(frozen=True)
class View:
    """What a window shows of a metric, before it is thinned.

    Attributes:
        places: x of the sketch's points, where the window alone does not say it.
    """

    window: Window
    sketch: Sketch
    places: Float64s | None = None


def window_of(metric: StoredMetric, axis: Axis, low: float | None, high: float | None, pixels: int) -> Window:
    return Window(
        None if axis == "step" else 0.0 if axis == "wall" or metric.start is None else metric.start.timestamp(),
        -np.inf if low is None else low,
        np.inf if high is None else high,
        pixels,
    )


def iter_views(
    database: Database[dict[str, Any]], metrics: Sequence[StoredMetric], windows: Sequence[Window], axis: Axis
) -> Iterator[tuple[int, View | None]]:
    """What each window shows, by the metric's place in `metrics` and in no order; None where a run has no such metric.

    Few are in memory at one time: whoever reads makes of each what is to stay.
    """
    is_long = [_is_worth_bins(metric, window) for metric, window in zip(metrics, windows, strict=True)]
    if axis == "relative":
        is_long = [long and metric.start is not None for long, metric in zip(is_long, metrics, strict=True)]
    short = [place for place, long in enumerate(is_long) if not long]
    for places in _batches([place for place, long in enumerate(is_long) if long], SKETCHES_AT_ONCE):
        readings = [sketch_metric(metrics[place].key, windows[place]) for place in places]
        for place, sketch in zip(places, finish_all(database, readings), strict=True):
            if isinstance(sketch, CloisterError):
                logger.warning("Run %s, metric %r: %s", metrics[place].key.run_id, metrics[place].key.name, sketch)
                short.append(place)
            elif _has_lost_a_part(metrics[place], windows[place], sketch):
                short.append(place)
            else:
                yield place, View(windows[place], sketch)
    for places in _short_batches(short, metrics):
        for place, (points, x) in zip(places, _load_all_of(database, [metrics[one] for one in places]), strict=True):
            yield place, None if points is None else _view_points(metrics[place], axis, windows[place], points, x)


def _has_lost_a_part(metric: StoredMetric, window: Window, sketch: Sketch) -> bool:
    """Whether the pyramid lacks some of the points that the run's document counts."""
    is_whole = window.low == -np.inf and window.high == np.inf
    return is_whole and metric.ended and int(sketch.bins.counts.sum()) + len(sketch.points) < metric.count


def _view_points(metric: StoredMetric, axis: Axis, window: Window, points: Points, x: Float64s | None) -> View:
    if axis == "relative" and metric.start is None and len(points):  # Sacred's runs may lack it: the first point's time
        window = replace(window, origin=float(points.wall_times.min()))
    return View(window, Sketch(points, Bins.empty()), x if axis == "step" else None)


def _batches(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (places[start : start + size] for start in range(0, len(places), size))


def _short_batches(places: Sequence[int], metrics: Sequence[StoredMetric]) -> Iterator[Sequence[int]]:
    """Together as many as hold `POINTS_AT_ONCE`: what is read point by point is in memory at one time."""
    batch: list[int] = []
    held = 0
    for place in places:
        if batch and held + metrics[place].count > POINTS_AT_ONCE:
            yield batch
            batch, held = [], 0
        batch.append(place)
        held += metrics[place].count
    if batch:
        yield batch


def _is_worth_bins(metric: StoredMetric, window: Window) -> bool:
    """Whether bins may spare anything: a chart of the whole metric uses none where they are wider than it can draw."""
    is_whole = window.low == -np.inf and window.high == np.inf
    return metric.count > (FINE.bin_points * BINS_PER_PIXEL * window.pixels if is_whole else PYRAMID_POINTS)


def draw_view(view: View) -> Curve:
    """The curve of what a window shows."""
    window, sketch, places = view.window, view.sketch, view.places
    extremes = BinExtremes(sketch.bins, window.origin)
    x = window.x_of(sketch.points) if places is None else places
    values, order = sketch.points.values, None
    single = _count_inside(window, x)
    if len(extremes):
        x, values = np.concatenate((extremes.x(), x)), np.concatenate((extremes.values(), values))
    if not np.all(x[1:] >= x[:-1]):
        order = np.argsort(x, kind="stable")
        x, values = x[order], values[order]
    first, last = np.searchsorted(x, window.low, "left"), np.searchsorted(x, window.high, "right")
    last = max(first, last)
    chosen = thin(x[first:last], values[first:last], window.pixels) + first
    total = int(sketch.bins.counts.sum()) + single
    is_thinned = len(chosen) < total
    neighbours = [place for place in (first - 1, last) if 0 <= place < len(x)]
    chosen = ascending(chosen, np.array(neighbours, np.int64))
    kept = _points_at(chosen if order is None else order[chosen], extremes, sketch.points)
    return Curve(x[chosen], kept.steps, kept.values, kept.wall_times, total, is_thinned)


def _points_at(chosen: Int64s, extremes: BinExtremes, points: Points) -> Points:
    """Out of the extremes and, behind them, the points, in the order of `chosen`."""
    if not len(extremes):
        return points[chosen]
    is_extreme = chosen < len(extremes)
    found = Points.concatenate([extremes.points(chosen[is_extreme]), points[chosen[~is_extreme] - len(extremes)]])
    back = np.empty(len(chosen), np.int64)
    back[np.concatenate((np.flatnonzero(is_extreme), np.flatnonzero(~is_extreme)))] = np.arange(len(chosen))
    return found[back]


def _count_inside(window: Window, x: Float64s) -> int:
    if window.low == -np.inf and window.high == np.inf:
        return len(x)
    return int(np.count_nonzero((x >= window.low) & (x <= window.high)))


def segments_in(journal: Any) -> tuple[int, ...] | None:
    """Every journal segment that anything was shipped of."""
    try:
        return tuple(sorted(int(segment, 16) for segment in journal)) or None
    except (TypeError, ValueError):
        return None


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for field in path.split("."):
        value = value.get(field) if isinstance(value, Mapping) else None
    return value


def _aware(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
