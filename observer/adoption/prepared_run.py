"""A run of Sacred's, read and ready to be adopted: what is to be stored of it, and what is odd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..field_names import encode_field_name
from ..foreign_runs import SACREDS_ENCODER, mapping, read_pair, sequence
from ..metric_summary import SYSTEM_PREFIX, empty_summary
from ..points import Points
from ..run_record import SCHEMA, RunRecord, read_run
from .adopted_console import console_counts
from .adopted_files import AdoptedFile
from .adopted_points import AdoptedMetric, read_metric
from .run_identity import is_unchanged
from .run_source import FileRef, RunHead, SourceResource, SourceRun

BEGUN, DONE = "begun", "done"  # of `cloister.adopted.state`
NOTES_KEPT = 100


@dataclass
class PreparedRun:
    """What adoption will store of a run.

    Attributes:
        document: as Sacred has it, or would have it in a database.
        record: the same as RunStore reads it before the adoption.
        captured_out: all that it printed.
        oddities: what is odd about it, in words; more may be found while its files are read.
    """

    head: RunHead
    document: dict[str, Any]
    record: RunRecord
    project: str
    metrics: list[AdoptedMetric]
    captured_out: str
    resources: list[SourceResource] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)
    told: int = 0  # of the oddities, how many are known to whoever asked

    @property
    def points(self) -> int:
        return sum(len(metric.points) for metric in self.metrics)

    def has_new_tags(self, noted: Mapping[str, Any] | None) -> bool:
        """Whether somebody has changed tags or notes in Omniboard since the adoption that noted this."""
        seen = mapping(mapping(noted).get("seen"))
        return not is_unchanged(self.head.seen.get("omniboard"), seen.get("omniboard"))

    def name_as(self, run_id: Any) -> str:
        """The run's name under this id: one that only follows from its old id follows from the new one."""
        return self.record.name if run_id == self.head.id else read_run({**self.document, "_id": run_id}).name

    def lost_artifacts(self, files: Mapping[FileRef, AdoptedFile]) -> list[dict[str, Any]]:
        """Artifacts whose bytes cannot be had, by name: an entry without a file breaks Sacred's readers."""
        entries = artifact_entries(self.document)
        known = [files.get(entry["file_id"]) for entry in entries]
        return [
            {"name": entry["name"], "sha256": None, "size": 0, "content_type": None, "logged_at": None}
            for entry, file in zip(entries, known, strict=True)
            if file is None or file.file_id is None
        ]

    def file_refs(self) -> list[FileRef]:
        """The files that it names: sources, artifacts, and resources that were stored."""
        refs = [pair[1] for pair in source_pairs(self.document)]
        refs += [entry["file_id"] for entry in artifact_entries(self.document)]
        refs += [resource.ref for resource in self.resources]
        return [ref for ref in dict.fromkeys(refs) if ref is not None]


def prepare_run(head: RunHead, run: SourceRun, *, project: str | None) -> PreparedRun:
    """Read a run. Never raises for what is in it: what has no form is left out and told.

    Args:
        project: for all runs; that of its experiment's name if None.
    """
    odd = list(run.oddities)
    document = run.document
    record = read_run(document)
    odd += _odd_fields(document, record)
    metrics = [read_metric(metric, record.start_time, odd) for metric in run.metrics]
    captured = document.get("captured_out")
    return PreparedRun(
        head=head,
        document=document,
        record=record,
        project=project or record.project,
        metrics=metrics,
        captured_out=captured if isinstance(captured, str) else "",
        resources=run.resources,
        oddities=odd,
    )


