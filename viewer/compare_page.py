"""Compare: 2 to 50 runs beside each other, with a baseline that the others are measured by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, abort, render_template, request

from ..observer.console_store import BadCursor
from ..observer.run_query import BadRunQuery, RunQuery
from .chart_requests import MOST_RUNS
from .chart_sections import SYSTEM_PREFIX
from .compare_address import MOST_COMPARED, VIEWS, WITHIN, CompareAddress, parse_compare
from .compare_media import find_series, show_step
from .compare_models import compare_models, records_architecture
from .compare_runs import Comparison, load_comparison
from .compare_sources import compare_sources
from .compare_tables import config_table, environment_table, package_table, summary_table
from .console_lines import read_lines
from .run_colours import cookie_name, parse_drawn
from .run_keys import RunKey
from .runs_table import rank_metrics
from .store_access import current_store, root

if TYPE_CHECKING:
    from ..observer.run_record import RunId, RunRecord
    from ..observer.runs import RunStore

bp = Blueprint("compare", __name__)

CHOICES = 50
SUMMARY_ROWS = 12
CONFIG_ROWS = 200
CHARTS_AT_FIRST = 4
CONSOLE_PIECES = 200
CONSOLE_LINES = 500


@bp.get("/compare")
def show_comparison() -> str:
    """The whole page; with fewer than two runs, those that can be chosen."""
    store, address = current_store(), parse_compare(request.args, root=root())
    comparison = load_comparison(store, address, _drawn_slots)
    address = settle_address(address, comparison)
    if len(comparison.runs) < 2:
        return render_template("compare/choose.html", **_frame(address, comparison), **_choices(store, address))
    return render_template("compare.html", **_frame(address, comparison), **load_view(store, address, comparison))


@bp.get("/compare/part/<shown>")
def show_part(shown: str) -> str:
    """One part of the page, for the page that shows it on demand or live."""
    if shown not in PARTS:
        abort(404)
    store, address = current_store(), parse_compare(request.args, root=root())
    comparison = load_comparison(store, address, _drawn_slots)
    address = settle_address(address, comparison)
    if len(comparison.runs) < 2:
        abort(404)
    context = PARTS[shown](store, replace(address, view="all"), comparison)
    return render_template(f"compare/{shown}.html", **_frame(address, comparison), **context)


@bp.get("/compare/console/<run:run_id>")
def show_console_column(run_id: RunId) -> str:
    """The newest lines of one run, or those before a cursor, for its column."""
    store = current_store()
    run = store.load_run(run_id)
    before = request.args.get("before") or None
    try:
        page = store.load_console(run.id, before=before, limit=CONSOLE_PIECES)
    except BadCursor as error:
        abort(400, str(error))
    content = read_lines(page.pieces, keep="last")
    if len(content.lines) > CONSOLE_LINES and before is None:
        content = replace(content, lines=content.lines[-CONSOLE_LINES:])
    earlier = page.more or content.dropped_pieces > 0
    return render_template("compare/console_column.html", run=run, content=content, earlier=earlier, is_tail=not before)


@bp.get("/compare/choices")
def show_choices() -> str:
    """Runs that can be added, by what was typed."""
    store, address = current_store(), parse_compare(request.args, root=root())
    return render_template("compare/choices.html", address=address, **_choices(store, address))


def settle_address(address: CompareAddress, comparison: Comparison) -> CompareAddress:
    """The address with what the page settled: colours that the next person sees too, and no run that is not there."""
    return replace(address, runs=comparison.keys, slots=tuple(comparison.slots.items()))


def _drawn_slots(project: str) -> dict[RunKey, int]:
    return parse_drawn(request.cookies.get(cookie_name(root(), project), "none")).slots


def _frame(address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    """What every template of these pages is given."""
    projects = comparison.projects
    return {
        "nav_active": "compare",
        "project_name": projects[0] if len(projects) == 1 else address.project or None,
        "address": address,
        "comparison": comparison,
        "views": {view: title for view, title in VIEWS.items() if view not in WITHIN},
        "view_within": WITHIN.get(address.view, address.view),
        "most_compared": MOST_COMPARED,
        "is_part": "/part/" in request.path,
    }


def _choices(store: RunStore, address: CompareAddress) -> dict[str, Any]:
    text = request.args.get("q", "").strip()
    project = request.args.get("project", "").strip() or None
    try:
        page = store.list_runs(RunQuery(project, text=text, page_size=CHOICES))
    except BadRunQuery as error:
        abort(400, str(error))
    return {"choices": page.runs, "choice_total": page.total, "choice_text": text, "choice_project": project}


def load_view(store: RunStore, address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    """What the chosen view shows at once; the rest of the page fetches itself when it comes into sight."""
    if address.view == "all":
        return {**_tables(store, address, comparison), **_charts(store, address, comparison)}
    return VIEW_PARTS[address.view](store, address, comparison)


def _tables(store: RunStore, address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    runs, baseline = _with_summaries(store, comparison), comparison.baseline
    most = SUMMARY_ROWS if address.view == "all" else None
    return {
        "config": config_table(runs, baseline, every_key=address.every_key),
        "config_rows": CONFIG_ROWS if address.view == "all" else None,
        "summary": summary_table(runs, baseline, most=most),
    }


def _with_summaries(store: RunStore, comparison: Comparison) -> tuple[RunRecord, ...]:
    """The runs with the metrics that Sacred wrote, which a run's document does not always name."""
    return tuple(
        run if run.uid is not None or run.summary else replace(run, summary=_listed_metrics(store, run))
        for run in comparison.records
    )


