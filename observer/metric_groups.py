"""Metrics that a batch logged together, and what a tail is to hold of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .metric_tails import Frame
from .points import Float64s, Int64s, Points


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


@dataclass(frozen=True)
class GroupPart:
    """What a tail is to hold of a metric: the points of its row of a group, the first `skipped` excepted."""

    metric: bytes
    offset: int
    group: MetricGroup
    row: int
    skipped: int


def clock_of(part: GroupPart) -> Points:
    """The steps and wall times of a part; its values mean nothing."""
    group = part.group
    return Points(group.steps, group.wall_times, group.wall_times)[slice(part.skipped, None)]


def frames_of(parts: Sequence[GroupPart]) -> Iterator[tuple[int, Frame]]:
    """Frames of parts with one clock, one for each first byte of the metrics' ids."""
    parts = sorted(parts, key=lambda part: part.metric)
    group, skipped = parts[0].group, parts[0].skipped
    clock = clock_of(parts[0])
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


def groups_behind(frame: Frame, clock: Points, known: Int64s) -> Iterator[MetricGroup]:
    """A frame without the first points of each metric, as many as are `known`; their sequences are lost."""
    for skipped in np.unique(known[known < len(clock)]).tolist():
        rows = np.flatnonzero(known == skipped)
        metrics = [frame.metrics[row] for row in rows.tolist()]
        rest = clock[slice(skipped, None)]
        yield MetricGroup(metrics, rest.steps, rest.wall_times, rest.steps, frame.values[rows, skipped:])
