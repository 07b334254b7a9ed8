"""One row of the REST API: an address, what it takes, what it answers. Requests and OpenAPI are both read from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal

from flask import Response, jsonify, request

from .bodies import read_body
from .entity_tags import tag_answer
from .parameters import (
    INT64_MAX,
    TEXT_LIMIT,
    BadParameter,
    MissingParameter,
    parse_choice,
    parse_instant,
    parse_integer,
    parse_run_key,
    parse_text,
    single_values,
)
from .run_json import ID, Schema

REQUIRED = object()
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

NOTHING: Schema = {"type": "null"}  # the answer of what answers with 204

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Parameter:
    """A parameter in the query. `parse` takes its name and its text and raises `BadParameter`."""

    name: str
    description: str
    schema: Schema
    parse: Callable[[str, str], Any]
    default: Any = None

    def read(self, values: dict[str, str]) -> Any:
        if self.name in values:
            return self.parse(self.name, values[self.name])
        if self.default is REQUIRED:
            raise MissingParameter(self.name, self.description)
        return self.default


@dataclass(frozen=True)
class Route:
    """An address that one method answers. What changes something has a row in viewer/access_rules.py that says so.

    Attributes:
        path: as Flask spells it, under /api/v1.
        handler: called with the path's and the query's parameters by name, and with `body` where there is one; what it
            returns becomes JSON unless it is a `Response`; None becomes 204. A handler of None: another module answers
            this address, and the row describes it.
        answer: JSON Schema of the answer.
        body: JSON Schema of the request's body, an object; keys that it does not name are refused.
        statuses: what else may come back, with a sentence each; 400 and 503 are added for all.
    """

    path: str
    name: str
    summary: str
    handler: Callable[..., Any] | None
    answer: Schema
    parameters: tuple[Parameter, ...] = ()
    content_type: str = JSON
    statuses: dict[int, str] = field(default_factory=dict)
    method: Method = "GET"
    body: Schema | None = None

    def answer_request(self, **path_values: Any) -> Response:
        assert self.handler is not None
        values = single_values(request.args.to_dict(flat=False), known=[given.name for given in self.parameters])
        given = {parameter.name: parameter.read(values) for parameter in self.parameters}
        if self.body is not None:
            given["body"] = read_body(self.body)
        answer = self.handler(**path_values, **given)
        if answer is None:
            return Response(status=204)
        if isinstance(answer, Response):
            return answer
        return tag_answer(jsonify(answer)) if self.method == "GET" else jsonify(answer)


def integer(name: str, description: str, *, low: int = 0, high: int = INT64_MAX, default: Any = None) -> Parameter:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name, description, schema, partial(parse_integer, low=low, high=high), default)


def text(name: str, description: str, *, limit: int = TEXT_LIMIT, default: Any = None) -> Parameter:
    return Parameter(
        name, description, {"type": "string", "maxLength": limit}, partial(parse_text, limit=limit), default
    )


def choice(name: str, description: str, choices: tuple[str, ...], *, default: Any = None) -> Parameter:
    return Parameter(name, description, {"enum": list(choices)}, partial(parse_choice, choices=choices), default)


def run(name: str, description: str) -> Parameter:
    return Parameter(name, description, ID, parse_run_key)


def instant(name: str, description: str, *, default: datetime | None = None) -> Parameter:
    return Parameter(name, description, {"type": "string", "format": "date-time"}, parse_instant, default)


__all__ = ["REQUIRED", "BadParameter", "Parameter", "Route", "choice", "instant", "integer", "run", "text"]
