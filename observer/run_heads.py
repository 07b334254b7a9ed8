"""What charts need of many runs: names, states and where their metrics are, with one question for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .encryption.opened import has_sealed_parts
from .foreign_runs import is_foreign, mapping
from .metric_chunks import metric_id
from .metric_reader import StoredMetric, segments_in, spelled
from .metric_stretches import MetricKey
from .metric_summary import SYSTEM_PREFIX, MetricSummary
from .run_ids import format_run_id
from .run_record import JOURNAL, OWNER, UID, UPDATED_AT, VISIBILITY, RunId, RunRecord, read_run, summary_path

if TYPE_CHECKING:
    from pymongo.database import Database

_HEAD_FIELDS = (
    "status",
    "start_time",
    "stop_time",
    "heartbeat",
    "experiment.name",
    "cloister.schema",
    "cloister.name",
    "cloister.project",
    "cloister.version",
    "cloister.expired",
    "cloister.encryption",
    OWNER,
    VISIBILITY,
    UID,
    JOURNAL,
    UPDATED_AT,
)


@dataclass(frozen=True)
class RunHead:
    """A run as a chart sees it.

    Attributes:
        run: its id, name, project, owner, visibility, state and times, and the summaries of the metrics asked for; all
            else is empty.
        segments: of its journal.
        state: differs whenever its points may differ; None where that cannot be said.
    """

    run: RunRecord
    segments: tuple[int, ...] | None = None
    state: tuple[Any, ...] | None = None

    def summary(self, name: str) -> MetricSummary | None:
        if name.startswith(SYSTEM_PREFIX):
            return self.run.system.get(name[len(SYSTEM_PREFIX) :])
        return self.run.summary.get(name)

    def metric(self, name: str) -> StoredMetric:
        """Where the points of one of the metrics asked for are, if the run has it."""
        stored_name = spelled(name)
        uid = self.run.uid
        key = MetricKey(metric_id(uid or "", stored_name), uid, self.run.id, stored_name, self.segments)
        known = self.summary(name)
        return StoredMetric(key, self.run.start_time, known.count if known else 0, self.run.status != "running")


def find_heads(
    database: Database[dict[str, Any]], run_ids: Sequence[RunId], names: Iterable[str]
) -> dict[str, RunHead]:
    """The heads of those runs of ours that are there, by the word for their id (`run_ids.format_run_id`).

    Runs that Sacred recorded, and those with encrypted parts, are left out: they have to be read whole.
    """
    fields = dict.fromkeys((*_HEAD_FIELDS, *(summary_path(spelled(name)) for name in names)), 1)
    found = database["runs"].find({"_id": {"$in": list(run_ids)}}, fields)
    return {
        format_run_id(document["_id"]): _read_head(document)
        for document in found
        if not is_foreign(document) and not has_sealed_parts(document)
    }


def find_metric_names(database: Database[dict[str, Any]], run_ids: Sequence[RunId]) -> set[str] | None:
    """The metrics of any of the runs, hardware ones under `system/`; None where their documents do not say it all."""
    fields = {UID: 1, "cloister.summary": 1, "cloister.system": 1}
    names: set[str] = set()
    for document in database["runs"].find({"_id": {"$in": list(run_ids)}}, fields):
        if is_foreign(document) or not mapping(document["cloister"].get("summary")):
            return None
        run = read_run(document)
        names |= run.summary.keys() | {f"{SYSTEM_PREFIX}{name}" for name in run.system}
    return names


def _read_head(document: Mapping[str, Any]) -> RunHead:
    ours = mapping(document["cloister"])
    run = read_run(document)
    journal = mapping(ours.get("journal"))
    # As text: what somebody's hand has put there may be of a kind that cannot be compared or hashed.
    state = (ours["uid"], str(ours.get("updated_at")), str(ours.get("version")), str(ours.get("expired")), run.status)
    counted = tuple(sorted((each.name, each.count, each.last_step, str(each.last)) for each in _summaries(run)))
    return RunHead(run, segments_in(journal), (*state, counted, len(journal)))


def _summaries(run: RunRecord) -> Iterable[MetricSummary]:
    yield from run.summary.values()
    yield from run.system.values()
