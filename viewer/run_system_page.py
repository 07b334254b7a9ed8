"""The System tab of a run: what CPU, memory, disks, network and GPUs did while it trained."""

from __future__ import annotations

from flask import Blueprint, render_template

from ..observer.run_record import RunId
from .chart_sections import SYSTEM_PREFIX
from .store_access import current_store

bp = Blueprint("run_system_page", __name__)


@bp.get("/runs/<run:run_id>/system")
def show_system(run_id: RunId) -> str:
    store = current_store()
    run = store.load_run(run_id)
    metrics = [summary.name for summary in store.list_metrics(run_id) if summary.name.startswith(SYSTEM_PREFIX)]
    return render_template("run/system.html", run=run, active_tab="system", metrics=metrics)
