"""Changing runs that are stored, one or many at once, and the name of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...observer.run_edits import (
    NAME_LENGTH,
    NOTES_LENGTH,
    PROJECT_LENGTH,
    TAG_LENGTH,
    TAGS_LIMIT,
)
from ...observer.run_ids import BadRunId, parse_run_id
from ..project_naming import change_project_name
from ..run_managing import RUN_ACTIONS, act_on_runs, change_run
from .bodies import BadBody
from .json_values import json_value
from .route import Route
from .run_json import (
    BRIEF_RUN_SCHEMA,
    COUNT,
    ID,
    INTEGER,
    TEXT,
    Schema,
    brief_run_json,
    list_schema,
    object_schema,
)
from .runs import NO_RUN

if TYPE_CHECKING:
    from ...observer.run_record import RunId

RUNS_AT_ONCE = 200  # what is written for good within the time that a request may take of the database
_FLAG: Schema = {"type": "boolean"}
TAGS: Schema = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": TAG_LENGTH},
    "maxItems": TAGS_LIMIT,
}
_EDITABLE: dict[str, Schema] = {
    "name": {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH},
    "tags": TAGS,
    "notes": {"type": "string", "maxLength": NOTES_LENGTH},
}
EDIT_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        **_EDITABLE,
        "expected": {
            "type": "object",
            "description": "What the editor started from; what is not so any more is not replaced (412).",
            "properties": _EDITABLE,
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
ACTION_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "action": {"enum": list(RUN_ACTIONS)},
        "runs": {
            "type": "array",
            "items": {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 1, "maxLength": 1000}]},
            "maxItems": RUNS_AT_ONCE,
        },
        "project": {"type": "string", "minLength": 1, "maxLength": PROJECT_LENGTH},
        "tags": TAGS,
        "level": {"enum": ["interrupt", "kill"]},
    },
    "required": ["action", "runs"],
    "additionalProperties": False,
}
OUTCOME_SCHEMA = object_schema(run=ID, status=INTEGER, changed=_FLAG, detail=TEXT)


def edit_run(run_id: RunId, body: dict[str, Any]) -> dict[str, Any]:
    expected = body.pop("expected", None)
    edit = change_run(run_id, body, expected)
    return {"run": brief_run_json(edit.run), "changed": list(edit.changes)}


def change_runs(body: dict[str, Any]) -> dict[str, Any]:
    action = RUN_ACTIONS[body["action"]]
    for name in action.needs:
        if name not in body:
            raise BadBody(name, f"is missing; the action {body['action']!r} needs it")
    outcomes = act_on_runs(body["action"], [_run_id(key) for key in body["runs"]], body)
    return {
        "outcomes": [
            {"run": each.run, "status": each.status, "changed": each.changed, "detail": json_value(each.detail)}
            for each in outcomes
        ],
        "changed": sum(each.changed for each in outcomes),
        "refused": sum(each.status >= 400 for each in outcomes),
    }


def _run_id(key: int | str) -> RunId:
    try:
        return parse_run_id(str(key))
    except BadRunId as error:
        raise BadBody("runs", f"names {str(key)[:80]!r}. {error}") from error


def rename_project(project: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"name": body["name"].strip(), "run_count": change_project_name(project, body["name"])}


ROUTES = (
    Route(
        path="/runs/<run:run_id>",
        name="edit_run",
        summary="Change what people say of a run: name, tags, notes. A training that goes on leaves it so",
        handler=edit_run,
        answer=object_schema(run=BRIEF_RUN_SCHEMA, changed=list_schema(TEXT)),
        statuses={**NO_RUN, 412: "It is not as `expected` any more."},
        method="PATCH",
        body=EDIT_SCHEMA,
    ),
    Route(
        path="/runs/actions",
        name="change_runs",
        summary=f"Do one thing to up to {RUNS_AT_ONCE} runs; each has its outcome, and one that is refused keeps no "
        "other from it. `move` needs `project`, `add-tags` and `remove-tags` need `tags`, `stop` takes `level`",
        handler=change_runs,
        answer=object_schema(outcomes=list_schema(OUTCOME_SCHEMA), changed=COUNT, refused=COUNT),
        method="POST",
        body=ACTION_SCHEMA,
    ),
    Route(
        path="/projects/<path:project>/name",
        name="rename_project",
        summary="Give a project another name, with its runs, members and rules; the old name leads to it",
        handler=rename_project,
        answer=object_schema(name=TEXT, run_count=COUNT),
        statuses={
            404: "There is no such project for whoever asks.",
            409: "The name is taken, or the old one is a key's.",
        },
        method="PUT",
        body=object_schema(name={"type": "string", "minLength": 1, "maxLength": PROJECT_LENGTH}),
    ),
)
