"""The overview of a run: key figures, charts, and beside them its config, source, privacy and artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, request

from ..observer.run_collections import collections_of
from ..observer.run_edits import NOTES_LENGTH
from ..observer.run_events import list_events
from ..observer.run_record import RunId, RunRecord
from ..observer.runs import RunStore
from .chart_sections import SYSTEM_PREFIX
from .config_sources import sources_of
from .config_tree import info_of, iter_leaves
from .run_ending import describe_ending
from .run_figures import choose_figures
from .run_header import list_tabs, register_header_filters, render_notes
from .run_start_words import describe_queue, given_paths
from .store_access import current_store
from .wording import format_config_value

if TYPE_CHECKING:
    from ..observer.metric_summary import MetricSummary

CONFIG_ROWS, INFO_ROWS, ARTIFACT_ROWS, FILE_ROWS = 9, 6, 5, 4
CHARTS_PER_SECTION = 3
LOOPBACK = ("127.0.0.1", "::1", "localhost")

bp = Blueprint("run", __name__)
bp.record_once(lambda state: register_header_filters(state.app))  # type: ignore[arg-type]  # as in projects_page


@bp.get("/runs/<run:run_id>")
def show_run(run_id: RunId) -> str:
    return render_template("run/overview.html", active_tab="overview", **_load_overview(run_id))


@bp.get("/runs/<run:run_id>/header")
def show_header(run_id: RunId) -> str:
    """The header alone, for the page that shows it live; `tab` says which tab is open."""
    run = current_store().load_run(run_id)
    asked = request.args.get("tab", "overview")
    known = asked if asked in {tab.name for tab in list_tabs(run)} else "overview"
    return render_template("run/header.html", run=run, active_tab=known)


@bp.get("/runs/<run:run_id>/overview/<any(top, side, timeline):part>")
def show_overview_part(run_id: RunId, part: str) -> str:
    """What changes on the overview while a run runs: the figures above the charts, the cards beside them."""
    return render_template(f"run/{part}.html", **_load_overview(run_id))


@bp.post("/runs/<run:run_id>/notes/preview")
def preview_notes(run_id: RunId) -> str:
    """What the notes that somebody is writing will look like."""
    return render_notes(request.form.get("notes", "")[:NOTES_LENGTH])


def _load_overview(run_id: RunId) -> dict[str, Any]:
    store = current_store()
    run = store.load_run(run_id)
    metrics = logged_metrics(store, run)
    leaves = list(iter_leaves(run.config, run.config_defaults, given_paths(run), sources_of(run)))
    info = list(iter_leaves(info_of(run), {}))
    return {
        "run": run,
        "events": list_events(run),
        "metrics": metrics,
        "figures": choose_figures(run, metrics),
        "ending": describe_queue(run) or describe_ending(run),
        "info_leaves": info[:INFO_ROWS],
        "info_count": len(info),
        "config_leaves": sorted(leaves, key=lambda leaf: not leaf.changed)[:CONFIG_ROWS],
        "config_count": len(leaves),
        "artifact_rows": ARTIFACT_ROWS,
        "file_rows": FILE_ROWS,
        "result_words": _describe_result(run.result),
        "stored_where": describe_database(store),
        "chart_limit": CHARTS_PER_SECTION,
    }


def logged_metrics(store: RunStore, run: RunRecord) -> dict[str, MetricSummary]:
    """What the training logged, without hardware. Of what Sacred wrote, a run does not always name all."""
    if run.uid is not None or run.summary:
        return run.summary
    return {metric.name: metric for metric in store.list_metrics(run.id) if not metric.name.startswith(SYSTEM_PREFIX)}


def _describe_result(result: Any) -> str:
    """A result that is more than a number; numbers stand among the figures."""
    if result is None or (isinstance(result, (int, float)) and not isinstance(result, bool)):
        return ""
    words = format_config_value(result, quoted=True)
    return words if len(words) <= 2000 else f"{words[:2000]}…"


def describe_database(store: RunStore) -> str:
    """Which database holds the data, without asking it and without its password."""
    hosts = sorted({host for host, _ in store.database.client.nodes})
    collections = collections_of(store.database)
    where = f"database {store.database.name}"
    if not collections.is_default:
        where += f", collection {collections.name('runs')}"
    if not hosts:
        return f"MongoDB, {where}"
    if all(host in LOOPBACK or host.startswith("/") for host in hosts):
        return f"this machine's MongoDB, {where}"
    return f"MongoDB on {', '.join(hosts[:3])}, {where}"
