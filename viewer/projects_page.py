"""The list of projects: the first page, and the menu in the top bar that switches between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, render_template, request
from pymongo.errors import PyMongoError

from ..observer.run_collections import collections_of
from .store_access import current_store
from .wording import register_wording

if TYPE_CHECKING:
    from ..observer.run_places import RunPlace
    from ..observer.runs import RunStore

MOST_IN_MENU = 12  # the newest; the menu ends with a link to all

bp = Blueprint("projects", __name__)
MOST_ELSEWHERE = 8

bp.record_once(lambda state: register_wording(state.app))  # type: ignore[arg-type]  # Flask says App, its filters are Flask's


@bp.get("/")
def show_projects() -> str:
    part = "projects/list.html" if request.headers.get("HX-Request") else "projects.html"
    projects = current_store().list_projects()
    elsewhere = () if projects else find_runs_elsewhere(current_store())
    return render_template(part, projects=projects, elsewhere=elsewhere, project_name=None)


def find_runs_elsewhere(store: RunStore) -> tuple[RunPlace, ...]:
    """Where else on this server there are runs: Sacred's databases and prefixes, which nobody knows by heart."""
    own = (store.database.name, collections_of(store.database))
    try:
        places = store.list_databases()
    except PyMongoError:  # a hint is not worth an error page
        return ()
    return tuple(place for place in places if (place.database, place.collections) != own)[:MOST_ELSEWHERE]


@bp.app_template_filter("database_option")
def write_option(place: RunPlace) -> str:
    """The place as `cloister serve --also` takes it."""
    return place.database if place.collections.is_default else f"{place.database}:{place.collections}"


@bp.get("/projects/menu")
def show_project_menu() -> str:
    projects = current_store().list_projects()[:MOST_IN_MENU]
    return render_template("projects/menu.html", projects=projects, current=request.args.get("current", ""))
