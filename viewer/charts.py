"""The REST endpoints behind every chart: the empty chart, its curves, its sections, spark lines, points as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, jsonify, request, stream_with_context

from ..observer.metric_expressions import Expression
from ..observer.points import Points
from ..observer.runs import MetricNotFound, RunNotFound
from ..observer.series_views import load_reckoned
from .chart_requests import (
    MOST_GROUPED_BY,
    MOST_SPARKS,
    BadChartRequest,
    parse_choice,
    parse_curve_request,
    parse_expressions,
    parse_keys,
    parse_metrics,
    parse_pattern,
    parse_run_ids,
)
from .chart_sections import SYSTEM_PREFIX, ChartSection, group_metrics
from .csv_cells import guard_cell
from .curve_answers import answer_curves, listed_words
from .hardware_sections import group_hardware
from .run_keys import RunKey, run_key
from .sparks import SPARK_HEIGHT, SPARK_PIXELS, SPARK_WIDTH, spark_path
from .store_access import current_store
from .system_strip import SystemStrip, load_strip

if TYPE_CHECKING:
    from ..observer.metric_summary import MetricSummary
    from ..observer.run_heads import RunHead
    from ..observer.run_record import RunId, RunRecord
    from ..observer.runs import RunStore

bp = Blueprint("charts", __name__, url_prefix="/api/v1")

CSV_ROWS_AT_A_TIME = 4096


@bp.errorhandler(BadChartRequest)
def refuse_request(error: BadChartRequest) -> Response:
    response = jsonify(type="about:blank", status=400, title="Bad request", detail=str(error))
    response.status_code = 400
    response.content_type = "application/problem+json"
    return response


@bp.get("/plots/line")
def send_line_chart() -> Response:
    """An empty line chart for BokehJS' `embed_item`; a page clones it for each of its charts."""
    from .plots import chart_document, line_chart  # Bokeh costs half a second: only the first chart waits for it

    backend = request.args.get("backend", "canvas")
    if backend not in ("canvas", "webgl"):
        raise BadChartRequest("backend", backend, "one of canvas, webgl")
    response = jsonify(chart_document(line_chart(backend="webgl" if backend == "webgl" else "canvas")))
    response.cache_control.no_cache = True
    response.cache_control.private = True
    response.cache_control.no_store = False
    return response


@bp.get("/curves")
def send_curves() -> Response:
    """Curves thinned to the pixels that they are drawn on: every metric asked for, of every run that has it."""
    return Response(answer_curves(current_store(), parse_curve_request(request.args)), mimetype="application/json")


@bp.get("/chart-sections")
def send_sections() -> Response:
    """Which charts the runs have, grouped as pages show them. `kind=system` asks for the hardware charts."""
    run_ids = parse_run_ids(request.args)
    kind = parse_choice("kind", request.args.get("kind", "metrics"), ("metrics", "system"))
    store = current_store()
    there = {run_key(head.run.id) for head in store.load_heads(run_ids, ()) if head is not None}
    sections = find_sections(store, run_ids, kind=kind)
    missing = [run_key(run_id) for run_id in run_ids if run_key(run_id) not in there]
    return jsonify(sections=[section.as_json() for section in sections], missing=missing)


@bp.get("/chart-search")
def search_charts() -> Response:
    """Which metrics of the runs a regular expression matches. RE2 takes no longer for one than for another."""
    pattern = parse_pattern(request.args.get("q", ""))
    names = current_store().find_metric_names(parse_run_ids(request.args))
    return jsonify(metrics=sorted(name for name in names if pattern.search(name)))


@bp.get("/run-values")
def send_run_values() -> Response:
    """What runs have in columns of the table, in words: what charts colour and group by."""
    keys = parse_keys(request.args, "key", MOST_GROUPED_BY)
    run_ids = parse_run_ids(request.args)
    runs = {run_key(run.id): run for run in current_store().load_listed(run_ids)}
    asked = [runs[run_key(run_id)] for run_id in run_ids if run_key(run_id) in runs]
    return jsonify(keys=keys, runs=listed_words(asked, keys))


