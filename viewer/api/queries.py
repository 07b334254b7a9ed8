"""The query language: whether a query is understood, and what may be typed next."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...observer.query import QueryError, parse_query
from ...observer.query.completion import Known, complete_query
from ...observer.query.parsing import QUERY_LIMIT
from ..store_access import current_store
from .json_values import json_value
from .route import REQUIRED, Route, integer, text
from .run_json import COUNT, TEXT, TEXTS, either_null, list_schema, object_schema

SUGGESTED_FIELDS = 20
KNOWN_FIELDS = 500  # for suggestions where a field is unknown
_QUERY = text("query", "The query: docs/query.md.", limit=QUERY_LIMIT, default=REQUIRED)
_PROJECT = text("project", "Fields and values of this project's runs alone.", limit=400)


def check_query(query: str, project: str | None) -> dict[str, Any]:
    try:
        fields = parse_query(query).fields()
    except QueryError:
        return {"valid": False, "fields": [], "error": _error_json(query, project)}
    return {"valid": True, "fields": [json_value(field.key) for field in fields], "error": None}


def _error_json(query: str, project: str | None) -> dict[str, Any]:
    """What is wrong, with suggestions from the fields that runs have: looked for only where something is wrong."""
    known = [info.key for info in current_store().find_fields(project, limit=KNOWN_FIELDS)]
    try:
        parse_query(query, known)
    except QueryError as error:
        found = {name: getattr(error, name) for name in ("message", "column", "length", "suggestion")}
        return {name: json_value(value) for name, value in found.items()}
    raise AssertionError("a query is understood the second time")


def complete(query: str, column: int, project: str | None) -> dict[str, Any]:
    store = current_store()
    known = Known(
        find_fields=lambda text: [
            (info.key, f"{info.run_count:,} runs" if info.kind != "run" else info.types[0])
            for info in store.find_fields(project, text, SUGGESTED_FIELDS)
        ],
        find_values=lambda field, text: store.find_values(field.key, project, text, SUGGESTED_FIELDS),
    )
    choices = complete_query(query, min(column, len(query)), known)
    return {"choices": [{**asdict(choice), "text": json_value(choice.text)} for choice in choices]}


ROUTES = (
    Route(
        path="/query/check",
        name="check_query",
        summary="Whether a query is understood, and where it is not, at which column",
        handler=check_query,
        answer=object_schema(
            valid={"type": "boolean"},
            fields=TEXTS,
            error=either_null(object_schema(message=TEXT, column=COUNT, length=COUNT, suggestion=TEXT)),
        ),
        parameters=(_QUERY, _PROJECT),
    ),
    Route(
        path="/query/complete",
        name="complete_query",
        summary="What may be typed next at a place in a query",
        handler=complete,
        answer=object_schema(
            choices=list_schema(object_schema(text=TEXT, kind=TEXT, detail=TEXT, start=COUNT, length=COUNT))
        ),
        parameters=(
            _QUERY,
            integer("column", "Where in the query, counted from 0.", low=0, high=QUERY_LIMIT, default=QUERY_LIMIT),
            _PROJECT,
        ),
    ),
)
