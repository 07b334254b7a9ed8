"""The Charts tab of a run: one chart per metric, grouped by prefix. Also what every template needs to draw charts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from flask import Blueprint, render_template

from ..observer.run_ids import parse_run_id
from ..observer.run_record import RunId
from .chart_requests import MOST_RUNS
from .chart_sections import SYSTEM_PREFIX, ChartSection, ChartSpec, group_metrics
from .hardware_sections import group_hardware
from .run_colours import SLOT_COUNT, RunColour
from .run_keys import RunKey
from .store_access import current_store

bp = Blueprint("run_charts_page", __name__)

DASHES = ("solid", "long", "short")
SLOTS = SLOT_COUNT * len(DASHES)


@bp.get("/runs/<run:run_id>/charts")
def show_charts(run_id: RunId) -> str:
    store = current_store()
    run = store.load_run(run_id)
    metrics = [summary.name for summary in store.list_metrics(run_id) if not summary.name.startswith(SYSTEM_PREFIX)]
    return render_template("run/charts.html", run=run, active_tab="charts", metrics=metrics)


@bp.app_template_global("group_charts")
def group_charts(metrics: Iterable[str], kind: str, keys: Collection[RunKey]) -> tuple[ChartSection, ...]:
    """The sections of a page: of the given metrics those that at least one of the runs has."""
    if not keys:
        return ()
    if kind == "system":
        return group_hardware(metrics)
    return group_metrics(metrics if len(keys) == 1 else _logged_by(metrics, keys))


def _logged_by(metrics: Iterable[str], keys: Collection[RunKey]) -> Iterable[str]:
    logged = current_store().find_metric_names([parse_run_id(str(key)) for key in keys])
    named = [name for name in metrics if name in logged]
    # The project's list is of its newest runs; what older ones have beside it stands in their own.
    return [*named, *sorted(logged.difference(named))]


@bp.app_template_global("charts_json")
def charts_json(charts: Iterable[ChartSpec]) -> list[dict[str, Any]]:
    return [chart.as_json() for chart in charts]


@bp.app_template_global("chart_runs")
def chart_runs(keys: Iterable[RunKey], slots: Mapping[RunKey, int | RunColour]) -> list[dict[str, Any]]:
    """The runs as the browser's modules take them: every one with a slot, so that its colour is settled."""
    runs = list(dict.fromkeys(keys))[:MOST_RUNS]
    given = {key: _slot_number(slots[key]) for key in runs if key in slots}
    free = (slot for slot in range(1, SLOTS + 1) if slot not in given.values())
    # Beyond the 36 that can be told apart a run is grey: slot 0.
    return [{"run_id": key, "slot": given[key] if key in given else next(free, 0)} for key in runs]


def _slot_number(slot: int | RunColour) -> int:
    """1 to 36: a colour and a dash in one number."""
    return slot if isinstance(slot, int) else slot.slot + SLOT_COUNT * DASHES.index(slot.dash)
