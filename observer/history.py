"""The history of a run: metrics that were logged at different steps as one table, a row for each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .errors import CloisterError
from .points import Float64s, Int64s, Points

if TYPE_CHECKING:
    import pandas

STEP, WALL_TIME = "step", "wall_time"


class PandasMissing(CloisterError, ImportError):
    """A history was asked for where pandas is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "A history is a pandas DataFrame, and pandas is not installed here. Install it (pip install pandas, or "
            "'cloister[viewer]', which has it), or read one metric at a time with points(name), which needs none."
        )


def tabulate(metrics: Mapping[str, Points], *, wall_time: bool) -> pandas.DataFrame:
    """One row for each step at which any of the metrics was logged, by ascending step.

    Args:
        metrics: points by column name. Where a metric has several points at a step, the one logged last counts: a run
            that was resumed goes over some steps again. A metric called `step` or `wall_time` becomes `metric/step`,
            `metric/wall_time`.
        wall_time: whether to add the column `wall_time`, UTC: when the last point of the row was logged.

    Returns:
        The column `step`, int64, then the metrics in the order given, float64: NaN where a metric was not logged.

    Raises:
        PandasMissing: it is not installed.
    """
    try:
        import pandas  # nobody who trains pays for it
    except ImportError as error:
        raise PandasMissing from error
    last = {name: _last_of_each_step(points) for name, points in metrics.items()}
    steps = _union(points.steps for points in last.values())
    columns: dict[str, object] = {STEP: steps}
    latest = np.full(len(steps), -np.inf)
    for name, points in last.items():
        rows = np.searchsorted(steps, points.steps)
        column: Float64s = np.full(len(steps), np.nan)
        column[rows] = points.values
        latest[rows] = np.maximum(latest[rows], points.wall_times)
        columns[f"metric/{name}" if name in (STEP, WALL_TIME) else name] = column
    if wall_time:
        times = np.round(latest * 1e6).astype("datetime64[us]")
        columns = {STEP: steps, WALL_TIME: pandas.Series(times).dt.tz_localize("UTC"), **columns}
    table: pandas.DataFrame = pandas.DataFrame(columns)
    return table


def _last_of_each_step(points: Points) -> Points:
    ordered = points.sorted_by_step()
    if not len(ordered):
        return ordered
    return ordered[np.flatnonzero(np.append(ordered.steps[1:] != ordered.steps[:-1], True))]


def _union(columns: Iterable[Int64s]) -> Int64s:
    """All steps, each once, ascending. Most metrics share theirs, so equal columns are looked at once."""
    different = {column.tobytes(): column for column in columns}
    return np.unique(np.concatenate([np.empty(0, np.int64), *different.values()]))
