"""Bins: what is left of many consecutive points of a metric where a chart has no room for each, packed and back."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CloisterError
from .metric_chunks import MICROSECONDS, microseconds
from .points import Float64s, Int64s, Points

FORMAT = 1
_HEAD = struct.Struct("<BBHIqq")  # format, flags, bins, points, step and microsecond from which the rest is counted
_WIDE_STEPS, _WIDE_TIMES, _HAS_BAD = 1, 2, 4
_INT32 = np.iinfo(np.int32)


class DamagedBins(CloisterError, ValueError):
    """A document of the pyramid does not hold what its length says."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"A summary of a metric's points is damaged: {reason}. The points themselves are read instead."
        )


@dataclass(frozen=True)
class Bins:
    """Bins in the order in which their points were logged; all columns are as long as there are bins.

    Attributes:
        counts: points in each bin, int64.
        values: shape (2, n): the lowest and the highest finite value, both NaN in a bin without one.
        steps, times: int64, shape (4, n): the lowest, the highest, that of the lowest value, that of the highest.
            Times are microseconds since 1970.
        bad: how many values are not finite, int64.
        bad_values, bad_steps, bad_times: the first of them; NaN, 0, 0 in a bin without one.
    """

    counts: Int64s
    values: Float64s
    steps: Int64s
    times: Int64s
    bad: Int64s
    bad_values: Float64s
    bad_steps: Int64s
    bad_times: Int64s

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, choice: slice | Int64s) -> Bins:
        columns: list[Any] = [column[..., choice] for column in self._columns()]
        return Bins(*columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Bins]) -> Bins:
        parts = [part for part in parts if len(part)]
        if len(parts) < 2:
            return parts[0] if parts else cls.empty()
        by_column = zip(*(part._columns() for part in parts), strict=True)
        columns: list[Any] = [np.concatenate(pieces, axis=-1) for pieces in by_column]
        return cls(*columns)

    @classmethod
    def empty(cls) -> Bins:
        return bin_points(Points.empty(), 1)[:0]

    def _columns(self) -> tuple[npt.NDArray[np.generic], ...]:
        return (
            self.counts,
            self.values,
            self.steps,
            self.times,
            self.bad,
            self.bad_values,
            self.bad_steps,
            self.bad_times,
        )


def seconds(times: Int64s) -> Float64s:
    """Stored times as a reader gets them: seconds since 1970."""
    return times / MICROSECONDS


def bin_points(points: Points, size: int) -> Bins:
    """`points` in bins of `size`; the last one may have fewer."""
    whole = len(points) // size * size
    if 0 < whole < len(points):
        return Bins.concatenate([bin_points(points[:whole], size), bin_points(points[whole:], size)])
    shape: tuple[int, int] = (-1, size) if whole else (1, len(points))
    if not len(points):
        shape, points = (1, 1), Points(np.zeros(1, np.int64), np.full(1, np.nan), np.zeros(1))
    steps, times = points.steps.reshape(shape), microseconds(points.wall_times).reshape(shape)
    values: Float64s = points.values.reshape(shape)
    is_bad = ~np.isfinite(values)
    rows = np.arange(len(values))
    lowest = np.where(is_bad, np.inf, values).argmin(axis=1)
    highest = np.where(is_bad, -np.inf, values).argmax(axis=1)
    first_bad, bad = is_bad.argmax(axis=1), is_bad.sum(axis=1, dtype=np.int64)
    # A bin without finite values is at its first point with NaN; one without bad values has none to name.
    nothing, none_bad = bad == values.shape[1], bad == 0
    extremes = np.stack([values[rows, lowest], values[rows, highest]])
    extremes[:, nothing] = np.nan
    return Bins(
        np.full(len(values), values.shape[1], np.int64),
        extremes,
        np.stack([steps.min(axis=1), steps.max(axis=1), steps[rows, lowest], steps[rows, highest]]),
        np.stack([times.min(axis=1), times.max(axis=1), times[rows, lowest], times[rows, highest]]),
        bad,
        np.where(none_bad, np.nan, values[rows, first_bad]),
        np.where(none_bad, 0, steps[rows, first_bad]),
        np.where(none_bad, 0, times[rows, first_bad]),
    )


