"""A run, its metrics and its files as the REST API answers them, and the JSON Schema of each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...observer.run_events import list_events
from ..run_keys import run_key
from .json_values import json_number, json_time, json_value

if TYPE_CHECKING:
    from ...observer.metric_summary import MetricSummary
    from ...observer.run_record import ArtifactEntry, RunRecord
    from ...observer.runs import ProjectSummary, RunChange

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
INTEGER: Schema = {"type": "integer"}
TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
ID: Schema = {
    "type": ["integer", "string"],
    "description": "A number, or for an id of another type its word: id:<text>, oid:<24 hex digits>.",
}
ANYTHING: Schema = {}
TEXTS: Schema = {"type": "array", "items": TEXT}
NUMBER: Schema = {
    "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
    "description": "A number; what JSON cannot write is the text NaN, Infinity or -Infinity.",
}
STATUS: Schema = {"enum": ["queued", "running", "completed", "failed", "interrupted", "lost"]}


def object_schema(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def list_schema(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def map_schema(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def either_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


PROJECT_SCHEMA = object_schema(name=TEXT, run_count=COUNT, running_count=COUNT, last_started=TIME)


def project_json(project: ProjectSummary) -> dict[str, Any]:
    return {
        "name": project.name,
        "run_count": project.run_count,
        "running_count": project.running_count,
        "last_started": json_time(project.last_started),
    }


SUMMARY_SCHEMA = object_schema(
    last=NUMBER, min=either_null(NUMBER), max=either_null(NUMBER), last_step=INTEGER, count=COUNT
)


def summary_json(summary: MetricSummary) -> dict[str, Any]:
    return {
        "last": json_number(summary.last),
        "min": None if summary.min is None else json_number(summary.min),
        "max": None if summary.max is None else json_number(summary.max),
        "last_step": summary.last_step,
        "count": summary.count,
    }


CHANGE_SCHEMA = object_schema(run_id=ID, project=TEXT, status=STATUS, updated_at=TIME)


def change_json(change: RunChange) -> dict[str, Any]:
    return {
        "run_id": run_key(change.run_id),
        "project": json_value(change.project),
        "status": change.status,
        "updated_at": json_time(change.updated_at),
    }


ARTIFACT_SCHEMA = object_schema(
    name=TEXT,
    file_id=TEXT,
    sha256={"type": ["string", "null"]},
    size_bytes={"type": ["integer", "null"]},
    content_type={"type": ["string", "null"]},
    logged_at=TIME,
    url=TEXT,
)


def artifact_json(artifact: ArtifactEntry, url: str) -> dict[str, Any]:
    return {
        "name": json_value(artifact.name),
        "file_id": str(artifact.file_id),
        "sha256": artifact.sha256,
        "size_bytes": artifact.size,
        "content_type": artifact.content_type,
        "logged_at": json_time(artifact.logged_at),
        "url": url,
    }


_BRIEF: dict[str, Schema] = {
    "id": ID,
    "uid": {"type": ["string", "null"]},
    "project": TEXT,
    "name": TEXT,
    "experiment": TEXT,
    "command": TEXT,
    "status": STATUS,
    "custom_status": TEXT,
    "tags": TEXTS,
    "notes": TEXT,
    "owner": TEXT,
    "host": TEXT,
    "start_time": TIME,
    "stop_time": TIME,
    "heartbeat": TIME,
    "updated_at": TIME,
    "archived_at": TIME,
    "archived_by": TEXT,
    "duration_seconds": {"type": ["number", "null"]},
    "config": map_schema(ANYTHING),
    "summary": map_schema(SUMMARY_SCHEMA),
    "result": ANYTHING,
}
BRIEF_RUN_SCHEMA = object_schema(**_BRIEF)
RUN_SCHEMA = object_schema(
    **_BRIEF,
    config_defaults=map_schema(ANYTHING),
    config_changes=list_schema(map_schema(ANYTHING)),
    system=map_schema(SUMMARY_SCHEMA),
    info=map_schema(ANYTHING),
    argv=TEXTS,
    exit=map_schema(ANYTHING),
    fail_trace=TEXTS,
    sources=list_schema(object_schema(path=TEXT, sha256={"type": ["string", "null"]}, size_bytes=ANYTHING)),
    artifact_count=COUNT,
    resources=list_schema(object_schema(path=TEXT, md5={"type": ["string", "null"]}, size_bytes=ANYTHING)),
    meta=map_schema(ANYTHING),
    format=TEXT,
    unreadable=TEXTS,
    recording_notes=TEXTS,
    encrypted=TEXTS,
    locked=TEXT,
    git=map_schema(ANYTHING),
    environment=map_schema(ANYTHING),
    lost=map_schema(COUNT),
    console=object_schema(lines=COUNT, bytes=COUNT),
    world_size=COUNT,
    ranks=list_schema(
        object_schema(
            rank=COUNT, status=STATUS, host=TEXT, pid=ANYTHING, heartbeat=TIME, exit=ANYTHING, fail_trace=TEXTS
        )
    ),
    resumed=list_schema(object_schema(time=TIME, host=TEXT, pid=ANYTHING, stopped=TIME, config_changes=ANYTHING)),
    forked_from={"type": ["object", "null"]},
    visibility=TEXT,
    held={"type": "boolean"},
    stop=either_null(object_schema(at=TIME, by=TEXT, level={"enum": ["interrupt", "kill"]}, heard_at=TIME)),
    events=list_schema(object_schema(at=TIME, kind=TEXT, text=TEXT, by=TEXT)),
    edited=map_schema(object_schema(at=TIME, by=TEXT)),
)


def brief_run_json(run: RunRecord) -> dict[str, Any]:
    """What a list shows of a run."""
    return {
        "id": run_key(run.id),
        "uid": run.uid,
        "project": json_value(run.project),
        "name": json_value(run.name),
        "experiment": json_value(run.experiment),
        "command": json_value(run.command),
        "status": run.status,
        "custom_status": json_value(run.custom_status),
        "tags": json_value(run.tags),
        "notes": json_value(run.notes),
        "owner": json_value(run.owner),
        "host": json_value(run.host),
        "start_time": json_time(run.start_time),
        "stop_time": json_time(run.stop_time),
        "heartbeat": json_time(run.heartbeat),
        "updated_at": json_time(run.updated_at),
        "archived_at": json_time(run.archived_at),
        "archived_by": json_value(run.archived_by),
        "duration_seconds": None if run.duration is None else run.duration.total_seconds(),
        "config": json_value(run.config),
        "summary": {name: summary_json(summary) for name, summary in json_value_keys(run.summary).items()},
        "result": json_value(run.result),
    }


def run_json(run: RunRecord) -> dict[str, Any]:
    """All that is known of a run but its points, its console and its files, which have addresses of their own."""
    return {
        **brief_run_json(run),
        "config_defaults": json_value(run.config_defaults),
        "config_changes": [json_value(change) for change in run.config_changes],
        "system": {name: summary_json(summary) for name, summary in json_value_keys(run.system).items()},
        "info": json_value(run.info),
        "argv": json_value(run.argv),
        "exit": json_value(run.exit),
        "fail_trace": json_value(run.fail_trace),
        "sources": [
            {"path": json_value(source.path), "sha256": source.sha256, "size_bytes": source.size}
            for source in run.sources
        ],
        "artifact_count": len(run.artifacts),
        "resources": [
            {"path": json_value(resource.path), "md5": json_value(resource.md5), "size_bytes": resource.size}
            for resource in run.resources
        ],
        "meta": json_value(run.meta),
        "format": json_value(run.format),
        "unreadable": json_value(run.unreadable),
        "recording_notes": json_value(run.recording_notes),
        "encrypted": json_value(run.encrypted),
        "locked": run.locked,
        "git": json_value(run.git),
        "environment": json_value(run.environment),
        "lost": run.lost,
        "console": {"lines": run.console_lines, "bytes": run.console_bytes},
        **_processes_json(run),
        **_doings_json(run),
    }


def _doings_json(run: RunRecord) -> dict[str, Any]:
    """What people did to it, and what happened to it."""
    stop = run.stop
    return {
        "visibility": run.visibility,
        "held": run.held,
        "stop": None
        if stop is None
        else {
            "at": json_time(stop.at),
            "by": json_value(stop.by),
            "level": stop.level,
            "heard_at": json_time(stop.heard_at),
        },
        "events": [
            {"at": json_time(event.at), "kind": event.kind, "text": json_value(event.text), "by": json_value(event.by)}
            for event in list_events(run)
        ],
        "edited": {
            name: {"at": json_time(_moment(note.get("at"))), "by": json_value(str(note.get("by") or ""))}
            for name, note in run.edited.items()
            if isinstance(note, Mapping)
        },
    }


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _processes_json(run: RunRecord) -> dict[str, Any]:
    origin = run.forked_from
    return {
        "world_size": run.world_size,
        "ranks": [
            {
                "rank": state.rank,
                "status": state.status,
                "host": json_value(state.host),
                "pid": state.pid,
                "heartbeat": json_time(state.heartbeat),
                "exit": json_value(state.exit),
                "fail_trace": json_value(state.fail_trace),
            }
            for state in run.ranks
        ],
        "resumed": [
            {
                "time": json_time(note.time),
                "host": json_value(note.host),
                "pid": note.pid,
                "stopped": json_time(note.stopped),
                "config_changes": [
                    {"key": json_value(key), "kept": json_value(kept), "given": json_value(given)}
                    for key, kept, given in note.config_changes
                ],
            }
            for note in run.resumed
        ],
        "forked_from": None
        if origin is None
        else {
            "run_id": None if origin.run_id is None else run_key(origin.run_id),
            "uid": json_value(origin.uid),
            "step": origin.step,
            "note": json_value(origin.note),
        },
    }


def json_value_keys(summaries: dict[str, MetricSummary]) -> dict[str, MetricSummary]:
    return {json_value(name): summary for name, summary in summaries.items()}
