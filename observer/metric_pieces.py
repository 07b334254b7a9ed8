"""The chunks of one journal segment: full ones, and pieces behind them, merged so that a point is seldom rewritten."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .growing_documents import replace_unless_fuller
from .metric_chunks import (
    CHUNK_POINTS,
    METRIC_CHUNKS,
    DamagedChunk,
    chunk_key,
    chunk_keys_of,
    chunk_place,
    object_id,
    pack_clock,
    pack_points,
    unpack_points,
)
from .metric_tails import METRIC_TAILS, Stretch, join_stretches, stretches_in, tail_fields_of, tail_keys_of
from .points import Points

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database

logger = logging.getLogger("cloister")

_MERGED_AT_ONCE = 8  # so many pieces of one size become one: a point is rewritten log8(4,096 / first size) times
_METRICS_AT_ONCE = 1000  # looked up by one query
_POINTS_AT_ONCE = 100_000  # rewritten by one command; in memory meanwhile


@dataclass
class _Covered:
    """What the chunks of one metric hold, from the segment's start on without a gap."""

    pieces: list[tuple[int, int]]  # offset and count of those behind the last full chunk
    end: int


class Pieces:
    """The chunks of one journal segment. Points come by ascending offset; every write is safe to repeat.

    Whoever reads meanwhile, by descending key, misses nothing: what a chunk replaces is deleted after it is written,
    and it has the first key of that. A chunk is only ever overwritten by one that holds its points and more.
    """

    def __init__(self, database: Database[dict[str, Any]], segment: int, *, is_new: bool) -> None:
        """
        Args:
            is_new: nothing of the segment can be stored yet.
        """
        self._chunks = database[METRIC_CHUNKS]
        self._segment = segment
        self._is_new = is_new
        self._covered: dict[bytes, _Covered] = {}
        self._outlived: dict[bytes, int] = {}  # how many points of a chunk stand in others by now, by its key

    def write_full(self, chunks: Iterable[tuple[bytes, Stretch]]) -> None:
        """Store full chunks, those of one metric in ascending order. Pieces whose points they hold are outlived."""
        chunks = list(chunks)
        for metric, chunk in chunks:
            covered = self._covered.get(metric)
            if covered is None and self._is_new:
                covered = self._covered[metric] = _Covered([], 0)
            # Behind a gap, it is not yet what the chunks hold from the start on.
            if covered is not None and chunk.offset <= covered.end:
                inside = [
                    (offset, count)
                    for offset, count in covered.pieces
                    if chunk.offset <= offset and offset + count <= chunk.end
                ]
                self._outlive(metric, inside, chunk.offset)
                covered.pieces = [piece for piece in covered.pieces if piece not in inside]
                covered.end = max(covered.end, chunk.end)
        self._write_full(chunks)

    def is_covered(self, metric: bytes, end: int) -> bool:
        """Whether chunks are known to hold all points up to `end`."""
        covered = self._covered.get(metric)
        return end == 0 if covered is None else covered.end >= end

    def take_in(self, stretches: Mapping[bytes, Stretch], *, merge_all: bool) -> Iterator[tuple[bytes, Stretch]]:
        """Store `stretches` behind what there is, and yield the chunks that became full.

        Args:
            stretches: by metric; what is stored already is passed over. May be empty ones, to have their pieces merged.
            merge_all: leave no piece but the last chunk of each metric.
        """
        unknown = [metric for metric in stretches if metric not in self._covered]
        for start in range(0, len(unknown), _METRICS_AT_ONCE):
            self._look_up(unknown[start : start + _METRICS_AT_ONCE])
        for block in self._blocks(stretches):
            yield from self._take_in_block(block, merge_all)
        self._delete_outlived()

    def _blocks(self, stretches: Mapping[bytes, Stretch]) -> Iterator[dict[bytes, Stretch]]:
        """`stretches` in parts that memory has room for, together with the pieces that they may be merged with."""
        block: dict[bytes, Stretch] = {}
        size = 0
        for metric, stretch in stretches.items():
            size += len(stretch.points) + sum(count for _, count in self._covered[metric].pieces)
            block[metric] = stretch
            if size >= _POINTS_AT_ONCE:
                yield block
                block, size = {}, 0
        yield block

    def _take_in_block(self, stretches: dict[bytes, Stretch], merge_all: bool) -> Iterator[tuple[bytes, Stretch]]:
        merged = {}
        for metric, stretch in stretches.items():
            covered = self._covered[metric]
            fresh = stretches[metric] = _from(stretch, covered.end)
            merged[metric] = _pieces_to_merge(covered.pieces, fresh, merge_all=merge_all)
        loaded = self._load(merged)
        full: list[tuple[bytes, Stretch]] = []
        partial: list[tuple[bytes, Stretch]] = []
        for metric, fresh in stretches.items():
            parts = loaded.get(metric, [])
            if not len(fresh.points) and len(parts) < 2:
                continue
            chunks = [chunk for whole in join_stretches([*parts, fresh]) for chunk in _cut(whole)]
            for chunk in chunks:
                (full if len(chunk.points) == CHUNK_POINTS else partial).append((metric, chunk))
            self._note(metric, parts, chunks)
        self._write_full(full)
        self._write_partial(partial)
        yield from full

    def _note(self, metric: bytes, parts: Sequence[Stretch], chunks: Sequence[Stretch]) -> None:
        """Keep in mind what `_take_in_block` is about to write: `chunks`, made of the pieces `parts` among others."""
        covered = self._covered[metric]
        offsets = {part.offset for part in parts}
        replaced = [piece for piece in covered.pieces if piece[0] in offsets]
        for chunk in chunks:
            replaced = [piece for piece in replaced if piece[0] != chunk.offset]
        self._outlive(metric, replaced)
        covered.pieces = [piece for piece in covered.pieces if piece[0] not in offsets]
        for chunk in chunks:
            if len(chunk.points) == CHUNK_POINTS:
                covered.pieces = []
            else:
                covered.pieces.append((chunk.offset, len(chunk.points)))
        covered.end = max([covered.end, *(chunk.end for chunk in chunks)])

    def _write_full(self, chunks: Sequence[tuple[bytes, Stretch]]) -> None:
        from pymongo import ReplaceOne

        documents = _chunk_documents(chunks)
        if documents:
            writes = [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in documents]
            self._chunks.bulk_write(writes, ordered=True)
            self._keep(documents)

    def _write_partial(self, chunks: Sequence[tuple[bytes, Stretch]]) -> None:
        documents = _chunk_documents(chunks)
        self._keep(documents)
        replace_unless_fuller(self._chunks, documents)

    def _keep(self, written: Iterable[Mapping[str, Any]]) -> None:
        for document in written:
            self._outlived.pop(document["_id"], None)

    def _outlive(self, metric: bytes, pieces: Iterable[tuple[int, int]], kept: int | None = None) -> None:
        key = object_id(metric)
        for offset, count in pieces:
            if offset != kept:
                self._outlived[chunk_key(key, self._segment, offset)] = count

    def _delete_outlived(self) -> None:
        by_count: dict[int, list[bytes]] = {}
        for key, count in self._outlived.items():
            by_count.setdefault(count, []).append(key)
        for count, keys in by_count.items():
            for start in range(0, len(keys), 5000):
                # Another shipper of the same run may have made more of one meanwhile: that stands nowhere else.
                self._chunks.delete_many({"_id": {"$in": keys[start : start + 5000]}, "n": {"$lte": count}})
        self._outlived.clear()

    # ---- what there is

    def _look_up(self, metrics: Sequence[bytes]) -> None:
        if not metrics:
            return
        places: dict[bytes, list[tuple[int, int]]] = {metric: [] for metric in metrics}
        if not self._is_new:
            ranges = [{"_id": chunk_keys_of(object_id(metric), self._segment)} for metric in metrics]
            for chunk in self._chunks.find({"$or": ranges}, {"n": 1}):
                key = bytes(chunk["_id"])
                places[key[:12]].append((chunk_place(key)[1], chunk["n"]))
        for metric, found in places.items():
            self._covered[metric] = self._cover(metric, found)

    def _cover(self, metric: bytes, places: list[tuple[int, int]]) -> _Covered:
        covered = _Covered([], 0)
        for offset, count in sorted(places, key=lambda place: (place[0], -place[1])):
            if offset > covered.end:
                break  # written ahead by a courier that died before its checkpoint: written again when it is reached
            if offset + count <= covered.end:
                self._outlive(metric, [(offset, count)])
                continue
            covered.end = offset + count
            if count == CHUNK_POINTS:
                self._outlive(metric, covered.pieces, offset)
                covered.pieces = []
            else:
                covered.pieces.append((offset, count))
        return covered

    def _load(self, pieces: Mapping[bytes, Sequence[tuple[int, int]]]) -> dict[bytes, list[Stretch]]:
        keys = [
            chunk_key(object_id(metric), self._segment, offset)
            for metric, found in pieces.items()
            for offset, _ in found
        ]
        loaded: dict[bytes, list[Stretch]] = {}
        if keys:
            for chunk in self._chunks.find({"_id": {"$in": keys}}, {"n": 1, "c": 1}):
                stretch = _read_chunk(chunk)
                if stretch is not None:
                    loaded.setdefault(bytes(chunk["_id"])[:12], []).append(stretch)
        return loaded


