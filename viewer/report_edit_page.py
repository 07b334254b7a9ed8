"""Writing reports: the editor with its preview, saving versions, bringing one back, deleting."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, redirect, render_template, request

from ..observer.errors import CloisterError
from ..observer.reports import (
    TEXT_LIMIT,
    TITLE_LIMIT,
    BadReport,
    MayNotChangeReport,
    Report,
    ReportChanged,
    change_report,
    delete_report,
    find_report,
    make_report,
)
from .accounts.current import current_principal
from .audit_notes import note
from .audited_looks import note_shown_runs
from .errors_page import Problem, render_problem
from .report_blocks import parse_report
from .report_rendering import Shown, render_parts
from .reports_page import address_of, asked_report, page_of, reports_database
from .store_access import current_store, root

bp = Blueprint("report_edit", __name__)


@bp.get("/p/<path:project>/reports/new")
def write(project: str) -> str:
    current_store().find_project(project)  # raises ProjectNotFound
    return _show_editor(project, None, title="", text=_first_text(request.args.get("q", "")))


@bp.post("/p/<path:project>/reports/new")
def make(project: str) -> Response | str | tuple[str, int]:
    current_store().find_project(project)
    title, text = request.form.get("title", ""), request.form.get("text", "")
    try:
        report = make_report(reports_database(), current_principal(), project=project, title=title, text=text)
    except BadReport as error:
        return _show_editor(project, None, title=title, text=text, error=error), 400
    note("report-changed", target=f"report {report.title}", project=project, version=1)
    return _go_to(report)


@bp.get("/p/<path:project>/reports/<report_id>/edit")
def edit(project: str, report_id: str) -> str:
    report = asked_report(project, report_id)
    return _show_editor(project, report, title=report.title, text=report.text)


@bp.post("/p/<path:project>/reports/<report_id>/edit")
def save(project: str, report_id: str) -> Response | tuple[str, int]:
    before = asked_report(project, report_id)
    title, text = request.form.get("title", ""), request.form.get("text", "")
    seen = request.form.get("seen", "")
    if not (seen.isascii() and seen.isdigit() and len(seen) < 8):
        abort(400, "The form does not say which version it is about.")
    try:
        report = change_report(
            reports_database(), current_principal(), report_id, title=title, text=text, seen=int(seen)
        )
    except ReportChanged as error:
        return _show_editor(project, error.report, title=title, text=text, error=error), 409
    except BadReport as error:
        return _show_editor(project, before, title=title, text=text, error=error), 400
    if report.version != before.version:
        note("report-changed", target=f"report {report.title}", project=project, version=report.version)
    return _go_to(report)


@bp.post("/p/<path:project>/reports/<report_id>/restore")
def restore(project: str, report_id: str) -> Response:
    """Save an old version as the newest one."""
    database, principal = reports_database(), current_principal()
    now = asked_report(project, report_id)
    wanted = request.form.get("version", "")
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 8):
        abort(400, "The form does not say which version is to come back.")
    old = find_report(database, principal, report_id, int(wanted))
    report = change_report(database, principal, report_id, title=old.title, text=old.text, seen=now.version)
    note(
        "report-changed", target=f"report {report.title}", project=project, version=report.version, back_to=old.version
    )
    return _go_to(report)


@bp.post("/p/<path:project>/reports/<report_id>/delete")
def delete(project: str, report_id: str) -> Response:
    asked_report(project, report_id)
    report = delete_report(reports_database(), current_principal(), report_id)
    note("report-deleted", target=f"report {report.title}", project=project, version=report.version)
    return redirect(f"{root()}/p/{quote(project, safe='')}/reports", 303)  # type: ignore[return-value]


@bp.post("/p/<path:project>/reports/preview")
def preview(project: str) -> str:
    """What the editor's text would be, nothing kept."""
    shown = Shown()
    parts = parse_report(request.form.get("text", "")[:TEXT_LIMIT].replace("\r\n", "\n"), project)
    rendered = render_parts(current_store(), parts, shown)
    note_shown_runs(shown.runs.values())
    return render_template("reports/preview.html", parts=rendered)


@bp.app_errorhandler(MayNotChangeReport)
def refuse(error: MayNotChangeReport) -> Response:
    return render_problem(Problem(403, "You may look at this, not change it", str(error)))


@bp.app_errorhandler(ReportChanged)
def show_conflict(error: ReportChanged) -> Response:
    return render_problem(Problem(409, "Somebody else has saved this report", str(error), "Load it again", ""))


def _show_editor(
    project: str, report: Report | None, *, title: str, text: str, error: CloisterError | None = None
) -> str:
    page: dict[str, Any] = {"project_name": project, "nav_active": "reports", "report": None, "address": ""}
    if report is not None:
        page |= page_of(report)
    reports = f"{root()}/p/{quote(project, safe='')}/reports"
    return render_template(
        "report_edit.html",
        **page,
        reports=reports,
        title=title,
        text=text,
        error=error,
        title_limit=TITLE_LIMIT,
        text_limit=TEXT_LIMIT,
    )


def _first_text(where: str) -> str:
    """What a new report begins with, for the runs of a query where there is one."""
    where = " ".join(where.split())[:1000]
    return f"```table\n{f'query: {where}' if where else 'limit: 10'}\n```\n"


def _go_to(report: Report) -> Response:
    return redirect(address_of(report), 303)  # type: ignore[return-value]
