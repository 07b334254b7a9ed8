"""Tails: what a metric's chunks do not hold yet. One document for each shipped batch, with all metrics of the batch.

A live run gets a few points for each metric several times a second. Writing them into the open chunk would rewrite that
chunk again and again; a tail is written once. Metrics logged together share their steps and wall times, stored once.

    _id     run uid (16 bytes), journal segment (8), sequence of the batch's last record (8), part (1)
    run_id  as in `runs`
    t       clocks: [count (4 bytes), packed steps, packed wall times]
    b       {<first byte of the metric's id, in hex>: frames}, so that who wants one metric reads a 256th

A frame is a matrix: clock (2 bytes), metrics (4), bytes of a value (1: 8 or 4), their ids (12 each), offsets (4 each),
values row by row. A metric whose points all went into full chunks stands in a frame without clock, its end as offset.

The document of sequence 0 is the segment's ledger: where each metric stood (`ends`) at the sequence `at` of a
checkpoint. Tails up to there may be gone, into chunks.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .metric_chunks import DamagedChunk, pack_clock, unpack_clock_into
from .points import Points

if TYPE_CHECKING:
    from bson import Binary, ObjectId

METRIC_TAILS = "metric_tails"
LEDGER_SEQUENCE = 0  # sequences of records start at 1
PART_BYTES = 8 * 1024 * 1024  # what a batch of very many metrics exceeds goes into further documents
NO_CLOCK = 0xFFFF
_COUNT = struct.Struct("<I")
_FRAME = struct.Struct("<HIB")
_LEDGER = np.dtype([("metric", "V12"), ("end", "<u4")])
_ID_BYTES = 12


@dataclass(frozen=True)
class Stretch:
    """Consecutive points of one metric in one journal segment, the first of them its `offset`-th."""

    segment: int
    offset: int
    points: Points

    @property
    def end(self) -> int:
        return self.offset + len(self.points)


@dataclass(frozen=True)
class Frame:
    """Metrics with the same steps and wall times, as a tail holds them.

    Attributes:
        metrics: their ids, 12 bytes each.
        offsets: int64, shape (metrics,): of the first point of each; where each ends if `clock` is None.
        clock: the steps and wall times that they share (its values mean nothing).
        values: float64, shape (metrics, points).
    """

    metrics: tuple[bytes, ...]
    offsets: npt.NDArray[np.int64]
    clock: Points | None
    values: npt.NDArray[np.float64]

    def stretches(self, segment: int) -> Iterator[tuple[bytes, Stretch]]:
        """Its points, by metric."""
        if self.clock is not None:
            steps, wall_times = self.clock.steps, self.clock.wall_times
            for row, (metric, offset) in enumerate(zip(self.metrics, self.offsets.tolist(), strict=True)):
                yield metric, Stretch(segment, offset, Points(steps, self.values[row], wall_times))


def tail_key(run_uid: str, segment: int, sequence: int, part: int = 0) -> Binary:
    """The `_id` of a tail. Keys of one run sort by segment, then by place in it; all are of one length."""
    from bson import Binary

    key: Binary = Binary(
        uuid.UUID(run_uid).bytes + segment.to_bytes(8, "big") + sequence.to_bytes(8, "big") + bytes([part])
    )
    return key


def tail_place(key: bytes) -> tuple[int, int]:
    """The segment and the sequence of the batch's last record in a tail's `_id`."""
    return int.from_bytes(key[16:24], "big"), int.from_bytes(key[24:32], "big")


def tail_keys_of(run_uid: str, segment: int | None = None) -> dict[str, Binary]:
    """A MongoDB condition on `_id` that matches all tails (and ledgers) of a run, or of one segment of it."""
    low, high = (0, 2**64 - 1) if segment is None else (segment, segment)
    return {"$gte": tail_key(run_uid, low, 0), "$lte": tail_key(run_uid, high, 2**64 - 1, 255)}


def tail_fields_of(metric: ObjectId) -> dict[str, int]:
    """The projection with which a reader of one metric gets no other's points."""
    return {"t": 1, f"b.{metric.binary[:1].hex()}": 1}


def stretches_in(tail: Mapping[str, Any], metric: ObjectId) -> Iterator[Stretch]:
    """What a tail (whole or by `tail_fields_of`) holds of one metric.

    Raises:
        DamagedChunk: it does not hold what its lengths say.
    """
    segment, _ = tail_place(bytes(tail["_id"]))
    block = (tail.get("b") or {}).get(metric.binary[:1].hex())
    if not block:
        return
    clocks = unpack_clocks(tail)
    for frame in frames_in(bytes(block), clocks):
        if frame.clock is not None and metric.binary in frame.metrics:
            row = frame.metrics.index(metric.binary)
            points = Points(frame.clock.steps, frame.values[row], frame.clock.wall_times)
            yield Stretch(segment, int(frame.offsets[row]), points)