def _listed_metrics(store: RunStore, run: RunRecord) -> dict[str, Any]:
    return {metric.name: metric for metric in store.list_metrics(run.id) if not metric.name.startswith(SYSTEM_PREFIX)}


def _environment(_store: RunStore, address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    runs, baseline, every = comparison.records, comparison.baseline, address.every_key
    return {
        "environment": environment_table(runs, baseline, every_key=every),
        "packages": package_table(runs, baseline, every_key=every),
    }


def _charts(store: RunStore, address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    """All metrics; beside the tables the few that runs are judged by, and the memory of a GPU."""
    runs = _with_summaries(store, comparison)
    logged = dict.fromkeys(name for run in runs for name in run.summary)
    system = dict.fromkeys(f"{SYSTEM_PREFIX}{name}" for run in runs for name in run.system)
    if address.view == "all":
        memory = [name for name in system if name.endswith(".memory.used")][:1]
        logged = dict.fromkeys(rank_metrics(logged)[: CHARTS_AT_FIRST - len(memory)])
        system = dict.fromkeys(memory)
    return {"metrics": list(logged), "system_metrics": list(system), "most_drawn": MOST_RUNS}


def _source(store: RunStore, address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    other = comparison.other(address.against)
    return {"other": other, "source": compare_sources(store, comparison.base.run, other.run)}


def _model(store: RunStore, address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    other = comparison.other(address.against)
    return {
        "other": other,
        "models": compare_models(store, comparison.base.run, other.run),
        "recording": tuple(each for each in comparison.runs if records_architecture(each.run)),
    }


def _console(_store: RunStore, _address: CompareAddress, _comparison: Comparison) -> dict[str, Any]:
    return {}  # each run's column fetches itself


def _media(_store: RunStore, address: CompareAddress, comparison: Comparison) -> dict[str, Any]:
    """One series at one step; `at` counts the steps of the series, as its slider does."""
    every = find_series(comparison)
    chosen = next((series for series in every if series.name == address.media), every[0] if every else None)
    if chosen is None:
        return {"every_series": every, "series": None}
    step = chosen.nearest(address.step)
    at = request.args.get("at", "")
    if at.isascii() and at.isdigit() and len(at) < 7:
        step = chosen.steps[min(int(at), len(chosen.steps) - 1)]
    place = chosen.steps.index(step)
    return {
        "every_series": every,
        "series": chosen,
        "step": step,
        "place": place,
        "previous": chosen.steps[place - 1] if place else None,
        "next": chosen.steps[place + 1] if place + 1 < len(chosen.steps) else None,
        "cells": show_step(chosen, step, comparison.runs),
    }


Part = Callable[["RunStore", CompareAddress, Comparison], dict[str, Any]]
# What is fetched on its own, by the name of its template under compare/.
PARTS: dict[str, Part] = {
    "tables": _tables,
    "environment": _environment,
    "source": _source,
    "model": _model,
    "console": _console,
    "media": _media,
}
VIEW_PARTS: dict[str, Part] = {
    "config": _tables,
    "environment": _environment,
    "charts": _charts,
    "source": _source,
    "model": _model,
    "console": _console,
    "media": _media,
}
