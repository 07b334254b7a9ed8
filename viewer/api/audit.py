"""The audit log, for those who keep a copy elsewhere, and share links."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify

from ...observer.audit.actions import ACTIONS
from ...observer.audit.searching import AuditQuery, list_entries
from ..share_changes import own_links, revoke, share_run
from ..share_links import KINDS, Share
from ..store_access import current_store, home_database
from .route import NOTHING, Route, choice, instant, integer, text
from .run_json import TEXT, list_schema, object_schema
from .runs import NO_RUN

if TYPE_CHECKING:
    from ...observer.audit import AuditEntry
    from ...observer.run_record import RunId

MOST_ENTRIES = 500
_WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0}
_WHOLE_OR_NULL: dict[str, Any] = {"type": ["integer", "null"]}
_TEXT_OR_NULL: dict[str, Any] = {"type": ["string", "null"]}
ENTRY_SCHEMA = object_schema(
    seq=_WHOLE,
    at=TEXT,
    actor=TEXT,
    action=TEXT,
    target=TEXT,
    project=TEXT,
    address=TEXT,
    details={"type": "object"},
    previous=TEXT,
    hash=TEXT,
)
_SHARE_FIELDS: dict[str, Any] = {
    "key": TEXT,
    "kind": {"enum": list(KINDS)},
    "run": TEXT,
    "project": TEXT,
    "title": TEXT,
    "note": TEXT,
    "made_by": TEXT,
    "made_at": TEXT,
    "expires_at": TEXT,
    "state": {"enum": ["open", "revoked", "expired"]},
    "uses": _WHOLE,
    "last_used_at": _TEXT_OR_NULL,
}
SHARE_SCHEMA = object_schema(**_SHARE_FIELDS)


def list_audit(
    actor: str, action: str | None, project: str, words: str, since: datetime | None, before: int | None, limit: int
) -> dict[str, Any]:
    query = AuditQuery(actor=actor, action=action or "", project=project, text=words, since=since, before=before)
    page = list_entries(home_database(), query, size=limit)
    return {"entries": [_entry_json(entry) for entry in page.entries], "total": page.total, "older": page.older}


def list_shares() -> dict[str, Any]:
    return {"shares": [_share_json(share) for share in own_links()]}


def make_share(run_id: RunId, body: dict[str, Any]) -> Response:
    kind = body["kind"]
    what = {"run": "", "chart": body.get("metric", ""), "artifact": body.get("artifact", "")}[kind]
    run = current_store().load_run(run_id)
    share, path = share_run(run, kind=kind, what=what, days=body["days"], remark=body.get("note", ""))
    response = jsonify({**_share_json(share), "path": path})
    response.status_code = 201
    return response


def revoke_share(key: str) -> None:
    revoke(key)


def _entry_json(entry: AuditEntry) -> dict[str, Any]:
    names = ("seq", "actor", "action", "target", "project", "address", "previous", "hash")
    values = {name: getattr(entry, name) for name in names}
    return {**values, "at": entry.at.isoformat(timespec="milliseconds"), "details": dict(entry.details)}


def _share_json(share: Share) -> dict[str, Any]:
    texts = ("key", "kind", "project", "title", "note", "made_by", "state", "uses")
    times = {name: getattr(share, name) for name in ("made_at", "expires_at", "last_used_at")}
    return {
        **{name: getattr(share, name) for name in texts},
        "run": str(share.run_id),
        **{name: time.isoformat(timespec="seconds") if time else None for name, time in times.items()},
    }


ROUTES = (
    Route(
        path="/audit",
        name="list_audit",
        summary="The audit log, the newest entries first",
        handler=list_audit,
        answer=object_schema(entries=list_schema(ENTRY_SCHEMA), total=_WHOLE, older=_WHOLE_OR_NULL),
        parameters=(
            text("actor", "Only what this person, token or command did.", default=""),
            choice("action", "Only this kind of event.", tuple(ACTIONS)),
            text("project", "Only events of this project.", default=""),
            text("words", "Only entries that have this text in who, what, details or address.", default=""),
            instant("since", "Only from this moment on."),
            integer("before", "Only entries older than the one of this number: `older` of the page before.", low=1),
            integer("limit", "How many.", low=1, high=MOST_ENTRIES, default=100),
        ),
    ),
    Route(
        path="/shares",
        name="list_shares",
        summary="The share links of whoever asks; all of them for an admin of the site",
        handler=list_shares,
        answer=object_schema(shares=list_schema(SHARE_SCHEMA)),
    ),
    Route(
        path="/runs/<run:run_id>/shares",
        name="make_share",
        summary="Make a link that opens a run, or a chart or an artifact of it, to whoever has it",
        handler=make_share,
        answer=object_schema(**_SHARE_FIELDS, path=TEXT),
        statuses={**NO_RUN, 201: "The link, told this once.", 403: "The policy has no links, or the run is not yours."},
        method="POST",
        body={
            "type": "object",
            "properties": {
                "kind": {"enum": list(KINDS)},
                "metric": {"type": "string", "maxLength": 1000},
                "artifact": {"type": "string", "maxLength": 40},
                "days": {"type": "number", "minimum": 0, "maximum": 36_500},
                "note": {"type": "string", "maxLength": 200},
            },
            "required": ["kind", "days"],
            "additionalProperties": False,
        },
    ),
    Route(
        path="/shares/<key>",
        name="revoke_share",
        summary="Close a link",
        handler=revoke_share,
        answer=NOTHING,
        statuses={404: "You made no such link."},
        method="DELETE",
    ),
)
