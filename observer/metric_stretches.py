"""Reading what is stored of a metric: tails and chunks, all of them or those at certain places of the journal."""

from __future__ import annotations

import bisect
import contextlib
import logging
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CloisterError
from .metric_chunks import (
    CHUNK_POINTS,
    METRIC_CHUNKS,
    DamagedChunk,
    chunk_key,
    chunk_keys_of,
    chunk_place,
    metric_id,
    unpack_points_into,
)
from .metric_tails import METRIC_TAILS, Stretch, all_stretches_in, stretches_in, tail_fields_of, tail_key, tail_keys_of
from .points import Points

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database

    from .run_record import RunId

logger = logging.getLogger("cloister")

RUNS_AT_ONCE = 100
ALL_AT_ONCE = 100_000  # documents in an answer: as many as MongoDB's 16 MB hold, so there are few round trips
RANGES_AT_ONCE = 500

Place = tuple[int, int]  # journal segment, offset in it: the order of places is the order of logging
BEGINNING: Place = (0, 0)
END: Place = (2**64 - 1, 2**32 - 1)


class ShorterChunk(CloisterError, ValueError):
    """The pyramid speaks of points that a chunk does not hold."""

    def __init__(self, segment: int, offset: int) -> None:
        super().__init__(f"No chunk holds point {offset} of segment {segment:016x}. The summaries are not used.")


@dataclass(frozen=True)
class MetricKey:
    """Which metric, and how messages call it."""

    id: ObjectId
    run_uid: str | None  # None: the run is not ours, and its points are where Sacred puts them
    run_id: RunId
    name: str
    segments: tuple[int, ...] | None = None  # of the run's journal, ascending; None where that is not known


@dataclass(frozen=True)
class Extent:
    """Places from `start` up to, but not including, `end`, which may be in different segments."""

    start: Place
    end: Place


def load_tails(database: Database[dict[str, Any]], metric: MetricKey) -> list[Stretch]:
    """The newest points, which may not be in chunks yet; damaged tails are left out with a warning."""
    stretches: list[Stretch] = []
    for tail in _find_tails(database, metric.run_uid, tail_fields_of(metric.id)):
        try:
            stretches += stretches_in(tail, metric.id)
        except (DamagedChunk, AttributeError, TypeError) as damage:
            _warn(metric, damage)
    return stretches


def load_many(
    database: Database[dict[str, Any]], run_id: RunId, run_uid: str, names: Iterable[str]
) -> dict[str, list[Stretch]]:
    """All stretches of several metrics of a run by name, with few questions; a point may be in several of them."""
    metrics = {}
    for name in names:
        metric = MetricKey(metric_id(run_uid, name), run_uid, run_id, name)
        metrics[metric.id.binary] = metric
    found: dict[str, list[Stretch]] = {metric.name: [] for metric in metrics.values()}
    for tail in _find_tails(database, run_uid, None):
        try:
            for key, stretch in all_stretches_in(tail):
                if key in metrics:
                    found[metrics[key].name].append(stretch)
        except (DamagedChunk, AttributeError, TypeError) as damage:
            logger.warning("Run %s, one of its metrics: %s", run_id, damage)
    every = list(metrics.values())
    for start in range(0, len(every), RANGES_AT_ONCE):
        ranges = [{"_id": chunk_keys_of(metric.id)} for metric in every[start : start + RANGES_AT_ONCE]]
        chunks, _ = _find_chunks(database, metrics, {"$or": ranges})
        for key, chunk in chunks:
            found[metrics[key].name].append(chunk)
    return found


def load_all(database: Database[dict[str, Any]], metric: MetricKey) -> Points:
    """Every point of a metric in the order of logging."""
    [points] = load_all_of(database, [metric])
    return points


def load_all_of(database: Database[dict[str, Any]], metrics: Sequence[MetricKey]) -> list[Points]:
    """As `load_all`, of several metrics."""
    tails = load_tails_of(database, metrics)  # before the chunks that they may be compacted into meanwhile
    by_metric: dict[bytes, list[Stretch]] = {metric.id.binary: [] for metric in metrics}
    columns = Points.empty()
    for start in range(0, len(metrics), RANGES_AT_ONCE):
        part = metrics[start : start + RANGES_AT_ONCE]
        ranges = [{"_id": chunk_keys_of(metric.id)} for metric in part]
        condition = ranges[0] if len(ranges) == 1 else {"$or": ranges}
        found, columns = _find_chunks(database, {metric.id.binary: metric for metric in part}, condition)
        for key, chunk in found:
            by_metric[key].append(chunk)
    whole = columns if len(metrics) == 1 else None
    return [_all_of(by_metric[metric.id.binary], newest, whole) for metric, newest in zip(metrics, tails, strict=True)]


def _all_of(chunks: list[Stretch], tails: list[Stretch], columns: Points | None) -> Points:
    """
    Args:
        columns: those that the chunks are slices of, where they are of no other metric: then they need no copy.
    """
    held = merge_extents(map(_extent_of, chunks))
    newer = points_outside(tails, held)
    is_whole = columns is not None and len(columns) == sum(extent.end[1] - extent.start[1] for extent in held)
    if columns is not None and is_whole and not newer:
        return columns
    return join_points([*chunks, *newer])


