"""Projects."""

from __future__ import annotations

from typing import Any

from ..store_access import current_store
from .route import Route
from .run_json import PROJECT_SCHEMA, list_schema, object_schema, project_json

NO_PROJECT = {404: "No run belongs to a project of this name."}


def list_projects() -> dict[str, Any]:
    return {"projects": [project_json(project) for project in current_store().list_projects()]}


def show_project(project: str) -> dict[str, Any]:
    return project_json(current_store().find_project(project))


ROUTES = (
    Route(
        path="/projects",
        name="list_projects",
        summary="All projects, the one with the newest run first",
        handler=list_projects,
        answer=object_schema(projects=list_schema(PROJECT_SCHEMA)),
    ),
    Route(
        path="/projects/<path:project>",
        name="show_project",
        summary="One project",
        handler=show_project,
        answer=PROJECT_SCHEMA,
        statuses=NO_PROJECT,
    ),
)
