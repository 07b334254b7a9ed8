"""Curves as JSON: the columns of a line for a browser (packed) or for a script (plain lists)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .run_keys import run_key

if TYPE_CHECKING:
    from ..observer.curve_bands import Band
    from ..observer.metric_reader import Curve
    from ..observer.metric_summary import MetricSummary
    from ..observer.points import Float64s
    from ..observer.run_record import RunRecord

Encoding = Literal["json", "base64", "compact"]


def curve_json(
    run: RunRecord, metric: str, curve: Curve, summary: MetricSummary | None, encoding: Encoding
) -> dict[str, Any]:
    """One run's line of one metric, as `head_json` and `columns_json` say."""
    return {**head_json(run, metric, summary), **columns_json(curve, encoding)}


def head_json(run: RunRecord, metric: str, summary: MetricSummary | None) -> dict[str, Any]:
    """Whose line it is. `not_numbers` says how many values of the whole metric are text or nothing at all: Sacred
    stores those, a chart has a gap there."""
    return {
        "run_id": run_key(run.id),
        "metric": metric,
        "name": run.name,
        "status": run.status,
        "start": run.start_time.timestamp() if run.start_time else None,
        "last": None if summary is None else summary_json(summary),
        "not_numbers": 0 if summary is None else summary.not_numbers,
    }


def columns_json(curve: Curve, encoding: Encoding, *, has_steps: bool = True) -> dict[str, Any]:
    """A line's points.

    `y` has null where the value is not finite, and `nonfinite` says where and what it was: JSON has no NaN. Packed
    columns are base64 of little-endian float64 and hold NaN and infinities as they are; "compact" has the times as
    float32 seconds after `since`, and no steps where they are x.
    """
    columns: dict[str, Any]
    if encoding == "compact":
        since = float(curve.wall_times[0]) if len(curve.wall_times) else 0.0
        columns = {
            "x": pack_column(curve.x),
            "y": pack_column(curve.values),
            "since": since,
            "after": pack_column(curve.wall_times - since, "<f4"),
            **({"step": pack_column(curve.steps.astype(np.float64))} if has_steps else {}),
        }
    else:
        pack = pack_column if encoding == "base64" else list_column
        columns = {
            "x": pack(curve.x),
            "step": pack(curve.steps.astype(np.float64)),
            "time": pack(curve.wall_times),
            "y": pack(curve.values),
        }
    return {
        **columns,
        "nonfinite": nonfinite_places(curve.values),
        "total": curve.total,
        "thinned": curve.thinned,
    }


def band_json(band: Band, encoding: Encoding) -> dict[str, Any]:
    """A group's line: columns of one length, all of finite numbers."""
    pack = list_column if encoding == "json" else pack_column
    columns = {"x": band.x, "mean": band.mean, "std": band.std, "min": band.low, "max": band.high}
    return {**{name: pack(column) for name, column in columns.items()}, "count": pack(band.runs.astype(np.float64))}


def refusal_json(run: RunRecord, metric: str, reason: Exception) -> dict[str, Any]:
    """A run that has no line because of what it would take."""
    return {"run_id": run_key(run.id), "metric": metric, "detail": str(reason)}


def summary_json(summary: MetricSummary) -> dict[str, Any]:
    return {
        "value": number_json(summary.last),
        "step": summary.last_step,
        "min": number_json(summary.min),
        "max": number_json(summary.max),
        "count": summary.count,
    }


def pack_column(values: Float64s, form: str = "<f8") -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=form).tobytes()).decode("ascii")


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
