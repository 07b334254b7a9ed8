"""What `log_scalar` was given: numbers for the metric's columns, and what a point really was where it is no number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
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
class ScalarPoint:
    """A point as the columns have it, and what it really was: step and value, None where that is the same."""

    step: int
    value: float
    wall_time: float
    unusual: tuple[Any, Any] | None = None

    @property
    def as_record(self) -> list[Any]:
        """For `SacredRecorder.record_unusual`."""
        assert self.unusual is not None
        return [self.step, round(self.wall_time * 1e6), *self.unusual]


def metric_name(name: Any) -> str:
    """The name as the journal spells it."""
    text = name if isinstance(name, str) else str(name)
    return encode_field_name(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def iter_points(columns: Mapping[str, Any]) -> Iterator[ScalarPoint]:
    """The points of one metric, from Sacred's three lists."""
    last = -1
    for step, value, moment in zip(columns["steps"], columns["values"], columns["timestamps"], strict=False):
        point = _point(step, value, moment, last)
        last = point.step
        yield point


def in_groups(points: Iterable[ScalarPoint]) -> Iterator[list[list[Any]]]:
    """What the unusual ones among `points` really were, for one record each."""
    group: list[list[Any]] = []
    for point in points:
        if point.unusual is not None:
            group.append(point.as_record)
        if len(group) >= UNUSUAL_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _point(step: Any, value: Any, moment: Any, last: int) -> ScalarPoint:
    wall_time = _seconds(moment)
    whole = step if type(step) is int and STEP_MIN <= step <= STEP_MAX else None
    if whole is not None and type(value) is float:
        return ScalarPoint(whole, value, wall_time)  # nearly always
    number, is_number = _number(value)
    place = whole if whole is not None else _whole(step, last)
    if is_number and place == step and type(step) in (int, float):
        return ScalarPoint(place, number, wall_time)
    given = to_stored(value, VALUE_LIMIT_BYTES)
    return ScalarPoint(place, number, wall_time, (to_stored(step, VALUE_LIMIT_BYTES), given))


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
