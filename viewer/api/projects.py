"""Projects and their runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...observer.run_query import PAGE_SIZE_LIMIT, TEXT_LIMIT, RunQuery
from ..store_access import current_store
from .route import Route, integer, text
from .run_json import (
    BRIEF_RUN_SCHEMA,
    COUNT,
    PROJECT_SCHEMA,
    TEXTS,
    brief_run_json,
    list_schema,
    object_schema,
    project_json,
)

NO_PROJECT = {404: "No run belongs to a project of this name."}


def list_projects() -> dict[str, Any]:
    return {"projects": [project_json(project) for project in current_store().list_projects()]}


def show_project(project: str) -> dict[str, Any]:
    return project_json(current_store().find_project(project))


def list_runs(project: str, **query: Any) -> dict[str, Any]:
    page = current_store().list_runs(RunQuery(project=project, **query))
    if page.total == 0:
        current_store().find_project(project)  # raises ProjectNotFound: an unknown project is not an empty one
    return {
        "runs": [brief_run_json(run) for run in page.runs],
        "total": page.total,
        "page": page.page,
        "page_size": page.page_size,
    }


def list_columns(project: str) -> dict[str, Any]:
    current_store().find_project(project)
    return {name: list(keys) for name, keys in asdict(current_store().discover_columns(project)).items()}


ROUTES = (
    Route(
        path="/projects",
        name="list_projects",
        summary="All projects, the one with the newest run first",
        handler=list_projects,
        answer=object_schema(projects=list_schema(PROJECT_SCHEMA)),
    ),
    Route(
        path="/projects/<path:project>/runs",
        name="list_runs",
        summary="A page of a project's runs",
        handler=list_runs,
        answer=object_schema(runs=list_schema(BRIEF_RUN_SCHEMA), total=COUNT, page=COUNT, page_size=COUNT),
        parameters=(
            text(
                "text",
                "Only runs with these words in name, experiment, tags, status or id.",
                limit=TEXT_LIMIT,
                default="",
            ),
            text(
                "sort",
                "started, name, status, duration, tags, id, experiment, config.<key> or metrics.<name>; - in front for "
                "descending.",
                default="-started",
            ),
            integer("page", "Which page; 1 is the first.", low=1, high=1_000_000, default=1),
            integer("page_size", "Runs on a page.", low=1, high=PAGE_SIZE_LIMIT, default=50),
        ),
        statuses=NO_PROJECT,
    ),
    Route(
        path="/projects/<path:project>/columns",
        name="list_columns",
        summary="The config keys and metrics that the project's newest runs have",
        handler=list_columns,
        answer=object_schema(config=TEXTS, metrics=TEXTS),
        statuses=NO_PROJECT,
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
