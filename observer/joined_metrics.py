"""Points of several metrics of a run as the columns of one table, for what is reckoned from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from .points import Float64s, Int64s, Points


@dataclass(frozen=True)
class JoinedMetrics:
    """Rows that all of the metrics have a value for, in the order of their steps.

    Attributes:
        values: a column for each metric, shape (metrics, n).
        wall_times: when the last value of each row was logged.
    """

    steps: Int64s
    wall_times: Float64s
    values: Float64s


def join_metrics(metrics: Sequence[Points]) -> JoinedMetrics:
    """The rows at the steps that all metrics were logged at, with the value logged last at each.

    Metrics that share no step at all (one is logged before its step is counted on, the other after) are joined at all
    steps from where each of them has begun, each with its latest value.
    """
    columns = [_by_step(points) for points in metrics]
    steps = reduce(
        lambda all_steps, points: np.intersect1d(all_steps, points.steps, assume_unique=True),
        columns[1:],
        columns[0].steps,
    )
    if len(steps):
        places = [np.searchsorted(points.steps, steps) for points in columns]
    else:
        steps, places = _latest(columns)
    values = np.stack([points.values[place] for points, place in zip(columns, places, strict=True)])
    times = np.stack([points.wall_times[place] for points, place in zip(columns, places, strict=True)])
    return JoinedMetrics(steps, times.max(axis=0) if len(steps) else np.empty(0), values)


def _by_step(points: Points) -> Points:
    """Ascending steps, each once, with what was logged last at it."""
    steps = points.steps
    if np.all(steps[1:] > steps[:-1]):
        return points
    order = np.argsort(steps, kind="stable")
    is_last = np.append(steps[order][1:] != steps[order][:-1], True)
    return points[order[is_last]]


def _latest(columns: Sequence[Points]) -> tuple[Int64s, list[Int64s]]:
    if not all(len(points) for points in columns):
        return np.empty(0, np.int64), [np.empty(0, np.int64) for _ in columns]
    begun = max(int(points.steps[0]) for points in columns)
    steps = np.unique(np.concatenate([points.steps for points in columns]))
    steps = steps[steps >= begun]
    return steps, [np.searchsorted(points.steps, steps, "right") - 1 for points in columns]
