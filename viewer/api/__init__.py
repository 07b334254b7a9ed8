"""The REST API: everything that a page reads, as JSON under /api/v1."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from flask import Blueprint

from . import (
    access,
    accounts,
    artifacts,
    audit,
    changes,
    charts,
    comparison,
    layouts,
    managing,
    projects,
    queries,
    redaction,
    reports,
    retention,
    run_lists,
    runs,
    stopping,
    views,
)
from .openapi import DESCRIPTION_SCHEMA, PREFIX, describe_api
from .route import Route

bp = Blueprint("api", __name__, url_prefix=PREFIX)


def show_description() -> dict[str, Any]:
    # By name, because mypy checks the rooms without the root package that holds them.
    return describe_api(ROUTES, version=import_module("...", __package__).__version__)


# Every address under /api/v1. A new one is a row in the module that answers it.
ROUTES: tuple[Route, ...] = (
    *run_lists.ROUTES,
    *projects.ROUTES,
    *queries.ROUTES,
    *runs.ROUTES,
    *managing.ROUTES,
    *stopping.ROUTES,
    *artifacts.ROUTES,
    *changes.ROUTES,
    *charts.ROUTES,
    *comparison.ROUTES,
    *layouts.ROUTES,
    *views.ROUTES,
    *reports.ROUTES,
    *access.ROUTES,
    *audit.ROUTES,
    *redaction.ROUTES,
    *retention.ROUTES,
    *accounts.ROUTES,
    Route(
        path="/openapi.json",
        name="show_description",
        summary="This description",
        handler=show_description,
        answer=DESCRIPTION_SCHEMA,
    ),
)

for route in ROUTES:
    if route.handler is not None:
        bp.add_url_rule(route.path, endpoint=route.name, view_func=route.answer_request, methods=[route.method])
