"""What the chart endpoints (viewer/charts.py answers them) take and give, for the API's description."""

from __future__ import annotations

from typing import Any, get_args

from ..chart_requests import (
    LONGEST_NAME,
    LONGEST_PATTERN,
    METRIC_AXIS,
    MOST_GROUPED_BY,
    MOST_METRICS,
    MOST_PIXELS,
    MOST_RUNS,
    MOST_SPARKS,
    Axis,
)
from ..curve_columns import Encoding
from .route import Parameter, Route, choice, integer, text
from .run_json import COUNT, TEXT, Schema, list_schema
from .runs import NO_RUN


def _unread(name: str, value: str) -> Any:
    """These rows only describe; viewer/chart_requests.py reads the parameters."""
    raise NotImplementedError(name, value)


_ANY_OBJECT: Schema = {"type": "object"}
_METRICS = Parameter(
    "metric",
    f"A metric's name; may be repeated, up to {MOST_METRICS} times.",
    {"type": "array", "items": {"type": "string", "maxLength": LONGEST_NAME}, "maxItems": MOST_METRICS},
    _unread,
)
_METRIC = text("metric", "A metric's name.", limit=LONGEST_NAME)
_NUMBER: Schema = {"type": "number"}


def _runs(most: int) -> Parameter:
    return Parameter(
        "runs", f"Run ids, as other answers have them, with commas between; up to {most}.", {"type": "string"}, _unread
    )


_EXPRESSIONS = Parameter(
    "expression",
    'What to draw beside metrics, such as "val/loss" - "train/loss": docs/charts.md. May be repeated.',
    {"type": "array", "items": {"type": "string", "maxLength": LONGEST_NAME}, "maxItems": MOST_METRICS},
    _unread,
)


def _keys(name: str, description: str) -> Parameter:
    schema = {"type": "array", "items": {"type": "string", "maxLength": LONGEST_NAME}, "maxItems": MOST_GROUPED_BY}
    return Parameter(name, f"{description} May be repeated, up to {MOST_GROUPED_BY} times.", schema, _unread)


ROUTES = (
    Route(
        path="/plots/line",
        name="send_line_chart",
        summary="An empty line chart for BokehJS, as its embed_item takes it",
        handler=None,
        answer=_ANY_OBJECT,
        parameters=(choice("backend", "How BokehJS draws it.", ("canvas", "webgl"), default="canvas"),),
    ),
    Route(
        path="/curves",
        name="send_curves",
        summary="Curves thinned to the pixels that they are drawn on; the lowest and highest of each pixel are kept",
        handler=None,
        answer={
            "type": "object",
            "properties": {
                "axis": TEXT,
                "curves": list_schema(_ANY_OBJECT),
                "runs": list_schema(_ANY_OBJECT),
                "missing": list_schema({}),
                "refused": list_schema(_ANY_OBJECT),
            },
            "required": ["axis", "curves", "runs", "missing", "refused"],
        },
        parameters=(
            _METRICS,
            _runs(MOST_RUNS),
            integer("pixels", "Width of the chart.", low=2, high=MOST_PIXELS, default=600),
            text(
                "axis",
                f"What x is: {', '.join(get_args(Axis))}, or {METRIC_AXIS} and a metric's name.",
                limit=LONGEST_NAME + len(METRIC_AXIS),
                default="step",
            ),
            choice(
                "x_scale",
                "Whether what is near 0 gets as much room as what is far.",
                ("linear", "log"),
                default="linear",
            ),
            _EXPRESSIONS,
            _keys("group", "A column of the table of runs; those with the same value there are one line."),
            Parameter("from", "Only points from this x on.", _NUMBER, _unread),
            Parameter("to", "Only points up to this x.", _NUMBER, _unread),
            choice(
                "encoding",
                "Columns as lists, or packed.",
                get_args(Encoding),
                default="json",
            ),
        ),
    ),
    Route(
        path="/chart-sections",
        name="send_sections",
        summary="Which charts some runs have, grouped as pages show them",
        handler=None,
        answer={
            "type": "object",
            "properties": {"sections": list_schema(_ANY_OBJECT), "missing": list_schema({})},
            "required": ["sections", "missing"],
        },
        parameters=(
            _runs(MOST_RUNS),
            choice("kind", "Logged metrics or hardware.", ("metrics", "system"), default="metrics"),
        ),
    ),
    Route(
        path="/chart-search",
        name="search_charts",
        summary="Which metrics of some runs a regular expression (RE2) matches",
        handler=None,
        answer={"type": "object", "properties": {"metrics": list_schema(TEXT)}, "required": ["metrics"]},
        parameters=(_runs(MOST_RUNS), text("q", "The regular expression.", limit=LONGEST_PATTERN, default="")),
    ),
    Route(
        path="/run-values",
        name="send_run_values",
        summary="What runs have in columns of the table, in words",
        handler=None,
        answer={
            "type": "object",
            "properties": {"keys": list_schema(TEXT), "runs": list_schema(_ANY_OBJECT)},
            "required": ["keys", "runs"],
        },
        parameters=(_runs(MOST_RUNS), _keys("key", "A column of the table of runs.")),
    ),
    Route(
        path="/sparks",
        name="send_sparks",
        summary="One metric of many runs as small SVG paths",
        handler=None,
        answer={
            "type": "object",
            "properties": {"metric": TEXT, "width": COUNT, "height": COUNT, "sparks": list_schema(_ANY_OBJECT)},
            "required": ["metric", "width", "height", "sparks"],
        },
        parameters=(_METRIC, _runs(MOST_SPARKS)),
    ),
    Route(
        path="/runs/<run:run_id>/system-strip",
        name="send_system_strip",
        summary="What a run's hardware did in its last ten minutes, as figures and small SVG paths",
        handler=None,
        answer={
            "type": "object",
            "properties": {"remark": TEXT, "cells": list_schema(_ANY_OBJECT)},
            "required": ["remark", "cells"],
        },
        statuses=NO_RUN,
    ),
    Route(
        path="/points.csv",
        name="send_points",
        summary="Every point of one metric of some runs, as CSV",
        handler=None,
        answer=TEXT,
        parameters=(_METRIC, _EXPRESSIONS, _runs(MOST_RUNS)),
        content_type="text/csv",
    ),
)
