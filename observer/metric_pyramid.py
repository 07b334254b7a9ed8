"""The pyramid over a metric's chunks: the extremes of every 256 and every 16,384 points, all that a chart needs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .metric_bins import Bins, DamagedBins, bin_points, merge_bins, pack_bins, unpack_bins
from .metric_chunks import CHUNK_POINTS, DamagedChunk, chunk_key, unpack_points
from .points import Points

if TYPE_CHECKING:
    from bson import Binary, ObjectId
    from pymongo.database import Database

logger = logging.getLogger("cloister")

PYRAMID = "metric_pyramid"
LEAST_POINTS = CHUNK_POINTS  # a shorter stretch of a journal segment is read as fast from its one chunk
CACHED_BINS = 200_000  # about 20 MB; what does not fit is read back from the chunks when its span is full
WAITING_DOCUMENTS = 64  # about 800 KB


@dataclass(frozen=True)
class Level:
    """One level: how many points make a bin, and how many the bins of one document."""

    number: int
    bin_points: int
    span_points: int


FINE = Level(1, 256, 65_536)
COARSE = Level(2, 16_384, 4_194_304)
_FACTOR = COARSE.bin_points // FINE.bin_points


@dataclass(frozen=True)
class Span:
    """Where the bins of one document lie: consecutive points of one journal segment."""

    segment: int
    offset: int  # of its first point in the segment
    count: int  # points
    is_last: bool  # nothing follows in this segment


def span_key(metric: ObjectId, level: Level, segment: int, offset: int) -> Binary:
    """The `_id` of a document: keys of one level of one metric sort as its points were logged."""
    from bson import Binary

    place = segment.to_bytes(8, "big") + offset.to_bytes(4, "big")
    key: Binary = Binary(metric.binary + bytes([level.number]) + place)
    return key


def span_keys_of(metric: ObjectId) -> dict[str, Binary]:
    """A MongoDB condition on `_id` that matches all documents of one metric, at every level, and no others."""
    from bson import Binary

    return {"$gte": Binary(metric.binary + b"\x00" * 13), "$lte": Binary(metric.binary + b"\xff" * 13)}


class PyramidBuilder:
    """Makes the pyramid while chunks are stored. Not thread-safe.

    All that it keeps in memory is a bounded cache: what it lacks (after a restart, or thrown out) it reads back from
    the chunks and from its own level below. Documents have deterministic keys: what is done again changes nothing.
    """

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._database = database
        self._open: dict[tuple[ObjectId, int, int], dict[int, Bins]] = {}  # by span of the fine level, by chunk offset
        self._cached = 0
        self._waiting: dict[bytes, dict[str, Any]] = {}

    def add_chunk(self, metric: ObjectId, segment: int, offset: int, points: Points) -> None:
        """Take a chunk that has just been stored: call this after the write, with chunks of 4,096 but for the last."""
        span = offset // FINE.span_points * FINE.span_points
        key = (metric, segment, span)
        bins = bin_points(points, FINE.bin_points)
        earlier = self._open.setdefault(key, {}).pop(offset, None)
        self._open[key][offset] = bins
        self._cached += len(bins) - (0 if earlier is None else len(earlier))
        end = offset + len(points)
        if end == span + FINE.span_points:
            self._close_fine(key, end)
            if end % COARSE.span_points == 0:
                self._close_coarse(metric, segment, end, is_last=False)
        elif self._cached > CACHED_BINS:
            self._open.clear()
            self._cached = 0

    def finish_segment(self, metric: ObjectId, segment: int, count: int) -> None:
        """Close what is open: the segment gets no more than the `count` points of the metric in its stored chunks."""
        span = (count - 1) // FINE.span_points * FINE.span_points
        key = (metric, segment, span)
        if count < LEAST_POINTS:
            self._forget(key)
            return
        if count % FINE.span_points:
            self._close_fine(key, count)
        self._close_coarse(metric, segment, count, is_last=True)

    def flush(self) -> None:
        """Write what waits. Until then a reader finds the chunks instead, so nothing depends on when."""
        from pymongo import ReplaceOne

        if self._waiting:
            writes = [ReplaceOne({"_id": found["_id"]}, found, upsert=True) for found in self._waiting.values()]
            self._database[PYRAMID].bulk_write(writes, ordered=False)
            self._waiting = {}

    def _close_fine(self, key: tuple[ObjectId, int, int], end: int) -> None:
        metric, segment, start = key
        known = self._forget(key)
        offsets = range(start, end, CHUNK_POINTS)
        missing = [offset for offset in offsets if offset not in known]
        known.update(self._read_chunks(metric, segment, missing))
        if any(offset not in known for offset in offsets):
            return  # a chunk is damaged or gone: the stretch is read from those that are left
        bins = Bins.concatenate([known[offset] for offset in offsets])
        if int(bins.counts.sum()) == end - start:
            self._keep(metric, FINE, Span(segment, start, end - start, False), bins)

    def _close_coarse(self, metric: ObjectId, segment: int, end: int, *, is_last: bool) -> None:
        self.flush()  # what was made of the fine level is read back
        start = (end - 1) // COARSE.span_points * COARSE.span_points
        below = load_spans(self._database, metric, FINE, [(segment, start, end)])
        expected = start
        for span, _ in below:
            if span.offset != expected:
                return
            expected += span.count
        if expected == end:
            bins = Bins.concatenate([merge_bins(bins, _FACTOR) for _, bins in below])
            self._keep(metric, COARSE, Span(segment, start, end - start, is_last), bins)

    def _keep(self, metric: ObjectId, level: Level, span: Span, bins: Bins) -> None:
        from bson import Binary

        key = span_key(metric, level, span.segment, span.offset)
        document = {"_id": key, "n": span.count, "c": Binary(pack_bins(bins, level.bin_points))}
        if span.is_last:
            document["end"] = True
        self._waiting[bytes(key)] = document
        if len(self._waiting) >= WAITING_DOCUMENTS:
            self.flush()

    def _read_chunks(self, metric: ObjectId, segment: int, offsets: Iterable[int]) -> dict[int, Bins]:
        keys = {bytes(key): offset for offset in offsets for key in [chunk_key(metric, segment, offset)]}
        found: dict[int, Bins] = {}
        if not keys:
            return found
        for chunk in self._database["metric_chunks"].find({"_id": {"$in": list(keys)}}):
            try:
                found[keys[bytes(chunk["_id"])]] = bin_points(unpack_points(chunk["c"], chunk["n"]), FINE.bin_points)
            except (DamagedChunk, KeyError, TypeError) as damage:
                logger.debug("No summary is made of a chunk of metric %s: %s", metric, damage)
        return found

    def _forget(self, key: tuple[ObjectId, int, int]) -> dict[int, Bins]:
        known = self._open.pop(key, {})
        self._cached -= sum(len(bins) for bins in known.values())
        return known


def load_spans(
    database: Database[dict[str, Any]],
    metric: ObjectId,
    level: Level,
    stretches: Sequence[tuple[int, int, int]] | None = None,
) -> list[tuple[Span, Bins]]:
    """The documents of one level, in the order in which their points were logged; damaged ones are left out.

    Args:
        stretches: (segment, offset, end) of the points that are asked for; all of the metric when left out.
    """
    spans, packed = read_spans(database, metric, level, stretches)
    parts = []
    for span, piece in zip(spans, packed, strict=True):
        try:
            parts.append((span, unpack_bins([piece], level.bin_points)))
        except DamagedBins as damage:
            logger.warning("Metric %s: %s", metric, damage)
    return parts


def read_spans(
    database: Database[dict[str, Any]],
    metric: ObjectId,
    level: Level,
    stretches: Sequence[tuple[int, int, int]] | None = None,
) -> tuple[list[Span], list[bytes]]:
    """As `load_spans`, still packed."""
    ranges = [(0, 0, 2**32 - 1)] if stretches is None else stretches
    last_segment = 2**64 - 1 if stretches is None else None
    conditions = [
        {
            "_id": {
                "$gte": span_key(metric, level, segment, offset // level.span_points * level.span_points),
                "$lt" if last_segment is None else "$lte": span_key(
                    metric, level, segment if last_segment is None else last_segment, end
                ),
            }
        }
        for segment, offset, end in ranges
    ]
    if not conditions:
        return [], []
    spans, packed = [], []
    condition = conditions[0] if len(conditions) == 1 else {"$or": conditions}
    for document in database[PYRAMID].find(condition, batch_size=100_000).sort("_id", 1):
        key, count = bytes(document["_id"]), document.get("n")
        if len(key) == 25 and isinstance(count, int) and isinstance(document.get("c"), bytes):
            place = int.from_bytes(key[13:21], "big"), int.from_bytes(key[21:], "big")
            spans.append(Span(*place, count, bool(document.get("end"))))
            packed.append(document["c"])
    return spans, packed
