"""The shape of a stored run: how a new one is written and how one is read, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from .field_names import decode_field_name, decode_field_names, encode_field_name
from .foreign_runs import (
    mapping,
    patience_seconds,
    read_facts,
    read_lines,
    sequence,
    text,
    values_reader,
    without_metrics,
)
from .metric_summary import SYSTEM_PREFIX, MetricSummary, read_summaries
from .redaction.stored_redactions import Redaction, read_profile, read_redactions
from .run_events import RunEvent, read_events
from .run_files import ArtifactEntry, ResourceEntry, SourceEntry, read_artifact, read_resources, read_sources
from .run_sessions import (
    ForkOrigin,
    RankState,
    Resumption,
    read_origin,
    read_ranks,
    read_resumed,
    session_fields,
)
from .run_status import LOST_AFTER_SECONDS, RunStatus, StoredStatus, custom_status, derive_status
from .stop_state import StopRequest, read_stop

SCHEMA = 1
UNNAMED = "unnamed"  # the project of runs whose experiment has no name
SACRED_FORMAT = "MongoObserver-0.7.0"  # the documents that Sacred's readers know by this name
RunId = Any  # Sacred's int; text or ObjectId in databases that others wrote

# Field paths, spelled here and nowhere else.
UID = "cloister.uid"
PROJECT = "cloister.project"
EXPERIMENT_NAME = "experiment.name"
NAME = "cloister.name"
TAGS = "cloister.tags"
UPDATED_AT = "cloister.updated_at"
SUMMARY = "cloister.summary"
SYSTEM_SUMMARY = "cloister.system"
JOURNAL = "cloister.journal"
LOST = "cloister.lost"
CONSOLE_COUNTS = "cloister.console"
CONSOLE_NEXT = "cloister.console.next"  # the number of the next piece
VERSION = "cloister.version"  # of the shipped state: each shipper moves it on by one, and only from the one it knows
LOSSES = "cloister.losses"  # by who counted them; `lost` is their sum
UPLOADS = "cloister.uploads"  # files that are recorded and not stored yet
NOTES = "cloister.notes"
OWNER = "cloister.owner"
VISIBILITY = "cloister.visibility"  # "private", "project", "site"; without it the project decides
SHARED_PEOPLE, SHARED_GROUPS = "cloister.shared_with.people", "cloister.shared_with.groups"
ARCHIVED_AT, ARCHIVED_BY = "cloister.archived_at", "cloister.archived_by"
EDITED = "cloister.edited"  # {name, tags, notes, project: {at, by}}: what people have changed, and couriers leave alone
OMNIBOARD_TAGS, OMNIBOARD_NOTES = "omniboard.tags", "omniboard.notes"
LOST_ARTIFACTS = "cloister.lost_artifacts"  # as in `artifacts`, without `file_id`: their bytes were never stored

# What a list of runs never shows: these fields are most of a run's bytes.
LEFT_OUT_OF_LISTS = (
    "captured_out",
    "fail_trace",
    "info",
    "experiment.dependencies",
    "experiment.sources",
    "cloister.environment",
    "cloister.sources",
    "cloister.source_notes",
    "cloister.observer",
    "cloister.system",
    "cloister.journal",
    "cloister.losses",
    "cloister.uploads",
    "cloister.ranks",
    "cloister.config_changes",
    "cloister.redactions",
    "cloister.events",
)


@dataclass(frozen=True)
class RunRecord:
    """One stored run, with real names instead of encoded ones and aware UTC times.

    Attributes:
        custom_status: the status as it is stored, where that says more than `status`: TIMEOUT, MY_STATUS; else "".
        meta: what Sacred knows of the start: command, options, named configs, comment, priority, queue_time.
        format: which program's layout, "MongoObserver-0.7.0"; "" where the document does not say.
        config_changes: the entries that differ from their defaults: `key`, `kind` ("changed", "set" or "added"),
            `source` (who set it), `before`, and `types` where they differ.
        unreadable: which fields hold something that nobody expects there, in words.
        redactions: where secrets were taken out before it was recorded, by which rule, and how often.
        profile: how much of it is recorded: "full", "standard" or "strict".
        recording_notes: what Sacred's experiment gave and could not be recorded, in words.
        encrypted: which parts are stored encrypted: "console", "config.patient.*".
        withheld: those parts are not recorded: there was no key.
        locked: why they cannot be read here; "" where they can.
        visibility: who sees it, "private", "project" or "site"; "" where its project decides.
        shared_people, shared_groups: who sees it besides.
        expired: which kinds of its records retention has deleted: {kind: {at, days, ...what there was}}.
        held: whether a legal hold lies on it, by itself.
        archived_at, archived_by: since when lists leave it out, and who said so.
        edited: which of name, tags, notes and project people have changed: {field: {at, by}}.
        stop: that it is asked to stop, as it goes on now; None where nobody does.
        events: what is stored of what happened to it; `run_events.list_events` has all.
    """

    id: RunId
    uid: str | None
    project: str
    name: str
    experiment: str
    command: str
    status: RunStatus
    tags: tuple[str, ...]
    notes: str
    owner: str
    host: str
    start_time: datetime | None
    stop_time: datetime | None
    heartbeat: datetime | None
    updated_at: datetime | None
    config: dict[str, Any]
    config_defaults: dict[str, Any]
    summary: dict[str, MetricSummary]
    system: dict[str, MetricSummary]
    result: Any
    info: dict[str, Any]
    fail_trace: tuple[str, ...]
    artifacts: tuple[ArtifactEntry, ...]
    sources: tuple[SourceEntry, ...]
    source_notes: tuple[str, ...]
    git: dict[str, Any]
    environment: dict[str, Any]
    argv: tuple[str, ...]
    exit: dict[str, Any]
    lost: dict[str, int]
    console_lines: int
    console_bytes: int
    resumed: tuple[Resumption, ...] = ()
    paused_seconds: float = 0.0
    forked_from: ForkOrigin | None = None
    ranks: tuple[RankState, ...] = ()
    world_size: int = 1
    custom_status: str = ""
    resources: tuple[ResourceEntry, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    format: str = ""
    unreadable: tuple[str, ...] = ()
    config_changes: tuple[dict[str, Any], ...] = ()
    recording_notes: tuple[str, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    profile: str = "full"
    visibility: str = ""
    shared_people: tuple[str, ...] = ()
    shared_groups: tuple[str, ...] = ()
    expired: dict[str, Any] = field(default_factory=dict)
    held: bool = False
    stop: StopRequest | None = None
    events: tuple[RunEvent, ...] = ()

    encrypted: tuple[str, ...] = ()
    withheld: bool = False
    locked: str = ""
    archived_at: datetime | None = None
    archived_by: str = ""
    edited: dict[str, Any] = field(default_factory=dict)

    @property
    def duration(self) -> timedelta | None:
        """From start to stop, without the time between its sessions; of a running run until now, of a lost one until
        its last sign of life."""
        if self.start_time is None:
            return None
        end = self.stop_time or (self.heartbeat if self.status == "lost" else datetime.now(timezone.utc))
        if end is None:
            return None
        return max(end - self.start_time - timedelta(seconds=self.paused_seconds), timedelta(0))

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "running")


def read_run(document: Mapping[str, Any]) -> RunRecord:
    """A run's document as a `RunRecord`. Fields that are missing or of a foreign shape become empty, never an error."""
    ours = mapping(document.get("cloister"))
    experiment = mapping(document.get("experiment"))
    host = mapping(document.get("host"))
    console = mapping(ours.get("console"))
    start_time, heartbeat = _time(document.get("start_time")), _time(document.get("heartbeat"))
    stop_time = _time(document.get("stop_time"))
    status = _read_status(document, heartbeat, start_time, stop_time)
    experiment_name = _name(experiment.get("name")) or UNNAMED
    plain = values_reader(document)
    facts = read_facts(document, plain)
    run_id = document.get("_id")
    return RunRecord(
        id=run_id,
        uid=text(ours.get("uid")) or None,
        project=_name(ours.get("project")) or experiment_name,
        name=text(ours.get("name")) or f"{experiment_name}-{run_id}",
        experiment=experiment_name,
        command=text(document.get("command")),
        status=status,
        # Omniboard's come first: whoever tags a run of ours there wants to find the tags here.
        tags=facts.tags or tuple(text(tag) for tag in sequence(ours.get("tags"))),
        notes=_read_notes(document, facts.notes, ours),
        owner=text(ours.get("owner")),
        host=text(host.get("hostname") if host else document.get("host") or ""),
        start_time=start_time,
        stop_time=stop_time,
        heartbeat=heartbeat,
        updated_at=_time(ours.get("updated_at")) or max(filter(None, (start_time, heartbeat, stop_time)), default=None),
        config=mapping(plain(mapping(document.get("config")))),
        config_defaults=decode_field_names(mapping(ours.get("config_defaults"))),
        summary=read_summaries(mapping(ours.get("summary"))),
        system=read_summaries(mapping(ours.get("system"))),
        result=plain(document.get("result")),
        info=without_metrics(plain(mapping(document.get("info")))),
        fail_trace=read_lines(document.get("fail_trace")),
        artifacts=tuple(
            read_artifact(entry)
            for entry in (*sequence(document.get("artifacts")), *sequence(ours.get("lost_artifacts")))
        ),
        sources=read_sources(ours, experiment),
        recording_notes=tuple(
            text(mapping(note).get("text")) for note in sequence(mapping(ours.get("observer")).get("notes"))
        ),
        source_notes=tuple(text(note) for note in sequence(ours.get("source_notes"))),
        git=decode_field_names(mapping(ours.get("git"))) or facts.git,
        environment=decode_field_names(mapping(ours.get("environment"))) or facts.environment,
        argv=tuple(text(word) for word in sequence(ours.get("argv"))),
        exit=mapping(ours.get("exit")),
        lost={name: _int(mapping(ours.get("lost")).get(name)) for name in ("points", "lines", "bytes")},
        console_lines=_int(console.get("lines")),
        console_bytes=_int(console.get("bytes")),
        resumed=read_resumed(sequence(ours.get("resumed"))),
        paused_seconds=min(max(0.0, _float(ours.get("paused_seconds"))), 1e10),
        forked_from=read_origin(ours.get("forked_from")),
        ranks=read_ranks(ours.get("ranks"), derive_status, status),
        world_size=max(1, _int(ours.get("world_size"))),
        custom_status=custom_status(document.get("status")),
        resources=tuple(read_resources(ours, document)),
        meta=mapping(plain(mapping(document.get("meta")))),
        format=text(document.get("format")),
        unreadable=facts.unreadable,
        encrypted=tuple(text(word) for word in sequence(mapping(ours.get("encryption")).get("parts"))),
        withheld=mapping(ours.get("encryption")).get("withheld") is True,
        locked=text(mapping(ours.get("encryption")).get("locked")),
        config_changes=tuple(decode_field_names(mapping(change)) for change in sequence(ours.get("config_changes"))),
        redactions=read_redactions(ours.get("redactions")),
        profile=read_profile(ours.get("recording")),
        **_sharing(ours),
        expired=mapping(ours.get("expired")),
        held=bool(mapping(ours.get("hold"))),
        stop=read_stop(ours),
        events=read_events(ours.get("events")),
        archived_at=_time(ours.get("archived_at")),
        archived_by=text(ours.get("archived_by")),
        edited=mapping(ours.get("edited")),
    )


