"""The points that bins are drawn of: lowest, highest, and the first whose value is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .metric_bins import Bins, seconds
from .points import Float64s, Int64s, Points


class BinExtremes:
    """Points out of bins, few of which are drawn in the end: what is not asked for is not put together."""

    def __init__(self, bins: Bins, origin: float | None) -> None:
        """
        Args:
            origin: the wall time at which x is 0, None where x is the step.
        """
        self._bins = bins
        self._origin = origin
        self._has_bad = bool(bins.bad.any())
        # Places in the columns that `_flat` makes: all lowest, then all highest, then all that are not finite.
        turns = _in_turn(bins, bins.steps if origin is None else bins.times)
        self._rows = np.concatenate((turns, 2 * len(bins) + np.flatnonzero(bins.bad))) if self._has_bad else turns

    def __len__(self) -> int:
        return len(self._rows)

    def x(self) -> Float64s:
        """Where they are drawn, shape (n,); ascending if the bins are and all their values are finite."""
        if self._origin is None:
            return self._flat(self._bins.steps[2:], self._bins.bad_steps)[self._rows].astype(np.float64)
        return seconds(self._flat(self._bins.times[2:], self._bins.bad_times)[self._rows]) - self._origin

    def values(self) -> Float64s:
        """Shape (n,)."""
        return self._flat(self._bins.values, self._bins.bad_values)[self._rows]

    def points(self, chosen: Int64s) -> Points:
        """Some of them, in the order of `x`."""
        rows, bins = self._rows[chosen], self._bins
        return Points(
            self._flat(bins.steps[2:], bins.bad_steps)[rows],
            self._flat(bins.values, bins.bad_values)[rows],
            seconds(self._flat(bins.times[2:], bins.bad_times)[rows]),
        )

    def _flat(self, extremes: npt.NDArray[Any], bad: npt.NDArray[Any]) -> npt.NDArray[Any]:
        flat = extremes.reshape(-1)  # no copy: the rows of a column lie behind each other
        return np.concatenate((flat, bad)) if self._has_bad else flat


def _in_turn(bins: Bins, clock: Int64s) -> Int64s:
    """Where each bin's lowest and highest are, in the order of their x; one of them where they are the same point."""
    count = len(bins)
    is_later = clock[2] > clock[3]
    rows = np.empty((count, 2), np.int64)
    rows[:, 0] = np.arange(count) + count * is_later
    rows[:, 1] = np.arange(count) + count * ~is_later
    there = ~np.isnan(bins.values[0])
    is_one = (bins.values[0] == bins.values[1]) & (bins.steps[2] == bins.steps[3]) & (bins.times[2] == bins.times[3])
    if there.all() and not is_one.any():
        return rows.reshape(-1)
    kept: Int64s = rows[np.stack((there, there & ~is_one), axis=1)]
    return kept