def read_open_points(
    database: Database[dict[str, Any]], run_uid: str, metric: ObjectId, segment: int, end: int
) -> Stretch | None:
    """The points of a metric behind its last full chunk, up to `end`, wherever they stand; None if one is missing."""
    parts, full = [], 0
    for tail in database[METRIC_TAILS].find({"_id": tail_keys_of(run_uid, segment)}, tail_fields_of(metric)):
        try:
            parts += list(stretches_in(tail, metric))
        except DamagedChunk as damage:
            logger.warning("Metric %s: %s", metric, damage)
    keys = {**chunk_keys_of(metric, segment), "$lte": chunk_key(metric, segment, end - 1)}
    for chunk in database[METRIC_CHUNKS].find({"_id": keys}, {"n": 1, "c": 1}).sort("_id", -1):
        stretch = _read_chunk(chunk)
        if stretch is not None:
            parts.append(stretch)
            if len(stretch.points) == CHUNK_POINTS:
                # One that reaches beyond `end` was written ahead of a checkpoint that never came.
                full = stretch.end if stretch.end <= end else stretch.offset
                break
    for whole in join_stretches(parts):
        if whole.offset % CHUNK_POINTS == 0 and whole.offset < end <= whole.end:
            return _from(Stretch(segment, whole.offset, whole.points[slice(0, end - whole.offset)]), full)
    return None