def all_stretches_in(tail: Mapping[str, Any]) -> Iterator[tuple[bytes, Stretch]]:
    """What a whole tail holds, by metric id.

    Raises:
        DamagedChunk: it does not hold what its lengths say.
    """
    segment, _ = tail_place(bytes(tail["_id"]))
    clocks = unpack_clocks(tail)
    for block in (tail.get("b") or {}).values():
        for frame in frames_in(bytes(block), clocks):
            yield from frame.stretches(segment)


# ---- the parts of a tail


def pack_clock_entry(clock: Points) -> bytes:
    return _COUNT.pack(len(clock)) + pack_clock(clock.steps, clock.wall_times)


def unpack_clocks(tail: Mapping[str, Any]) -> list[Points]:
    """The clocks of a tail.

    Raises:
        DamagedChunk: they do not hold what their lengths say.
    """
    return [_unpack_clock(bytes(packed)) for packed in tail.get("t") or ()]


def _unpack_clock(packed: bytes) -> Points:
    try:
        (count,) = _COUNT.unpack_from(packed)
        if count > 8 * 2**20:  # more than a batch holds: these bytes are no length
            raise ValueError(f"{count} points in one batch")
        clock = Points(np.empty(count, np.int64), np.empty(count, np.float64), np.empty(count, np.float64))
        end = unpack_clock_into(packed, _COUNT.size, clock)
    except (struct.error, ValueError) as error:
        raise DamagedChunk(str(error)) from error
    if end != len(packed):
        raise DamagedChunk(f"{len(packed)} bytes where a clock of {count} points takes {end}")
    return clock


def pack_frame(frame: Frame, clock: int) -> bytes:
    """A frame whose clock is the tail's `clock`-th (`NO_CLOCK` for none)."""
    values = frame.values
    width = 8
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = values.astype("<f4")
        if np.array_equal(narrow.astype("<f8").view(np.int64), values.view(np.int64)):
            values, width = narrow, 4
    head = _FRAME.pack(clock, len(frame.metrics), width)
    return b"".join((head, *frame.metrics, frame.offsets.astype("<u4").tobytes(), values.tobytes()))


def frames_in(block: bytes, clocks: list[Points]) -> Iterator[Frame]:
    """The frames of one block, those without clock included.

    Raises:
        DamagedChunk: they do not hold what their lengths say.
    """
    offset = 0
    try:
        while offset < len(block):
            place, count, width = _FRAME.unpack_from(block, offset)
            offset += _FRAME.size
            clock = None if place == NO_CLOCK else clocks[place]
            ids = block[offset : offset + _ID_BYTES * count]
            offset += len(ids)
            offsets = np.frombuffer(block, "<u4", count, offset).astype(np.int64)
            offset += 4 * count
            each = 0 if clock is None else len(clock)
            values = np.frombuffer(block, f"<f{width}", count * each, offset).astype(np.float64)
            offset += width * count * each
            metrics = tuple(ids[start : start + _ID_BYTES] for start in range(0, len(ids), _ID_BYTES))
            yield Frame(metrics, offsets, clock, values.reshape(count, each))
    except (struct.error, ValueError, TypeError, IndexError) as error:
        raise DamagedChunk(str(error)) from error


# ---- where each metric stood at a checkpoint


def pack_ends(ends: Mapping[bytes, int]) -> bytes:
    """Ends by metric id, for a ledger."""
    table = np.empty(len(ends), _LEDGER)
    table["metric"] = np.frombuffer(b"".join(ends), "V12") if ends else b""
    table["end"] = list(ends.values())
    return table.tobytes()


def unpack_ends(packed: bytes) -> dict[bytes, int]:
    table = np.frombuffer(packed, _LEDGER, len(packed) // _LEDGER.itemsize)
    return dict(zip((bytes(metric) for metric in table["metric"]), table["end"].tolist(), strict=True))


# ---- stretches as points


def join_stretches(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same points, each once, as one stretch for each run of consecutive offsets, by segment and offset.

    A replay, a merge of small chunks or a reader between two writes finds points twice: equal places hold equal points.
    """
    stretches = list(stretches)
    if len(stretches) < 2:
        return stretches
    joined: list[list[Stretch]] = []
    for stretch in sorted(stretches, key=lambda part: (part.segment, part.offset, -part.end)):
        last = joined[-1][-1] if joined else None
        if last is None or stretch.segment != last.segment or stretch.offset > last.end:
            joined.append([stretch])
        elif stretch.end > last.end:
            joined[-1].append(Stretch(last.segment, last.end, stretch.points[slice(last.end - stretch.offset, None)]))
    return [
        Stretch(parts[0].segment, parts[0].offset, Points.concatenate([part.points for part in parts]))
        for parts in joined
    ]