def load_tails_of(database: Database[dict[str, Any]], metrics: Sequence[MetricKey]) -> list[list[Stretch]]:
    """As `load_tails`, for several metrics with one question for each hundred runs."""
    if len(metrics) == 1:
        return [load_tails(database, metrics[0])]
    by_run: dict[bytes, list[int]] = {}
    for place, metric in enumerate(metrics):
        with contextlib.suppress(ValueError):  # recorded by another tool: it has no tails
            by_run.setdefault(tail_key(metric.run_uid or "", 0, 0)[:16], []).append(place)
    found: list[list[Stretch]] = [[] for _ in metrics]
    runs = list(by_run)
    for start in range(0, len(runs), RUNS_AT_ONCE):
        places = [place for run in runs[start : start + RUNS_AT_ONCE] for place in by_run[run]]
        fields: dict[str, int] = {}
        for place in places:
            fields |= tail_fields_of(metrics[place].id)
        ranges = [
            {"_id": tail_keys_of(metrics[by_run[run][0]].run_uid or "")} for run in runs[start : start + RUNS_AT_ONCE]
        ]
        for tail in database[METRIC_TAILS].find({"$or": ranges}, fields, batch_size=ALL_AT_ONCE).sort("_id", 1):
            for place in by_run.get(bytes(tail["_id"])[:16], ()):
                try:
                    found[place] += stretches_in(tail, metrics[place].id)
                except (DamagedChunk, AttributeError, TypeError) as damage:
                    _warn(metrics[place], damage)
    return found


def load_chunks_of(
    database: Database[dict[str, Any]], wanted: Sequence[tuple[MetricKey, Sequence[Extent]]]
) -> list[list[Stretch]]:
    """The chunks of each metric that begin in its extents, in the order of logging; damaged ones are left out with a
    warning."""
    metrics = {metric.id.binary: metric for metric, _ in wanted}
    by_metric: dict[bytes, list[Stretch]] = {key: [] for key in metrics}
    ranges = [_keys_in(metric.id, extent) for metric, extents in wanted for extent in extents]
    for start in range(0, len(ranges), RANGES_AT_ONCE):
        part = ranges[start : start + RANGES_AT_ONCE]
        chunks, _ = _find_chunks(database, metrics, part[0] if len(part) == 1 else {"$or": part})
        for key, chunk in chunks:
            by_metric[key].append(chunk)
    return [by_metric[metric.id.binary] for metric, _ in wanted]


def slots_of(extents: Iterable[Extent]) -> list[Extent]:
    """Where the chunks begin that hold the points in `extents`."""
    return merge_extents(Extent(_slot_of(extent.start), extent.end) for extent in extents)


def points_within(chunks: Sequence[Stretch], extents: Sequence[Extent]) -> list[Stretch]:
    """The points in `extents` (sorted, each in one segment) that `chunks` hold.

    Raises:
        ShorterChunk: a chunk holds fewer points than `extents` ask of it.
    """
    slots = {_slot_of((chunk.segment, chunk.offset)) for chunk in chunks}
    for segment, offset, end in _rows(without(extents, merge_extents(map(_extent_of, chunks)))):
        # A chunk that is not there or damaged costs its own points; one that ends early is not what was summarised.
        if _slot_of((segment, offset)) in slots or _slot_of((segment, end - 1)) in slots:
            raise ShorterChunk(segment, offset)
    return [
        _part(chunk, first, last)
        for chunk in chunks
        for first, last in _overlaps(chunk.segment, chunk.offset, chunk.end, extents)
    ]


def join_points(stretches: Iterable[Stretch]) -> Points:
    """All points in the order of logging, each once in however many stretches it is."""
    segment, end = -1, 0
    parts = []
    for stretch in sorted(stretches, key=lambda stretch: (stretch.segment, stretch.offset)):
        if stretch.segment != segment:
            segment, end = stretch.segment, 0
        if stretch.end > end:
            parts.append(_part(stretch, max(end, stretch.offset), stretch.end).points)
            end = stretch.end
    return Points.concatenate(parts)


def points_outside(stretches: Iterable[Stretch], extents: Sequence[Extent]) -> list[Stretch]:
    """What of `stretches` does not lie in `extents` (sorted, each in one segment)."""
    return [
        _part(stretch, first, last)
        for stretch in stretches
        for _, first, last in _rows(without([_extent_of(stretch)], extents))
    ]


def without(extents: Iterable[Extent], others: Sequence[Extent]) -> list[Extent]:
    """What of `extents` does not lie in `others`; all are sorted, and each in one segment."""
    left = []
    for segment, start, end in _rows(extents):
        position = start
        for first, last in _overlaps(segment, start, end, others):
            if first > position:
                left.append(Extent((segment, position), (segment, first)))
            position = last
        if position < end:
            left.append(Extent((segment, position), (segment, end)))
    return left


