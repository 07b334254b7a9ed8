"""The overview of a run: key figures, charts, and beside them its config, source, privacy and artifacts."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from ..observer.run_record import RunId
from ..observer.runs import RunStore
from .config_tree import iter_leaves
from .run_ending import describe_ending
from .run_figures import choose_figures
from .run_header import list_tabs, register_header_filters
from .store_access import current_store
from .wording import format_config_value

CONFIG_ROWS, ARTIFACT_ROWS, FILE_ROWS = 9, 5, 4
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


@bp.get("/runs/<run:run_id>/overview/<any(top, side):part>")
def show_overview_part(run_id: RunId, part: str) -> str:
    """What changes on the overview while a run runs: the figures above the charts, the cards beside them."""
    return render_template(f"run/{part}.html", **_load_overview(run_id))


def _load_overview(run_id: RunId) -> dict[str, Any]:
    store = current_store()
    run = store.load_run(run_id)
    leaves = list(iter_leaves(run.config, run.config_defaults))
    return {
        "run": run,
        "figures": choose_figures(run),
        "ending": describe_ending(run),
        "config_leaves": sorted(leaves, key=lambda leaf: not leaf.changed)[:CONFIG_ROWS],
        "config_count": len(leaves),
        "artifact_rows": ARTIFACT_ROWS,
        "file_rows": FILE_ROWS,
        "result_words": _describe_result(run.result),
        "stored_where": describe_database(store),
        "chart_limit": CHARTS_PER_SECTION,
    }


def _describe_result(result: Any) -> str:
    """A result that is more than a number; numbers stand among the figures."""
    if result is None or (isinstance(result, (int, float)) and not isinstance(result, bool)):
        return ""
    words = format_config_value(result, quoted=True)
    return words if len(words) <= 2000 else f"{words[:2000]}…"


def describe_database(store: RunStore) -> str:
    """Which database holds the data, without asking it and without its password."""
    hosts = sorted({host for host, _ in store.database.client.nodes})
    if not hosts:
        return f"MongoDB, database {store.database.name}"
    if all(host in LOOPBACK or host.startswith("/") for host in hosts):
        return f"this machine's MongoDB, database {store.database.name}"
    return f"MongoDB on {', '.join(hosts[:3])}, database {store.database.name}"
