"""The points of one journal segment on their way into MongoDB: full chunks at once, what is left by way of tails."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .metric_chunks import CHUNK_POINTS, DamagedChunk
from .metric_pieces import Pieces, read_open_points
from .metric_tails import (
    LEDGER_SEQUENCE,
    METRIC_TAILS,
    NO_CLOCK,
    PART_BYTES,
    Frame,
    Stretch,
    frames_in,
    join_stretches,
    pack_clock_entry,
    pack_ends,
    pack_frame,
    tail_key,
    tail_place,
    unpack_clocks,
    unpack_ends,
)
from .points import Float64s, Int64s, Points

if TYPE_CHECKING:
    from pymongo.database import Database

    from .metric_pyramid import PyramidBuilder

logger = logging.getLogger("cloister")

# Tails are read whole when they are made into chunks, and in part by whoever reads a metric of a live run.
TAILS_BYTES = 12 * 1024 * 1024
TAILS_COUNT = 512
TAILS_RECORDS = 200_000
_HELD_FROM_POINTS = 64  # a metric that gets fewer in a batch is not held in memory until its chunk is full
_HELD_POINTS = 100_000  # of all metrics, 2.4 MB
_READ_POINTS = 100_000  # of tails, unpacked at once


@dataclass(frozen=True)
class MetricGroup:
    """Metrics that a batch logged together: the points of each have the same records as those of the others.

    Attributes:
        metrics: their ids, 12 bytes each.
        steps, sequences: int64, shape (n,), n at least 1.
        wall_times: float64, shape (n,).
        values: float64, shape (metrics, n).
    """

    metrics: Sequence[bytes]
    steps: Int64s
    wall_times: Float64s
    sequences: Int64s
    values: npt.NDArray[np.float64]

    def points(self, row: int) -> Points:
        return Points(self.steps, self.values[row], self.wall_times)

    def after(self, sequence: int) -> MetricGroup:
        """Without the points of records up to `sequence`."""
        first = int(np.searchsorted(self.sequences, sequence, "right"))
        return MetricGroup(
            self.metrics, self.steps[first:], self.wall_times[first:], self.sequences[first:], self.values[:, first:]
        )


class SegmentPoints:
    """Gives each point of a segment its offset, and stores it: before the checkpoint in tails and full chunks.

    Tails of what the checkpoint covers become chunks by and by. Where each metric stands at the checkpoint follows from
    the segment's ledger and the tails since, never from chunks, which may be further.
    """

    def __init__(
        self, database: Database[dict[str, Any]], run: Mapping[str, Any], segment: int, pyramid: PyramidBuilder
    ) -> None:
        """
        Args:
            run: its `_id` and `cloister` with `uid` and `journal`, kept up to date by whoever moves the checkpoint.
        """
        self._database = database
        self._run = run
        self._uid: str = run["cloister"]["uid"]
        self._segment = segment
        self._pyramid = pyramid
        self._sequence = self._committed_sequence()  # of the last record that was taken
        self._ends: dict[bytes, int] = {}
        self._open: dict[bytes, Stretch] = {}  # behind the last full chunk, of metrics that soon fill the next one
        self._held_points = 0
        self._full: list[tuple[bytes, Stretch]] = []
        self._loose: dict[tuple[int, int, int], list[_Part]] = {}
        self._tails_bytes = self._tails_count = self._tails_records = 0
        self._pieces = Pieces(database, segment, is_new=self._sequence == 0)
        if self._sequence:
            self._load()

    # ---- a batch

    def take(self, group: MetricGroup) -> MetricGroup:
        """Give the points their places; returns the group without what was taken before."""
        if group.sequences[0] <= self._sequence:
            group = group.after(self._sequence)
            if not len(group.steps):
                return group
        count = len(group.steps)
        for row, metric in enumerate(group.metrics):
            start = self._ends.get(metric, 0)
            self._ends[metric] = start + count
            if count < _HELD_FROM_POINTS and metric not in self._open:
                self._note_loose(_Part(metric, start, group, row, 0))
            else:
                self._take_many(metric, start, group, row)
        return group

    def store(self, sequence: int) -> bool:
        """Write what was taken since the last call; `sequence` is the last one taken.

        Returns:
            Whether any of it went into a chunk at once, where `groups_after` will not find it.
        """
        filled = bool(self._full)
        self._pieces.write_full(self._full)
        for metric, chunk in self._full:
            self._pyramid.add_chunk(_object_id(metric), self._segment, chunk.offset, chunk.points)
        self._full = []
        if self._loose:
            self._write_tail(sequence)
            self._loose = {}
        self._sequence = max(self._sequence, sequence)
        return filled

    @property
    def sequence(self) -> int:
        """Of the last record that was stored."""
        return self._sequence

    def _take_many(self, metric: bytes, start: int, group: MetricGroup, row: int) -> None:
        points = group.points(row)
        opened = self._let_go(metric)
        # Chunks are filled in order: what stands before may be in tails still.
        if opened is None and start % CHUNK_POINTS == 0 and self._pieces.is_covered(metric, start):
            opened = Stretch(self._segment, start, Points.empty())
        if opened is None and len(points) >= CHUNK_POINTS:
            opened = read_open_points(self._database, self._uid, _object_id(metric), self._segment, start)
        if opened is None:
            self._note_loose(_Part(metric, start, group, row, 0))
            return
        points = Points.concatenate([opened.points, points])
        full = (opened.offset + len(points)) // CHUNK_POINTS * CHUNK_POINTS
        for offset in range(opened.offset, full, CHUNK_POINTS):
            place = offset - opened.offset
            self._full.append((metric, Stretch(self._segment, offset, points[slice(place, place + CHUNK_POINTS)])))
        full = max(full, opened.offset)
        if len(group.steps) >= _HELD_FROM_POINTS:
            self._hold(metric, Stretch(self._segment, full, points[slice(full - opened.offset, None)]))
        self._note_loose(_Part(metric, max(start, full), group, row, max(full - start, 0)))

    def _hold(self, metric: bytes, stretch: Stretch) -> None:
        if self._held_points + len(stretch.points) <= _HELD_POINTS:
            # Copied, so that it does not keep the whole batch in memory.
            self._open[metric] = Stretch(stretch.segment, stretch.offset, Points.concatenate([stretch.points]))
            self._held_points += len(stretch.points)

    def _let_go(self, metric: bytes) -> Stretch | None:
        stretch = self._open.pop(metric, None)
        if stretch is not None:
            self._held_points -= len(stretch.points)
        return stretch

    def _note_loose(self, part: _Part) -> None:
        sequences = part.group.sequences
        key = (id(part.group), part.skipped, len(sequences))
        self._loose.setdefault(key, []).append(part)

    def _write_tail(self, sequence: int) -> None:
        from pymongo import ReplaceOne

        writes = []
        for document in self._tail_documents(sequence):
            writes.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
            self._tails_bytes += sum(map(len, document["t"])) + sum(map(len, document["b"].values()))
        self._tails_count += len(writes)
        self._database[METRIC_TAILS].bulk_write(writes, ordered=True)

    def _tail_documents(self, sequence: int) -> Iterator[dict[str, Any]]:
        """One document as a rule; more where there are so many metrics that one would not hold them."""
        clocks: list[bytes] = []
        blocks: dict[str, list[bytes]] = {}
        part = size = 0
        for parts in self._loose.values():
            group, skipped = parts[0].group, parts[0].skipped
            clock = NO_CLOCK
            if skipped < len(group.steps):
                clock = len(clocks)
                points = Points(group.steps[skipped:], group.values[0, skipped:], group.wall_times[skipped:])
                clocks.append(pack_clock_entry(points))
                self._tails_records += len(points)
                size += len(clocks[-1])
            for first_byte, frame in _frames_of(parts):
                packed = pack_frame(frame, clock)
                blocks.setdefault(f"{first_byte:02x}", []).append(packed)
                size += len(packed)
                if size > PART_BYTES or clock == NO_CLOCK - 1:
                    yield self._tail_document(sequence, part, clocks, blocks)
                    part, size, blocks = part + 1, 0, {}
                    clocks = clocks[-1:]
                    clock = min(clock, 0) if clock != NO_CLOCK else NO_CLOCK
        if blocks:
            yield self._tail_document(sequence, part, clocks, blocks)

    def _tail_document(
        self, sequence: int, part: int, clocks: list[bytes], blocks: dict[str, list[bytes]]
    ) -> dict[str, Any]:
        return {
            "_id": tail_key(self._uid, self._segment, sequence, part),
            "run_id": self._run["_id"],
            "t": clocks,
            "b": {first_byte: b"".join(frames) for first_byte, frames in blocks.items()},
        }

    # ---- after the checkpoint

    @property
    def is_heavy(self) -> bool:
        """Whether the tails are so many that they should become chunks."""
        return (
            self._tails_bytes >= TAILS_BYTES or self._tails_count >= TAILS_COUNT or self._tails_records >= TAILS_RECORDS
        )

    def compact(self, see_first: Callable[[Mapping[bytes, Stretch]], None], *, at_end: bool = False) -> None:
        """Turn the tails that the checkpoint covers into chunks.

        Args:
            see_first: is shown what they hold, by metric, before they go.
            at_end: the segment gets no more points: leave full chunks and one more for each metric, and no tails.
        """
        committed = self._committed_sequence()
        if self._sequence > committed:
            return  # the ends are those of a batch that is not confirmed yet
        rest = set(self._ends) if at_end else set()
        for stretches in self._read_tails(committed):
            see_first(stretches)
            self._take_into_chunks(stretches, merge_all=at_end)
            rest -= stretches.keys()
        nothing = Points.empty()
        self._take_into_chunks(
            {metric: Stretch(self._segment, self._ends[metric], nothing) for metric in rest}, merge_all=at_end
        )
        self._pyramid.flush()
        self._write_ledger(committed)
        self._delete_tails(2**64 - 1 if at_end else committed)
        self._tails_bytes = self._tails_count = self._tails_records = 0

    def finish(self, see_first: Callable[[Mapping[bytes, Stretch]], None]) -> None:
        """As `compact` at the end; the pyramid over the segment is completed too."""
        self.compact(see_first, at_end=True)
        for metric, end in self._ends.items():
            self._pyramid.finish_segment(_object_id(metric), self._segment, end)
        self._pyramid.flush()
        self.rest()

    def rest(self) -> None:
        """Nothing comes for a while: hold no points in memory."""
        self._open, self._held_points = {}, 0

    def read_tails(self) -> Iterator[dict[bytes, Stretch]]:
        """What the tails hold that the checkpoint covers, by metric; so many metrics at once as memory has room for."""
        return self._read_tails(self._committed_sequence())

    def _take_into_chunks(self, stretches: dict[bytes, Stretch], *, merge_all: bool) -> None:
        for metric, chunk in self._pieces.take_in(stretches, merge_all=merge_all):
            self._pyramid.add_chunk(_object_id(metric), self._segment, chunk.offset, chunk.points)

    def groups_after(self, sequence: int) -> Iterator[MetricGroup]:
        """The points in tails that the checkpoint covers, of records after `sequence`, as they were logged.

        Their own sequences are not known any more. Tails may hold the same points, where batches were cut anew after a
        courier was killed; each comes once.
        """
        ends = self._load_ledger()
        for tail in self._committed_tails(self._committed_sequence()):
            is_new = tail_place(bytes(tail["_id"]))[1] > sequence
            for frame in self._frames(tail, self._clocks(tail), tail["b"]):
                count = 0 if frame.clock is None else len(frame.clock)
                known = np.array([ends.get(metric, 0) for metric in frame.metrics], np.int64)
                ends.update(zip(frame.metrics, np.maximum(known, frame.offsets + count).tolist(), strict=True))
                if is_new and frame.clock is not None:
                    yield from _fresh_groups(frame, frame.clock, np.maximum(known - frame.offsets, 0))

    # ---- as stored

    def _committed_sequence(self) -> int:
        known = self._run["cloister"]["journal"].get(f"{self._segment:016x}") or {}
        return int(known.get("sequence", 0))

    def _load(self) -> None:
        """Where each metric stood at the checkpoint, for a courier that goes on where another ended."""
        self._ends = self._load_ledger()
        for tail in self._committed_tails(self._sequence):
            self._tails_count += 1
            clocks = self._clocks(tail)
            self._tails_records += sum(map(len, clocks))
            for frame in self._frames(tail, clocks, tail["b"]):
                count = 0 if frame.clock is None else len(frame.clock)
                self._tails_bytes += frame.values.nbytes
                for metric, offset in zip(frame.metrics, frame.offsets.tolist(), strict=True):
                    self._ends[metric] = max(self._ends.get(metric, 0), offset + count)

    def _load_ledger(self) -> dict[bytes, int]:
        ledger = self._database[METRIC_TAILS].find_one({"_id": tail_key(self._uid, self._segment, LEDGER_SEQUENCE)})
        return {} if ledger is None else unpack_ends(ledger["ends"])

    def _committed_tails(self, sequence: int) -> Iterator[dict[str, Any]]:
        keys = {
            "$gte": tail_key(self._uid, self._segment, LEDGER_SEQUENCE + 1),
            "$lte": tail_key(self._uid, self._segment, sequence, 255),
        }
        yield from self._database[METRIC_TAILS].find({"_id": keys}).sort("_id", 1)

    def _clocks(self, tail: Mapping[str, Any]) -> list[Points]:
        try:
            return unpack_clocks(tail)
        except DamagedChunk as damage:
            logger.warning("Run %s: %s", self._run["_id"], damage)
            return []

    def _frames(self, tail: Mapping[str, Any], clocks: list[Points], first_bytes: Iterable[str]) -> Iterator[Frame]:
        try:
            for first_byte in first_bytes:
                yield from frames_in(tail["b"].get(first_byte, b""), clocks)
        except DamagedChunk as damage:
            logger.warning("Run %s: %s", self._run["_id"], damage)

    def _read_tails(self, sequence: int) -> Iterator[dict[bytes, Stretch]]:
        tails = [(tail, self._clocks(tail)) for tail in self._committed_tails(sequence)]
        parts: dict[bytes, list[Stretch]] = {}
        size = 0
        for first_byte in sorted({first_byte for tail, _ in tails for first_byte in tail["b"]}):
            for tail, clocks in tails:
                for frame in self._frames(tail, clocks, [first_byte]):
                    size += frame.values.size
                    for metric, stretch in frame.stretches(self._segment):
                        parts.setdefault(metric, []).append(stretch)
            if size >= _READ_POINTS:
                yield {metric: join_stretches(found)[-1] for metric, found in parts.items()}
                parts, size = {}, 0
        if parts:
            yield {metric: join_stretches(found)[-1] for metric, found in parts.items()}

    def _write_ledger(self, sequence: int) -> None:
        from pymongo.errors import DuplicateKeyError

        key = tail_key(self._uid, self._segment, LEDGER_SEQUENCE)
        ledger = {"run_id": self._run["_id"], "at": sequence, "ends": pack_ends(self._ends)}
        with contextlib.suppress(DuplicateKeyError):  # another shipper of the same segment is further
            self._database[METRIC_TAILS].replace_one({"_id": key, "at": {"$lte": sequence}}, ledger, upsert=True)

    def _delete_tails(self, sequence: int) -> None:
        keys = {
            "$gte": tail_key(self._uid, self._segment, LEDGER_SEQUENCE + 1),
            "$lte": tail_key(self._uid, self._segment, sequence, 255),
        }
        self._database[METRIC_TAILS].delete_many({"_id": keys})


@dataclass(frozen=True)
class _Part:
    """What a tail is to hold of a metric: the points of its row of a group, the first `skipped` excepted."""

    metric: bytes
    offset: int
    group: MetricGroup
    row: int
    skipped: int


def _frames_of(parts: list[_Part]) -> Iterator[tuple[int, Frame]]:
    """Frames of one group, one for each first byte of the metrics' ids."""
    parts = sorted(parts, key=lambda part: part.metric)
    group, skipped = parts[0].group, parts[0].skipped
    clock = Points(group.steps, group.wall_times, group.wall_times)[slice(skipped, None)]
    rows = np.array([part.row for part in parts])
    offsets = np.array([part.offset for part in parts], np.int64)
    values = group.values[rows, skipped:]
    first_bytes = [part.metric[0] for part in parts]
    start = 0
    while start < len(parts):
        end = start + first_bytes[start:].count(first_bytes[start])
        metrics = tuple(part.metric for part in parts[start:end])
        yield first_bytes[start], Frame(metrics, offsets[start:end], clock, values[start:end])
        start = end


def _fresh_groups(frame: Frame, clock: Points, known: Int64s) -> Iterator[MetricGroup]:
    """A frame without the points of each metric that are `known`."""
    for skipped in np.unique(known[known < len(clock)]).tolist():
        rows = np.flatnonzero(known == skipped)
        metrics = [frame.metrics[row] for row in rows.tolist()]
        rest = clock[slice(skipped, None)]
        yield MetricGroup(metrics, rest.steps, rest.wall_times, rest.steps, frame.values[rows, skipped:])


def _object_id(metric: bytes) -> Any:
    from bson import ObjectId

    return ObjectId(metric)
