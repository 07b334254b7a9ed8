"""Reports by REST: their list, texts and versions; writing, changing and deleting them."""

from __future__ import annotations

from typing import Any

from ...observer.reports import (
    TEXT_LIMIT,
    TITLE_LIMIT,
    Report,
    change_report,
    delete_report,
    find_report,
    list_reports,
    list_versions,
    make_report,
)
from ..accounts.current import current_principal
from ..audit_notes import note
from ..reports_page import reports_database
from ..store_access import current_store
from .json_values import json_time, json_value
from .route import NOTHING, Route, integer, text
from .run_json import COUNT, TEXT, TIME, Schema, list_schema, object_schema

_TITLE: Schema = {"type": "string", "minLength": 1, "maxLength": TITLE_LIMIT}
_TEXT: Schema = {"type": "string", "maxLength": TEXT_LIMIT}
_HEAD: dict[str, Schema] = {
    "id": TEXT,
    "project": TEXT,
    "title": TEXT,
    "version": COUNT,
    "owner": TEXT,
    "made_at": TIME,
    "changed_at": TIME,
    "changed_by": TEXT,
}
HEAD_SCHEMA = object_schema(**_HEAD)
REPORT_SCHEMA = object_schema(**_HEAD, text=TEXT)
_NONE = {404: "There is no such report for whoever asks."}
_NOT_THEIRS = {**_NONE, 403: "Whoever asks may read it, not change it."}


def show_reports(project: str | None) -> dict[str, Any]:
    found = list_reports(reports_database(), current_principal(), project)
    return {"reports": [_head_json(report) for report in found]}


def show_report(report_id: str, version: int | None) -> dict[str, Any]:
    return _report_json(find_report(reports_database(), current_principal(), report_id, version))


def show_versions(report_id: str) -> dict[str, Any]:
    report = find_report(reports_database(), current_principal(), report_id)
    return {"versions": [_head_json(each) for each in list_versions(reports_database(), report)]}


def write_report(body: dict[str, Any]) -> dict[str, Any]:
    project = body["project"]
    current_store().find_project(project)  # raises ProjectNotFound
    report = make_report(
        reports_database(), current_principal(), project=project, title=body["title"], text=body["text"]
    )
    note("report-changed", target=f"report {report.title}", project=project, version=report.version)
    return _report_json(report)


def save_report(report_id: str, body: dict[str, Any]) -> dict[str, Any]:
    principal, database = current_principal(), reports_database()
    before = find_report(database, principal, report_id)
    report = change_report(database, principal, report_id, title=body["title"], text=body["text"], seen=body["version"])
    if report.version != before.version:
        note("report-changed", target=f"report {report.title}", project=report.project, version=report.version)
    return _report_json(report)


def remove_report(report_id: str) -> None:
    report = delete_report(reports_database(), current_principal(), report_id)
    note("report-deleted", target=f"report {report.title}", project=report.project, version=report.version)


def _head_json(report: Report) -> dict[str, Any]:
    return {
        "id": report.id,
        "project": json_value(report.project),
        "title": json_value(report.title),
        "version": report.version,
        "owner": json_value(report.owner),
        "made_at": json_time(report.made_at),
        "changed_at": json_time(report.changed_at),
        "changed_by": json_value(report.changed_by),
    }


def _report_json(report: Report) -> dict[str, Any]:
    return {**_head_json(report), "text": json_value(report.text)}


ROUTES = (
    Route(
        path="/reports",
        name="list_reports",
        summary="Reports, without their texts, the last changed one first",
        handler=show_reports,
        answer=object_schema(reports=list_schema(HEAD_SCHEMA)),
        parameters=(text("project", "Only those of this project.", limit=400),),
    ),
    Route(
        path="/reports",
        name="write_report",
        summary="Write a report: Markdown with blocks for charts, tables and sets of runs",
        handler=write_report,
        answer=REPORT_SCHEMA,
        statuses={403: "Whoever asks may not edit in the project.", 404: "There is no such project for whoever asks."},
        method="POST",
        body=object_schema(project={"type": "string", "minLength": 1, "maxLength": 400}, title=_TITLE, text=_TEXT),
    ),
    Route(
        path="/reports/<report_id>",
        name="show_report",
        summary="One report with its text, as it is or as it was",
        handler=show_report,
        answer=REPORT_SCHEMA,
        parameters=(integer("version", "An earlier version; 1 is the first.", low=1, high=10_000_000),),
        statuses=_NONE,
    ),
    Route(
        path="/reports/<report_id>",
        name="save_report",
        summary="Save a new version; `version` is the one that it was written upon, and 409 says that there is a newer",
        handler=save_report,
        answer=REPORT_SCHEMA,
        statuses={**_NOT_THEIRS, 409: "Somebody saved another version meanwhile."},
        method="PUT",
        body=object_schema(title=_TITLE, text=_TEXT, version={"type": "integer", "minimum": 1, "maximum": 10_000_000}),
    ),
    Route(
        path="/reports/<report_id>",
        name="delete_report",
        summary="Delete a report with all its versions, for good",
        handler=remove_report,
        answer=NOTHING,
        statuses=_NOT_THEIRS,
        method="DELETE",
    ),
    Route(
        path="/reports/<report_id>/versions",
        name="list_versions",
        summary="The versions of a report, the newest first",
        handler=show_versions,
        answer=object_schema(versions=list_schema(HEAD_SCHEMA)),
        statuses=_NONE,
    ),
)
