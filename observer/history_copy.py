"""The history that a forked run shares with its parent: the parent's points up to a step, copied by the courier."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .field_names import encode_field_name
from .journal_batches import PointColumns
from .metric_shipper import HISTORY_SEGMENT, MetricShipper
from .metric_summary import SYSTEM_PREFIX
from .run_record import SUMMARY, UID, RunRecord, summary_path
from .run_sessions import FORKED_FROM
from .run_update import RunUpdate
from .runs import MetricNotFound, RunStore

if TYPE_CHECKING:
    from pymongo.database import Database

RETRY_SECONDS = 2.0
LATE_SECONDS = 10.0  # a parent that runs may have logged the step and not shipped it yet


class HistoryCopy:
    """Copies a forked run's history once. Its ids follow from the parent's points: a second copy changes nothing."""

    def __init__(self, database: Database[dict[str, Any]], run: dict[str, Any]) -> None:
        """
        Args:
            run: the forked run's document, at least `_id` and `cloister`; brought up to date by `copy`.
        """
        self._database = database
        self._run = run
        self._began = time.monotonic()
        self._retry_at = 0.0

    def is_due(self) -> bool:
        origin = self._run["cloister"].get("forked_from") or {}
        return origin.get("state") == "waiting" and time.monotonic() >= self._retry_at

    def copy(self, metrics: MetricShipper, update: RunUpdate) -> bool:
        """Copy what there is; what is missing is noted in the run, and nothing waits for it.

        Returns:
            Whether `update` says anything new.
        """
        self._retry_at = time.monotonic() + RETRY_SECONDS
        origin = dict(self._run["cloister"]["forked_from"])
        before = dict(origin)
        parent = self._find_parent(origin)
        if parent is None:
            which = origin["uid"] if origin["run_id"] is None else origin["run_id"]
            origin["note"] = (
                f"Run {which} is not in this database. Its history is added if it comes while this run is recorded."
            )
        else:
            origin.update(run_id=parent.id, uid=parent.uid, note="")
            self._copy_from(parent, origin, metrics, update)
        if origin == before:
            return False
        self._run["cloister"]["forked_from"] = origin
        update.set(FORKED_FROM, origin)
        return True

    def _find_parent(self, origin: dict[str, Any]) -> RunRecord | None:
        known = {"_id": origin["run_id"]} if origin["run_id"] is not None else {UID: origin["uid"]}
        found = self._database["runs"].find_one(known, {"_id": 1})
        return None if found is None else RunStore(self._database).load_run(found["_id"])

    def _copy_from(self, parent: RunRecord, origin: dict[str, Any], metrics: MetricShipper, update: RunUpdate) -> None:
        step = origin["step"]
        summaries = parent.summary.values()
        largest = max((max(known.last_step, known.max_step or known.last_step) for known in summaries), default=None)
        is_short = largest is None or largest < step
        if is_short and parent.status == "running" and time.monotonic() - self._began < LATE_SECONDS:
            origin["note"] = f"Run {parent.id} has not come to step {step} yet."
            return
        for name in parent.summary:
            if not name.startswith(SYSTEM_PREFIX):
                self._copy_metric(parent, name, step, metrics, update)
        origin["state"] = "copied"
        if largest is None:
            origin["note"] = f"Run {parent.id} had no metrics."
        elif is_short:
            origin["note"] = f"Run {parent.id} had come to step {largest} only."

    def _copy_metric(self, parent: RunRecord, name: str, step: int, metrics: MetricShipper, update: RunUpdate) -> None:
        try:
            points = RunStore(self._database).load_points(parent.id, name)
        except MetricNotFound:  # its summary is stored, its points are not
            return
        shared = points[np.flatnonzero(points.steps <= step)]
        if not len(shared):
            return
        encoded = encode_field_name(name)
        sequences = np.arange(1, len(shared) + 1, dtype=np.int64)
        columns = PointColumns(shared.steps, shared.values, shared.wall_times, sequences)
        own = self._own_summary(encoded)
        metrics.take(HISTORY_SEGMENT, {encoded: columns})
        metrics.store()
        changes = metrics.summary_changes()
        if own and summary_path(name) in changes:  # the run has logged already: the newest value is its own
            changes[summary_path(name)].update({key: own[key] for key in ("last", "last_step") if key in own})
        update.set_all(changes)

    def _own_summary(self, encoded: str) -> dict[str, Any]:
        path = f"{SUMMARY}.{encoded}"
        found = self._database["runs"].find_one({"_id": self._run["_id"]}, {path: 1}) or {}
        summary = ((found.get("cloister") or {}).get("summary") or {}).get(encoded)
        return summary if isinstance(summary, dict) else {}
