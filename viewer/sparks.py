"""Spark lines: a curve as one SVG path in a few pixels, without axes."""

from __future__ import annotations

import numpy as np

from ..observer.points import Float64s

SPARK_WIDTH, SPARK_HEIGHT, SPARK_PIXELS = 64, 18, 32
_PADDING = 1.5  # half the stroke and a little, so that nothing is cut off


def spark_path(
    x: Float64s, values: Float64s, *, width: float = SPARK_WIDTH, height: float = SPARK_HEIGHT, from_zero: bool = False
) -> str:
    """The `d` of an SVG path through the finite points; empty with fewer than two of them.

    A gap in the values is a gap in the line.
    """
    finite = np.isfinite(values)
    if finite.sum() < 2:
        return ""
    low = 0.0 if from_zero else float(values[finite].min())
    high = float(values[finite].max())
    across = _scaled(x, float(x[0]), float(x[-1]), width - 2 * _PADDING) + _PADDING
    if from_zero and not high > 0:  # nothing all the time lies on the ground
        high = 1.0
    up = height - _PADDING - _scaled(values, low, high, height - 2 * _PADDING)
    starts = finite & ~np.concatenate(([False], finite[:-1]))
    letters = np.where(starts, "M", "L")
    return "".join(
        f"{letter}{left:.1f} {top:.1f}"
        for letter, left, top in zip(letters[finite], across[finite], up[finite], strict=True)
    )


def spark_area(path: str, *, height: float = SPARK_HEIGHT) -> str:
    """The area between a spark line without gaps and the ground, as the `d` of a path to fill."""
    if not path or path.count("M") != 1:
        return ""
    first, last = path[1:].split("L")[0].split(" ")[0], path.rsplit("L", 1)[-1].split(" ")[0]
    return f"{path}L{last} {height}L{first} {height}Z"


def _scaled(values: Float64s, low: float, high: float, length: float) -> Float64s:
    if not high > low:  # one value only: in the middle
        return np.full(len(values), length / 2)
    with np.errstate(invalid="ignore"):
        scaled: Float64s = (values - low) / (high - low) * length
    return scaled
