"""What the workspace of charts is rendered with: a layout, and what charts may be coloured and grouped by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from flask import Blueprint, current_app, request

from ..observer.chart_layouts import Layout, LayoutNotFound, load_own, load_shared
from .accounts.current import current_principal
from .store_access import current_database, home_database

if TYPE_CHECKING:
    from ..observer.project_lists import Columns

bp = Blueprint("workspace", __name__)

MOST_FIELDS = 500
_RUN_FIELDS = ("tags", "status", "experiment", "owner", "host", "git.branch", "git.commit", "name")


@dataclass(frozen=True)
class KnownLayout:
    """A layout, and who keeps what is changed of it."""

    layout: Layout
    kept_by: Literal["server", "browser"]


@bp.app_template_global("chart_layout")
def chart_layout(project: str) -> KnownLayout:
    """The layout that the address names, else the person's own."""
    principal = current_principal()
    is_kept = principal.kind in ("local", "person") and not principal.viewed_by
    is_kept = is_kept and not current_app.jinja_env.globals["read_only"]
    place = current_database().path
    shared = _shared_layout(request.args.get("layout", ""), project, place)
    own = load_own(home_database(), principal.name, project, place=place) if is_kept and shared is None else None
    return KnownLayout(shared if shared is not None else own or {}, "server" if is_kept else "browser")


def _shared_layout(layout_id: str, project: str, place: str) -> Layout | None:
    if not layout_id:
        return None
    try:
        shared = load_shared(home_database(), layout_id)
    except LayoutNotFound:  # deleted since the link was sent: the page is still of use
        return None
    is_theirs = current_principal().role_in(project) is not None
    return shared.layout if is_theirs and (shared.project, shared.place) == (project, place) else None


@bp.app_template_global("chart_fields")
def chart_fields(known: Columns) -> list[str]:
    """Columns of the table of runs that make sense as colours and groups, config first."""
    named: list[Any] = [f"config.{key}" for key in known.config]
    return [*named[:MOST_FIELDS], *_RUN_FIELDS]
