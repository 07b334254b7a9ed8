"""Packed chunks: up to 4,096 points of one metric as three columns of byte planes, and back."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .errors import CloisterError
from .points import Float64s, Int64s, Points

if TYPE_CHECKING:
    from bson import Binary, ObjectId

METRIC_CHUNKS = "metric_chunks"
# 4,096 points are about 40 KiB packed: one read fills a screen, and a page of the database holds one.
CHUNK_POINTS = 4096
FORMAT = 2
_INTEGERS = struct.Struct("<BqQ")  # width of a difference in bytes (0: all are equal), first value, least difference
_FLOAT64, _FLOAT32, _DECIMALS = 0, 1, 16  # how values are held; 16 + d: whole numbers of 10 ** -d
_MOST_DECIMALS = 6
_WHOLE_LIMIT = 2.0**52  # whole numbers up to here are exact as float64, and so is what is scaled to them
MICROSECONDS = 1_000_000  # of a second: in what wall times are stored
_Bytes = npt.NDArray[np.uint8]


class DamagedChunk(CloisterError, ValueError):
    """A metric chunk in the database does not hold what its length says."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"A metric chunk is damaged: {reason}. Its points are left out; the other chunks are whole.")


def metric_id(run_uid: str, name: str) -> ObjectId:
    """The `_id` of a metric's document: the same for the same run and name, so that every replay finds its own."""
    from bson import ObjectId

    digest = hashlib.sha256(f"{run_uid}\0{name}".encode("utf-8", "surrogatepass")).digest()
    return ObjectId(digest[:12])


def object_id(metric: bytes) -> ObjectId:
    """A metric's `_id` from its 12 bytes, which are faster to compare and to keep."""
    from bson import ObjectId

    return ObjectId(metric)


def chunk_key(metric: ObjectId, segment: int, offset: int) -> Binary:
    """The `_id` of the chunk whose first point is the metric's `offset`-th in that journal segment.

    Keys of one metric sort by segment, then by place in it.
    """
    from bson import Binary

    key: Binary = Binary(metric.binary + segment.to_bytes(8, "big") + offset.to_bytes(4, "big"))
    return key


def chunk_place(key: bytes) -> tuple[int, int]:
    """The segment and the offset of the first point in a chunk's `_id`."""
    return int.from_bytes(key[12:20], "big"), int.from_bytes(key[20:24], "big")


def chunk_keys_of(metric: ObjectId, segment: int | None = None) -> dict[str, Binary]:
    """A MongoDB condition on `_id` that matches all chunks of one metric (of one segment of it) and no others."""
    from bson import Binary

    low = metric.binary + (b"\x00" * 8 if segment is None else segment.to_bytes(8, "big"))
    high = metric.binary + (b"\xff" * 8 if segment is None else segment.to_bytes(8, "big"))
    return {"$gte": Binary(low + b"\x00" * 4), "$lte": Binary(high + b"\xff" * 4)}


# ---- points as bytes


def pack_points(points: Points, clock: bytes | None = None) -> bytes:
    """`points` as bytes: a format, then the packed steps, wall times in microseconds, and values.

    Values come back bit for bit, wall times to the microsecond. Bytes of the same weight stand together, so that the
    database's compression finds what repeats: sign and exponent, the high bytes of intervals.

    Args:
        clock: what `pack_clock` makes of steps and wall times, where that is known already.
    """
    clock = pack_clock(points.steps, points.wall_times) if clock is None else clock
    return b"".join((bytes([FORMAT]), clock, pack_values(points.values)))


def pack_clock(steps: Int64s, wall_times: Float64s) -> bytes:
    """The columns that metrics logged together share, packed."""
    return pack_integers(steps) + pack_integers(microseconds(wall_times))


def unpack_points(packed: bytes, count: int) -> Points:
    """The `count` points that `pack_points` was given.

    Raises:
        DamagedChunk: the bytes are of another length or format.
    """
    points = Points(np.empty(count, np.int64), np.empty(count, np.float64), np.empty(count, np.float64))
    unpack_points_into(packed, points)
    return points


def unpack_points_into(packed: bytes, points: Points) -> None:
    """As `unpack_points`, into columns that are there: a reader of many chunks needs no concatenation.

    Args:
        points: as many as were packed; its columns are written to, slices of larger ones do.

    Raises:
        DamagedChunk: the bytes are of another length or format; what was written is of no use then.
    """
    if not packed or packed[0] != FORMAT:
        raise DamagedChunk(f"its format is {packed[0] if packed else 'missing'}, this version reads {FORMAT}")
    try:
        offset = unpack_clock_into(packed, 1, points)
        end = unpack_values_into(packed, offset, points.values)
    except (struct.error, ValueError, IndexError) as error:
        raise DamagedChunk(str(error)) from error
    if end != len(packed):
        raise DamagedChunk(f"{len(packed)} bytes where {len(points)} points take {end}")


def unpack_clock_into(packed: bytes, offset: int, points: Points) -> int:
    """Steps and wall times of what `pack_clock` made, from `offset` on; returns where they end."""
    offset = unpack_integers_into(packed, offset, points.steps)
    times = np.empty(len(points), np.int64)
    offset = unpack_integers_into(packed, offset, times)
    np.divide(times, MICROSECONDS, out=points.wall_times)
    return offset