def merge_extents(extents: Iterable[Extent]) -> list[Extent]:
    """The same places in as few extents as possible, in order."""
    merged: list[Extent] = []
    for extent in sorted(extents, key=lambda extent: extent.start):
        if merged and extent.start <= merged[-1].end:
            merged[-1] = Extent(merged[-1].start, max(merged[-1].end, extent.end))
        else:
            merged.append(extent)
    return merged


def gaps_between(
    extents: Iterable[Extent], *, closed: Container[Place] = (), segments: Sequence[int] | None = None
) -> list[Extent]:
    """The places that are in none of `extents` and where anything may be.

    Args:
        closed: where segments end.
        segments: all that there are, ascending; None where that is not known.
    """
    position, gaps = BEGINNING, []
    for extent in merge_extents(extents):
        if extent.start > position and not (position in closed and _are_next(position, extent.start, segments)):
            gaps.append(Extent(position, extent.start))
        position = extent.end
    return [*gaps, Extent(position, END)]  # also what has begun since `segments` were looked up


def _are_next(end: Place, start: Place, segments: Sequence[int] | None) -> bool:
    """Whether a segment begins at `start` and there is no other between it and the one that ends at `end`."""
    if segments is None or start[1] > 0:
        return False
    return bisect.bisect_right(segments, end[0]) >= bisect.bisect_left(segments, start[0])


def _find_tails(
    database: Database[dict[str, Any]], run_uid: str | None, fields: dict[str, int] | None
) -> Iterator[dict[str, Any]]:
    try:
        keys = tail_keys_of(run_uid or "")
    except ValueError:  # recorded by another tool: it has no tails
        return
    yield from database[METRIC_TAILS].find({"_id": keys}, fields, batch_size=ALL_AT_ONCE).sort("_id", 1)


def _find_chunks(
    database: Database[dict[str, Any]], metrics: Mapping[bytes, MetricKey], condition: dict[str, Any]
) -> tuple[list[tuple[bytes, Stretch]], Points]:
    """Chunks by metric in the order of logging, and the columns that they are slices of."""
    # From the last to the first: small chunks are merged into the one before them and deleted then, so whoever misses
    # a small one finds the larger one afterwards.
    newest_first = database[METRIC_CHUNKS].find(condition, {"n": 1, "c": 1}, batch_size=ALL_AT_ONCE).sort("_id", -1)
    rows = [(bytes(chunk["_id"]), chunk.get("n"), chunk.get("c")) for chunk in newest_first][::-1]
    # One allocation for all: chunks are unpacked into slices of it, and a whole metric needs no copy.
    columns = _room_for(sum(count for _, count, packed in rows if _has_form(count, packed)))
    found, start = [], 0
    for key, count, packed in rows:
        try:
            if not _has_form(count, packed):
                raise DamagedChunk(f"it says that it holds {count!r} points")
            points = columns[start : start + count]
            unpack_points_into(packed, points)
        except DamagedChunk as damage:
            _warn(metrics[key[:12]], damage)
            continue
        found.append((key[:12], Stretch(*chunk_place(key), points)))
        start += count
    return found, columns[:start]


def _has_form(count: Any, packed: Any) -> bool:
    return isinstance(count, int) and 0 <= count <= CHUNK_POINTS and isinstance(packed, bytes)


def _room_for(count: int) -> Points:
    return Points(np.empty(count, np.int64), np.empty(count, np.float64), np.empty(count, np.float64))


def _warn(metric: MetricKey, damage: Exception) -> None:
    logger.warning("Run %s, metric %r: %s", metric.run_id, metric.name, damage)


def _keys_in(metric: ObjectId, extent: Extent) -> dict[str, Any]:
    return {"_id": {"$gte": chunk_key(metric, *extent.start), "$lt": chunk_key(metric, *extent.end)}}


def _slot_of(place: Place) -> Place:
    """Where the full chunk that holds the point at `place` begins."""
    segment, offset = place
    return segment, offset // CHUNK_POINTS * CHUNK_POINTS


def _extent_of(stretch: Stretch) -> Extent:
    return Extent((stretch.segment, stretch.offset), (stretch.segment, stretch.end))


def _rows(extents: Iterable[Extent]) -> Iterator[tuple[int, int, int]]:
    """Segment, first offset and end of extents that lie in one segment each."""
    for extent in extents:
        yield extent.start[0], extent.start[1], extent.end[1]


def _part(stretch: Stretch, first: int, last: int) -> Stretch:
    if first == stretch.offset and last == stretch.end:
        return stretch
    return Stretch(stretch.segment, first, stretch.points[first - stretch.offset : last - stretch.offset])


def _overlaps(segment: int, offset: int, end: int, extents: Sequence[Extent]) -> Iterator[tuple[int, int]]:
    """Where `extents` (sorted, each in one segment) overlap the points from `offset` to `end` of a segment."""
    place = bisect.bisect_right(extents, (segment, offset), key=lambda extent: extent.end)
    while place < len(extents) and extents[place].start < (segment, end):
        yield max(extents[place].start[1], offset), min(extents[place].end[1], end)
        place += 1
