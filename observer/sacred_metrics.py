"""A run's metrics as Sacred's readers find them: documents of three arrays, exact while short, thinned when long.

Hardware metrics are not among them: Sacred has none, and its readers would draw them over those of the training.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .hardware.metric_table import is_hardware_metric
from .metric_reader import StoredMetric, load_curve
from .metric_stretches import MetricKey, load_many
from .metric_tails import Stretch, join_stretches
from .points import Points
from .resumed_metrics import find_sacreds_own

if TYPE_CHECKING:
    from pymongo.database import Database

    from .metric_summary import MetricSummary
    from .unusual_values import UnusualValues

SACRED_POINTS = 10_000  # exact up to here; Sacred's layout has a limit at 385,000 points, where a document is full
THINNED_PIXELS = 1000  # of longer metrics: the lowest and the highest point of as many stretches
APPEND_GROWTH = 1.25  # new points are appended when there is a quarter more of them: few updates, none sent twice
REWRITE_GROWTH = 2.0  # a thinned document is rewritten when its metric has doubled: all rewrites cost twice the last
REFRESH_SECONDS = 10.0  # as often as Sacred itself writes
_WRITES_AT_ONCE = 200
_POINTS_AT_ONCE = 50_000
_MIXED = -1  # points of several segments, or unknown ones, are missing
_EARLIEST_MS, _LATEST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years that a datetime can hold


@dataclass
class _Copy:
    """One document: how many of the metric's points it stands for, and where those come from that it lacks."""

    name: str
    count: int
    missing_from: int | None  # the one segment that they are from; None if nothing is missing
    written: float


