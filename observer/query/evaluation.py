"""Whether a value meets a condition, as MongoDB would say: for values that this process has already."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .conditions import ME, Condition, Moment

Test = Callable[[Any], bool]


def value_test(condition: Condition, now: datetime, me: tuple[str, ...]) -> Test:
    """A test of the values of the condition's field; None stands for a run without one.

    A list meets what one of its values meets. The states and spans of time of runs are no stored values: not here.
    """
    if condition.operator == "exists":
        return _existence(condition)
    test = _single_test(condition, now, me)
    if condition.operator == "has" and condition.field.kind == "any":
        return lambda value: isinstance(value, (list, tuple)) and any(map(test, value))
    return lambda value: any(map(test, value)) if isinstance(value, (list, tuple)) else test(value)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _existence(condition: Condition) -> Test:
    kind = condition.field.kind
    if kind in ("flag", "time"):
        return lambda value: isinstance(value, datetime)
    if kind in ("text", "list"):
        return lambda value: value is not None and value != "" and value != [] and value != ()
    return lambda value: value is not None


def _single_test(condition: Condition, now: datetime, me: tuple[str, ...]) -> Test:
    value, operator = condition.value, condition.operator
    if operator == "contains":
        return _text_test(value)
    if value is ME:
        return lambda found: found in me
    if isinstance(value, Moment):
        return _time_test(operator, value, now)
    if operator in ("=", "has"):
        return _equality(value)
    return _ordering(operator, value)


def _text_test(text: str) -> Test:
    search = re.compile(re.escape(text), re.IGNORECASE).search
    return lambda found: isinstance(found, str) and search(found) is not None


def _equality(value: Any) -> Test:
    if isinstance(value, float) and value != value:
        return lambda found: isinstance(found, float) and found != found
    if is_number(value):
        return lambda found: is_number(found) and found == value
    return lambda found: type(found) is type(value) and found == value


def _ordering(operator: str, value: Any) -> Test:
    """Numbers are compared with numbers, texts with texts, and with nothing else."""
    wanted: Test = is_number if is_number(value) else lambda found: isinstance(found, str)
    tests: dict[str, Test] = {
        "<": lambda found: wanted(found) and found < value,
        "<=": lambda found: wanted(found) and found <= value,
        ">": lambda found: wanted(found) and found > value,
        ">=": lambda found: wanted(found) and found >= value,
    }
    return tests[operator]


def _time_test(operator: str, moment: Moment, now: datetime) -> Test:
    low, high = moment_bounds(operator, moment, now)
    return lambda found: (
        isinstance(found, datetime)
        and (low is None or (found >= low[0] and (low[1] or found != low[0])))
        and (high is None or (found <= high[0] and (high[1] or found != high[0])))
    )


Bound = tuple[datetime, bool]  # a time, and whether it is itself within


def moment_bounds(operator: str, moment: Moment, now: datetime) -> tuple[Bound | None, Bound | None]:
    """Between which times a time lies that compares so; None where there is no bound."""
    start, end = moment.span(now)
    last: Bound = (start, True) if end is None else (end, False)
    bounds: dict[str, tuple[Bound | None, Bound | None]] = {
        "=": ((start, True), last),
        "<": (None, (start, False)),
        "<=": (None, last),
        ">": ((last[0], not last[1]), None),
        ">=": ((start, True), None),
    }
    return bounds[operator]
