"""What `log_scalar` was given: numbers for the metric's columns, and what a point really was where it is no number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ...observer.field_names import encode_field_name
from ..scalars import BadMetric, as_float
from .sacred_encoding import to_stored

EPOCH = datetime(1970, 1, 1)
EXACT = 2**53  # whole numbers up to here are the same as float
STEP_MIN, STEP_MAX = -(2**63), 2**63 - 1
VALUE_LIMIT_BYTES = 256 * 1024  # of one value that is no number
UNUSUAL_AT_ONCE = 1000  # in one record


@dataclass(frozen=True)
class MetricColumns:
    """Points of one metric as numbers, and what those really were that are none.

    Attributes:
        unusual: [step, microseconds, step as given, value as given], as `SacredRecorder.record_unusual` takes them.
    """

    steps: list[int]
    values: list[float]
    wall_times: list[float]
    unusual: list[list[Any]]

    def unusual_groups(self) -> Iterator[list[list[Any]]]:
        """As many as one record should hold at a time."""
        for start in range(0, len(self.unusual), UNUSUAL_AT_ONCE):
            yield self.unusual[start : start + UNUSUAL_AT_ONCE]


def metric_name(name: Any) -> str:
    """The name as the journal spells it."""
    text = name if isinstance(name, str) else str(name)
    return encode_field_name(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def read_columns(columns: Mapping[str, Any]) -> MetricColumns:
    """The points of one metric, from Sacred's three lists."""
    steps, values, moments = columns["steps"], columns["values"], columns["timestamps"]
    plain = _read_plain(steps, values, moments)
    return _read_each(steps, values, moments) if plain is None else plain


def _read_plain(steps: Any, values: Any, moments: Any) -> MetricColumns | None:
    """Columns of plain numbers, as nearly all are: a microsecond a point."""
    kinds = set(map(type, values))
    if not (kinds <= {float, int} and set(map(type, steps)) <= {int}):
        return None
    if int in kinds:
        if not all(-EXACT <= value <= EXACT for value in values if type(value) is int):
            return None
        values = list(map(float, values))
    if steps and not STEP_MIN <= min(steps) <= max(steps) <= STEP_MAX:
        return None
    try:
        return MetricColumns(list(steps), values, [(moment - EPOCH).total_seconds() for moment in moments], [])
    except TypeError:  # times with a zone, or none at all
        return None


def _read_each(steps: Any, values: Any, moments: Any) -> MetricColumns:
    read = MetricColumns([], [], [], [])
    last = -1
    for step, value, moment in zip(steps, values, moments, strict=False):
        number, is_number = _number(value)
        is_whole = type(step) is int and STEP_MIN <= step <= STEP_MAX
        last = place = step if is_whole else _whole(step, last)
        wall_time = _seconds(moment)
        read.steps.append(place)
        read.values.append(number)
        read.wall_times.append(wall_time)
        if not (is_number and (is_whole or (type(step) is float and step == place))):
            given = to_stored(step, VALUE_LIMIT_BYTES), to_stored(value, VALUE_LIMIT_BYTES)
            read.unusual.append([place, round(wall_time * 1e6), *given])
    return read


def _number(value: Any) -> tuple[float, bool]:
    """The float that comes nearest, and whether it says all that `value` says."""
    kind = type(value)
    if kind is int:
        try:
            return float(value), -EXACT <= value <= EXACT
        except OverflowError:
            return math.inf if value > 0 else -math.inf, False
    try:
        # A bool is kept as it is beside the number: Sacred's readers tell True from 1.0.
        return as_float("", value), kind is not bool
    except BadMetric:
        return math.nan, False


def _whole(step: Any, last: int) -> int:
    """Where a point stands whose step is no whole number: at the one below it, else behind the point before it."""
    if isinstance(step, (int, float)) and not isinstance(step, bool) and math.isfinite(step):
        return min(max(math.floor(step), STEP_MIN), STEP_MAX)
    return min(last + 1, STEP_MAX)


def _seconds(moment: Any) -> float:
    if not isinstance(moment, datetime):
        return datetime.now(timezone.utc).timestamp()
    if moment.tzinfo is not None:
        return moment.timestamp()
    return (moment - EPOCH).total_seconds()
