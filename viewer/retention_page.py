"""Retention: how long what is kept in each project, what a legal hold keeps, what the rules would delete now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request

from ..observer.access.visibility import visible_runs
from ..observer.errors import CloisterError
from ..observer.retention.expiry import Applied, rehearse_rules
from ..observer.retention.holds import Hold, held_projects, list_holds
from ..observer.retention.purge import list_purges
from ..observer.retention.rules import (
    KINDS,
    TRASH_DAYS,
    Rules,
    age_words,
    known_projects,
    load_rules,
    parse_age,
    set_project_days,
    set_site_days,
)
from .accounts.current import current_principal
from .audit_notes import note
from .retention_keeper import STATE
from .run_deletion import acting_name, set_project_hold, whole_database
from .store_access import root

bp = Blueprint("retention", __name__, url_prefix="/privacy/retention")

SHOWN_REPORTS = 20
SHOWN_DUE = 100
MOST_PROJECTS = 500


@dataclass(frozen=True)
class ProjectRow:
    """A project's rules: for each kind, how long in words and who says so."""

    name: str
    cells: tuple[tuple[str, str], ...]
    hold: Hold | None


@bp.get("")
def show_retention() -> str:
    return _render()


@bp.post("/site")
def set_site() -> Response | tuple[str, int]:
    return _change(lambda changes: _set_site(changes))


@bp.post("/projects/<path:project>/hold")
def hold(project: str) -> Response | tuple[str, int]:
    """Put a project under legal hold, or lift it where the form says so."""
    reason = request.form.get("reason", "").strip()
    if request.form.get("lift"):
        set_project_hold(project, None)
    elif not reason:
        return _render_project(project, problem="A legal hold needs a reason, for whoever asks later."), 400
    else:
        set_project_hold(project, reason)
    return redirect(f"{root()}/privacy/retention", 303)  # type: ignore[return-value]


@bp.get("/projects/<path:project>")
def show_project(project: str) -> str:
    return _render_project(project)


@bp.post("/projects/<path:project>")
def set_project(project: str) -> Response | tuple[str, int]:
    try:
        changes = _read_form()
    except CloisterError as error:
        if not isinstance(error, (ValueError, LookupError)):
            raise
        return _render_project(project, problem=str(error)), 400
    change_project_rules(project, changes)
    return redirect(f"{root()}/privacy/retention", 303)  # type: ignore[return-value]


@bp.get("/preview")
def preview() -> str:
    """What the rules would delete now, of what whoever asks may see."""
    database = whole_database()
    seen = visible_runs(current_principal())
    return _render(rehearse_rules(database, load_rules(database), managed_projects(), seen=seen, counted=SHOWN_DUE))


def change_project_rules(project: str, changes: dict[str, float | None]) -> None:
    """Change a project's own rules, once that is in the audit log."""
    said = {kind: age_words(days) if days is not None else "no rule of its own" for kind, days in changes.items()}
    note("retention-changed", target=f"project {project}", project=project, **said)
    set_project_days(whole_database(), project, changes, by=acting_name())


def seen_reports(projects: list[str]) -> dict[str, Any]:
    """The condition that reports meet which whoever asks may see: of these projects, of runs that they saw."""
    return {"$and": [{"project": {"$in": projects}}, visible_runs(current_principal())]}


def managed_projects() -> list[str]:
    """Those whose rules whoever asks may see and change."""
    principal = current_principal()
    return [name for name in known_projects(whole_database()) if principal.may("manage", project=name)][:MOST_PROJECTS]


def _set_site(changes: dict[str, float | None]) -> None:
    said = {kind: age_words(days) if days is not None else "no rule" for kind, days in changes.items()}
    note("retention-changed", target="the site", **said)
    set_site_days(whole_database(), changes, by=acting_name())


def _change(change: Any) -> Response | tuple[str, int]:
    try:
        changes = _read_form()
    except CloisterError as error:
        if not isinstance(error, (ValueError, LookupError)):
            raise
        return _render(problem=str(error)), 400
    change(changes)
    return redirect(f"{root()}/privacy/retention", 303)  # type: ignore[return-value]


def _read_form() -> dict[str, float | None]:
    """Ages by kind; an empty field takes a rule away."""
    return {kind.name: parse_age(kind.name, request.form.get(kind.name, "").strip() or "never") for kind in KINDS}


def _row(name: str, rules: Rules, holds: dict[str, Hold]) -> ProjectRow:
    cells = tuple((age_words(rules.days(name, kind.name)), rules.source(name, kind.name)) for kind in KINDS)
    return ProjectRow(name, cells, holds.get(name))


def _render(preview: Applied | None = None, problem: str = "") -> str:
    database, principal = whole_database(), current_principal()
    rules, holds, mine = load_rules(database), held_projects(database), managed_projects()
    own = set(mine)
    return render_template(
        "privacy/retention.html",
        kinds=KINDS,
        rows=[_row(name, rules, holds) for name in mine],
        site=dict(rules.site),
        may_set_site=principal.may("site"),
        holds=[each for each in list_holds(database, visible_runs(principal)) if each.project in own],
        reports=list_purges(database, seen_reports(mine), SHOWN_REPORTS),
        state=database[STATE].find_one({"_id": "keeper"}) or {},
        preview=preview,
        due_counts=Counter(each.kind for each in preview.due) if preview else {},
        due=preview.due[:SHOWN_DUE] if preview else [],
        problem=problem,
        trash_days=TRASH_DAYS,
    )


def _render_project(project: str, problem: str = "") -> str:
    database = whole_database()
    rules = load_rules(database)
    return render_template(
        "privacy/retention_project.html",
        project=project,
        kinds=KINDS,
        own=dict(rules.own.get(project, {})),
        effective={
            kind.name: (age_words(rules.days(project, kind.name)), rules.source(project, kind.name)) for kind in KINDS
        },
        hold=held_projects(database).get(project),
        problem=problem,
        typed=request.form if problem else {},
    )
