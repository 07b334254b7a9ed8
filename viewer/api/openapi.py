"""The API's description of itself, OpenAPI 3.1, read from the same rows that answer requests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..url_converters import RUN_ID_PATTERN
from .route import NOTHING, PROBLEM_JSON, REQUIRED, Parameter, Route
from .run_json import ANYTHING, INTEGER, TEXT

PREFIX = "/api/v1"
PROBLEM_SCHEMA = {
    "type": "object",
    "properties": {"type": TEXT, "status": INTEGER, "title": TEXT, "detail": TEXT},
    "required": ["type", "status", "title", "detail"],
}
ALWAYS = {
    401: "This viewer has accounts, and the request has no session and no token.",
    400: "A parameter is unknown, doubled or cannot be used; the detail says which, its value and what it takes.",
    404: "There is no such thing for whoever asks.",
    429: "Too many requests; Retry-After says when to ask again.",
    421: "The Host header is not one of this viewer's names.",
    503: "The database does not answer; Retry-After says when to ask again.",
}
NO_SUCH_ID = {405: "What the address names cannot be an id, and another address answers other methods."}
ALWAYS_OF_READING = {304: "The answer is the one that If-None-Match names."}
ALWAYS_OF_CHANGES = {
    403: "This may be seen and not changed by whoever asks, or the CSRF token is missing.",
    413: "The body is too large.",
    415: "The body is not JSON.",
}
_IN_PATH = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_PATH_SCHEMAS = {"run": {"type": "string", "pattern": RUN_ID_PATTERN}}


def describe_api(routes: Iterable[Route], *, version: str) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cloister",
            "version": version,
            "description": "What the dashboard's pages read, for programs. Numbers that JSON cannot write are the "
            "texts NaN, Infinity and -Infinity; times are ISO 8601 in UTC.",
        },
        "servers": [{"url": PREFIX}],
        "paths": _describe_paths(routes),
        "components": {"schemas": {"Problem": PROBLEM_SCHEMA}},
    }


def _describe_paths(routes: Iterable[Route]) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(openapi_path(route.path), {})[route.method.lower()] = _describe_route(route)
    return paths


def openapi_path(flask_path: str) -> str:
    return _IN_PATH.sub(lambda match: "{" + match["name"] + "}", flask_path)


def _describe_route(route: Route) -> dict[str, Any]:
    further = ALWAYS_OF_READING if route.method == "GET" else ALWAYS_OF_CHANGES
    statuses = {**ALWAYS, **further, **(NO_SUCH_ID if "<" in route.path else {}), **route.statuses}
    answers = {str(status): _describe_status(status, sentence) for status, sentence in sorted(statuses.items())}
    return {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route.path), *map(_describe_parameter, route.parameters)],
        **({} if route.body is None else {"requestBody": _describe_body(route.body)}),
        "responses": {**_describe_success(route), **answers},
    }


def _describe_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _describe_success(route: Route) -> dict[str, Any]:
    if route.answer == NOTHING:
        return {"204": {"description": route.summary + "."}}
    return {"200": {"description": route.summary + ".", "content": {route.content_type: {"schema": route.answer}}}}


def _describe_status(status: int, sentence: str) -> dict[str, Any]:
    if status < 400:
        return {"description": sentence}
    return {"description": sentence, "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": match["name"], "in": "path", "required": True, "schema": _PATH_SCHEMAS.get(match["kind"], TEXT)}
        for match in _IN_PATH.finditer(path)
    ]


def _describe_parameter(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.default is not None and parameter.default is not REQUIRED:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.default is REQUIRED,
        "description": parameter.description,
        "schema": schema,
    }


DESCRIPTION_SCHEMA = {"type": "object", "required": ["openapi", "info", "paths"], "additionalProperties": ANYTHING}