def merge_bins(bins: Bins, factor: int) -> Bins:
    """Each `factor` consecutive bins as one; the last one may be made of fewer."""
    whole = len(bins) // factor * factor
    if 0 < whole < len(bins):
        return Bins.concatenate([merge_bins(bins[:whole], factor), merge_bins(bins[whole:], factor)])
    if not len(bins):
        return bins
    shape: tuple[int, int] = (-1, factor) if whole else (1, len(bins))
    steps, times = bins.steps.reshape(4, *shape), bins.times.reshape(4, *shape)
    low, high = bins.values.reshape(2, *shape)
    bad = bins.bad.reshape(shape)
    rows = np.arange(len(low))
    lowest = np.where(np.isnan(low), np.inf, low).argmin(axis=1)
    highest = np.where(np.isnan(high), -np.inf, high).argmax(axis=1)
    first_bad = (bad > 0).argmax(axis=1)
    return Bins(
        bins.counts.reshape(shape).sum(axis=1),
        np.stack([low[rows, lowest], high[rows, highest]]),
        np.stack([steps[0].min(axis=1), steps[1].max(axis=1), steps[2][rows, lowest], steps[3][rows, highest]]),
        np.stack([times[0].min(axis=1), times[1].max(axis=1), times[2][rows, lowest], times[3][rows, highest]]),
        bad.sum(axis=1),
        bins.bad_values.reshape(shape)[rows, first_bad],
        bins.bad_steps.reshape(shape)[rows, first_bad],
        bins.bad_times.reshape(shape)[rows, first_bad],
    )


def pack_bins(bins: Bins, size: int) -> bytes:
    """`bins` of `size` points each (the last may have fewer) as bytes, 48 to 80 for a bin without bad values."""
    base_step, base_time = int(bins.steps[0, 0]), int(bins.times[0, 0])
    flags = (_WIDE_STEPS if _is_wide(bins.steps, bins.bad_steps[bins.bad > 0], base_step) else 0) | (
        _WIDE_TIMES if _is_wide(bins.times, bins.bad_times[bins.bad > 0], base_time) else 0
    )
    if bins.bad.any():
        flags |= _HAS_BAD
    packed = np.zeros(1, _layout(flags, len(bins)))[0]
    packed["values"] = bins.values
    # Wide differences wrap around, and wrap back when they are added.
    packed["steps"], packed["times"] = bins.steps - base_step, bins.times - base_time
    if flags & _HAS_BAD:
        packed["bad"], packed["bad_values"] = bins.bad, bins.bad_values
        packed["bad_steps"] = np.where(bins.bad > 0, bins.bad_steps - base_step, 0)
        packed["bad_times"] = np.where(bins.bad > 0, bins.bad_times - base_time, 0)
    total = int(bins.counts.sum())
    if total > size * len(bins) or total <= size * (len(bins) - 1):
        raise ValueError(f"{total} points do not fill {len(bins)} bins of {size}.")
    body: bytes = packed.tobytes()
    return _HEAD.pack(FORMAT, flags, len(bins), total, base_step, base_time) + body


@dataclass(frozen=True)
class PackedShape:
    """What two packed pieces must have in common to be unpacked at once."""

    flags: int
    bins: int


def read_shape(packed: Any, points: Any, size: int) -> PackedShape:
    """The shape of a packed piece that holds bins of `size`, `points` in all.

    Raises:
        DamagedBins: it is of another length or format.
    """
    if not isinstance(packed, bytes) or len(packed) < _HEAD.size:
        raise DamagedBins("it is cut off")
    kind, flags, count, found, _, _ = _HEAD.unpack_from(packed)
    if kind != FORMAT or flags & ~(_WIDE_STEPS | _WIDE_TIMES | _HAS_BAD):
        raise DamagedBins(f"its format is {kind} with {flags}, this version reads {FORMAT}")
    if found != points or not size * (count - 1) < found <= size * count:
        raise DamagedBins(f"{found} points in {count} bins of {size}, where {points!r} should be")
    if len(packed) != _HEAD.size + _layout(flags, count).itemsize:
        raise DamagedBins(f"{len(packed)} bytes for {count} bins")
    return PackedShape(flags, count)


