"""One run: its record, its metrics, its points, its console."""

from __future__ import annotations

from typing import Any

from ...observer.console_store import PAGE_LIMIT
from ...observer.run_record import RunId
from ..run_keys import run_key
from ..store_access import current_store
from .json_values import json_numbers, json_time, json_value
from .route import REQUIRED, Route, integer, text
from .run_json import (
    COUNT,
    ID,
    INTEGER,
    NUMBER,
    RUN_SCHEMA,
    SUMMARY_SCHEMA,
    TEXT,
    TIME,
    list_schema,
    object_schema,
    run_json,
    summary_json,
)

POINTS_LIMIT = 50_000  # about 3 MB of JSON
NO_RUN = {404: "There is no run of this id."}


def show_run(run_id: RunId) -> dict[str, Any]:
    return run_json(current_store().load_run(run_id))


def list_metrics(run_id: RunId) -> dict[str, Any]:
    metrics = current_store().list_metrics(run_id)
    return {"metrics": [{"name": json_value(metric.name), **summary_json(metric)} for metric in metrics]}


def list_points(run_id: RunId, name: str, limit: int, offset: int) -> dict[str, Any]:
    store = current_store()
    store.load_run(run_id)  # raises RunNotFound: a run that does not exist has no metrics to name
    points = store.load_points(run_id, name)
    part = points[offset : offset + limit]
    return {
        "run_id": run_key(run_id),
        "name": name,
        "total": len(points),
        "offset": offset,
        "steps": part.steps.tolist(),
        "values": json_numbers(part.values.tolist()),
        "wall_times": json_numbers(part.wall_times.tolist()),
    }


def show_console(run_id: RunId, after: str | None, before: str | None, limit: int) -> dict[str, Any]:
    store = current_store()
    store.load_run(run_id)
    page = store.load_console(run_id, after=after, before=before, limit=limit)
    pieces = [
        {
            "cursor": piece.cursor,
            "stream": piece.stream,
            "time": json_time(piece.time),
            "text": json_value(piece.text),
        }
        for piece in page.pieces
    ]
    return {"pieces": pieces, "first": page.first, "last": page.last, "more": page.more}


ROUTES = (
    Route(
        path="/runs/<run:run_id>",
        name="show_run",
        summary="One run with everything but its points, console and files",
        handler=show_run,
        answer=RUN_SCHEMA,
        statuses=NO_RUN,
    ),
    Route(
        path="/runs/<run:run_id>/metrics",
        name="list_metrics",
        summary="The metrics of a run in short; hardware metrics are those under system/",
        handler=list_metrics,
        answer=object_schema(
            metrics=list_schema(
                object_schema(name=TEXT, **SUMMARY_SCHEMA["properties"]),
            )
        ),
        statuses=NO_RUN,
    ),
    Route(
        path="/runs/<run:run_id>/metrics/points",
        name="list_points",
        summary="The exact points of one metric, in the order in which they were logged",
        handler=list_points,
        answer=object_schema(
            run_id=ID,
            name=TEXT,
            total=COUNT,
            offset=COUNT,
            steps=list_schema(INTEGER),
            values=list_schema(NUMBER),
            wall_times=list_schema(NUMBER),
        ),
        parameters=(
            text("name", "The metric's name, such as val/accuracy.", default=REQUIRED),
            integer("limit", "How many points.", low=1, high=POINTS_LIMIT, default=10_000),
            integer("offset", "How many points to leave out before them.", default=0),
        ),
        statuses={404: "There is no such run, or it has no such metric."},
    ),
    Route(
        path="/runs/<run:run_id>/console",
        name="show_console",
        summary="Pieces of a run's output, raw: after or before a cursor, or the newest",
        handler=show_console,
        answer=object_schema(
            pieces=list_schema(object_schema(cursor=TEXT, stream={"enum": ["stdout", "stderr"]}, time=TIME, text=TEXT)),
            first=TEXT,
            last=TEXT,
            more={"type": "boolean"},
        ),
        parameters=(
            text("after", "A cursor: only what was written after it."),
            text("before", "A cursor: only what was written before it."),
            integer("limit", "How many pieces.", low=1, high=PAGE_LIMIT, default=1000),
        ),
        statuses=NO_RUN,
    ),
)