class SacredMetrics:
    """Keeps the documents in `metrics` near what is stored; in each, the arrays have one length at any moment."""

    def __init__(
        self,
        database: Database[dict[str, Any]],
        run: Mapping[str, Any],
        *,
        is_new: bool,
        unusual: UnusualValues | None = None,
    ) -> None:
        self._database = database
        self._unusual = unusual  # what points without a number really were
        self._documents = database["metrics"]
        self._run_id = run["_id"]
        self._uid = run["cloister"]["uid"]
        self._copies: dict[bytes, _Copy] = {}
        self._ids: dict[bytes, Any] = {}  # of documents that Sacred has written, before the run was resumed
        self._hardware: set[bytes] = set()
        self._unknown: dict[bytes, str] = {}  # metrics that may have no document yet
        self._looked = time.monotonic()
        self._is_new = is_new
        self._listed: set[Any] | None = set() if is_new else None

    def note(self, metric: bytes, name: str, segment: int, count: int) -> None:
        """`segment` has brought points of this metric, behind `count` others."""
        self.know(metric, name, count)
        copy = self._copies.get(metric)
        if copy is None:
            return
        if copy.missing_from is None:
            copy.missing_from = segment
        elif copy.missing_from != segment:
            copy.missing_from = _MIXED

    def know(self, metric: bytes, name: str, count: int) -> None:
        """This metric has `count` points."""
        if metric in self._copies or metric in self._hardware:
            return
        self._unknown[metric] = name
        if is_hardware_metric(name):
            self._hardware.add(metric)
        else:
            self._copies[metric] = _Copy(name, count, None, 0.0)

    def create(self) -> list[dict[str, str]]:
        """Make the documents that are missing; returns how `info.metrics` names those that were noted first."""
        from bson import ObjectId
        from pymongo import UpdateOne

        if not self._unknown:
            return []
        known = set() if self._is_new else self._load_copies(self._unknown)
        known |= set() if self._is_new else self._take_over(known)
        writes = [
            UpdateOne({"_id": ObjectId(metric)}, {"$setOnInsert": self._first_document(metric, name)}, upsert=True)
            for metric, name in self._unknown.items()
            if metric not in known
        ]
        for start in range(0, len(writes), 1000):
            self._documents.bulk_write(writes[start : start + 1000], ordered=False)
        listed = self._load_listed()
        shown = [metric for metric in self._unknown if metric not in self._hardware]
        entries = [{"name": self._unknown[metric], "id": str(self._id(metric))} for metric in shown]
        self._unknown = {}
        return [entry for entry in entries if entry["id"] not in listed]

    def append(
        self, segment: int, stretches: Mapping[bytes, Stretch], summaries: Mapping[bytes, MetricSummary]
    ) -> None:
        """Append to the documents what they lack, where that is the end of `stretches` and they stay short."""
        from pymongo import UpdateOne

        writes: list[UpdateOne] = []
        written: dict[bytes, int] = {}
        for metric, stretch in stretches.items():
            copy, total = self._copies.get(metric), summaries[metric].count if metric in summaries else 0
            if copy is None or copy.missing_from != segment or total > SACRED_POINTS:
                continue
            missing = total - copy.count
            if not 0 < missing <= len(stretch.points):
                continue
            columns = self._columns(metric, stretch.points[slice(len(stretch.points) - missing, None)])
            counts = {"cloister.count": total, "cloister.stored": total}
            update: dict[str, Any] = {"$set": {**columns, **counts}}
            if copy.count:
                update = {"$set": counts, "$push": {name: {"$each": values} for name, values in columns.items()}}
            known = {"_id": self._id(metric), "cloister.count": copy.count, "cloister.thinned": False}
            writes.append(UpdateOne(known, update))
            written[metric] = total
            if len(writes) >= _WRITES_AT_ONCE:
                self._write(writes, written)
                writes, written = [], {}
        self._write(writes, written)

    def due(
        self, summaries: Mapping[bytes, MetricSummary], *, force: bool, somebody_looks: bool = False
    ) -> dict[bytes, int | None]:
        """Which documents should be written now, and the one segment whose points they lack, if it is one.

        Args:
            somebody_looks: short ones should be exact now, long ones when it is their time.
        """
        now = time.monotonic()
        if not (force or somebody_looks) and now - self._looked < REFRESH_SECONDS / 4:
            return {}
        self._looked = now
        due: dict[bytes, int | None] = {}
        for metric, copy in self._copies.items():
            count = summaries[metric].count if metric in summaries else copy.count
            growth = REWRITE_GROWTH if count > SACRED_POINTS else APPEND_GROWTH
            is_late = count >= growth * copy.count and now - copy.written >= REFRESH_SECONDS
            is_wanted = force or (somebody_looks and count <= SACRED_POINTS)
            if count != copy.count and (is_wanted or is_late):
                due[metric] = copy.missing_from
        return due

    def still_behind(self, due: Iterable[bytes], summaries: Mapping[bytes, MetricSummary]) -> list[bytes]:
        """Those of `due` that stand for fewer points than there are."""
        return [metric for metric in due if self._copies[metric].count != summaries[metric].count]

    def rewrite(self, metrics: Sequence[bytes], summaries: Mapping[bytes, MetricSummary]) -> None:
        """Write the documents from what is stored."""
        short = {metric: summaries[metric].count for metric in metrics if summaries[metric].count <= SACRED_POINTS}
        for metric in metrics:
            if metric not in short:
                self._rewrite({metric: self._load_thinned(metric, summaries[metric].count)}, summaries)
        block: list[bytes] = []
        size = 0
        for metric, count in short.items():
            block.append(metric)
            size += count
            if size >= _POINTS_AT_ONCE or len(block) >= _WRITES_AT_ONCE:
                self._rewrite(self._load_exactly(block), summaries)
                block, size = [], 0
        self._rewrite(self._load_exactly(block), summaries)

    # ---- inside

    def _id(self, metric: bytes) -> Any:
        from bson import ObjectId

        return self._ids.get(metric) or ObjectId(metric)

    def _take_over(self, known: set[bytes]) -> set[bytes]:
        """Documents of Sacred's for metrics that have none of ours, if an adopted run goes on here."""
        lacking = {each: name for each, name in self._unknown.items() if each not in known | self._hardware}
        taken = find_sacreds_own(self._database, self._run_id, lacking) if lacking else {}
        self._ids |= taken
        return self._load_copies(taken) if taken else set()

    def _first_document(self, metric: bytes, name: str) -> dict[str, Any]:
        if metric in self._hardware:
            # Omniboard draws all metrics of a run on one axis until they are deselected: beside bytes of memory a loss
            # is a flat line. So its readers do not find these by `run_id`; shippers find their names by `_id`.
            return {"name": name, "cloister": {"run_id": self._run_id}}
        cover = {"count": 0, "stored": 0, "thinned": False}
        return {"run_id": self._run_id, "name": name, "steps": [], "values": [], "timestamps": [], "cloister": cover}

    def _write(self, writes: list[Any], written: Mapping[bytes, int]) -> None:
        if not writes:
            return
        matched = self._documents.bulk_write(writes, ordered=False).matched_count
        now = time.monotonic()
        for metric, total in written.items():
            copy = self._copies[metric]
            copy.count, copy.missing_from, copy.written = total, None, now
        if matched != len(writes):  # somebody else ships for this run too, and has written some of them
            self._load_copies(written)

    def _rewrite(self, stored: Mapping[bytes, Points], summaries: Mapping[bytes, MetricSummary]) -> None:
        from pymongo import UpdateOne

        writes, written = [], {}
        for metric, points in stored.items():
            count = summaries[metric].count
            total = written[metric] = count if count > SACRED_POINTS else len(points)
            cover = {"count": total, "stored": len(points), "thinned": len(points) < total}
            known = {"_id": self._id(metric), "cloister.count": {"$lte": total}}
            writes.append(UpdateOne(known, {"$set": {**self._columns(metric, points), "cloister": cover}}))
        self._write(writes, written)

    def _columns(self, metric: bytes, points: Points) -> dict[str, list[Any]]:
        columns = _columns(points)
        return columns if self._unusual is None else self._unusual.put_in(metric, points, columns)

    def _load_thinned(self, metric: bytes, count: int) -> Points:
        """The extremes of a long metric, from its pyramid: it is never read as a whole."""
        from bson import ObjectId

        key = MetricKey(ObjectId(metric), self._uid, self._run_id, self._copies[metric].name)
        stored = StoredMetric(key, None, count, False)
        curve = load_curve(self._database, stored, pixels=THINNED_PIXELS, axis="step", low=None, high=None)
        return Points.empty() if curve is None else Points(curve.steps, curve.values, curve.wall_times)

    def _load_exactly(self, metrics: Sequence[bytes]) -> dict[bytes, Points]:
        names = {self._copies[metric].name: metric for metric in metrics}
        stored = load_many(self._database, self._run_id, self._uid, names) if names else {}
        return {
            names[name]: Points.concatenate([stretch.points for stretch in join_stretches(found)])
            for name, found in stored.items()
        }

    def _load_listed(self) -> set[Any]:
        """The metrics that `info.metrics` named before. To add 5,000 again that are there takes the database 2 s."""
        if self._listed is None:
            run = self._database["runs"].find_one({"_id": self._run_id}, {"info.metrics.id": 1}) or {}
            entries = (run.get("info") or {}).get("metrics") or []
            self._listed = {entry.get("id") for entry in entries if isinstance(entry, dict)}
        return self._listed

    def _load_copies(self, metrics: Iterable[bytes]) -> set[bytes]:
        """How far the documents of these metrics are; returns those that have one."""

        found = set()
        by_id = {self._id(metric): metric for metric in metrics}
        keys = list(by_id)
        for start in range(0, len(keys), 1000):
            known = {"_id": {"$in": keys[start : start + 1000]}}
            for document in self._documents.find(known, {"cloister.count": 1}):
                metric = by_id[document["_id"]]
                found.add(metric)
                copy = self._copies.get(metric)
                count = int((document.get("cloister") or {}).get("count", 0))
                if copy is not None and count != copy.count:
                    copy.count, copy.missing_from = count, _MIXED
        for metric in metrics:
            if metric in self._copies and metric not in found:
                self._copies[metric].count = 0
        return found


def _columns(points: Points) -> dict[str, list[Any]]:
    milliseconds = np.clip(np.floor(points.wall_times * 1000), _EARLIEST_MS, _LATEST_MS).astype("datetime64[ms]")
    return {
        "steps": points.steps.tolist(),
        "values": points.values.tolist(),
        "timestamps": milliseconds.tolist(),  # without time zone, which BSON takes as UTC
    }
