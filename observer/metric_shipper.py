"""Shipping the points of one run: into chunks exactly once, into Sacred's documents at a bounded price."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .field_names import decode_field_name, encode_field_name
from .journal_batches import PointColumns
from .metric_chunks import metric_id, object_id
from .metric_groups import MetricGroup
from .metric_pieces import Pieces
from .metric_pyramid import PyramidBuilder
from .metric_segments import SegmentPoints
from .metric_summary import SYSTEM_PREFIX, MetricSummary, empty_summary, read_summary
from .metric_tails import Stretch
from .points import Points
from .run_record import JOURNAL, summary_path
from .sacred_metrics import SacredMetrics

if TYPE_CHECKING:
    from pymongo.database import Database

    from .unusual_values import UnusualValues

# The points that a forked run shares with its parent, metric by metric. No journal segment has this number, and all
# sort behind it: what is copied comes first, whenever it is copied.
HISTORY_SEGMENT = 0
# The summaries of 5,000 metrics are half a megabyte. Few are written with each batch, many when they have enough news.
_FEW_SUMMARIES = 64
_SUMMARY_POINTS = 8  # new points of a metric that outweigh its summary
_SUMMARY_SECONDS = 5.0


class MetricShipper:
    """Takes points in the order of the journal and stores them; the run's own document is left to the caller.

    For each batch: `take`, `store`, then one update of the run's document with `summary_changes`, `newly_named`, the
    checkpoint, and `summed_changes` within it. When that fails, this object is of no use any more: a new one starts
    from the checkpoint. When it has worked, `tidy` makes chunks of what the checkpoint covers, and `finish_segment`
    leaves nothing but chunks.
    """

    def __init__(
        self,
        database: Database[dict[str, Any]],
        run: dict[str, Any],
        *,
        is_new: bool,
        unusual: UnusualValues | None = None,
    ) -> None:
        """
        Args:
            run: its document, at least `_id` and `cloister`; the caller keeps `cloister.journal` up to date.
            is_new: nothing of the run can be stored yet, so nothing needs to be looked up.
            unusual: values that are no numbers, for Sacred's documents.
        """
        self._database = database
        self._run = run
        self._names: dict[str, bytes] = {}  # ids by encoded name
        self._summaries: dict[bytes, MetricSummary] = {}
        self._changed: set[bytes] = set()
        self._new_points = 0  # since summaries were last written
        self._must_sum = False  # not everything that the summaries lack can be read back from tails
        self._summed: dict[int, int] = {}  # by segment: the sequence up to which the run's document sums its points
        self._summed_at = -math.inf
        self._named: list[dict[str, str]] = []
        self._segments: dict[int, SegmentPoints] = {}
        self._taken: dict[int, int] = {}  # the last sequence of each segment that was taken and not stored
        self._history: dict[bytes, Stretch] = {}
        self._pyramid = PyramidBuilder(database)
        self._sacred = SacredMetrics(database, run, is_new=is_new, unusual=unusual)

    # ---- a batch

    def take(self, segment: int, columns: Mapping[str, PointColumns]) -> None:
        """Add points that follow what was taken of this segment, by encoded metric name."""
        if segment == HISTORY_SEGMENT:
            self._take_history(columns)
            return
        points = self._segment(segment)
        self._compact(segment)
        for encoded, alike in _alike(columns):
            metrics = [self._names.get(name) or self._find(name) for name in encoded]
            values = np.concatenate([column.values for column in alike]).reshape(len(alike), -1)
            first = alike[0]
            group = points.take(MetricGroup(metrics, first.steps, first.wall_times, first.sequences, values))
            if len(group.steps):
                self._extend_summaries(segment, group)
                self._taken[segment] = max(self._taken.get(segment, 0), int(group.sequences[-1]))

    def store(self) -> None:
        """Write what was taken. All keys follow from the journal: a replay overwrites it with itself."""
        for segment, sequence in self._taken.items():
            self._must_sum |= self._segments[segment].store(sequence)
        self._taken = {}
        self._store_history()
        self._pyramid.flush()
        self._named += self._sacred.create()

    def summary_changes(self, *, force: bool = False) -> dict[str, Any]:
        """What to set in the run's document for the metrics that got points since their summaries were last written.

        Those of very many metrics wait until they have more news, unless `force`: a courier that goes on where this one
        was killed has them from the tails.
        """
        count = len(self._changed)
        is_late = time.monotonic() - self._summed_at >= _SUMMARY_SECONDS
        is_small = count <= _FEW_SUMMARIES or self._new_points >= _SUMMARY_POINTS * count
        if not (is_small or is_late or force or self._must_sum):
            return {}
        changes = {}
        for metric in self._changed:
            summary = self._summaries[metric]
            changes[summary_path(summary.name)] = summary.as_document()
        self._changed = set()
        self._new_points, self._must_sum, self._summed_at = 0, False, time.monotonic()
        self._summed = {segment: points.sequence for segment, points in self._segments.items() if points.sequence}
        return changes

    def summary_fields(self) -> list[str]:
        """The fields of all summaries that are kept here, in the run's document."""
        return [summary_path(summary.name) for summary in self._summaries.values()]

    def final_changes(self, segment: int) -> dict[str, Any]:
        """What is to be written, as after a batch, before `finish_segment`."""
        self._segment(segment)
        return self.summary_changes(force=True)

    def summed_changes(self) -> dict[str, int]:
        """What to set in the checkpoints: how far the summaries go. Belongs to the same update as those."""
        return {f"{JOURNAL}.{segment:016x}.summed": sequence for segment, sequence in self._summed.items()}

    def newly_named(self) -> list[dict[str, str]]:
        """Entries for `info.metrics`, by which Sacred's readers find the metrics of a run."""
        named, self._named = self._named, []
        return named

    # ---- after a checkpoint

    def tidy(self) -> None:
        """Make chunks and bring Sacred's documents up to date where that is due; nothing more comes for a moment."""
        for segment, points in self._segments.items():
            points.rest()
            self._compact(segment)
        self._refresh_sacred(force=False)

    def show_all(self) -> None:
        """Bring Sacred's documents of short metrics up to date: somebody looks."""
        self._refresh_sacred(force=False, somebody_looks=True)

    def finish_segment(self, segment: int, *, is_last: bool) -> None:
        """Leave full chunks and one more for each metric; the segment gets no more points and may be deleted then.

        Call it when its `final_changes` have been written.

        Args:
            is_last: nothing else of the run waits here: Sacred's documents are brought up to date too.
        """
        points = self._segment(segment)
        del self._segments[segment]
        self._summed.pop(segment, None)
        points.finish(lambda stretches: self._sacred.append(segment, stretches, self._summaries))
        if is_last:
            self._find_all()
        self._refresh_sacred(force=is_last)

    def _compact(self, segment: int) -> None:
        """Make chunks of the segment's tails if they are many."""
        points = self._segments[segment]
        if not points.is_heavy:
            return
        if self._summed.get(segment, 0) < points.sequence:
            self._must_sum = True  # and next time the tails are not needed any more
            return
        # Sacred's documents first: appending what the tails hold is cheaper than reading it back from chunks.
        points.compact(lambda stretches: self._sacred.append(segment, stretches, self._summaries))

    def _refresh_sacred(self, *, force: bool, somebody_looks: bool = False) -> None:
        due = self._sacred.due(self._summaries, force=force, somebody_looks=somebody_looks)
        for segment in {segment for segment in due.values() if segment in self._segments}:
            for stretches in self._segments[segment].read_tails():
                chosen = {metric: stretch for metric, stretch in stretches.items() if due.get(metric) == segment}
                self._sacred.append(segment, chosen, self._summaries)
        self._sacred.rewrite(self._sacred.still_behind(due, self._summaries), self._summaries)

    # ---- metrics

    def _segment(self, segment: int) -> SegmentPoints:
        points = self._segments.get(segment)
        if points is None:
            points = self._segments[segment] = SegmentPoints(self._database, self._run, segment, self._pyramid)
            self._sum_up(segment, points)
        return points

    def _sum_up(self, segment: int, points: SegmentPoints) -> None:
        """Add to the summaries what their document lacks of the points that were stored before."""
        known = self._run["cloister"]["journal"].get(f"{segment:016x}") or {}
        self._summed[segment] = int(known.get("summed", 0))
        if self._summed[segment] < points.sequence:
            for group in points.groups_after(self._summed[segment]):
                self._find_by_id(group.metrics)
                self._extend_summaries(segment, group)

    def _find_by_id(self, metrics: Sequence[bytes]) -> None:
        unknown = [object_id(metric) for metric in metrics if metric not in self._summaries]
        if unknown:
            for document in self._database["metrics"].find({"_id": {"$in": unknown}}, {"name": 1}):
                self._find(encode_field_name(document["name"]))

    def _find(self, encoded: str) -> bytes:
        name = decode_field_name(encoded)
        metric: bytes = metric_id(self._run["cloister"]["uid"], name).binary
        self._names[encoded] = metric
        if metric not in self._summaries:
            _, kind, field = summary_path(name).split(".", 2)
            document = (self._run["cloister"].get(kind) or {}).get(field)
            self._summaries[metric] = read_summary(name, document) if document else empty_summary(name)
        return metric

    def _find_all(self) -> None:
        """All metrics of the run, also those whose points came from a courier that was killed before it was done."""
        ours = self._run["cloister"]
        names = [*(ours.get("summary") or {}), *(f"{SYSTEM_PREFIX}{name}" for name in ours.get("system") or {})]
        for encoded in names:
            metric = self._names.get(encoded) or self._find(encoded)
            self._sacred.know(metric, self._summaries[metric].name, self._summaries[metric].count)
        self._sacred.create()

    def _extend_summaries(self, segment: int, group: MetricGroup) -> None:
        finite = np.isfinite(group.values)
        some = np.any(finite, axis=1).tolist()
        lows = np.where(finite, group.values, np.inf).min(axis=1).tolist()
        highs = np.where(finite, group.values, -np.inf).max(axis=1).tolist()
        lasts = group.values[:, -1].tolist()
        count, last_step, max_step = len(group.steps), int(group.steps[-1]), int(group.steps.max())
        for metric, has_any, low, high, last in zip(group.metrics, some, lows, highs, lasts, strict=True):
            summary = self._summaries[metric]
            self._summaries[metric] = summary.extended_by(
                count, last, low if has_any else None, high if has_any else None, last_step, max_step
            )
            self._sacred.note(metric, summary.name, segment, summary.count)
        self._changed.update(group.metrics)
        self._new_points += group.values.size

    # ---- history shared with another run

    def _take_history(self, columns: Mapping[str, PointColumns]) -> None:
        for encoded, column in columns.items():
            points = Points(column.steps, column.values, column.wall_times)
            metric = self._find(encoded)
            self._history[metric] = Stretch(HISTORY_SEGMENT, 0, points)
            summary = self._summaries[metric]
            self._summaries[metric] = summary.extended(points)
            self._sacred.note(metric, summary.name, HISTORY_SEGMENT, summary.count)
            self._changed.add(metric)
        self._must_sum = True

    def _store_history(self) -> None:
        if not self._history:
            return
        pieces = Pieces(self._database, HISTORY_SEGMENT, is_new=False)
        for metric, chunk in pieces.take_in(self._history, merge_all=True):
            self._pyramid.add_chunk(object_id(metric), HISTORY_SEGMENT, chunk.offset, chunk.points)
        for metric, stretch in self._history.items():
            self._pyramid.finish_segment(object_id(metric), HISTORY_SEGMENT, stretch.end)
        self._history = {}


def _alike(columns: Mapping[str, PointColumns]) -> Iterator[tuple[list[str], list[PointColumns]]]:
    """Names and columns of metrics whose points come from the same records, which have one step and one time."""
    groups: dict[tuple[int, int, int, bytes], tuple[list[str], list[PointColumns]]] = {}
    shared: dict[int, tuple[int, int, int, bytes]] = {}  # by identity: most columns of a batch share their arrays
    for name, column in columns.items():
        sequences = column.sequences
        key = shared.get(id(sequences))
        if key is None:
            count = len(sequences)
            if not count:
                continue
            first, last = int(sequences[0]), int(sequences[-1])
            # As many as there can be between the first and the last are all there are.
            key = (count, first, last, b"" if last - first + 1 == count else sequences.tobytes())
            shared[id(sequences)] = key
        names, alike = groups.setdefault(key, ([], []))
        names.append(name)
        alike.append(column)
    yield from groups.values()
