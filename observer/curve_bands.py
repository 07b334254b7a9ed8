"""Groups of runs as one line each: the mean of what they logged, how far they are apart, and the extremes of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .metric_reader import View
from .points import Float64s, Int64s

PARTS_OF_PIXEL = 8  # into which a run's points are gathered before the group's range is known


@dataclass(frozen=True)
class Band:
    """A group's curves as columns, one row a place on x.

    Attributes:
        x: float64, shape (n,), ascending.
        mean, std: over the runs, of each run's mean at that place; std is that of a sample, 0 of one run.
        low, high: of all points there: no spike of any run is lost.
        runs: int64, how many runs have a value there.
    """

    x: Float64s
    mean: Float64s
    std: Float64s
    low: Float64s
    high: Float64s
    runs: Int64s


@dataclass(frozen=True)
class RunRows:
    """A run's finite values in a window, few enough to keep those of many runs.

    Attributes:
        x, mean, low, high: shape (n,), a row a point, or many points close to each other.
        weight: of how many points.
        is_exact: whether each row is a point.
    """

    x: Float64s
    mean: Float64s
    low: Float64s
    high: Float64s
    weight: Float64s
    is_exact: bool


def rows_of(view: View) -> RunRows:
    """What a window shows of a run, in no more rows than a group needs.

    Of points that stand in bins (long metrics) the mean is taken to be in the middle of the bin's extremes.
    """
    window, points, bins = view.window, view.sketch.points, view.sketch.bins
    x = window.x_of(points) if view.places is None else view.places
    low = high = points.values
    weight = np.ones(len(points))
    if len(bins):
        firsts, lasts = window.place(bins.steps[0], bins.times[0]), window.place(bins.steps[1], bins.times[1])
        x = np.concatenate((x, (firsts + lasts) / 2))
        low, high = np.concatenate((low, bins.values[0])), np.concatenate((high, bins.values[1]))
        weight = np.concatenate((weight, (bins.counts - bins.bad).astype(np.float64)))
    kept = np.isfinite(low) & np.isfinite(high) & (weight > 0) & (x >= window.low) & (x <= window.high)
    x, low, high, weight = x[kept], low[kept], high[kept], weight[kept]
    rows = RunRows(x, low / 2 + high / 2, low, high, weight, not len(bins))
    most = PARTS_OF_PIXEL * window.pixels
    return rows if len(x) <= most else _gathered(rows, _column_of(x, x.min(), x.max(), most), most, None)


def band_of(runs: Sequence[RunRows], pixels: int) -> Band:
    """The band of a group.

    Where the runs have no more places on x together than the chart has room for, each place is a row, as where seeds
    log at the same steps; else each of `pixels` columns is one. A run that has nothing in a column between others of
    its own counts there with what lies on its line.
    """
    filled = [rows for rows in runs if len(rows.x)]
    if not filled:
        nothing = np.empty(0)
        return Band(nothing, nothing, nothing, nothing, nothing, np.empty(0, np.int64))
    x = _common_places(filled, 2 * pixels)
    if x is not None:
        placed = [_gathered(rows, np.searchsorted(x, rows.x), len(x), x) for rows in filled]
    else:
        low, high = min(rows.x.min() for rows in filled), max(rows.x.max() for rows in filled)
        x = low + (high - low) / pixels * (np.arange(pixels) + 0.5)
        placed = [_gathered(rows, _column_of(rows.x, low, high, pixels), pixels, x) for rows in filled]
    return _combined(x, [_bridged(rows) for rows in placed])


def _column_of(x: Float64s, low: float, high: float, count: int) -> Int64s:
    width = (high - low) / count or 1.0
    return np.minimum(((x - low) / width).astype(np.int64), count - 1)


def _common_places(runs: Sequence[RunRows], most: int) -> Float64s | None:
    """All places, if each is a point's and there are at most so many."""
    known = np.empty(0)
    for rows in runs:
        if not rows.is_exact:
            return None
        if not np.array_equal(known, rows.x):
            known = np.unique(np.concatenate((known, rows.x)))
        if len(known) > most:
            return None
    return known


def _gathered(rows: RunRows, columns: Int64s, count: int, x: Float64s | None) -> RunRows:
    """The rows of each column as one; without `x` columns with none are left out, with it they are NaN at its place."""
    weight: Float64s = np.bincount(columns, rows.weight, count).astype(np.float64)
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, columns, rows.low)
    np.maximum.at(high, columns, rows.high)
    with np.errstate(invalid="ignore", divide="ignore"):  # columns without a point
        mean = np.bincount(columns, rows.weight * rows.mean, count) / weight
        middle = np.bincount(columns, rows.weight * rows.x, count) / weight
    empty = weight == 0
    if x is None:
        kept = ~empty
        return RunRows(middle[kept], mean[kept], low[kept], high[kept], weight[kept], False)
    low[empty] = high[empty] = mean[empty] = np.nan
    return RunRows(x, mean, low, high, weight, rows.is_exact)


def _bridged(rows: RunRows) -> RunRows:
    """With what lies on the run's line where it has no point of its own between two others."""
    there = np.flatnonzero(rows.weight > 0)
    within = np.arange(there[0], there[-1] + 1)
    if len(there) == len(within):
        return rows
    on_line = np.interp(rows.x[within], rows.x[there], rows.mean[there])
    mean, low, high = (column.copy() for column in (rows.mean, rows.low, rows.high))
    for column in (mean, low, high):
        column[within] = np.where(np.isfinite(column[within]), column[within], on_line)
    return RunRows(rows.x, mean, low, high, rows.weight, rows.is_exact)


def _combined(x: Float64s, runs: Sequence[RunRows]) -> Band:
    means = np.stack([rows.mean for rows in runs])
    there = np.isfinite(means)
    count = there.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # places where no run has a value are left out below
        mean = np.where(there, means, 0).sum(axis=0) / count
        squares = np.where(there, (means - mean) ** 2, 0).sum(axis=0)
        std = np.sqrt(squares / np.maximum(count - 1, 1))
    low = np.fmin.reduce(np.stack([rows.low for rows in runs]))
    high = np.fmax.reduce(np.stack([rows.high for rows in runs]))
    kept = np.flatnonzero(count)
    return Band(x[kept], mean[kept], std[kept], low[kept], high[kept], count[kept])
