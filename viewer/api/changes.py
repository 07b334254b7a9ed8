"""Which runs have changed: what a page asks once in a while where nothing is pushed to it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from flask import Response

from ..errors_page import Problem, render_problem
from ..run_keys import RunKey, run_key
from ..store_access import current_store
from .json_values import json_time
from .route import Route, instant, text
from .route import run as run_parameter
from .run_json import CHANGE_SCHEMA, TIME, change_json, list_schema, object_schema

INTERESTS = (
    text("project", "Only changes of this project's runs."),
    run_parameter("run", "Only changes of this run."),
)


def list_changes(since: datetime | None, project: str | None, run: RunKey | None) -> dict[str, Any]:
    asked_at = datetime.now(timezone.utc)
    changes = current_store().changes_since(since, project) if since is not None else []
    wanted = [change for change in changes if run is None or run_key(change.run_id) == run]
    following = max((change.updated_at for change in changes), default=since or asked_at)
    return {"changes": [change_json(change) for change in wanted], "next_since": json_time(following)}


def refuse_stream(**_: Any) -> Response:
    """Tornado answers this address itself; here the viewer runs under a server that cannot hold streams."""
    return render_problem(
        Problem(501, "This server pushes nothing", "Ask /api/v1/changes?since=... every few seconds instead.")
    )


ROUTES = (
    Route(
        path="/changes",
        name="list_changes",
        summary="Runs that changed after a time, oldest first; without `since` only the time to start from",
        handler=list_changes,
        answer=object_schema(changes=list_schema(CHANGE_SCHEMA), next_since=TIME),
        parameters=(instant("since", "The next_since of the answer before."), *INTERESTS),
    ),
    Route(
        path="/live",
        name="stream_changes",
        summary="Changes as they happen, as server-sent events: data is a change; an event named gap says that some "
        "may have been missed",
        handler=refuse_stream,
        answer={"type": "string", "description": "Each event's data is JSON like one of /changes."},
        parameters=(instant("since", "Begin with what changed after this time."), *INTERESTS),
        content_type="text/event-stream",
        statuses={
            403: "The request came from a page of another site.",
            501: "The viewer runs under a server that cannot hold streams: ask /changes.",
        },
    ),
)
