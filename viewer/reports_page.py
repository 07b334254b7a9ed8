"""Reports as pages: the lists of them, one of them with its live blocks, its versions, and as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Blueprint, Response, abort, render_template, request, stream_with_context
from pymongo import timeout as database_timeout

from ..observer.reports import Report, ReportNotFound, find_report, list_reports, list_versions
from .accounts.current import current_principal
from .audit_notes import note
from .audited_looks import note_shown_runs
from .errors_page import NOT_FOUND_SENTENCE, NOT_FOUND_TITLE, Problem, render_problem
from .report_blocks import find_block, parse_report
from .report_rendering import Shown, render_block
from .store_access import current_store, root
from .user_files import SANDBOX_POLICY, content_disposition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

bp = Blueprint("reports", __name__)
MOST_NOTED = 50  # ids in an entry of the audit log
EXPORT_SECONDS = 120


@bp.get("/reports")
def list_all() -> str:
    return _show_list(None)


@bp.get("/p/<path:project>/reports")
def list_of_project(project: str) -> str:
    return _show_list(project)


@bp.get("/p/<path:project>/reports/<report_id>")
def show_report(project: str, report_id: str) -> str:
    report = asked_report(project, report_id, _asked_version())
    newest = asked_report(project, report_id)
    parts = parse_report(report.text, report.project)
    return render_template("report.html", **page_of(report), parts=parts, newest=newest.version)


@bp.get("/p/<path:project>/reports/<report_id>/blocks/<number>")
def show_block(project: str, report_id: str, number: str) -> str:
    """One block, looked up now: what the page asks for first, and again when runs have changed."""
    report = asked_report(project, report_id, _asked_version())
    place = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else -1
    block = find_block(report.text, report.project, place)
    if block is None:
        abort(404)
    shown = Shown()
    html = render_block(current_store(), block, shown)
    note_shown_runs(shown.runs.values())
    return render_template("reports/block.html", report=report, block=block, html=html, address=address_of(report))


@bp.get("/p/<path:project>/reports/<report_id>/versions")
def show_versions(project: str, report_id: str) -> str:
    report = asked_report(project, report_id)
    return render_template(
        "report_versions.html", **page_of(report), versions=list_versions(reports_database(), report)
    )


@bp.get("/p/<path:project>/reports/<report_id>/export.html")
def export_report(project: str, report_id: str) -> Response:
    """The report as one file, of the runs that whoever exports it sees."""
    report = asked_report(project, report_id, _asked_version())
    response = Response(stream_with_context(_iter_file(report)), mimetype="text/html")
    response.headers["Content-Disposition"] = content_disposition(f"{report.title}.html")
    response.headers["Content-Security-Policy"] = SANDBOX_POLICY  # opened from here it is nobody's page
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _iter_file(report: Report) -> Iterator[str]:
    """The file in one piece, which is in the audit log before it leaves.

    Here and not in the view, whose time for the database is that of a page: sixty figures take longer.
    """
    from .report_export import export_report as write_file  # Bokeh is loaded for it

    principal, shown = current_principal(), Shown()
    with database_timeout(EXPORT_SECONDS):
        text = write_file(current_store(), report, exporter=principal.name, shown=shown)
        keys = sorted(map(str, shown.runs))
        named = ", ".join(keys[:MOST_NOTED]) + (", ..." if len(keys) > MOST_NOTED else "")
        about: dict[str, Any] = {"what": "report", "version": report.version, "count": len(keys), "runs": named}
        note("exported", target=f"report {report.title}", project=report.project, **about)
    yield text


@bp.app_errorhandler(ReportNotFound)
def show_not_found(_error: ReportNotFound) -> Response:
    return render_problem(Problem(404, NOT_FOUND_TITLE, NOT_FOUND_SENTENCE))


def asked_report(project: str, report_id: str, version: int | None = None) -> Report:
    """The report that an address names, as whoever asks may see it. Raises ReportNotFound."""
    report = find_report(reports_database(), current_principal(), report_id, version)
    if report.project != project:
        raise ReportNotFound(report_id)
    return report


def reports_database() -> Database[dict[str, Any]]:
    return current_store().database


def address_of(report: Report) -> str:
    return f"{root()}/p/{quote(report.project, safe='')}/reports/{quote(report.id, safe='')}"


def page_of(report: Report) -> dict[str, Any]:
    """What every page of a report is made with."""
    principal = current_principal()
    return {
        "report": report,
        "address": address_of(report),
        "project_name": report.project,
        "nav_active": "reports",
        "may_change": report.may_be_changed_by(principal),
        "may_delete": report.may_be_deleted_by(principal),
    }


def _show_list(project: str | None) -> str:
    principal = current_principal()
    reports = list_reports(reports_database(), principal, project)
    if project is not None and not reports and principal.role_in(project) is None:
        current_store().find_project(project)  # raises ProjectNotFound
    return render_template(
        "reports.html",
        project_name=project,
        nav_active="reports",
        reports=reports,
        addresses={report.id: address_of(report) for report in reports},
        may_make=project is not None and principal.may("edit", project=project),
    )


def _asked_version() -> int | None:
    text = request.args.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None
