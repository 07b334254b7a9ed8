"""Choosing the points that a chart needs, so that it looks as if it had them all."""

from __future__ import annotations

import itertools

import numpy as np

from .points import Float64s, Int64s

MANY_POINTS = 100_000  # from here on one call for each column is faster than passes over all points


def thin(x: Float64s, values: Float64s, pixels: int) -> Int64s:
    """Choose the points to draw so that a chart `pixels` wide shows every extreme.

    In each of `pixels` columns of equal width the lowest and the highest finite value are kept, so a spike of one
    point is always drawn. Where values are missing, one of them is kept so that the line breaks there.

    Args:
        x: shape (n,), ascending.
        values: shape (n,); NaN and infinities are gaps in the curve.
        pixels: width of the plot area in CSS pixels, at least 2.

    Returns:
        Indices into `x`, ascending, at most about three for each pixel.

    Raises:
        ValueError: `x` and `values` differ in length, or `pixels` is below 2.

    Source: MinMax aggregation as in Van Der Donckt et al., 2023, arXiv:2305.00332. Not their tsdownsample: given x, its
    0.1.5 ends in a Rust panic for some columns, which no `except Exception` holds.
    """
    if len(x) != len(values):
        raise ValueError(f"x has {len(x)} entries, values has {len(values)}. They must be of one length.")
    if pixels < 2:
        raise ValueError(f"A chart needs at least 2 pixels, not {pixels}.")
    if len(x) <= 2 * pixels:
        return np.arange(len(x), dtype=np.int64)
    edges = x[0] + (x[-1] - x[0]) / pixels * np.arange(1, pixels)
    # The first and the last point are kept so that the line reaches both edges.
    ends = np.array([0, len(x) - 1], np.int64)
    finite = np.isfinite(values)
    if finite.all():
        return ascending(ends, _extremes(x, values, edges))
    places = np.flatnonzero(finite)
    chosen = places[_extremes(x[places], values[places], edges)]
    return ascending(ends, chosen, _first_of_each_gap(finite, pixels))


def ascending(*places: Int64s) -> Int64s:
    """All of them in order, each once. `np.unique` hashes, which takes ten times as long for what is nearly sorted."""
    merged = np.sort(np.concatenate(places), kind="stable")
    return merged[np.concatenate(([True], merged[1:] != merged[:-1]))] if len(merged) else merged


def _extremes(x: Float64s, values: Float64s, edges: Float64s) -> Int64s:
    bounds = ascending(np.array([0]), np.searchsorted(x, edges))
    bounds = bounds[bounds < len(x)]
    if len(x) > MANY_POINTS:
        chosen = []
        for start, end in itertools.pairwise([*bounds.tolist(), len(x)]):  # 3 ms for a million points and 1,000 pixels
            column = values[start:end]
            chosen.append(start + int(column.argmin()))
            chosen.append(start + int(column.argmax()))
        return np.array(chosen, np.int64)
    if not len(x):
        return np.empty(0, np.int64)
    sizes = np.diff(np.append(bounds, len(x)))
    return np.concatenate(
        [_first_equal(values, extreme.reduceat(values, bounds), bounds, sizes) for extreme in (np.minimum, np.maximum)]
    )


def _first_equal(values: Float64s, wanted: Float64s, bounds: Int64s, sizes: Int64s) -> Int64s:
    """In each column the first place of the value that is wanted of it."""
    places = np.flatnonzero(values == np.repeat(wanted, sizes))
    return places[np.searchsorted(places, bounds)]


def _first_of_each_gap(finite: np.ndarray[tuple[int], np.dtype[np.bool_]], pixels: int) -> Int64s:
    starts = np.flatnonzero(~finite & np.concatenate(([True], finite[:-1])))
    if len(starts) > pixels:  # more gaps than columns: one for each column is all that can be seen
        starts = starts[np.linspace(0, len(starts) - 1, pixels).astype(np.int64)]
    return starts.astype(np.int64)
