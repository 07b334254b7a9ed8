"""Why can I see this? Who sees a run, for which reasons, and changing that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, redirect, render_template, request

from ..observer.access.principal import VISIBILITIES
from ..observer.access.project_settings import load_settings_of
from ..observer.access.run_sharing import Sharing, parse_shared_with
from ..observer.errors import CloisterError
from .accounts.current import current_principal
from .project_settings_page import VISIBILITY_WORDS
from .rights_changes import change_sharing
from .run_keys import path_segment
from .store_access import current_store, home_database, root

if TYPE_CHECKING:
    from ..observer.run_record import RunId, RunRecord

bp = Blueprint("run_access", __name__)


@bp.record_once
def _register(state: Any) -> None:
    app: Flask = state.app
    app.jinja_env.filters["seen_by_words"] = describe_visibility


def describe_visibility(run: RunRecord) -> str:
    """Who sees a run, in a few words for its header: "its owner and ana", "members of digits"."""
    kind = current_principal().kind
    if kind == "local":
        return "everyone who can open this viewer"
    if kind == "share":
        return "whoever has this link, and those who see it anyway"
    named = [*run.shared_people, *(f"group {name}" for name in run.shared_groups)]
    also = f" and {named[0]}" if len(named) == 1 else f" and {len(named)} named" if named else ""
    visibility = run.visibility or load_settings_of(home_database(), run.project).visibility
    if visibility == "site":
        return "everybody signed in"
    return (f"members of {run.project}" if visibility == "project" else "its owner") + also


@bp.get("/runs/<run:run_id>/access")
def show_access(run_id: RunId) -> str:
    return _render(run_id)


@bp.post("/runs/<run:run_id>/access")
def change_access(run_id: RunId) -> Response | tuple[str, int]:
    run = current_store().load_run(run_id)
    chosen = request.form.get("visibility", "")
    try:
        people, groups = parse_shared_with(request.form.get("shared_with", ""))
        change_sharing(run, Sharing("" if chosen == "default" else chosen, people, groups))
    except CloisterError as error:
        if not isinstance(error, ValueError):
            raise
        return _render(run_id, problem=str(error), typed=request.form.get("shared_with", "")), 400
    return redirect(f"{root()}/runs/{path_segment(run_id)}/access", 303)  # type: ignore[return-value]


def _render(run_id: RunId, problem: str = "", typed: str | None = None) -> str:
    run, why = current_store().explain_visibility(run_id, home_database())
    named = ", ".join((*run.shared_people, *(f"group:{name}" for name in run.shared_groups)))
    return render_template(
        "run/access.html",
        run=run,
        active_tab="access",
        why=why,
        may_change=current_principal().may("manage", run=run),
        visibilities=VISIBILITIES,
        visibility_words=VISIBILITY_WORDS,
        shared_with=named if typed is None else typed,
        problem=problem,
    )