def microseconds(wall_times: Float64s) -> Int64s:
    """Seconds since 1970 as stored: whole microseconds."""
    return np.round(wall_times * MICROSECONDS).astype(np.int64)


# ---- values


def pack_values(values: Float64s) -> bytes:
    """A column of float64 in the smallest form that gives back every bit."""
    bits = values.view(np.int64)
    with np.errstate(all="ignore"):  # too large for float32, NaN: then the bits differ, which is what is asked
        if all(_may_be_decimal(value) for value in values[:: max(1, len(values) // 4)].tolist()):
            for decimals in range(_MOST_DECIMALS + 1):
                if _is_decimal(values[:8], bits[:8], decimals) and _is_decimal(values, bits, decimals):
                    return bytes([_DECIMALS + decimals]) + pack_integers(_scaled(values, decimals))
        narrow = values.astype(np.float32)
        is_narrow = np.array_equal(narrow.astype(np.float64).view(np.int64), bits)
    if is_narrow:
        return bytes([_FLOAT32]) + _planes(narrow.astype("<f4"), 4)
    return bytes([_FLOAT64]) + _planes(values.astype("<f8", copy=False), 8)


def unpack_values_into(packed: bytes, offset: int, values: Float64s) -> int:
    """What `pack_values` made, from `offset` on; returns where it ends."""
    kind = packed[offset]
    offset += 1
    if _DECIMALS <= kind <= _DECIMALS + _MOST_DECIMALS:
        whole = np.empty(len(values), np.int64)
        offset = unpack_integers_into(packed, offset, whole)
        np.divide(whole, 10.0 ** (kind - _DECIMALS), out=values)
        return offset
    if kind not in (_FLOAT64, _FLOAT32):
        raise ValueError(f"values of an unknown kind {kind}")
    width = 8 if kind == _FLOAT64 else 4
    values[:] = _gathered(packed, offset, len(values), width, width).view(f"<f{width}")[:, 0]
    return offset + width * len(values)


def _may_be_decimal(value: float) -> bool:
    """Whether a look at a few values is worth more: most columns are of noise, which is no decimal."""
    return abs(value) < _WHOLE_LIMIT and round(value * 10.0**_MOST_DECIMALS) / 10.0**_MOST_DECIMALS == value


def _is_decimal(values: Float64s, bits: Int64s, decimals: int) -> bool:
    """Whether `values` are whole numbers of 10 ** -decimals, to the last bit."""
    scaled = np.round(values * 10.0**decimals)
    # NaN fails the comparison, and -0.0 has other bits than the 0.0 that would come back.
    return bool(np.all(np.abs(scaled) < _WHOLE_LIMIT)) and np.array_equal(
        (scaled.astype(np.int64) / 10.0**decimals).view(np.int64), bits
    )


def _scaled(values: Float64s, decimals: int) -> Int64s:
    return np.round(values * 10.0**decimals).astype(np.int64)


# ---- whole numbers


def pack_integers(column: Int64s) -> bytes:
    """A column of int64 as its first value and its differences, less the least of them, in the fewest bytes.

    A regular column takes no more than its head; intervals of milliseconds that jitter by some take one or two bytes.
    """
    if len(column) < 2:
        return _INTEGERS.pack(0, int(column[0]) if len(column) else 0, 0)
    differences = np.diff(column)  # they wrap around, and wrap back when they are summed
    least = differences.min()
    above = (differences - least).view(np.uint64)
    width = (int(above.max()).bit_length() + 7) // 8
    head = _INTEGERS.pack(width, int(column[0]), int(least) % 2**64)
    return head + _planes(above.astype("<u8", copy=False), width)


def unpack_integers_into(packed: bytes, offset: int, column: Int64s) -> int:
    """What `pack_integers` made, from `offset` on; returns where it ends."""
    width, first, least = _INTEGERS.unpack_from(packed, offset)
    offset += _INTEGERS.size
    count = max(len(column) - 1, 0)
    if width > 8:
        raise ValueError(f"whole numbers of {width} bytes")
    whole = column.view(np.uint64)
    if width:
        whole[:1] = first % 2**64
        room = next(room for room in (1, 2, 4, 8) if room >= width)
        gathered = _gathered(packed, offset, count, width, room).view(f"<u{room}")[:, 0]
        np.add(gathered, np.uint64(least), out=whole[1:])
        np.cumsum(column, out=column)
    else:  # regular, as most steps are: a third of the time that a sum takes
        np.multiply(np.arange(len(column), dtype=np.uint64), np.uint64(least), out=whole)
        whole += np.uint64(first % 2**64)
    return offset + int(width) * count


# ---- bytes of equal weight side by side


def _planes(column: npt.NDArray[np.generic], width: int) -> bytes:
    """The lowest `width` bytes of each number: all lowest bytes first, then all second ones, and so on."""
    octets: _Bytes = column.view(np.uint8).reshape(len(column), -1)
    planes: bytes = octets[:, :width].T.tobytes()
    return planes


def _gathered(packed: bytes, offset: int, count: int, width: int, room: int) -> _Bytes:
    """Planes as numbers of `room` bytes each, shape (count, room)."""
    numbers = (np.empty if room == width else np.zeros)((count, room), np.uint8)
    planes = np.frombuffer(packed, np.uint8, count * width, offset).reshape(width, count)
    for place in range(width):  # three times as fast as one transposed copy
        numbers[:, place] = planes[place]
    return numbers