def _read_chunk(chunk: Mapping[str, Any]) -> Stretch | None:
    segment, offset = chunk_place(bytes(chunk["_id"]))
    try:
        return Stretch(segment, offset, unpack_points(chunk.get("c", b""), chunk.get("n", 0)))
    except DamagedChunk as damage:  # left as it is for whoever repairs it; the metric goes on behind it
        logger.warning("Metric %s: %s", bytes(chunk["_id"])[:12].hex(), damage)
        return None


def _chunk_documents(chunks: Iterable[tuple[bytes, Stretch]]) -> list[dict[str, Any]]:
    documents = []
    clock: Points | None = None  # metrics logged together stand next to each other: what they share is packed once
    shared: dict[str, Any] = {}
    packed = b""
    for metric, chunk in chunks:
        points = chunk.points
        if clock is None or not _have_one_clock(clock, points):
            clock, packed = points, pack_clock(points.steps, points.wall_times)
            shared = {
                "n": len(points),
                "first": int(points.steps.min()),
                "last": int(points.steps.max()),
                "since": float(points.wall_times.min()),
                "until": float(points.wall_times.max()),
            }
        key = chunk_key(object_id(metric), chunk.segment, chunk.offset)
        documents.append({"_id": key, **shared, "c": pack_points(points, packed)})
    return documents


def _have_one_clock(one: Points, other: Points) -> bool:
    return np.array_equal(one.steps, other.steps) and np.array_equal(one.wall_times, other.wall_times)


def _from(stretch: Stretch, start: int) -> Stretch:
    if stretch.offset >= start:
        return stretch
    return Stretch(stretch.segment, start, stretch.points[slice(start - stretch.offset, None)])


def _cut(stretch: Stretch) -> Iterator[Stretch]:
    """`stretch` in pieces that end where full chunks do."""
    start = stretch.offset
    while start < stretch.end:
        end = min(start // CHUNK_POINTS * CHUNK_POINTS + CHUNK_POINTS, stretch.end)
        yield Stretch(stretch.segment, start, stretch.points[slice(start - stretch.offset, end - stretch.offset)])
        start = end


def _pieces_to_merge(pieces: list[tuple[int, int]], fresh: Stretch, *, merge_all: bool) -> list[tuple[int, int]]:
    """The last ones of `pieces`, as many as are to become one with `fresh`."""
    if merge_all or (pieces and fresh.end >= pieces[0][0] // CHUNK_POINTS * CHUNK_POINTS + CHUNK_POINTS):
        return pieces
    first, size = len(pieces), len(fresh.points)
    while size:
        run = first
        while run and _magnitude(pieces[run - 1][1]) <= _magnitude(size):
            run -= 1
        if first - run < _MERGED_AT_ONCE - 1:
            break
        size += sum(count for _, count in pieces[run:first])
        first = run
    return pieces[first:]


def _magnitude(count: int) -> int:
    return count.bit_length() // (_MERGED_AT_ONCE.bit_length() - 1)
