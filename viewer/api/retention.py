"""Deleting runs and bringing them back, legal hold, how long what is kept, reports of what was purged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...observer.retention.holds import held_projects
from ...observer.retention.purge import list_purges as stored_purges
from ...observer.retention.purge import report_json
from ...observer.retention.rules import KINDS, load_rules, parse_age
from .. import run_deletion
from ..retention_page import change_project_rules, managed_projects, seen_reports
from ..run_deletion import whole_database
from ..run_keys import run_key
from ..store_access import current_store
from .json_values import json_time
from .route import NOTHING, Route, integer
from .run_json import COUNT, ID, TEXT, TIME, either_null, list_schema, map_schema, object_schema
from .runs import NO_RUN

if TYPE_CHECKING:
    from ...observer.retention.trash import TrashedRun
    from ...observer.run_record import RunId

AGE = {"anyOf": [{"type": "number"}, {"type": "string", "maxLength": 12}, {"type": "null"}]}
REASON = object_schema(reason={"type": "string", "minLength": 1, "maxLength": 500})
TRASHED_SCHEMA = object_schema(
    id=ID,
    name=TEXT,
    project=TEXT,
    owner=TEXT,
    deleted_at=TIME,
    deleted_by=TEXT,
    purge_after=TIME,
    is_held={"type": "boolean"},
)
FILE_SCHEMA = object_schema(file_id=TEXT, sha256=TEXT, size=COUNT, chunks=COUNT, outcome=TEXT, left_chunks=COUNT)
REPORT_SCHEMA = object_schema(
    run_id=TEXT,
    project=TEXT,
    kind=TEXT,
    by=TEXT,
    reason=TEXT,
    started_at=either_null(TEXT),
    finished_at=either_null(TEXT),
    is_proven={"type": "boolean"},
    progress=either_null(object_schema(step=TEXT, done=COUNT, total=COUNT)),
    before=map_schema(COUNT),
    after=map_schema(COUNT),
    files=list_schema(FILE_SCHEMA),
)
RULE_SCHEMA = object_schema(days=either_null({"type": "number"}), source=TEXT, own=either_null({"type": "number"}))
RETENTION_SCHEMA = object_schema(project=TEXT, is_held={"type": "boolean"}, rules=map_schema(RULE_SCHEMA))
NOT_IN_TRASH = {403: "The run is not theirs to delete.", 404: "There is no such run in the trash.", 409: "It is held."}
HELD = {**NO_RUN, 403: "The run is not theirs to delete.", 409: "It is under legal hold, or Sacred records it."}
NO_PROJECT = {404: "There is no such project for whoever asks."}


def delete_run(run_id: RunId) -> dict[str, Any]:
    run_deletion.delete_runs([run_id])
    return _trashed_json(run_deletion.find_trashed(run_id))


def list_trash() -> dict[str, Any]:
    return {"runs": [_trashed_json(each) for each in run_deletion.list_trashed()]}


def restore_run(trashed: RunId) -> dict[str, Any]:
    return {"id": run_key(run_deletion.restore_run(trashed).id)}


def purge_run(trashed: RunId) -> None:
    run_deletion.purge_run(trashed)


def hold_run(run_id: RunId, body: dict[str, Any]) -> None:
    run_deletion.set_run_hold(current_store().load_run(run_id), body["reason"])


def lift_run(run_id: RunId) -> None:
    run_deletion.set_run_hold(current_store().load_run(run_id), None)


def show_retention(project: str) -> dict[str, Any]:
    database = whole_database()
    rules = load_rules(database)
    own = rules.own.get(project, {})
    return {
        "project": project,
        "is_held": project in held_projects(database),
        "rules": {
            kind.name: {
                "days": rules.days(project, kind.name),
                "source": rules.source(project, kind.name),
                "own": own.get(kind.name),
            }
            for kind in KINDS
        },
    }


def change_retention(project: str, body: dict[str, Any]) -> dict[str, Any]:
    change_project_rules(project, {kind: parse_age(kind, age) for kind, age in body.items()})
    return show_retention(project)


def hold_project(project: str, body: dict[str, Any]) -> None:
    run_deletion.set_project_hold(project, body["reason"])


def lift_project(project: str) -> None:
    run_deletion.set_project_hold(project, None)


def list_purges(limit: int) -> dict[str, Any]:
    chosen = seen_reports(managed_projects())
    return {"reports": [report_json(report) for report in stored_purges(whole_database(), chosen, limit)]}


def _trashed_json(trashed: TrashedRun) -> dict[str, Any]:
    run = trashed.run
    return {
        "id": run_key(run.id),
        "name": run.name,
        "project": run.project,
        "owner": run.owner,
        "deleted_at": json_time(trashed.at),
        "deleted_by": trashed.by,
        "purge_after": json_time(trashed.purge_after),
        "is_held": trashed.is_held,
    }


ROUTES = (
    Route(
        path="/runs/<run:run_id>",
        name="delete_run",
        summary="Move a run into the trash; a training that still records it is told",
        handler=delete_run,
        answer=TRASHED_SCHEMA,
        statuses=HELD,
        method="DELETE",
    ),
    Route(
        path="/runs/<run:run_id>/hold",
        name="hold_run",
        summary="Put a run under legal hold: nothing of it is deleted",
        handler=hold_run,
        answer=NOTHING,
        statuses=NO_RUN,
        method="PUT",
        body=REASON,
    ),
    Route(
        path="/runs/<run:run_id>/hold",
        name="lift_run",
        summary="Take the legal hold off a run",
        handler=lift_run,
        answer=NOTHING,
        statuses=NO_RUN,
        method="DELETE",
    ),
    Route(
        path="/trash",
        name="list_trash",
        summary="The deleted runs that can be brought back",
        handler=list_trash,
        answer=object_schema(runs=list_schema(TRASHED_SCHEMA)),
    ),
    Route(
        path="/trash/<run:trashed>/restore",
        name="restore_run",
        summary="Bring a run back from the trash",
        handler=restore_run,
        answer=object_schema(id=ID),
        statuses=NOT_IN_TRASH,
        method="POST",
    ),
    Route(
        path="/trash/<run:trashed>",
        name="purge_run",
        summary="Delete a run in the trash for good; the report is among the purges when it is done",
        handler=purge_run,
        answer=NOTHING,
        statuses=NOT_IN_TRASH,
        method="DELETE",
    ),
    Route(
        path="/projects/<path:project>/retention",
        name="show_retention",
        summary="How long what is kept of a project's runs, and who says so",
        handler=show_retention,
        answer=RETENTION_SCHEMA,
        statuses=NO_PROJECT,
    ),
    Route(
        path="/projects/<path:project>/retention",
        name="change_retention",
        summary="Change a project's own rules: days, or 90d, 12w, 2y; null leaves a kind to the site",
        handler=change_retention,
        answer=RETENTION_SCHEMA,
        statuses=NO_PROJECT,
        method="PUT",
        body={
            "type": "object",
            "properties": {kind.name: AGE for kind in KINDS},
            "additionalProperties": False,
        },
    ),
    Route(
        path="/projects/<path:project>/hold",
        name="hold_project",
        summary="Put all runs of a project under legal hold, later ones too",
        handler=hold_project,
        answer=NOTHING,
        statuses=NO_PROJECT,
        method="PUT",
        body=REASON,
    ),
    Route(
        path="/projects/<path:project>/hold",
        name="lift_project",
        summary="Take the legal hold off a project",
        handler=lift_project,
        answer=NOTHING,
        statuses=NO_PROJECT,
        method="DELETE",
    ),
    Route(
        path="/purges",
        name="list_purges",
        summary="Reports of purges: documents before and after; each file by its digest, and what is left of it",
        handler=list_purges,
        answer=object_schema(reports=list_schema(REPORT_SCHEMA)),
        parameters=(integer("limit", "How many reports, the newest first.", low=1, high=500, default=100),),
    ),
)
