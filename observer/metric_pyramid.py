"""Building the pyramid over a metric's chunks, of whose bins a chart is drawn that has no room for every point."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .growing_documents import replace_unless_fuller
from .metric_bins import Bins, bin_points, merge_bins, pack_bins
from .metric_chunks import CHUNK_POINTS, METRIC_CHUNKS, DamagedChunk, chunk_key, chunk_place, unpack_points
from .metric_stretches import Extent
from .points import Points
from .pyramid_levels import COARSE, FINE, PYRAMID, Level, load_level, span_key

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database

logger = logging.getLogger("cloister")

LEAST_POINTS = CHUNK_POINTS  # a shorter stretch of a journal segment is read as fast from its one chunk
CACHED_BINS = 200_000  # about 20 MB; what does not fit is read back from the chunks when its span is full
WAITING_DOCUMENTS = 64  # about 800 KB


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
                self._close_coarse(metric, segment, end - COARSE.span_points, end, is_last=False)
        elif self._cached > CACHED_BINS:
            self._open.clear()
            self._cached = 0

    def finish_segment(self, metric: ObjectId, segment: int, count: int) -> None:
        """Close what is open: the segment gets no more than the `count` points of the metric in its stored chunks.

        Also makes what a courier that was killed left out, so it is to be called before the segment is forgotten.
        """
        last = (metric, segment, (count - 1) // FINE.span_points * FINE.span_points)
        if count < LEAST_POINTS:
            self._forget(last)
            return
        if count % FINE.span_points:
            self._close_fine(last, count)
        for start in range(0, count, COARSE.span_points):
            end = min(start + COARSE.span_points, count)
            self._close_coarse(metric, segment, start, end, is_last=end == count)

    def flush(self) -> None:
        """Write what waits. Until then a reader finds the chunks instead, so nothing depends on when."""
        if self._waiting:
            replace_unless_fuller(self._database[PYRAMID], self._waiting.values())
            self._waiting = {}

    def _close_fine(self, key: tuple[ObjectId, int, int], end: int) -> None:
        metric, segment, start = key
        known = self._forget(key)
        offsets = range(start, end, CHUNK_POINTS)
        known.update(self._read_chunks(metric, segment, [offset for offset in offsets if offset not in known]))
        bins = Bins.concatenate([known[offset] for offset in offsets if offset in known])
        if int(bins.counts.sum()) == end - start:  # else a chunk is damaged or gone: those that are left will be read
            self._keep(metric, FINE, segment, start, bins)

    def _close_coarse(self, metric: ObjectId, segment: int, start: int, end: int, *, is_last: bool) -> None:
        wanted = [Extent((segment, start), (segment, end))]
        self.flush()  # what was made of the fine level is read back
        fine = load_level(self._database, metric, FINE, wanted)
        if fine.extents() != wanted:
            for span in range(start, end, FINE.span_points):
                span_end = min(span + FINE.span_points, end)
                members = (fine.offsets >= span) & (fine.offsets < span_end)
                if fine.bins.counts[members].sum() != span_end - span:
                    self._close_fine((metric, segment, span), span_end)
            self.flush()
            fine = load_level(self._database, metric, FINE, wanted)
        if fine.extents() == wanted:
            bins = merge_bins(fine.bins, COARSE.bin_points // FINE.bin_points)
            self._keep(metric, COARSE, segment, start, bins, is_last=is_last)

    def _keep(
        self, metric: ObjectId, level: Level, segment: int, start: int, bins: Bins, *, is_last: bool = False
    ) -> None:
        from bson import Binary

        key = span_key(metric, level, (segment, start))
        document = {"_id": key, "n": int(bins.counts.sum()), "c": Binary(pack_bins(bins, level.bin_points))}
        if is_last:
            document["end"] = True  # so that nobody looks for what may follow in this segment
        self._waiting[bytes(key)] = document
        if len(self._waiting) >= WAITING_DOCUMENTS:
            self.flush()

    def _read_chunks(self, metric: ObjectId, segment: int, offsets: list[int]) -> dict[int, Bins]:
        found: dict[int, Bins] = {}
        if not offsets:
            return found
        keys = [chunk_key(metric, segment, offset) for offset in offsets]
        for chunk in self._database[METRIC_CHUNKS].find({"_id": {"$in": keys}}):
            _, offset = chunk_place(bytes(chunk["_id"]))
            try:
                found[offset] = bin_points(unpack_points(chunk["c"], chunk["n"]), FINE.bin_points)
            except (DamagedChunk, KeyError, TypeError) as damage:
                logger.debug("No summary is made of a chunk of metric %s: %s", metric, damage)
        return found

    def _forget(self, key: tuple[ObjectId, int, int]) -> dict[int, Bins]:
        known = self._open.pop(key, {})
        self._cached -= sum(len(bins) for bins in known.values())
        return known
