"""What a chart draws of many runs: a metric or an expression over metrics; over steps, time or another metric."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CloisterError
from .joined_metrics import join_metrics
from .metric_bins import Bins
from .metric_expressions import Expression
from .metric_reader import Axis, Curve, View, draw_view, iter_views, load_points_of, window_of
from .metric_sketch import Sketch, Window
from .points import Float64s, Points

if TYPE_CHECKING:
    from pymongo.database import Database

    from .run_heads import RunHead

MOST_JOINED = 5_000_000  # points of a run that are reckoned with: 120 MB of columns for a moment
DECADES = 6  # that a logarithmic x goes down from the end of the longest curve


class TooLongToReckon(CloisterError, ValueError):
    """An expression, or a metric as x, needs more points of a run than are reckoned with."""

    def __init__(self, run_name: str, count: int) -> None:
        super().__init__(f"Run {run_name!r} has {count:,} points of these metrics; {MOST_JOINED:,} are reckoned with.")


@dataclass(frozen=True)
class Series:
    """What is drawn: `of` is a metric's name or an expression, over `axis`, or over the metric `over` if given."""

    of: str | Expression
    axis: Axis = "step"
    over: str = ""

    @property
    def metrics(self) -> tuple[str, ...]:
        named = (self.of,) if isinstance(self.of, str) else self.of.metrics
        return (*named, self.over) if self.over else named

    @property
    def is_plain(self) -> bool:
        return isinstance(self.of, str) and not self.over


@dataclass(frozen=True)
class Shown:
    """The part of x that is shown, and how wide. `is_log`: x is drawn by its logarithm, so that is thinned by."""

    pixels: int
    low: float | None = None
    high: float | None = None
    is_log: bool = False


def load_series(
    database: Database[dict[str, Any]], heads: Sequence[RunHead], series: Series, shown: Shown
) -> list[Curve | TooLongToReckon | None]:
    """The curve of each run; None for one that lacks a metric of it."""
    if not shown.is_log:
        return [_drawn(view) for view in load_views(database, heads, series, shown)]
    whole = load_series(database, heads, series, Shown(shown.pixels, shown.low, shown.high))
    ends = [curve.x[-1] for curve in whole if isinstance(curve, Curve) and len(curve.x) and curve.x[-1] > 0]
    if not ends:
        return whole
    parts = []
    for low, high in _decades(shown, max(ends)):
        part = Shown(max(shown.pixels // DECADES, 2), low, high)
        parts.append(load_series(database, heads, series, part))
    return [_joined(curves) for curves in zip(whole, *parts, strict=True)]


def load_views(
    database: Database[dict[str, Any]], heads: Sequence[RunHead], series: Series, shown: Shown
) -> Iterator[View | TooLongToReckon | None]:
    """What is shown of each run before it is thinned, in their order."""
    if not series.is_plain:
        for head in heads:
            yield _reckoned_view(database, head, series, shown)
        return
    assert isinstance(series.of, str)
    metrics = [head.metric(series.of) for head in heads]
    windows = [window_of(metric, series.axis, shown.low, shown.high, shown.pixels) for metric in metrics]
    waiting: dict[int, View | None] = {}
    place = 0
    for found, view in iter_views(database, metrics, windows, series.axis):
        waiting[found] = view
        while place in waiting:
            yield waiting.pop(place)
            place += 1


def _drawn(view: View | TooLongToReckon | None) -> Curve | TooLongToReckon | None:
    return draw_view(view) if isinstance(view, View) else view


def load_reckoned(database: Database[dict[str, Any]], head: RunHead, expression: Expression) -> Points:
    """Every point of an expression; none where the run lacks one of its metrics, or has too many points."""
    columns = _reckon(database, head, Series(expression))
    return columns[0] if isinstance(columns, tuple) else Points.empty()


def _reckoned_view(
    database: Database[dict[str, Any]], head: RunHead, series: Series, shown: Shown
) -> View | TooLongToReckon | None:
    columns = _reckon(database, head, series)
    if not isinstance(columns, tuple):
        return columns
    table, x = columns
    window = window_of(head.metric(series.metrics[0]), series.axis, shown.low, shown.high, shown.pixels)
    if x is None:
        return View(window, Sketch(table, Bins.empty()))
    kept = np.flatnonzero(np.isfinite(x))
    return View(_plain(window), Sketch(table[kept], Bins.empty()), x[kept])


def _reckon(
    database: Database[dict[str, Any]], head: RunHead, series: Series
) -> tuple[Points, Float64s | None] | TooLongToReckon | None:
    """The values at the steps that all metrics have, and x where it is a metric."""
    names = tuple(dict.fromkeys(series.metrics))
    metrics = [head.metric(name) for name in names]
    count = sum(metric.count for metric in metrics)
    if count > MOST_JOINED:
        return TooLongToReckon(head.run.name, count)
    points = [each for each in load_points_of(database, metrics) if each is not None]
    if len(points) < len(names):
        return None
    joined = join_metrics(points)
    columns = dict(zip(names, joined.values, strict=True))
    start = head.run.start_time.timestamp() if head.run.start_time else joined.wall_times.min(initial=np.inf)
    values = _values(series.of, columns, joined.steps.astype(np.float64), joined.wall_times - start)
    return Points(joined.steps, values, joined.wall_times), columns[series.over] if series.over else None


def _values(of: str | Expression, columns: dict[str, Float64s], steps: Float64s, seconds: Float64s) -> Float64s:
    if isinstance(of, str):
        return columns[of]
    return np.ascontiguousarray(of.evaluate(columns, steps, seconds))


def _plain(window: Window) -> Window:
    return Window(None, window.low, window.high, window.pixels)


def _decades(shown: Shown, end: float) -> list[tuple[float, float]]:
    """From the highest down: the parts of x that are as wide as each other once the logarithm is taken."""
    low = shown.low if shown.low is not None and shown.low > 0 else 0.0
    edges = [end * 10.0**-power for power in range(DECADES + 1)]
    return [(max(edge, low), above) for above, edge in itertools.pairwise(edges) if above > low]


def _joined(curves: Sequence[Curve | TooLongToReckon | None]) -> Curve | TooLongToReckon | None:
    """The parts of one run's curve as one, what several of them have once."""
    drawn = [curve for curve in curves if isinstance(curve, Curve)]
    if len(drawn) < len(curves):
        return curves[0]
    x = np.concatenate([curve.x for curve in drawn])
    times = np.concatenate([curve.wall_times for curve in drawn])
    order = np.lexsort((times, x))
    is_first = np.ones(len(x), np.bool_)
    is_first[1:] = (x[order][1:] != x[order][:-1]) | (times[order][1:] != times[order][:-1])
    chosen = order[is_first]
    steps = np.concatenate([curve.steps for curve in drawn])[chosen]
    values = np.concatenate([curve.values for curve in drawn])[chosen]
    return Curve(x[chosen], steps, values, times[chosen], drawn[0].total, len(chosen) < drawn[0].total)
