"""The tails of one journal segment and its ledger, as whoever ships the segment writes, reads and deletes them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .metric_chunks import DamagedChunk
from .metric_groups import GroupPart, MetricGroup, clock_of, frames_of, groups_behind
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
from .points import Points

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

# Tails are read whole when they are made into chunks, and in part by whoever reads a metric of a live run.
TAILS_BYTES = 12 * 1024 * 1024
TAILS_COUNT = 512
TAILS_RECORDS = 200_000
_READ_POINTS = 100_000  # unpacked at once


class SegmentTails:
    """Keeps count of how much the tails hold, so that they become chunks before there is too much."""

    def __init__(self, database: Database[dict[str, Any]], run: Mapping[str, Any], segment: int) -> None:
        self._tails = database[METRIC_TAILS]
        self._run_id = run["_id"]
        self._uid: str = run["cloister"]["uid"]
        self._segment = segment
        self._bytes = self._count = self._records = 0

    @property
    def is_heavy(self) -> bool:
        """Whether they are so many that they should become chunks."""
        return self._bytes >= TAILS_BYTES or self._count >= TAILS_COUNT or self._records >= TAILS_RECORDS

    # ---- writing

    def write(self, groups: Iterable[Sequence[GroupPart]], sequence: int) -> None:
        """Store a batch whose last record is `sequence`: parts that have a clock in common together."""
        from pymongo import ReplaceOne

        writes = []
        for document in self._documents(groups, sequence):
            writes.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
            self._bytes += sum(map(len, document["t"])) + sum(map(len, document["b"].values()))
        self._count += len(writes)
        self._tails.bulk_write(writes, ordered=True)

    def _documents(self, groups: Iterable[Sequence[GroupPart]], sequence: int) -> Iterator[dict[str, Any]]:
        """One document as a rule; more where there are so many metrics that one would not hold them."""
        clocks: list[bytes] = []
        blocks: dict[str, list[bytes]] = {}
        part = size = 0
        for parts in groups:
            clock, points = NO_CLOCK, clock_of(parts[0])
            if len(points):
                clock = len(clocks)
                clocks.append(pack_clock_entry(points))
                self._records += len(points)
                size += len(clocks[-1])
            for first_byte, frame in frames_of(parts):
                packed = pack_frame(frame, clock)
                blocks.setdefault(f"{first_byte:02x}", []).append(packed)
                size += len(packed)
                if size > PART_BYTES or clock == NO_CLOCK - 1:
                    yield self._document(sequence, part, clocks, blocks)
                    part, size, blocks = part + 1, 0, {}
                    clocks = clocks[-1:]
                    clock = min(clock, 0) if clock != NO_CLOCK else NO_CLOCK
        if blocks:
            yield self._document(sequence, part, clocks, blocks)

    def _document(
        self, sequence: int, part: int, clocks: list[bytes], blocks: dict[str, list[bytes]]
    ) -> dict[str, Any]:
        return {
            "_id": tail_key(self._uid, self._segment, sequence, part),
            "run_id": self._run_id,
            "t": clocks,
            "b": {first_byte: b"".join(frames) for first_byte, frames in blocks.items()},
        }

    def write_ledger(self, ends: Mapping[bytes, int], sequence: int) -> None:
        """Note where each metric stood at `sequence`."""
        from pymongo.errors import DuplicateKeyError

        key = tail_key(self._uid, self._segment, LEDGER_SEQUENCE)
        ledger = {"run_id": self._run_id, "at": sequence, "ends": pack_ends(ends)}
        with contextlib.suppress(DuplicateKeyError):  # another shipper of the same segment is further
            self._tails.replace_one({"_id": key, "at": {"$lte": sequence}}, ledger, upsert=True)

    def delete(self, sequence: int) -> None:
        """Delete the tails up to `sequence`; what is behind it may be what another shipper has just stored."""
        self._tails.delete_many({"_id": self._keys(sequence)})
        self._bytes = self._count = self._records = 0

    # ---- reading

    def load_ends(self, sequence: int) -> dict[bytes, int]:
        """Where each metric stood at `sequence`, for a courier that goes on where another ended."""
        ends = self._load_ledger()
        for tail in self._find(sequence):
            self._count += 1
            clocks = self._clocks(tail)
            self._records += sum(map(len, clocks))
            for frame in self._frames(tail, clocks):
                count = 0 if frame.clock is None else len(frame.clock)
                self._bytes += frame.values.nbytes
                for metric, offset in zip(frame.metrics, frame.offsets.tolist(), strict=True):
                    ends[metric] = max(ends.get(metric, 0), offset + count)
        return ends

    def read(self, sequence: int) -> Iterator[dict[bytes, Stretch]]:
        """What the tails up to `sequence` hold, by metric; so many metrics at once as memory has room for."""
        tails = [(tail, self._clocks(tail)) for tail in self._find(sequence)]
        parts: dict[bytes, list[Stretch]] = {}
        size = 0
        for first_byte in sorted({first_byte for tail, _ in tails for first_byte in _blocks(tail)}):
            for tail, clocks in tails:
                for frame in self._frames(tail, clocks, first_byte):
                    size += frame.values.size
                    for metric, stretch in frame.stretches(self._segment):
                        parts.setdefault(metric, []).append(stretch)
            if size >= _READ_POINTS:
                yield {metric: join_stretches(found)[-1] for metric, found in parts.items()}
                parts, size = {}, 0
        if parts:
            yield {metric: join_stretches(found)[-1] for metric, found in parts.items()}

    def groups_between(self, after: int, sequence: int) -> Iterator[MetricGroup]:
        """The points of records behind `after` in the tails up to `sequence`, as they were logged.

        Their own sequences are not known any more. Tails may hold the same points, where batches were cut anew after a
        courier was killed; each comes once.
        """
        ends = self._load_ledger()
        for tail in self._find(sequence):
            is_new = tail_place(bytes(tail["_id"]))[1] > after
            for frame in self._frames(tail, self._clocks(tail)):
                count = 0 if frame.clock is None else len(frame.clock)
                known = np.array([ends.get(metric, 0) for metric in frame.metrics], np.int64)
                ends.update(zip(frame.metrics, np.maximum(known, frame.offsets + count).tolist(), strict=True))
                if is_new and frame.clock is not None:
                    yield from groups_behind(frame, frame.clock, np.maximum(known - frame.offsets, 0))

    def _load_ledger(self) -> dict[bytes, int]:
        ledger = self._tails.find_one({"_id": tail_key(self._uid, self._segment, LEDGER_SEQUENCE)})
        return {} if ledger is None else unpack_ends(ledger["ends"])

    def _keys(self, sequence: int) -> dict[str, Any]:
        return {
            "$gte": tail_key(self._uid, self._segment, LEDGER_SEQUENCE + 1),
            "$lte": tail_key(self._uid, self._segment, sequence, 255),
        }

    def _find(self, sequence: int) -> Iterator[dict[str, Any]]:
        yield from self._tails.find({"_id": self._keys(sequence)}).sort("_id", 1)

    def _clocks(self, tail: Mapping[str, Any]) -> list[Points]:
        try:
            return unpack_clocks(tail)
        except (DamagedChunk, TypeError) as damage:
            logger.warning("Run %s: %s", self._run_id, damage)
            return []

    def _frames(self, tail: Mapping[str, Any], clocks: list[Points], first_byte: str | None = None) -> Iterator[Frame]:
        """Those of all metrics, or of those whose ids begin with `first_byte`."""
        try:
            blocks = _blocks(tail)
            for block in blocks.values() if first_byte is None else [blocks.get(first_byte, b"")]:
                yield from frames_in(block, clocks)
        except (DamagedChunk, TypeError) as damage:
            logger.warning("Run %s: %s", self._run_id, damage)


def _blocks(tail: Mapping[str, Any]) -> Mapping[str, Any]:
    blocks = tail.get("b")
    return blocks if isinstance(blocks, dict) else {}
