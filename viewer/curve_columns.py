"""Curves as JSON: the columns of a line for a browser (packed) or for a script (plain lists)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .run_keys import run_key

if TYPE_CHECKING:
    from ..observer.metric_reader import Curve
    from ..observer.metric_summary import MetricSummary
    from ..observer.points import Float64s
    from ..observer.run_record import RunRecord

Encoding = Literal["json", "base64"]


def curve_json(
    run: RunRecord, metric: str, curve: Curve, summary: MetricSummary | None, encoding: Encoding
) -> dict[str, Any]:
    """One run's line of one metric.

    `y` has null where the value is not finite, and `nonfinite` says where and what it was: JSON has no NaN. Packed
    columns are base64 of little-endian float64 and hold NaN and infinities as they are. `not_numbers` says how many
    values of the whole metric are text or nothing at all: Sacred stores those, a chart has a gap there.
    """
    pack = pack_column if encoding == "base64" else list_column
    return {
        "run_id": run_key(run.id),
        "metric": metric,
        "name": run.name,
        "status": run.status,
        "start": run.start_time.timestamp() if run.start_time else None,
        "x": pack(curve.x),
        "step": pack(curve.steps.astype(np.float64)),
        "time": pack(curve.wall_times),
        "y": pack(curve.values),
        "nonfinite": nonfinite_places(curve.values),
        "total": curve.total,
        "thinned": curve.thinned,
        "last": None if summary is None else summary_json(summary),
        "not_numbers": 0 if summary is None else summary.not_numbers,
    }


def summary_json(summary: MetricSummary) -> dict[str, Any]:
    return {
        "value": number_json(summary.last),
        "step": summary.last_step,
        "min": number_json(summary.min),
        "max": number_json(summary.max),
        "count": summary.count,
    }


def pack_column(values: Float64s) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode("ascii")


def list_column(values: Float64s) -> list[float | None]:
    column: list[float | None] = values.astype(object).tolist()
    for place in np.flatnonzero(~np.isfinite(values)):
        column[place] = None
    return column


def nonfinite_places(values: Float64s) -> dict[str, list[int]]:
    """Where a column is not a number: indices by "nan", "inf" and "-inf"; kinds that do not occur are left out."""
    places = {"nan": np.isnan(values), "inf": np.isposinf(values), "-inf": np.isneginf(values)}
    return {kind: np.flatnonzero(mask).tolist() for kind, mask in places.items() if mask.any()}


def number_json(value: float | None) -> float | str | None:
    """A number that JSON can hold; NaN and infinities by name, since they were logged as such."""
    if value is None or np.isfinite(value):
        return value
    return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