def summaries(metrics: list[AdoptedMetric]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the run's document says of its metrics: `cloister.summary`, and `cloister.system`."""
    plain: dict[str, Any] = {}
    system: dict[str, Any] = {}
    for metric in metrics:
        if len(metric.points):
            summary = empty_summary(metric.name).extended(metric.points).as_document()
            if metric.name.startswith(SYSTEM_PREFIX):
                system[encode_field_name(metric.name[len(SYSTEM_PREFIX) :])] = summary
            else:
                plain[encode_field_name(metric.name)] = summary
    return plain, system


def packed_metrics(runs: Sequence[PreparedRun]) -> dict[tuple[str, str], Points]:
    """The points that go into chunks, by uid of the run and name of the metric."""
    return {(run.head.uid, metric.name): metric.points for run in runs for metric in run.metrics if metric.is_packed}


def adopted_note(run: PreparedRun, kind: str, label: str, state: str) -> dict[str, Any]:
    """`cloister.adopted`: where the run is from, and what it was like there."""
    return {
        "from": label,
        "kind": kind,
        "id": run.head.id,
        "at": datetime.now(timezone.utc),
        "state": state,
        "seen": dict(run.head.seen),
        "notes": run.oddities[:NOTES_KEPT],
    }


def recorded_fields(run: PreparedRun, files: Mapping[FileRef, AdoptedFile]) -> dict[str, Any]:
    """What under `cloister` follows from the run's record, new at each adoption."""
    plain, system = summaries(run.metrics)
    return {
        "summary": plain,
        "system": system,
        "console": console_counts(run.captured_out),
        "sources": [
            {
                "path": str(path),
                "sha256": known.sha256 if (known := files.get(ref)) else None,
                "size": known.size if known else 0,
                "file_id": known.file_id if known else None,
            }
            for path, ref in source_pairs(run.document)
        ],
        "resources": _resources(run, files),
        "updated_at": datetime.now(timezone.utc),
    }


def _resources(run: PreparedRun, files: Mapping[FileRef, AdoptedFile]) -> list[dict[str, Any]]:
    entries = []
    for resource in run.resources:
        known = files.get(resource.ref) if resource.ref is not None else None
        if known is not None:
            facts = {"sha256": known.sha256, "size": known.size, "file_id": known.file_id}
            entries.append({"path": resource.path, **facts, "md5": resource.md5})
    return entries


def first_fields(run: PreparedRun) -> dict[str, Any]:
    """What under `cloister` an adoption gives a run once: people may change it afterwards."""
    record = run.record
    return {
        "uid": run.head.uid,
        "schema": SCHEMA,
        "encoder": SACREDS_ENCODER,
        "project": run.project,
        "name": record.name,
        "group": None,
        "job_type": None,
        "tags": list(record.tags),
        "notes": record.notes,
        "owner": record.owner,
        "version": 0,
        "journal": {},
        "lost": {"points": 0, "lines": 0, "bytes": 0},
        "losses": {},
        "uploads": [],
        "session": None,
        "resumed": [],
        "paused_seconds": 0.0,
        "ranks": {},
        "world_size": 1,
    }


def completed_artifacts(run: PreparedRun, files: Mapping[FileRef, AdoptedFile]) -> list[dict[str, Any]]:
    """The entries of `artifacts`, with what is known of their files; those without a file are left out."""
    entries = []
    for entry in artifact_entries(run.document):
        known = files.get(entry["file_id"])
        if known is not None and known.file_id is not None:
            facts = {
                "sha256": known.sha256,
                "size": known.size,
                "content_type": known.content_type,
                "logged_at": known.stored_at,
            }
            entries.append({**facts, **entry, "file_id": known.file_id})
    return entries


def artifact_entries(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The artifacts that name a file, each with `name` and `file_id`."""
    entries = []
    for entry in sequence(document.get("artifacts")):
        pair = read_pair(entry)
        if pair is not None and _is_ref(pair[1]):
            entries.append({**mapping(entry), "name": pair[0], "file_id": pair[1]})
    return entries


def source_pairs(document: Mapping[str, Any]) -> list[tuple[str, FileRef]]:
    """Path and file of each source."""
    pairs = [read_pair(entry) for entry in sequence(mapping(document.get("experiment")).get("sources"))]
    return [pair for pair in pairs if pair is not None and _is_ref(pair[1])]


def _is_ref(value: Any) -> bool:
    """Whether a file may have this id. A document may be one, and is none's of Sacred; neither is code, or a NaN."""
    try:
        hash(value)
    except TypeError:
        return False
    return value is not None and value == value


def _odd_fields(document: Mapping[str, Any], record: RunRecord) -> list[str]:
    odd = [f"its {fault}" for fault in record.unreadable]
    if document.get("experiment") is None:
        odd.append("it has no experiment: its project is 'unnamed'")
    if document.get("start_time") is None and document.get("status") != "QUEUED":
        odd.append("it has no start_time")
    left = len(sequence(document.get("artifacts"))) - len(artifact_entries(document))
    if left:
        odd.append(f"{left} of its artifacts name no file")
    return odd