def unpack_bins(packed: Sequence[bytes], shapes: Sequence[PackedShape], size: int) -> Bins:
    """The bins of several packed pieces, one after the other. Pieces of one shape are unpacked at once."""
    if not packed:
        return Bins.empty()
    by_shape: dict[PackedShape, list[int]] = {}
    for place, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(place)
    if len(by_shape) == 1:
        return _unpack_alike(packed, shapes[0], size)
    # Where each piece starts in the result: those of one shape are unpacked together and then put in their places.
    starts = np.concatenate(([0], np.cumsum([shape.bins for shape in shapes])))
    parts, places = [], []
    for shape, members in by_shape.items():
        parts.append(_unpack_alike([packed[place] for place in members], shape, size))
        places.append((starts[members][:, None] + np.arange(shape.bins)).ravel())
    order: Int64s = np.argsort(np.concatenate(places))
    return Bins.concatenate(parts)[order]


def _unpack_alike(packed: Sequence[bytes], shape: PackedShape, size: int) -> Bins:
    layout = np.dtype([("head", _HEAD_LAYOUT), ("body", _layout(shape.flags, shape.bins))])
    pieces = np.frombuffer(b"".join(packed), layout)
    head, body = pieces["head"], pieces["body"]
    counts = np.full((len(pieces), shape.bins), size, np.int64)
    counts[:, -1] = head["points"].astype(np.int64) - size * (shape.bins - 1)
    total = len(pieces) * shape.bins
    bad = _unpack_bad(body, head) if shape.flags & _HAS_BAD else _no_bad(total)
    return Bins(
        counts.ravel(),
        np.ascontiguousarray(body["values"].transpose(1, 0, 2)).reshape(2, total),
        _above(body["steps"], head["step"]),
        _above(body["times"], head["time"]),
        *bad,
    )


def _above(column: npt.NDArray[Any], base: Int64s) -> Int64s:
    """Differences of shape (pieces, 4, bins) as what they were, shape (4, pieces * bins), in one pass."""
    pieces, rows, bins = column.shape
    whole = np.empty((rows, pieces, bins), np.int64)
    np.add(column.transpose(1, 0, 2), base[:, None], out=whole)  # wraps back what wrapped around
    return whole.reshape(rows, pieces * bins)


def _unpack_bad(body: npt.NDArray[np.void], head: npt.NDArray[np.void]) -> tuple[Int64s, Float64s, Int64s, Int64s]:
    bad = body["bad"].astype(np.int64)
    steps = np.where(bad > 0, body["bad_steps"] + head["step"][:, None], 0)
    times = np.where(bad > 0, body["bad_times"] + head["time"][:, None], 0)
    return bad.ravel(), body["bad_values"].astype(np.float64).ravel(), steps.ravel(), times.ravel()


def _no_bad(count: int) -> tuple[Int64s, Float64s, Int64s, Int64s]:
    zeros = np.zeros(count, np.int64)
    return zeros, np.full(count, np.nan), zeros, zeros


_HEAD_LAYOUT = np.dtype(
    [("format", "u1"), ("flags", "u1"), ("bins", "<u2"), ("points", "<u4"), ("step", "<i8"), ("time", "<i8")]
)
_LAYOUTS: dict[tuple[int, int], np.dtype[np.void]] = {}


def _layout(flags: int, count: int) -> np.dtype[np.void]:
    known = _LAYOUTS.get((flags, count))
    if known is not None:
        return known
    steps = "<i8" if flags & _WIDE_STEPS else "<i4"
    times = "<i8" if flags & _WIDE_TIMES else "<i4"
    columns: list[tuple[str, str, tuple[int, ...]]] = [
        ("values", "<f8", (2, count)),
        ("steps", steps, (4, count)),
        ("times", times, (4, count)),
    ]
    if flags & _HAS_BAD:
        columns += [
            ("bad", "<u2", (count,)),
            ("bad_values", "<f8", (count,)),
            ("bad_steps", steps, (count,)),
            ("bad_times", times, (count,)),
        ]
    layout: np.dtype[np.void] = np.dtype(columns)
    return _LAYOUTS.setdefault((flags, count), layout)


def _is_wide(column: Int64s, bad: Int64s, base: int) -> bool:
    low, high = int(column.min()) - base, int(column.max()) - base
    if len(bad):
        low, high = min(low, int(bad.min()) - base), max(high, int(bad.max()) - base)
    return low < _INT32.min or high > _INT32.max
