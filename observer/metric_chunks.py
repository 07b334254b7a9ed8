"""Packed chunks: up to 4,096 points of one metric as three little-endian columns, and back."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import numpy as np

from .errors import CloisterError
from .points import Float64s, Int64s, Points

if TYPE_CHECKING:
    from bson import Binary, ObjectId

# 4,096 points are at most 96 KiB packed: one read fills a screen, one rewrite of the open chunk stays cheap.
CHUNK_POINTS = 4096
FORMAT = 1
_HEAD = struct.Struct("<Bq")  # width of a difference in bytes (0: all differences are equal), first value
_STRIDE = struct.Struct("<q")
_WIDTHS = {1: "<i1", 2: "<i2", 4: "<i4", 8: "<i8"}
_MICROSECONDS = 1_000_000


class DamagedChunk(CloisterError, ValueError):
    """A metric chunk in the database does not hold what its length says."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"A metric chunk is damaged: {reason}. Its points are left out; the other chunks are whole.")


def metric_id(run_uid: str, name: str) -> ObjectId:
    """The `_id` of a metric's document: the same for the same run and name, so that every replay finds its own."""
    from bson import ObjectId

    digest = hashlib.sha256(f"{run_uid}\0{name}".encode("utf-8", "surrogatepass")).digest()
    return ObjectId(digest[:12])


def chunk_key(metric: ObjectId, segment: int, index: int) -> Binary:
    """The `_id` of a chunk. Keys of one metric sort by journal segment, then by position in it."""
    from bson import Binary

    key: Binary = Binary(metric.binary + segment.to_bytes(8, "big") + index.to_bytes(4, "big"))
    return key


def chunk_keys_of(metric: ObjectId) -> dict[str, Binary]:
    """A MongoDB condition on `_id` that matches all chunks of one metric and no others."""
    from bson import Binary

    return {"$gte": Binary(metric.binary + b"\x00" * 12), "$lte": Binary(metric.binary + b"\xff" * 12)}


def pack_points(points: Points) -> bytes:
    """`points` as bytes: steps and microseconds as first value and differences, values as float64.

    Differences take the fewest bytes that hold them, none at all where they are equal, so that regular steps cost
    nothing and clock readings 2 to 4 bytes a point. Values come back bit for bit, wall times to the microsecond.
    """
    times = np.round(points.wall_times * _MICROSECONDS).astype(np.int64)
    return b"".join(
        (bytes([FORMAT]), _pack_column(points.steps), _pack_column(times), points.values.astype("<f8").tobytes())
    )


def unpack_points(packed: bytes, count: int) -> Points:
    """The `count` points that `pack_points` was given.

    Raises:
        DamagedChunk: the bytes are of another length or format.
    """
    if not packed or packed[0] != FORMAT:
        raise DamagedChunk(f"its format is {packed[0] if packed else 'missing'}, this version reads {FORMAT}")
    try:
        steps, offset = _unpack_column(packed, 1, count)
        times, offset = _unpack_column(packed, offset, count)
    except (struct.error, ValueError, KeyError) as error:
        raise DamagedChunk(str(error)) from error
    if len(packed) - offset != 8 * count:
        raise DamagedChunk(f"{len(packed) - offset} bytes of values for {count} points")
    values: Float64s = np.frombuffer(packed, "<f8", count, offset).astype(np.float64)
    return Points(steps, values, times / _MICROSECONDS)


def _pack_column(column: Int64s) -> bytes:
    if len(column) == 0:
        return _HEAD.pack(0, 0) + _STRIDE.pack(0)
    with np.errstate(over="ignore"):  # int64 differences wrap around, and wrap back when they are summed
        differences = np.diff(column)
    first = int(column[0])
    if len(differences) == 0 or np.all(differences == differences[0]):
        stride = int(differences[0]) if len(differences) else 0
        return _HEAD.pack(0, first) + _STRIDE.pack(stride)
    low, high = int(differences.min()), int(differences.max())
    width = next(width for width in _WIDTHS if -(1 << (8 * width - 1)) <= low and high < (1 << (8 * width - 1)))
    return _HEAD.pack(width, first) + differences.astype(_WIDTHS[width]).tobytes()


def _unpack_column(packed: bytes, offset: int, count: int) -> tuple[Int64s, int]:
    width, first = _HEAD.unpack_from(packed, offset)
    offset += _HEAD.size
    column = np.empty(count, np.int64)
    if width == 0:
        (stride,) = _STRIDE.unpack_from(packed, offset)
        with np.errstate(over="ignore"):
            column[:] = np.int64(first) + np.arange(count, dtype=np.int64) * np.int64(stride)
        return column, offset + _STRIDE.size
    differences = np.frombuffer(packed, _WIDTHS[width], max(count - 1, 0), offset)
    if count:
        column[0] = first
        column[1:] = differences
        np.cumsum(column, out=column)
    return column, offset + width * max(count - 1, 0)
