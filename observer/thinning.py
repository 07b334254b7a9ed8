"""Choosing the points that a chart needs, so that it looks as if it had them all."""

from __future__ import annotations

import numpy as np

from .points import Float64s, Int64s


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

    Source: MinMax aggregation as in Van Der Donckt et al., 2023, arXiv:2305.00332 (tsdownsample).
    """
    if len(x) != len(values):
        raise ValueError(f"x has {len(x)} entries, values has {len(values)}. They must be of one length.")
    if pixels < 2:
        raise ValueError(f"A chart needs at least 2 pixels, not {pixels}.")
    if len(x) <= 2 * pixels:
        return np.arange(len(x), dtype=np.int64)
    finite = np.isfinite(values)
    if finite.all():
        return _extremes(x, values, pixels)
    places = np.flatnonzero(finite)
    chosen = places[_extremes(x[places], values[places], pixels)] if len(places) > 2 * pixels else places
    return np.union1d(chosen, _first_of_each_gap(finite, pixels)).astype(np.int64)


def _extremes(x: Float64s, values: Float64s, pixels: int) -> Int64s:
    from tsdownsample import MinMaxDownsampler  # imported where needed: run.log never thins

    x, values = np.ascontiguousarray(x), np.ascontiguousarray(values)
    chosen = MinMaxDownsampler().downsample(x, values, n_out=2 * pixels).astype(np.int64)
    # The first and the last point are kept so that a zoomed line reaches both edges.
    return np.union1d(chosen, np.array([0, len(x) - 1], np.int64)).astype(np.int64)


def _first_of_each_gap(finite: np.ndarray[tuple[int], np.dtype[np.bool_]], pixels: int) -> Int64s:
    starts = np.flatnonzero(~finite & np.concatenate(([True], finite[:-1])))
    if len(starts) > pixels:  # more gaps than columns: one for each column is all that can be seen
        starts = starts[np.linspace(0, len(starts) - 1, pixels).astype(np.int64)]
    return starts.astype(np.int64)
