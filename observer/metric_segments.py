"""The points of one journal segment on their way into MongoDB: full chunks at once, what is left by way of tails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .metric_chunks import CHUNK_POINTS, object_id
from .metric_groups import GroupPart, MetricGroup
from .metric_pieces import Pieces, read_open_points
from .metric_tails import Stretch
from .points import Points
from .segment_tails import SegmentTails

if TYPE_CHECKING:
    from pymongo.database import Database

    from .metric_pyramid import PyramidBuilder

_HELD_FROM_POINTS = 64  # a metric that gets fewer in a batch is not held in memory until its chunk is full
_HELD_POINTS = 100_000  # of all metrics, 2.4 MB


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
        self._loose: dict[tuple[int, int, int], list[GroupPart]] = {}
        self._tails = SegmentTails(database, run, segment)
        self._pieces = Pieces(database, segment, is_new=self._sequence == 0)
        if self._sequence:
            self._ends = self._tails.load_ends(self._sequence)

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
                self._note_loose(GroupPart(metric, start, group, row, 0))
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
            self._pyramid.add_chunk(object_id(metric), self._segment, chunk.offset, chunk.points)
        self._full = []
        if self._loose:
            self._tails.write(self._loose.values(), sequence)
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
            opened = read_open_points(self._database, self._uid, object_id(metric), self._segment, start)
        if opened is None:
            self._note_loose(GroupPart(metric, start, group, row, 0))
            return
        points = Points.concatenate([opened.points, points])
        full = (opened.offset + len(points)) // CHUNK_POINTS * CHUNK_POINTS
        for offset in range(opened.offset, full, CHUNK_POINTS):
            place = offset - opened.offset
            self._full.append((metric, Stretch(self._segment, offset, points[slice(place, place + CHUNK_POINTS)])))
        full = max(full, opened.offset)
        if len(group.steps) >= _HELD_FROM_POINTS:
            self._hold(metric, Stretch(self._segment, full, points[slice(full - opened.offset, None)]))
        self._note_loose(GroupPart(metric, max(start, full), group, row, max(full - start, 0)))

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

    def _note_loose(self, part: GroupPart) -> None:
        sequences = part.group.sequences
        key = (id(part.group), part.skipped, len(sequences))
        self._loose.setdefault(key, []).append(part)

    # ---- after the checkpoint

    @property
    def is_heavy(self) -> bool:
        """Whether the tails are so many that they should become chunks."""
        return self._tails.is_heavy

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
        for stretches in self._tails.read(committed):
            see_first(stretches)
            self._take_into_chunks(stretches, merge_all=at_end)
            rest -= stretches.keys()
        nothing = Points.empty()
        self._take_into_chunks(
            {metric: Stretch(self._segment, self._ends[metric], nothing) for metric in rest}, merge_all=at_end
        )
        self._pyramid.flush()
        self._tails.write_ledger(self._ends, committed)
        self._tails.delete(committed)

    def finish(self, see_first: Callable[[Mapping[bytes, Stretch]], None]) -> None:
        """As `compact` at the end; the pyramid over the segment is completed too."""
        self.compact(see_first, at_end=True)
        for metric, end in self._ends.items():
            self._pyramid.finish_segment(object_id(metric), self._segment, end)
        self._pyramid.flush()
        self.rest()

    def rest(self) -> None:
        """Nothing comes for a while: hold no points in memory."""
        self._open, self._held_points = {}, 0

    def read_tails(self) -> Iterator[dict[bytes, Stretch]]:
        """What the tails hold that the checkpoint covers, by metric; so many metrics at once as memory has room for."""
        return self._tails.read(self._committed_sequence())

    def _take_into_chunks(self, stretches: dict[bytes, Stretch], *, merge_all: bool) -> None:
        for metric, chunk in self._pieces.take_in(stretches, merge_all=merge_all):
            self._pyramid.add_chunk(object_id(metric), self._segment, chunk.offset, chunk.points)

    def groups_after(self, sequence: int) -> Iterator[MetricGroup]:
        """The points in tails that the checkpoint covers, of records after `sequence`, each once."""
        return self._tails.groups_between(sequence, self._committed_sequence())

    def _committed_sequence(self) -> int:
        known = self._run["cloister"]["journal"].get(f"{self._segment:016x}") or {}
        return int(known.get("sequence", 0))
