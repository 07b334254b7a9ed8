"""What Sacred's readers find of a copied run: its document, and those of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import numpy as np

from ..foreign_runs import mapping
from ..metric_chunks import metric_id
from ..points import Points
from ..sacred_metrics import SACRED_POINTS, THINNED_PIXELS
from ..thinning import thin
from .adopted_files import AdoptedFile
from .adopted_points import AdoptedMetric
from .prepared_run import PreparedRun, completed_artifacts, source_pairs
from .run_source import FileRef

CAPTURED_CHARACTERS = 256 * 1024  # as much as our own runs keep there; the console has all
LITERAL_POINTS = 100_000  # a document of more than three times as many would be too large

_PLAIN = frozenset((str, int, float, bool, datetime, type(None)))
# Every field that Sacred's readers look for in a run.
_SKELETON: dict[str, Any] = {
    "command": None,
    "host": {},
    "start_time": None,
    "stop_time": None,
    "heartbeat": None,
    "status": None,
    "config": {},
    "meta": {},
    "resources": [],
    "result": None,
    "fail_trace": [],
}
_DOCUMENTS, _LISTS = ("host", "config", "meta"), ("resources", "fail_trace")


def run_document(run: PreparedRun, files: Mapping[FileRef, AdoptedFile]) -> dict[str, Any]:
    """The run's document without `_id` and `cloister`: as Sacred has it, with the files' ids here."""
    document = {
        name: _without_odd_dates(value) for name, value in run.document.items() if name not in ("_id", "cloister")
    }
    whole = {**_SKELETON, **document}
    for names, kind in ((_DOCUMENTS, dict), (_LISTS, list)):
        whole.update({name: kind() for name in names if whole[name] is None})
    experiment = mapping(whole.get("experiment"))
    pairs = [[path, known.file_id] for path, ref in source_pairs(run.document) if (known := files.get(ref))]
    whole["experiment"] = {**experiment, "sources": [pair for pair in pairs if pair[1] is not None]}
    whole["artifacts"] = completed_artifacts(run, files)
    whole["captured_out"] = run.captured_out[-CAPTURED_CHARACTERS:]
    named = [{"name": metric.name, "id": str(metric_id(run.head.uid, metric.name))} for metric in run.metrics]
    whole["info"] = {**mapping(whole.get("info")), "metrics": named}
    return whole


def metric_document(run_id: Any, metric: AdoptedMetric) -> dict[str, Any]:
    """A metric's three lists: Sacred's own while they are short, or say more than points do; else the extremes."""
    count = len(metric.points)
    points, columns = metric.points, None
    if len(metric.documents) == 1 and count <= (
        LITERAL_POINTS if metric.is_literal or not metric.is_packed else SACRED_POINTS
    ):
        columns = _literal(metric.documents[0])
    elif count > SACRED_POINTS:
        points = _extremes(points)
    if columns is None:
        columns = {
            "steps": points.steps.tolist(),
            "values": points.values.tolist(),
            "timestamps": [datetime.fromtimestamp(time, timezone.utc) for time in points.wall_times.tolist()],
        }
    cover = {"count": count, "stored": len(points), "thinned": len(points) < count}
    return {"run_id": run_id, "name": metric.name, **columns, "cloister": cover}


def _literal(document: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name: document.get(name) for name in ("steps", "values", "timestamps")}
    return {name: _without_odd_dates(column if isinstance(column, list) else []) for name, column in lists.items()}


def _extremes(points: Points) -> Points:
    ordered = points.sorted_by_step()
    return ordered[thin(ordered.steps.astype(np.float64), ordered.values, THINNED_PIXELS)]


def _without_odd_dates(value: Any) -> Any:
    """Dates beyond the year 9999, which only a driver that is asked to can read, as text."""
    from bson.datetime_ms import DatetimeMS

    if isinstance(value, DatetimeMS):
        return f"<a date {int(value):,} ms after 1970>"
    if isinstance(value, dict):
        return {key: _without_odd_dates(child) for key, child in value.items()}
    if isinstance(value, list) and not set(map(type, value)) <= _PLAIN:
        return [_without_odd_dates(child) for child in value]
    return value
