"""How charts are arranged, by REST: one's own layout of a project, and those shared in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...observer.chart_layouts import (
    LONGEST_NAME,
    LayoutNotFound,
    SharedLayout,
    change_shared,
    delete_shared,
    forget_own,
    list_shared,
    load_own,
    load_shared,
    share_layout,
    store_own,
)
from ...observer.errors import CloisterError
from ...observer.project_lists import ProjectNotFound
from ...observer.run_query import match_project
from ..accounts.current import current_principal
from ..chart_requests import LONGEST_NAME as LONGEST_METRIC
from ..store_access import current_database, current_store, home_database
from .json_values import json_time
from .route import NOTHING, REQUIRED, Route, text
from .run_json import TEXT, TIME, Schema, either_null, list_schema, object_schema

if TYPE_CHECKING:
    from ...observer.access.principal import Principal

MOST_ENTRIES = 5000
_METRIC: Schema = {"type": "string", "maxLength": LONGEST_METRIC}
_METRICS: Schema = {"type": "array", "items": _METRIC, "maxItems": MOST_ENTRIES}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
_FLAG: Schema = {"type": "boolean"}


def _optional(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _entries(required: str, /, **properties: Schema) -> Schema:
    item = {**_optional(**{required: _METRIC}, **properties), "required": [required]}
    return {"type": "array", "items": item, "maxItems": MOST_ENTRIES}


# What a layout may say. All of it is optional: what is left out is as the viewer has it for somebody new.
LAYOUT_SCHEMA: Schema = _optional(
    axis=_METRIC,  # "step", "relative", "wall", or "metric:" and a metric's name
    x_scale={"enum": ["linear", "log"]},
    smoothing=_optional(
        kind={"enum": ["time", "ema", "none"]}, strength={"type": "number", "minimum": 0, "maximum": 0.999}
    ),
    ignore_outliers=_FLAG,
    colour_by=_METRIC,
    group_by={"type": "array", "items": _METRIC, "maxItems": 3},
    band={"enum": ["std", "minmax", "none"]},
    columns={"type": "integer", "minimum": 0, "maximum": 6},
    pinned=_METRICS,
    hidden=_METRICS,
    folded=_METRICS,
    section_order=_METRICS,
    order=_entries("section", metrics=_METRICS),
    sizes=_entries(
        "metric",
        width={"type": "integer", "minimum": 1, "maximum": 6},
        height={"type": "integer", "minimum": 120, "maximum": 900},
    ),
    charts=_entries("metric", scale={"enum": ["linear", "log"]}, smooth=_FLAG, ignore_outliers=_FLAG),
    expressions={
        "type": "array",
        "items": object_schema(name=_NAME, text={"type": "string", "minLength": 1, "maxLength": 1000}),
        "maxItems": 100,
    },
    colours=_entries(
        "key",
        value={"type": "string", "maxLength": LONGEST_METRIC},
        slot={"type": "integer", "minimum": 1, "maximum": 36},
    ),
)
SHARED_SCHEMA = object_schema(id=TEXT, project=TEXT, name=TEXT, owner=TEXT, changed_at=TIME, may_change=_FLAG)
WHOLE_SCHEMA = object_schema(**SHARED_SCHEMA["properties"], layout={"type": "object"})
_PROJECT = text("project", "The project whose charts are arranged.", limit=LONGEST_METRIC, default=REQUIRED)
_NONE = {404: "There is no such layout, or none that whoever asks may know of."}
_NO_PROJECT = {404: "There is no such project for whoever asks."}


class LayoutIsAnothers(CloisterError, ValueError):
    """A shared layout is changed by its owner, or by an admin of the project."""

    status = 403

    def __init__(self, layout: SharedLayout) -> None:
        super().__init__(
            f"Layout {layout.name!r} is {layout.owner or 'somebody'}'s. They, or an admin of project "
            f"{layout.project!r}, can change it; share a copy under a name of your own."
        )


def show_layouts(project: str) -> dict[str, Any]:
    principal = _principal_in(project)
    place = current_database().path
    own = load_own(home_database(), principal.name, project, place=place) if _has_own(principal) else None
    shared = list_shared(home_database(), project, place=place) if principal.role_in(project) else ()
    return {"own": own, "shared": [_shared_json(layout) for layout in shared]}


def keep_own_layout(project: str, body: dict[str, Any]) -> None:
    principal = _principal_in(project)
    store_own(home_database(), principal.name, project, body, place=current_database().path)


def forget_own_layout(project: str) -> None:
    principal = _principal_in(project)
    forget_own(home_database(), principal.name, project, place=current_database().path)


def share_a_layout(project: str, body: dict[str, Any]) -> dict[str, Any]:
    principal = _principal_in(project)
    if principal.role_in(project) is None:
        raise ProjectNotFound(project, [])
    place = current_database().path
    layout = share_layout(home_database(), principal.name, project, body["name"], body["layout"], place=place)
    return _whole_json(layout)


def show_layout(layout_id: str) -> dict[str, Any]:
    return _whole_json(_find_shared(layout_id))


def change_layout(layout_id: str, body: dict[str, Any]) -> dict[str, Any]:
    known = _find_changeable(layout_id)
    name, layout = body.get("name", known.name), body.get("layout", known.layout)
    return _whole_json(change_shared(home_database(), known.id, name, layout))


def delete_layout(layout_id: str) -> None:
    layout = _find_changeable(layout_id)
    delete_shared(home_database(), layout.id)


def _principal_in(project: str) -> Principal:
    """Who asks, if they see a run of the project; else it is not there."""
    if current_store().database["runs"].find_one(match_project(project), {"_id": 1}) is None:
        raise ProjectNotFound(project, [])
    return current_principal()


def _has_own(principal: Principal) -> bool:
    return principal.kind in ("local", "person") and not principal.viewed_by


def _find_shared(layout_id: str) -> SharedLayout:
    layout = load_shared(home_database(), layout_id)
    if layout.place != current_database().path or current_principal().role_in(layout.project) is None:
        raise LayoutNotFound(layout_id)
    return layout


def _find_changeable(layout_id: str) -> SharedLayout:
    layout = _find_shared(layout_id)
    if not _may_change(layout):
        raise LayoutIsAnothers(layout)
    return layout


def _may_change(layout: SharedLayout) -> bool:
    principal = current_principal()
    is_theirs = principal.name == layout.owner and _has_own(principal)
    return is_theirs or principal.may("manage", project=layout.project)


def _shared_json(layout: SharedLayout) -> dict[str, Any]:
    return {
        "id": layout.id,
        "project": layout.project,
        "name": layout.name,
        "owner": layout.owner,
        "changed_at": json_time(layout.changed_at),
        "may_change": _may_change(layout),
    }


def _whole_json(layout: SharedLayout) -> dict[str, Any]:
    return {**_shared_json(layout), "layout": layout.layout}


ROUTES = (
    Route(
        path="/layouts",
        name="show_layouts",
        summary="How the charts of a project are arranged: one's own layout, and those shared in the project",
        handler=show_layouts,
        answer=object_schema(own=either_null({"type": "object"}), shared=list_schema(SHARED_SCHEMA)),
        parameters=(_PROJECT,),
        statuses=_NO_PROJECT,
    ),
    Route(
        path="/layouts/own",
        name="keep_own_layout",
        summary="Arrange the charts of a project for oneself",
        handler=keep_own_layout,
        answer=NOTHING,
        parameters=(_PROJECT,),
        statuses=_NO_PROJECT,
        method="PUT",
        body=LAYOUT_SCHEMA,
    ),
    Route(
        path="/layouts/own",
        name="forget_own_layout",
        summary="Have the charts of a project stand as they do for somebody new",
        handler=forget_own_layout,
        answer=NOTHING,
        parameters=(_PROJECT,),
        statuses=_NO_PROJECT,
        method="DELETE",
    ),
    Route(
        path="/layouts",
        name="share_a_layout",
        summary="Share a layout under a name with everybody who has a role in the project",
        handler=share_a_layout,
        answer=WHOLE_SCHEMA,
        parameters=(_PROJECT,),
        statuses=_NO_PROJECT,
        method="POST",
        body=object_schema(name=_NAME, layout=LAYOUT_SCHEMA),
    ),
    Route(
        path="/layouts/<layout_id>",
        name="show_layout",
        summary="A shared layout",
        handler=show_layout,
        answer=WHOLE_SCHEMA,
        statuses=_NONE,
    ),
    Route(
        path="/layouts/<layout_id>",
        name="change_layout",
        summary="Change a shared layout, for all who open it",
        handler=change_layout,
        answer=WHOLE_SCHEMA,
        statuses={**_NONE, 403: "It is somebody else's."},
        method="PUT",
        body=_optional(name=_NAME, layout=LAYOUT_SCHEMA),
    ),
    Route(
        path="/layouts/<layout_id>",
        name="delete_layout",
        summary="Delete a shared layout",
        handler=delete_layout,
        answer=NOTHING,
        statuses={**_NONE, 403: "It is somebody else's."},
        method="DELETE",
    ),
)
