"""The list of projects: the first page, and the menu in the top bar that switches between them."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from .store_access import current_store
from .wording import register_wording

MOST_IN_MENU = 12  # the newest; the menu ends with a link to all

bp = Blueprint("projects", __name__)
bp.record_once(lambda state: register_wording(state.app))  # type: ignore[arg-type]  # Flask says App, its filters are Flask's


@bp.get("/")
def show_projects() -> str:
    part = "projects/list.html" if request.headers.get("HX-Request") else "projects.html"
    return render_template(part, projects=current_store().list_projects(), project_name=None)


@bp.get("/projects/menu")
def show_project_menu() -> str:
    projects = current_store().list_projects()[:MOST_IN_MENU]
    return render_template("projects/menu.html", projects=projects, current=request.args.get("current", ""))