def _read_notes(document: Mapping[str, Any], told: str, ours: Mapping[str, Any]) -> str:
    """Omniboard's come first. Notes that a person has emptied here stay empty."""
    if "notes" in mapping(ours.get("edited")):
        return text(mapping(document.get("omniboard")).get("notes", ours.get("notes")))
    return told or text(ours.get("notes"))


def _sharing(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Who sees a run, as far as its document says so in the shape that queries look for."""
    visibility, shared = ours.get("visibility"), mapping(ours.get("shared_with"))
    people, groups = (
        tuple(name for name in sequence(shared.get(kind)) if isinstance(name, str)) for kind in ("people", "groups")
    )
    known = visibility if visibility in ("private", "project", "site") else ""
    return {"visibility": known, "shared_people": people, "shared_groups": groups}


def new_run_document(header: Mapping[str, Any], run_id: int) -> dict[str, Any]:
    """The document of a run that starts now: every field that Sacred's readers look for, and ours.

    Args:
        header: what the trainer wrote into the journal at the start (see `decorators/run.py`), BSON-ready and encoded.
        run_id: the number that the counter gave.
    """
    command = header.get("command", header["experiment"])
    queued = header.get("queue")
    started = None if queued else header["start_time"]
    return {
        "_id": run_id,
        "experiment": {
            "name": header["experiment"],
            "base_dir": header.get("base_dir", ""),
            "sources": [],
            "dependencies": [],
            "repositories": [],
            "mainfile": header.get("mainfile"),
        },
        "format": SACRED_FORMAT,
        "command": command,
        "host": header.get("host", {}),
        "start_time": started,
        "stop_time": None,
        "heartbeat": started,
        "status": "QUEUED" if queued else "RUNNING",
        "config": header.get("config", {}),
        "meta": header.get("meta") or {"command": command, "options": {}, "named_configs": []},
        "info": {"metrics": []},
        "resources": [],
        "artifacts": [],
        "captured_out": "",
        "result": None,
        "fail_trace": [],
        **_shown_by_omniboard(header),
        "cloister": {
            "uid": header["uid"],
            "schema": SCHEMA,
            "project": header["project"],
            "name": header["name"],
            "group": header.get("group"),
            "job_type": header.get("job_type"),
            "tags": header.get("tags", []),
            "notes": header.get("notes", ""),
            "owner": header.get("owner", ""),
            **({"visibility": header["visibility"]} if header.get("visibility") else {}),
            **({"shared_with": dict(header["shared_with"])} if header.get("shared_with") else {}),
            "config_defaults": header.get("config_defaults", {}),
            "config_changes": header.get("config_changes", []),
            "argv": header.get("argv", []),
            "summary": {},
            "system": {},
            "git": {},
            "sources": [],
            "environment": {},
            "version": 0,
            "journal": {},
            "lost": {"points": 0, "lines": 0, "bytes": 0},
            "losses": {},
            "uploads": [],
            "console": {"lines": 0, "bytes": 0, "next": 0},
            "updated_at": header["start_time"],
            **({"queue": dict(queued)} if queued else {}),
            **session_fields(header),
        },
    }


def _shown_by_omniboard(header: Mapping[str, Any]) -> dict[str, Any]:
    """Tags and notes where Omniboard has them. An empty list would hide `config.tags` there."""
    shown = {"tags": list(header.get("tags", ())), "notes": header.get("notes", "")}
    given = {name: value for name, value in shown.items() if value}
    return {"omniboard": given} if given else {}


def summary_path(metric: str) -> str:
    """Where a metric's summary lies in a run's document."""
    if metric.startswith(SYSTEM_PREFIX):
        return f"{SYSTEM_SUMMARY}.{encode_field_name(metric[len(SYSTEM_PREFIX) :])}"
    return f"{SUMMARY}.{encode_field_name(metric)}"


def _read_status(
    document: Mapping[str, Any], heartbeat: datetime | None, start: datetime | None, stop: datetime | None
) -> RunStatus:
    stored = document.get("status")
    if not isinstance(stored, str) or not stored:  # an old or a damaged document: its times tell
        stored = "RUNNING" if stop is None else "INTERRUPTED"
    return derive_status(stored, heartbeat, start, patience_seconds(document))


def _name(value: Any) -> str:
    return text(value) if isinstance(value, str) else ""


def _int(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and value == value and abs(value) < 2**63 else 0


def _float(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and abs(value) < 2**63 else 0.0


def _time(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


__all__ = [
    "LOST_AFTER_SECONDS",
    "ArtifactEntry",
    "ResourceEntry",
    "RunRecord",
    "RunStatus",
    "SourceEntry",
    "StoredStatus",
    "decode_field_name",
    "derive_status",
    "new_run_document",
    "read_run",
]
