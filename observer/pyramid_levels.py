"""The two levels of a metric's pyramid as stored: bins of 256 and of 16,384 points, and where those points are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .metric_bins import Bins, DamagedBins, PackedShape, read_shape, unpack_bins
from .metric_stretches import ALL_AT_ONCE, RANGES_AT_ONCE, Extent, Place
from .points import Int64s

if TYPE_CHECKING:
    from bson import Binary, ObjectId
    from pymongo.database import Database

logger = logging.getLogger("cloister")

PYRAMID = "metric_pyramid"
_OFFSET_BITS = 32

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Level:
    """One level: how many points make a bin, and how many the bins of one document."""

    number: int
    bin_points: int
    span_points: int


FINE = Level(1, 256, 65_536)
COARSE = Level(2, 16_384, 4_194_304)


@dataclass(frozen=True)
class PlacedBins:
    """Bins in the order of logging, and where their points are in the journal.

    Attributes:
        segments: uint64, shape (n,).
        offsets: int64, shape (n,): of each bin's first point.
        closed: where a segment ends: nothing of the metric comes there any more.
    """

    segments: npt.NDArray[np.uint64]
    offsets: Int64s
    bins: Bins
    closed: frozenset[Place] = frozenset()

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, mask: Mask) -> PlacedBins:
        places = np.flatnonzero(mask)
        choice: slice | Int64s = places
        if len(places) and places[-1] - places[0] + 1 == len(places):  # neighbours, as most often: no copy
            choice = slice(int(places[0]), int(places[-1]) + 1)
        return PlacedBins(self.segments[choice], self.offsets[choice], self.bins[choice])

    def extents(self) -> list[Extent]:
        """The places that they cover, in as few extents as possible, each in one segment."""
        if not len(self):
            return []
        ends = self.offsets + self.bins.counts
        is_first = np.ones(len(self), np.bool_)
        is_first[1:] = (self.segments[1:] != self.segments[:-1]) | (self.offsets[1:] != ends[:-1])
        firsts = np.flatnonzero(is_first)
        lasts = np.append(firsts[1:], len(self)) - 1
        rows = zip(self.segments[firsts].tolist(), self.offsets[firsts].tolist(), ends[lasts].tolist(), strict=True)
        return [Extent((segment, start), (segment, end)) for segment, start, end in rows]

    def neighbourhoods(self, mask: Mask) -> list[Extent]:
        """The places of those chosen by `mask` in as few extents as possible, which may hold what is not ours."""
        changes = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
        ends = self.offsets + self.bins.counts
        return [
            Extent((int(self.segments[first]), int(self.offsets[first])), (int(self.segments[last]), int(ends[last])))
            for first, last in zip(changes[::2], changes[1::2] - 1, strict=True)
        ]

    def within(self, extents: Sequence[Extent]) -> Mask:
        """Which bins begin in `extents` (sorted, each in one segment)."""
        if not len(self):
            return np.zeros(0, np.bool_)
        # Places as one number each: the rank of the segment among ours, then the offset.
        is_first = np.concatenate(([True], self.segments[1:] != self.segments[:-1]))
        ours = self.segments[is_first].tolist()
        ranks = {segment: rank for rank, segment in enumerate(ours)}
        places = (np.cumsum(is_first) - 1 << _OFFSET_BITS) + self.offsets
        edges = [
            (ranks[segment] << _OFFSET_BITS) + offset
            for extent in extents
            if extent.start[0] in ranks
            for segment, offset in (extent.start, extent.end)
        ]
        inside: Mask = np.searchsorted(np.array(edges, np.int64), places, "right") % 2 == 1
        return inside


def span_key(metric: ObjectId, level: Level, place: Place) -> Binary:
    """The `_id` of the document whose first point is at `place`: keys of a level sort in the order of logging."""
    from bson import Binary

    segment, offset = place
    packed = bytes([level.number]) + segment.to_bytes(8, "big") + offset.to_bytes(4, "big")
    key: Binary = Binary(metric.binary + packed)
    return key


def load_level(
    database: Database[dict[str, Any]], metric: ObjectId, level: Level, extents: Sequence[Extent]
) -> PlacedBins:
    """The bins of the documents that begin in `extents`; damaged documents are left out with a warning."""
    [placed] = load_levels(database, [(metric, level, extents)])
    return placed


def load_levels(
    database: Database[dict[str, Any]], wanted: Sequence[tuple[ObjectId, Level, Sequence[Extent]]]
) -> list[PlacedBins]:
    """As `load_level`, for several metrics or levels with as few questions as possible."""
    ranges = [
        {"_id": {"$gte": span_key(metric, level, extent.start), "$lt": span_key(metric, level, extent.end)}}
        for metric, level, extents in wanted
        for extent in extents
    ]
    by_level: dict[bytes, list[dict[str, Any]]] = {_prefix(metric, level): [] for metric, level, _ in wanted}
    for start in range(0, len(ranges), RANGES_AT_ONCE):
        part = ranges[start : start + RANGES_AT_ONCE]
        condition = part[0] if len(part) == 1 else {"$or": part}
        for document in database[PYRAMID].find(condition, batch_size=ALL_AT_ONCE).sort("_id", 1):
            by_level[bytes(document["_id"][:13])].append(document)
    return [_placed(by_level[_prefix(metric, level)], metric, level) for metric, level, _ in wanted]


def _prefix(metric: ObjectId, level: Level) -> bytes:
    prefix: bytes = metric.binary + bytes([level.number])
    return prefix


def _placed(documents: Sequence[dict[str, Any]], metric: ObjectId, level: Level) -> PlacedBins:
    """The bins of one metric's documents of a level, which are in the order of their keys."""
    places: list[Place] = []
    closed: set[Place] = set()
    shapes: list[PackedShape] = []
    packed: list[bytes] = []
    for document in documents:
        try:
            shapes.append(read_shape(document.get("c"), document.get("n"), level.bin_points))
        except DamagedBins as damage:
            logger.warning("Metric %s: %s", metric, damage)
            continue
        key = bytes(document["_id"])
        places.append((int.from_bytes(key[13:21], "big"), int.from_bytes(key[21:25], "big")))
        packed.append(document["c"])
        if document.get("end") is True:
            closed.add((places[-1][0], places[-1][1] + document["n"]))
    if not packed:
        return PlacedBins(np.empty(0, np.uint64), np.empty(0, np.int64), Bins.empty())
    segments = np.array([segment for segment, _ in places], np.uint64)
    starts = np.array([offset for _, offset in places], np.int64)
    bins = [shape.bins for shape in shapes]
    # How many bins of its document stand before each bin.
    before = np.arange(sum(bins)) - np.repeat(np.cumsum(bins) - bins, bins)
    offsets = np.repeat(starts, bins) + before * level.bin_points
    unpacked = unpack_bins(packed, shapes, level.bin_points)
    return PlacedBins(np.repeat(segments, bins), offsets, unpacked, frozenset(closed))


def extents_of_spans(extents: Sequence[Extent], level: Level) -> list[Extent]:
    """`extents`, each begun where the document that holds its first point begins."""
    return [
        Extent((segment, offset // level.span_points * level.span_points), extent.end)
        for extent in extents
        for segment, offset in [extent.start]
    ]
