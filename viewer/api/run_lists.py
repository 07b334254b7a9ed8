"""Lists of runs, of a project or of all: queried, sorted, paged by cursor, grouped; and which fields there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...observer.run_query import PAGE_SIZE_LIMIT, TEXT_LIMIT, RunQuery
from ..store_access import current_store
from .json_values import json_number, json_value
from .parameters import BadParameter
from .route import Parameter, Route, choice, integer, text
from .run_json import (
    BRIEF_RUN_SCHEMA,
    COUNT,
    NUMBER,
    TEXT,
    TEXTS,
    Schema,
    brief_run_json,
    either_null,
    list_schema,
    map_schema,
    object_schema,
)

NO_PROJECT = {404: "No run belongs to a project of this name."}
QUERY_LIMIT = 4000
CURSOR_LIMIT = 2000
SORT_LENGTH = 2000
FIELDS_LIMIT = 500
GROUP_COLUMNS = 20
ARCHIVED = ("without", "with", "only")
_PROJECT = text("project", "Only runs of this project.", limit=400)
_CONDITIONS: tuple[Parameter, ...] = (
    text("query", "Only runs that meet this query: docs/query.md.", limit=QUERY_LIMIT, default=""),
    text("text", "Only runs with these words in name, experiment, tags, status or id.", limit=TEXT_LIMIT, default=""),
    choice("archived", "Whether archived runs are among them.", ARCHIVED, default="without"),
)
LIST_PARAMETERS: tuple[Parameter, ...] = (
    *_CONDITIONS,
    text(
        "sort",
        "Fields with commas between them, - in front for descending: -metrics.val/acc,name. A name with a comma in it "
        'is quoted: metrics."a,b".',
        limit=SORT_LENGTH,
        default="-started",
    ),
    integer(
        "page", "Which page; 1 is the first. Later pages are found faster by `after`.", low=1, high=1_000_000, default=1
    ),
    integer("page_size", "Runs on a page.", low=1, high=PAGE_SIZE_LIMIT, default=50),
    text("after", "The `next` of the answer before: the page that follows it.", limit=CURSOR_LIMIT),
)
LIST_SCHEMA = object_schema(
    runs=list_schema(BRIEF_RUN_SCHEMA), total=COUNT, page=COUNT, page_size=COUNT, next=either_null(TEXT)
)
FIELD_SCHEMA: Schema = object_schema(key=TEXT, kind=TEXT, title=TEXT, run_count=COUNT, types=TEXTS)
STATS_SCHEMA: Schema = object_schema(count=COUNT, **dict.fromkeys(("mean", "std", "min", "max"), either_null(NUMBER)))


def list_all_runs(**asked: Any) -> dict[str, Any]:
    return _page_json(_query(None, asked))


def list_runs(project: str, **asked: Any) -> dict[str, Any]:
    answer = _page_json(_query(project, asked))
    if answer["total"] == 0:
        current_store().find_project(project)  # raises ProjectNotFound: an unknown project is not an empty one
    return answer


def _query(project: str | None, asked: dict[str, Any]) -> RunQuery:
    sort = split_keys(asked.pop("sort", "-started"))
    return RunQuery(project=project, where=asked.pop("query"), sort=sort or ("-started",), **asked)


def _page_json(query: RunQuery) -> dict[str, Any]:
    page = current_store().list_runs(query)
    return {
        "runs": [brief_run_json(run) for run in page.runs],
        "total": page.total,
        "page": page.page,
        "page_size": page.page_size,
        "next": page.next,
    }


def split_keys(given: str) -> tuple[str, ...]:
    """Keys with commas between them; those in quotes and in parentheses are part of a key."""
    keys, current, quoted, depth = [], "", False, 0
    for character in given:
        quoted ^= character == '"'
        depth += 0 if quoted else (character == "(") - (character == ")")
        if character == "," and not quoted and depth <= 0:
            keys.append(current.strip())
            current = ""
        else:
            current += character
    return tuple(key for key in (*keys, current.strip()) if key)


def group_runs(by: str, columns: str, project: str | None, **asked: Any) -> dict[str, Any]:
    keys, wanted = split_keys(by), split_keys(columns)
    if len(wanted) > GROUP_COLUMNS:
        raise BadParameter("columns", columns, f"at most {GROUP_COLUMNS} keys")
    query = RunQuery(project=project, where=asked.pop("query"), **asked)
    found = current_store().group_runs(query, keys, wanted)
    return {
        "groups": [
            {
                "keys": json_value(list(group.keys)),
                "run_count": group.run_count,
                "columns": {key: _stats_json(stats) for key, stats in group.columns.items()},
            }
            for group in found.groups
        ],
        "total": found.total,
    }


def _stats_json(stats: Any) -> dict[str, Any]:
    return {
        name: value if name == "count" or value is None else json_number(value)
        for name, value in ((name, getattr(stats, name)) for name in ("count", "mean", "std", "min", "max"))
    }


def list_fields(project: str | None, text: str, limit: int) -> dict[str, Any]:
    fields = current_store().find_fields(project, text, limit)
    return {
        "fields": [
            {
                "key": json_value(field.key),
                "kind": field.kind,
                "title": json_value(field.title),
                "run_count": field.run_count,
                "types": list(field.types),
            }
            for field in fields
        ]
    }


def list_columns(project: str) -> dict[str, Any]:
    current_store().find_project(project)
    return {name: list(keys) for name, keys in asdict(current_store().discover_columns(project)).items()}


ROUTES = (
    Route(
        path="/runs",
        name="list_all_runs",
        summary="A page of the runs of all projects",
        handler=list_all_runs,
        answer=LIST_SCHEMA,
        parameters=LIST_PARAMETERS,
    ),
    Route(
        path="/projects/<path:project>/runs",
        name="list_runs",
        summary="A page of a project's runs",
        handler=list_runs,
        answer=LIST_SCHEMA,
        parameters=LIST_PARAMETERS,
        statuses=NO_PROJECT,
    ),
    Route(
        path="/groups-of-runs",
        name="group_runs",
        summary="Runs grouped by one to three fields, with count, mean, std, min and max of others; the largest first",
        handler=group_runs,
        answer=object_schema(
            groups=list_schema(
                object_schema(keys={"type": "array"}, run_count=COUNT, columns=map_schema(STATS_SCHEMA))
            ),
            total=COUNT,
        ),
        parameters=(
            text("by", "The fields, with commas between them.", limit=SORT_LENGTH, default="status"),
            text("columns", "Fields whose spread is wanted, with commas between them.", limit=SORT_LENGTH, default=""),
            _PROJECT,
            *_CONDITIONS,
        ),
    ),
    Route(
        path="/fields",
        name="list_fields",
        summary="The fields that runs have, as queries, sorting and columns name them",
        handler=list_fields,
        answer=object_schema(fields=list_schema(FIELD_SCHEMA)),
        parameters=(
            _PROJECT,
            text("text", "Only fields with this text in their key.", limit=TEXT_LIMIT, default=""),
            integer("limit", "How many fields.", low=1, high=FIELDS_LIMIT, default=50),
        ),
    ),
    Route(
        path="/projects/<path:project>/columns",
        name="list_columns",
        summary="The config keys and metrics that the project's newest runs have",
        handler=list_columns,
        answer=object_schema(config=TEXTS, metrics=TEXTS),
        statuses=NO_PROJECT,
    ),
)
