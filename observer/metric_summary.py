"""What is known of a metric without reading its points: count, last, lowest and highest value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .field_names import decode_field_name

if TYPE_CHECKING:
    from .points import Points

SYSTEM_PREFIX = "system/"  # hardware metrics: shown on the system tab


@dataclass(frozen=True)
class MetricSummary:
    """One metric in short. `min` and `max` are over finite values and None without one.

    Attributes:
        max_step: the largest step; None where that is `last_step`, as nearly always.
        not_numbers: how many of the points have no number for a value. Sacred takes any; they are gaps.
    """

    name: str
    last: float
    min: float | None
    max: float | None
    last_step: int
    count: int
    max_step: int | None = None
    not_numbers: int = 0

    def extended(self, points: Points) -> MetricSummary:
        """The summary once `points` (at least one) have been logged after what it covers."""
        import numpy as np  # only whoever ships has points here: a training that only records need not load it

        finite = points.values[np.isfinite(points.values)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
        steps = int(points.steps[-1]), int(points.steps.max())
        return self.extended_by(len(points), float(points.values[-1]), low, high, *steps)

    def extended_by(
        self, count: int, last: float, low: float | None, high: float | None, last_step: int, max_step: int
    ) -> MetricSummary:
        """The summary once `count` (at least one) points have been logged after what it covers.

        Args:
            last, last_step: value and step of the last of them.
            low, high: the extremes of the finite ones, None if there is none.
            max_step: their largest step.
        """
        if self.count:
            max_step = max(max_step, self.last_step if self.max_step is None else self.max_step)
        return MetricSummary(
            self.name,
            last,
            low if self.min is None or (low is not None and low < self.min) else self.min,
            high if self.max is None or (high is not None and high > self.max) else self.max,
            last_step,
            self.count + count,
            max_step if max_step > last_step else None,
        )

    def as_document(self) -> dict[str, Any]:
        document = {
            "last": self.last,
            "min": self.min,
            "max": self.max,
            "last_step": self.last_step,
            "count": self.count,
        }
        return document if self.max_step is None else {**document, "max_step": self.max_step}


def empty_summary(name: str) -> MetricSummary:
    return MetricSummary(name, math.nan, None, None, -1, 0)


def read_summary(name: str, document: Mapping[str, Any]) -> MetricSummary:
    """A stored summary; fields of a foreign shape count as missing."""
    get = document.get
    return MetricSummary(
        name,
        _number(get("last"), math.nan),
        _number(get("min"), None),
        _number(get("max"), None),
        int(_number(get("last_step"), -1)),
        int(_number(get("count"), 0)),
        _number(get("max_step"), None),
    )


def read_summaries(documents: Mapping[str, Any]) -> dict[str, MetricSummary]:
    """Summaries as stored in a run, by real metric name."""
    names = {
        decode_field_name(field): value for field, value in documents.items() if isinstance(value, (dict, Mapping))
    }
    return {name: read_summary(name, value) for name, value in names.items()}


def _number(value: Any, otherwise: Any) -> Any:
    if type(value) is float or type(value) is int:  # asked first: a page of fifty runs has ten thousand of them
        return value
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise
