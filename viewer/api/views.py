"""Saved views of run tables, by REST: one's own, and those shared in a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...observer.errors import CloisterError
from ...observer.project_lists import ProjectNotFound
from ...observer.run_query import match_project
from ...observer.saved_views import (
    ADDRESS_LIMIT,
    NAME_LIMIT,
    SavedView,
    change_view,
    delete_view,
    list_views,
    save_view,
)
from ..accounts.current import current_principal
from ..store_access import current_database, current_store, home_database
from .json_values import json_time, json_value
from .route import NOTHING, Route, text
from .run_json import TEXT, TIME, Schema, either_null, list_schema, object_schema

if TYPE_CHECKING:
    from ...observer.access.principal import Principal

_FLAG: Schema = {"type": "boolean"}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT}
_ADDRESS: Schema = {"type": "string", "maxLength": ADDRESS_LIMIT}
_PROJECT: Schema = {"type": "string", "minLength": 1, "maxLength": 400}
VIEW_SCHEMA = object_schema(
    id=TEXT,
    project=either_null(TEXT),
    name=TEXT,
    owner=TEXT,
    shared=_FLAG,
    address=TEXT,
    made_at=TIME,
    may_change=_FLAG,
)
SAVED_SCHEMA: Schema = {
    "type": "object",
    "properties": {"project": either_null(_PROJECT), "name": _NAME, "address": _ADDRESS, "shared": _FLAG},
    "required": ["name", "address"],
    "additionalProperties": False,
}
CHANGED_SCHEMA: Schema = {
    "type": "object",
    "properties": {"name": _NAME, "address": _ADDRESS, "shared": _FLAG},
    "additionalProperties": False,
}
_NONE = {403: "It is somebody else's.", 404: "There is no such view, or none that whoever asks may know of."}


class MayNotSaveViews(CloisterError, ValueError):
    """Whoever asks may look at runs and keep nothing."""

    status = 403

    def __init__(self) -> None:
        super().__init__("Views are kept for people who may change something of their own. A read-only token may not.")


def show_views(project: str | None) -> dict[str, Any]:
    _require_project(project)
    views = list_views(home_database(), current_principal(), project, place=current_database().path)
    return {"views": [_view_json(view) for view in views]}


def add_view(body: dict[str, Any]) -> dict[str, Any]:
    principal = _keeper()
    project = body.get("project")
    _require_project(project)
    view = save_view(
        home_database(),
        principal,
        project=project,
        name=body["name"],
        address=body["address"],
        shared=bool(body.get("shared", False)),
        place=current_database().path,
    )
    return _view_json(view)


def edit_view(view_id: str, body: dict[str, Any]) -> dict[str, Any]:
    view = change_view(home_database(), _keeper(), view_id, place=current_database().path, **body)
    return _view_json(view)


def remove_view(view_id: str) -> None:
    delete_view(home_database(), _keeper(), view_id, place=current_database().path)


def _keeper() -> Principal:
    principal = current_principal()
    if not principal.scopes & {"admin", "record"}:
        raise MayNotSaveViews
    return principal


def _require_project(project: str | None) -> None:
    """Raises ProjectNotFound where whoever asks sees no run of the project, nor has a part in it."""
    if project is None or current_principal().role_in(project) is not None:
        return
    if current_store().database["runs"].find_one(match_project(project), {"_id": 1}) is None:
        raise ProjectNotFound(project, [])


def _view_json(view: SavedView) -> dict[str, Any]:
    return {
        "id": view.id,
        "project": view.project,
        "name": json_value(view.name),
        "owner": json_value(view.owner),
        "shared": view.shared,
        "address": view.address,
        "made_at": json_time(view.made_at),
        "may_change": view.may_be_changed_by(current_principal()),
    }


ROUTES = (
    Route(
        path="/views",
        name="list_views",
        summary="Saved views of a project's table of runs, or of that of all: one's own, and shared ones",
        handler=show_views,
        answer=object_schema(views=list_schema(VIEW_SCHEMA)),
        parameters=(text("project", "Whose table.", limit=400),),
        statuses={404: "There is no such project for whoever asks."},
    ),
    Route(
        path="/views",
        name="save_view",
        summary="Keep a table's address, the part behind its ?, under a name; one's own of this name is replaced",
        handler=add_view,
        answer=VIEW_SCHEMA,
        statuses={403: "Whoever asks may keep nothing.", 404: "There is no such project for whoever asks."},
        method="POST",
        body=SAVED_SCHEMA,
    ),
    Route(
        path="/views/<view_id>",
        name="change_view",
        summary="Rename a view, give it another address, share it or keep it to oneself",
        handler=edit_view,
        answer=VIEW_SCHEMA,
        statuses=_NONE,
        method="PATCH",
        body=CHANGED_SCHEMA,
    ),
    Route(
        path="/views/<view_id>",
        name="delete_view",
        summary="Delete a view",
        handler=remove_view,
        answer=NOTHING,
        statuses=_NONE,
        method="DELETE",
    ),
)
