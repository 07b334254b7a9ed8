"""The audit log as a page: filtered, verified and exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, get_args
from urllib.parse import urlencode

from flask import Blueprint, Response, abort, current_app, redirect, render_template, request, url_for
from pymongo import timeout as database_timeout

from ..observer.audit.actions import ACTIONS, Action, Topic
from ..observer.audit.entry import AuditEntry
from ..observer.audit.exporting import iter_csv_lines, iter_signed_lines
from ..observer.audit.searching import AuditQuery, iter_documents, iter_entries, list_actors, list_entries
from ..observer.audit.sightings import evidence_folder
from .audit_notes import note
from .audit_verifier import Verifier
from .store_access import home_database
from .user_files import render_user_file

bp = Blueprint("audit", __name__, url_prefix="/privacy/audit")

_VERIFIER = "cloister.audit_verifier"
PERIODS = {"today": "Today", "7d": "Last 7 days", "30d": "Last 30 days", "": "Any time"}
TOPICS: tuple[str, ...] = get_args(Topic)
# What stands before an action in the table, by its topic; and the words of its menu.
TOPIC_SYMBOLS = {
    "sign-in": "person",
    "runs": "eye",
    "files": "download",
    "sharing": "link",
    "rights": "lock",
    "policy": "shield",
    "keys": "key",
    "retention": "clock",
    "people": "people",
    "audit": "file",
}
_LONGEST_TEXT = 200
_LONGEST_DETAIL = 160


@bp.record_once
def _make_verifier(state: Any) -> None:
    state.app.extensions[_VERIFIER] = Verifier()


@dataclass(frozen=True)
class LogFilter:
    """What the page's form says, as text: it is written back into the form and into addresses."""

    actor: str = ""
    topic: str = ""
    project: str = ""
    text: str = ""
    period: str = ""
    day: str = ""
    refused: str = ""
    before: str = ""

    @property
    def is_narrowed(self) -> bool:
        return replace(self, before="") != LogFilter()

    def query(self) -> AuditQuery:
        since, until = self._span()
        before = int(self.before) if self.before.isascii() and self.before.isdigit() and len(self.before) < 16 else None
        return AuditQuery(
            actor=self.actor,
            topic=self.topic,
            project=self.project,
            text=self.text,
            refused=bool(self.refused),
            since=since,
            until=until,
            before=before,
        )

    def address(self, endpoint: str = "audit.show_log", **changes: str) -> str:
        values = {name: value for name, value in vars(replace(self, **changes)).items() if value}
        return url_for(endpoint) + (f"?{urlencode(values)}" if values else "")

    def _span(self) -> tuple[datetime | None, datetime | None]:
        now = datetime.now(timezone.utc)
        if self.day:
            try:
                start = datetime.combine(date.fromisoformat(self.day), datetime.min.time(), timezone.utc)
                return start, start + timedelta(days=1)
            except (ValueError, OverflowError):
                abort(400, f"{self.day!r} is no day. Write it as 2026-03-14.")
        if self.period == "today":
            return now.replace(hour=0, minute=0, second=0, microsecond=0), None
        days = {"7d": 7, "30d": 30}.get(self.period)
        return (now - timedelta(days=days) if days else None), None


@bp.get("")
def show_log() -> str:
    chosen = parse_filter()
    page = list_entries(home_database(), chosen.query())
    return render_template(
        "privacy/audit.html",
        chosen=chosen,
        page=page,
        actors=list_actors(home_database()),
        periods=PERIODS,
        topics=TOPICS,
        symbols=TOPIC_SYMBOLS,
        row_of=row_of,
        details_of=details_of,
        **_verification(),
    )


@bp.get("/state")
def show_state() -> str:
    """The band that says whether the chain is whole, for the page that waits for it."""
    return render_template("privacy/audit_state.html", **_verification())


@bp.post("/verify")
def verify_log() -> Response:
    _verifier().start(home_database())
    return redirect(url_for("audit.show_log"), 303)  # type: ignore[return-value]


@bp.get("/export.<any(csv, jsonl):kind>")
def export_log(kind: str) -> Response:
    """The filtered entries as a table, or the whole log, signed."""
    chosen = parse_filter()
    note("audit-exported", target=kind, filter={name: value for name, value in vars(chosen).items() if value})
    name = f"audit-{datetime.now(timezone.utc):%Y-%m-%d}.{kind}"
    with database_timeout(None):  # a cursor keeps the limit that it was made under, and a download may take longer
        return render_user_file(_iter_export(kind, chosen), name=name, content_type="text/plain")


def _iter_export(kind: str, chosen: LogFilter) -> Iterator[bytes]:
    database = home_database()
    if kind == "jsonl":
        return iter_signed_lines(iter_documents(database), evidence_folder())
    query = replace(chosen.query(), before=None)
    return (line.encode() for line in iter_csv_lines(iter_entries(database, query)))


def parse_filter() -> LogFilter:
    values = {name: request.args.get(name, "").strip() for name in vars(LogFilter())}
    if any(len(value) > _LONGEST_TEXT or "\0" in value for value in values.values()):
        abort(400, f"A filter has at most {_LONGEST_TEXT} characters.")
    if values["topic"] not in ("", *TOPICS) or values["period"] not in PERIODS:
        abort(400, "This filter has no meaning. Choose one from the menus.")
    return LogFilter(**values)


def row_of(name: str) -> Action:
    """The action of an entry; one that a later version knows still has its name."""
    return ACTIONS.get(name) or Action(name, name, "audit")


def details_of(entry: AuditEntry) -> list[tuple[str, str]]:
    """What the entry says beyond its columns, in words; what is empty, or stands beside the name, is left out."""
    pairs = [(name.replace("_", " "), _in_words(value)) for name, value in entry.details.items() if name != "token"]
    return [(name, words[:_LONGEST_DETAIL] + "…" * (len(words) > _LONGEST_DETAIL)) for name, words in pairs if words]


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {words}" for name, inner in value.items() if (words := _in_words(inner)))
    if isinstance(value, list):
        return ", ".join(_in_words(inner) for inner in value)
    return "" if value is None else str(value)


def _verification() -> dict[str, Any]:
    verifier = _verifier()
    return {
        "outcome": verifier.outcome,
        "is_at_work": verifier.is_at_work,
        "is_signed_here": evidence_folder() is not None,
    }


def _verifier() -> Verifier:
    verifier: Verifier = current_app.extensions[_VERIFIER]
    return verifier
