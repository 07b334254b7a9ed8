"""Deleting runs, and the trash: what can still be brought back, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, Response, redirect, render_template, request

from ..observer.access.visibility import visible_runs
from ..observer.errors import CloisterError
from ..observer.retention.holds import list_holds
from ..observer.retention.purge import list_purges
from ..observer.retention.rules import Rules, load_rules
from ..observer.retention.tombstones import TOMBSTONES, now
from ..observer.retention.trash import TrashedRun, is_running_here
from .accounts.current import current_principal
from .chart_requests import parse_run_ids
from .run_deletion import (
    MayNotDelete,
    MayNotHold,
    delete_runs,
    find_trashed,
    list_trashed,
    restore_run,
    set_run_hold,
    trash_days,
    whole_database,
)
from .run_deletion import purge_run as purge_trashed
from .run_keys import path_segment
from .store_access import current_store, root

if TYPE_CHECKING:
    from ..observer.run_record import RunId

bp = Blueprint("trash", __name__)

MOST_AT_ONCE = 200  # runs of one deletion
SHOWN_REPORTS = 20


@bp.get("/delete")
def ask() -> str:
    """What deleting the runs in `runs` would do; nothing is done yet."""
    return _render_question()


@bp.post("/delete")
def delete() -> Response | tuple[str, int]:
    """Move the chosen runs into the trash."""
    run_ids = parse_run_ids(request.form, MOST_AT_ONCE)
    try:
        delete_runs(run_ids)
    except CloisterError as error:
        if not isinstance(error, ValueError):
            raise
        return _render_question(run_ids, problem=str(error)), getattr(error, "status", 400)
    words = ",".join(path_segment(run_id) for run_id in run_ids)
    return redirect(f"{root()}/privacy/trash?deleted={words}", 303)  # type: ignore[return-value]


@bp.post("/runs/<run:run_id>/hold")
def hold(run_id: RunId) -> Response | tuple[str, int]:
    """Put a run under legal hold, or take the hold off where the form says so."""
    run, reason = current_store().load_run(run_id), request.form.get("reason", "").strip()
    if not (reason or request.form.get("lift")):
        return _render_question((run_id,), problem="A legal hold needs a reason, for whoever asks later."), 400
    set_run_hold(run, None if request.form.get("lift") else reason)
    return redirect(f"{root()}/delete?runs={path_segment(run_id)}", 303)  # type: ignore[return-value]


@bp.get("/privacy/trash")
def show_trash() -> str:
    return _render_trash()


@bp.post("/privacy/trash/<run:trashed>/restore")
def restore(trashed: RunId) -> Response | tuple[str, int]:
    try:
        run = restore_run(trashed)
    except CloisterError as error:
        if not isinstance(error, ValueError):
            raise
        return _render_trash(problem=str(error)), getattr(error, "status", 400)
    return redirect(f"{root()}/runs/{path_segment(run.id)}", 303)  # type: ignore[return-value]


@bp.post("/privacy/trash/<run:trashed>/lift")
def lift(trashed: RunId) -> Response | tuple[str, int]:
    """Take the legal hold off a run in the trash."""
    try:
        set_run_hold(find_trashed(trashed).run, None)
    except MayNotHold as error:
        return _render_trash(problem=str(error)), error.status
    return redirect(f"{root()}/privacy/trash", 303)  # type: ignore[return-value]


@bp.post("/privacy/trash/<run:trashed>/purge")
def purge(trashed: RunId) -> Response | tuple[str, int]:
    """Delete for good. The form has the run's name, typed by whoever means it."""
    found = next((each for each in list_trashed() if each.run.id == trashed), None)
    if found is not None and request.form.get("name", "").strip() != found.run.name:
        problem = f"Deleting for good asks for the run's name: type {found.run.name!r}. Nothing was deleted."
        return _render_trash(problem=problem), 400
    try:
        purge_trashed(trashed)
    except CloisterError as error:
        if not isinstance(error, ValueError):
            raise
        return _render_trash(problem=str(error)), getattr(error, "status", 400)
    return redirect(f"{root()}/privacy/trash?purged={path_segment(trashed)}", 303)  # type: ignore[return-value]


def _render_question(chosen: tuple[RunId, ...] | None = None, problem: str = "") -> str:
    run_ids = parse_run_ids(request.args, MOST_AT_ONCE) if chosen is None else chosen
    runs = [current_store().load_run(run_id) for run_id in run_ids]
    principal, moment = current_principal(), now()
    held = {each.run_id: each for each in list_holds(whole_database())} if len(runs) == 1 else {}
    return render_template(
        "privacy/delete.html",
        may_hold=len(runs) == 1 and principal.may("manage", project=runs[0].project),
        hold=held.get(runs[0].id),
        runs=[(run, principal.may("delete", run=run), is_running_here(run, moment)) for run in runs],
        days={run.project: trash_days(run.project) for run in runs},
        problem=problem,
    )


def _render_trash(problem: str = "") -> str:
    principal, database = current_principal(), whole_database()
    rows, rules = list_trashed(), load_rules(database)
    reports = list_purges(database, {"$and": [{"kind": "runs"}, visible_runs(principal)]}, SHOWN_REPORTS)
    named = {path_segment(each.run.id): each for each in rows}
    deleted = [named[word] for word in request.args.get("deleted", "").split(",") if word in named]
    return render_template(
        "privacy/trash.html",
        rows=[(each, principal.may("delete", run=each.run), _left(each, rules)) for each in rows],
        deleted=deleted,
        reports=[each for each in reports if each.finished_at],
        waiting=[each for each in reports if not each.finished_at],
        purging=database[TOMBSTONES].count_documents({"state": "purging"}) if principal.may("site") else 0,
        problem=problem,
    )


def _left(trashed: TrashedRun, rules: Rules) -> str:
    """How long a run can still be brought back, in words: as was said when it was deleted, or less by now."""
    if trashed.purge_after is None or trashed.at is None:
        return ""
    until = min(trashed.purge_after, trashed.at + timedelta(days=trash_days(trashed.run.project, rules)))
    hours = (until - now()).total_seconds() / 3600
    if hours <= 0:
        return "any moment"
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{max(1, round(hours))} h"


__all__ = ["MayNotDelete", "bp"]
