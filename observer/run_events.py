"""What happened to a run beside its metrics: started, resumed, warnings, stopped by whom; stored or derived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .run_record import RunRecord

EVENTS = "cloister.events"  # [{at, kind, by?, text}]
EVENTS_LIMIT = 200  # that a run's document keeps: the newest
TEXT_LIMIT = 300
SESSION_LIMIT = 50  # that one process records

Tone = Literal["neutral", "good", "warning", "bad"]


@dataclass(frozen=True)
class EventKind:
    """Attributes:
    name: stored, so it never changes once released.
    words: what a timeline says before the event's own text.
    """

    name: str
    words: str
    tone: Tone = "neutral"


KINDS: dict[str, EventKind] = {
    kind.name: kind
    for kind in (
        EventKind("queued", "Queued"),
        EventKind("started", "Started"),
        EventKind("forked", "Forked"),
        EventKind("resumed", "Resumed"),
        EventKind("warning", "Warning", "warning"),
        EventKind("stop-requested", "Stop requested", "warning"),
        EventKind("stop-heard", "Interrupted", "warning"),
        EventKind("cancelled", "Cancelled", "warning"),
        EventKind("edited", "Edited"),
        EventKind("moved", "Moved"),
        EventKind("archived", "Archived"),
        EventKind("note", "Note"),
        EventKind("lost-records", "Not recorded", "warning"),
        EventKind("rank-ended", "Rank ended"),
        EventKind("completed", "Completed", "good"),
        EventKind("failed", "Failed", "bad"),
        EventKind("interrupted", "Interrupted", "warning"),
        EventKind("stopped", "Stopped", "warning"),
        EventKind("lost", "No sign of life any more", "bad"),
    )
}


@dataclass(frozen=True)
class RunEvent:
    """Attributes:
    by: who did it; "" where nobody did, or that is not known.
    """

    at: datetime
    kind: str
    text: str = ""
    by: str = ""

    @property
    def words(self) -> str:
        known = KINDS.get(self.kind)
        return known.words if known is not None else self.kind.replace("-", " ").capitalize()

    @property
    def tone(self) -> Tone:
        known = KINDS.get(self.kind)
        return known.tone if known is not None else "neutral"


def new_event(kind: str, text: str = "", by: str = "", at: datetime | None = None) -> dict[str, Any]:
    """An event as it is stored."""
    event: dict[str, Any] = {"at": at or datetime.now(timezone.utc), "kind": kind, "text": text[:TEXT_LIMIT]}
    return {**event, "by": by} if by else event


def pushing(*events: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an update that adds events and keeps the newest: `{"$set": ..., **pushing(event)}`."""
    return {"$push": {EVENTS: {"$each": [dict(event) for event in events], "$slice": -EVENTS_LIMIT}}}


def read_events(stored: Any) -> tuple[RunEvent, ...]:
    """`cloister.events` as stored; entries of a foreign shape are left out."""
    found = [each for each in stored if isinstance(each, Mapping)] if isinstance(stored, (list, tuple)) else []
    return tuple(
        RunEvent(
            _aware(each["at"]),
            str(each.get("kind") or "note"),
            str(each.get("text") or "")[:TEXT_LIMIT],
            str(each.get("by") or ""),
        )
        for each in found
        if isinstance(each.get("at"), datetime)
    )


def list_events(run: RunRecord) -> tuple[RunEvent, ...]:
    """All that is known to have happened to a run, oldest first: what is stored, and what its fields tell."""
    return tuple(sorted((*_derived(run), *run.events), key=lambda event: event.at))


def _derived(run: RunRecord) -> Iterable[RunEvent]:
    if run.start_time is not None:
        origin = run.forked_from
        if origin is not None:
            parent = f"run {origin.run_id}" if origin.run_id is not None else "a run that is not known here"
            yield RunEvent(run.start_time, "forked", f"from {parent} after step {origin.step}")
        yield RunEvent(run.start_time, "started", f"on {run.host}" if run.host else "", run.owner)
    for resume in run.resumed:
        if resume.time is not None:
            changed = len(resume.config_changes)
            also = f", {changed} config value{'s' if changed != 1 else ''} kept as they were" if changed else ""
            yield RunEvent(resume.time, "resumed", f"on {resume.host}{also}" if resume.host else also.lstrip(", "))
    yield from _ending(run)


def _ending(run: RunRecord) -> Iterable[RunEvent]:
    for rank in run.ranks:
        if rank.rank and rank.status not in ("running", "queued") and rank.heartbeat is not None:
            yield RunEvent(rank.heartbeat, "rank-ended", f"rank {rank.rank} on {rank.host}: {rank.status}")
    if run.status == "lost" and run.heartbeat is not None:
        yield RunEvent(run.heartbeat, "lost")
    if run.stop_time is None or not run.ended:
        return
    stopped = run.exit.get("stopped")
    if isinstance(stopped, Mapping):
        yield RunEvent(run.stop_time, "stopped", "", str(stopped.get("by") or ""))
        return
    last = run.fail_trace[-1].strip() if run.status == "failed" and run.fail_trace else ""
    text = last or str(run.exit.get("reason") or "") or (run.custom_status if run.status == "interrupted" else "")
    yield RunEvent(run.stop_time, run.status, text[:TEXT_LIMIT])


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
