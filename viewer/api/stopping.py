"""Stopping a run that goes on somewhere, and what happened to a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...observer.run_events import list_events as events_of
from ...observer.stop_state import GRACE_SECONDS
from ..run_managing import RUN_ACTIONS
from ..store_access import current_store
from .json_values import json_time, json_value
from .route import Route
from .run_json import NUMBER, TEXT, TIME, either_null, list_schema, object_schema
from .runs import NO_RUN

if TYPE_CHECKING:
    from ...observer.run_record import RunId

LEVEL = {"enum": ["interrupt", "kill"]}
STOP_SCHEMA = object_schema(
    level=LEVEL, by=TEXT, at=either_null(TIME), heard_at=either_null(TIME), grace_seconds=NUMBER, status=TEXT
)


def stop_run(run_id: RunId, body: dict[str, Any]) -> dict[str, Any]:
    RUN_ACTIONS["stop"].act(run_id, body)
    return show_stop(run_id)


def show_stop(run_id: RunId) -> dict[str, Any]:
    run = current_store().load_run(run_id)
    stop = run.stop
    return {
        "level": stop.level if stop else "interrupt",
        "by": stop.by if stop else "",
        "at": json_time(stop.at) if stop else None,
        "heard_at": json_time(stop.heard_at) if stop and stop.heard_at else None,
        "grace_seconds": GRACE_SECONDS,
        "status": run.status,
    }


def list_events(run_id: RunId) -> dict[str, Any]:
    events = events_of(current_store().load_run(run_id))
    rows = [
        {"at": json_time(event.at), "kind": event.kind, "text": json_value(event.text), "by": json_value(event.by)}
        for event in events
    ]
    return {"events": rows}


ROUTES = (
    Route(
        path="/runs/<run:run_id>/events",
        name="list_events",
        summary="What happened to a run, oldest first: started, resumed, warnings, stopped by whom, how it ended",
        handler=list_events,
        answer=object_schema(events=list_schema(object_schema(at=TIME, kind=TEXT, text=TEXT, by=TEXT))),
        statuses=NO_RUN,
    ),
    Route(
        path="/runs/<run:run_id>/stop",
        name="stop_run",
        summary="Interrupt a run as Ctrl-C would, wherever it runs; with level kill its process is ended after a grace",
        handler=stop_run,
        answer=STOP_SCHEMA,
        statuses={**NO_RUN, 403: "The run is not theirs to change.", 409: "It has ended, or Sacred records it."},
        method="POST",
        body={"type": "object", "properties": {"level": LEVEL}, "additionalProperties": False},
    ),
    Route(
        path="/runs/<run:run_id>/stop",
        name="show_stop",
        summary="Whether a run is asked to stop, by whom, and whether it was interrupted",
        handler=show_stop,
        answer=STOP_SCHEMA,
        statuses=NO_RUN,
    ),
)
