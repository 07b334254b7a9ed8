"""The metrics of adopted runs: Sacred's lists as points, and those as packed chunks with their pyramid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ..foreign_metrics import read_series
from ..metric_chunks import METRIC_CHUNKS, chunk_keys_of, metric_id, object_id
from ..metric_pieces import Pieces
from ..metric_pyramid import PyramidBuilder
from ..metric_shipper import HISTORY_SEGMENT
from ..metric_stretches import MetricKey, load_all
from ..metric_tails import Stretch
from ..points import Points
from ..pyramid_levels import PYRAMID
from .run_source import SourceMetric

if TYPE_CHECKING:
    from pymongo.database import Database

RANGES_AT_ONCE = 200
_NUMBERS = frozenset((int, float, bool))
EARLY_SECONDS = 60.0
NAME_SHOWN = 200


@dataclass(frozen=True)
class AdoptedMetric:
    """A metric that is to be stored.

    Attributes:
        points: as RunStore reads them of Sacred's documents.
        is_packed: whether chunks can say what the documents do. Steps that are no whole numbers they cannot: such a
            metric stays where Sacred has put it, and is read there.
        is_literal: whether points say less than the documents: values that are no numbers are gaps among them.
    """

    name: str
    points: Points
    documents: tuple[Mapping[str, Any], ...]
    is_packed: bool
    is_literal: bool


def read_metric(metric: SourceMetric, started: datetime | None, odd: list[str]) -> AdoptedMetric:
    """A metric's points; what of its documents has no place among them is noted in `odd`."""
    series = [read_series(document) for document in metric.documents]
    points = Points.concatenate([each.points for each in series])
    shown = f"metric {metric.name[:NAME_SHOWN]!r}"
    strange = sum(_note_oddities(document, shown, odd) for document in metric.documents)
    is_packed = all(each.x is None for each in series)
    if not is_packed:
        odd.append(f"{shown} has steps that are no whole numbers: it stays in Sacred's layout")
    if len(series) > 1:
        odd.append(f"{shown} has {len(series)} documents: they are read one after the other")
    if started is not None and len(points):
        early = int(np.count_nonzero(points.wall_times < started.timestamp() - EARLY_SECONDS))
        if early:
            odd.append(f"{shown}: {early:,} points are older than the run, of a deleted one of the same number")
    return AdoptedMetric(metric.name, points, metric.documents, is_packed, strange > 0)


def _note_oddities(document: Mapping[str, Any], shown: str, odd: list[str]) -> int:
    """Say what is odd about a document; returns how many of its values are no numbers."""
    missing = [name for name in ("values", "steps", "timestamps") if not isinstance(document.get(name), list)]
    if missing:
        odd.append(f"{shown} has no list of {' and none of '.join(missing)}")
    values, steps, times = (_list(document.get(name)) for name in ("values", "steps", "timestamps"))
    if len(steps) != len(values) and "steps" not in missing:
        odd.append(f"{shown} has {len(values):,} values and {len(steps):,} steps: what is missing is counted on")
    without = len(values) - list(map(type, times[: len(values)])).count(datetime)
    if without and "timestamps" not in missing:
        odd.append(f"{shown}: {without:,} of {len(values):,} points have no time: that of the point before")
    if set(map(type, values)) <= _NUMBERS:
        return 0
    strange = sum(not isinstance(value, (int, float)) for value in values)
    if strange:
        odd.append(f"{shown}: {strange:,} of {len(values):,} values are no numbers: gaps in the curve")
    return strange


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def store_points(database: Database[dict[str, Any]], metrics: Mapping[tuple[str, str], Points]) -> None:
    """Store all points of metrics, by uid of the run and name. Storing them again changes nothing; what was stored of
    an earlier state of the metric is continued where that is its beginning, and replaced where it is not.
    """
    stretches = {
        metric_id(uid, name).binary: Stretch(HISTORY_SEGMENT, 0, points)
        for (uid, name), points in metrics.items()
        if len(points)
    }
    known = _known(database, list(stretches))
    for key in known:
        _forget_unless_same(database, key, stretches[key].points)
    pyramid = PyramidBuilder(database)
    pieces = Pieces(database, HISTORY_SEGMENT, is_new=not known)
    for metric, chunk in pieces.take_in(dict(stretches), merge_all=True):
        pyramid.add_chunk(object_id(metric), HISTORY_SEGMENT, chunk.offset, chunk.points)
    for metric, stretch in stretches.items():
        pyramid.finish_segment(object_id(metric), HISTORY_SEGMENT, stretch.end)
    pyramid.flush()


def _known(database: Database[dict[str, Any]], metrics: Sequence[bytes]) -> set[bytes]:
    """Those of which there are chunks: an adoption was cut off here, or the run has gone on since."""
    found: set[bytes] = set()
    for start in range(0, len(metrics), RANGES_AT_ONCE):
        ranges = [{"_id": chunk_keys_of(object_id(key))} for key in metrics[start : start + RANGES_AT_ONCE]]
        for chunk in database[METRIC_CHUNKS].find({"$or": ranges}, {"_id": 1}):
            found.add(bytes(chunk["_id"])[:12])
    return found


def _forget_unless_same(database: Database[dict[str, Any]], key: bytes, points: Points) -> None:
    metric = object_id(key)
    stored = load_all(database, MetricKey(metric, None, None, ""))
    beginning = points[: len(stored)]
    same = len(stored) <= len(points) and all(
        np.array_equal(one.view(np.int64), other.view(np.int64))
        for one, other in (
            (stored.steps, beginning.steps),
            (stored.values, beginning.values),
            (stored.wall_times, beginning.wall_times),
        )
    )
    if not same:
        database[METRIC_CHUNKS].delete_many({"_id": chunk_keys_of(metric, HISTORY_SEGMENT)})
        database[PYRAMID].delete_many({"_id": _pyramid_keys(key)})


def _pyramid_keys(key: bytes) -> dict[str, Any]:
    from bson import Binary

    return {"$gte": Binary(key + b"\x00" * 13), "$lte": Binary(key + b"\xff" * 13)}