@bp.get("/sparks")
def send_sparks() -> Response:
    """One metric of many runs as small SVG paths, for a column of a table."""
    store = current_store()
    [metric] = parse_metrics(request.args, most=1)
    sparks = []
    for run_id in parse_run_ids(request.args, most=MOST_SPARKS):
        try:
            curve = store.load_curve(run_id, metric, pixels=SPARK_PIXELS)
        except MetricNotFound:
            continue
        sparks.append({"run_id": run_key(run_id), "path": spark_path(curve.x, curve.values)})
    return jsonify(metric=metric, width=SPARK_WIDTH, height=SPARK_HEIGHT, sparks=sparks)


@bp.get("/runs/<run:run_id>/system-strip")
def send_system_strip(run_id: RunId) -> Response:
    """What the run's hardware did in its last ten minutes, as figures and SVG paths."""
    store = current_store()
    strip = load_strip(store, store.load_run(run_id))
    return jsonify(strip.as_json() if strip else {"remark": "", "cells": []})


@bp.app_template_global("system_strip_of")
def system_strip_of(run: RunRecord) -> SystemStrip | None:
    """The strip for the macro `system_strip` in templates/charts/macros.html."""
    return load_strip(current_store(), run)


@bp.get("/points.csv")
def send_points() -> Response:
    """Every point of one metric, or of one expression, not thinned, as CSV."""
    expressions = parse_expressions(request.args)
    if expressions and "metric" in request.args:
        raise BadChartRequest("expression", expressions[0].text, "asked for together with a metric")
    [of] = expressions[:1] or parse_metrics(request.args, most=1)
    needed = () if isinstance(of, str) else of.metrics
    heads = [head for head in current_store().load_heads(parse_run_ids(request.args), needed) if head is not None]
    lines = _iter_csv(current_store(), heads, of)
    response = Response(stream_with_context(lines), mimetype="text/csv")
    name = of if isinstance(of, str) else of.text
    response.headers.set("Content-Disposition", "attachment", filename=f"{_file_name(name)}.csv")
    return response


def load_known_runs(store: RunStore, run_ids: Iterable[Any]) -> tuple[list[RunRecord], list[RunKey]]:
    """The runs that exist, in the order asked for, and the keys of the others: a deleted run must not empty a chart."""
    runs, missing = [], []
    for run_id in run_ids:
        try:
            runs.append(store.load_run(run_id))
        except RunNotFound:
            missing.append(run_key(run_id))
    return runs, missing


def find_sections(store: RunStore, run_ids: Sequence[Any], *, kind: str = "metrics") -> tuple[ChartSection, ...]:
    """The sections of all charts that at least one of the runs has."""
    names = store.find_metric_names(run_ids)
    return group_hardware(names) if kind == "system" else group_metrics(names)


def find_summary(run: RunRecord, metric: str) -> MetricSummary | None:
    if metric.startswith(SYSTEM_PREFIX):
        return run.system.get(metric[len(SYSTEM_PREFIX) :])
    return run.summary.get(metric)


def _iter_csv(store: RunStore, heads: Iterable[RunHead], of: str | Expression) -> Iterator[str]:
    yield "run_id,run,step,wall_time,value\r\n"
    for head in heads:
        points = _load_exactly(store, head, of)
        for start in range(0, len(points), CSV_ROWS_AT_A_TIME):
            part = points[slice(start, start + CSV_ROWS_AT_A_TIME)]
            text = io.StringIO()
            csv.writer(text).writerows(
                (run_key(head.run.id), guard_cell(head.run.name), step, _iso(wall_time), repr(value))
                for step, wall_time, value in zip(
                    part.steps.tolist(), part.wall_times.tolist(), part.values.tolist(), strict=True
                )
            )
            yield text.getvalue()


def _load_exactly(store: RunStore, head: RunHead, of: str | Expression) -> Points:
    if isinstance(of, Expression):
        return load_reckoned(store.database, head, of)
    try:
        return store.load_points(head.run.id, of)
    except MetricNotFound:  # not every run logs every metric
        return Points.empty()


def _iso(wall_time: float) -> str:
    try:
        return datetime.fromtimestamp(wall_time, timezone.utc).isoformat()
    except (OverflowError, ValueError, OSError):  # a clock far off: the number says as much
        return repr(wall_time)


def _file_name(metric: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in metric)[
        :80
    ]
