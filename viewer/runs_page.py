"""A table of runs, of a project or of all: the table at the left, the charts of the drawn runs at the right."""

from __future__ import annotations

import json

from flask import Blueprint, Response, abort, jsonify, render_template, request

from ..observer.run_query import PAGE_SIZE_LIMIT, BadRunQuery
from .column_keys import find_column
from .fields_list import ListedField, list_fields
from .query_text import explain_error
from .run_colours import cookie_name
from .run_keys import run_key
from .runs_address import RunsAddress, parse_address
from .runs_list import load_list
from .runs_table import column_name
from .shown_views import list_saved
from .store_access import current_store, root

KEYS_AT_ONCE = PAGE_SIZE_LIMIT
KNOWN_FIELDS = 500  # among which a misspelt one is looked for
NAME_TAIL = 8  # characters that stay when a name is too long: what tells runs apart stands at the end
PARTS = {  # what a page's dialogs and menus ask for
    "columns": "runs/columns.html",
    "fields": "runs/fields.html",
    "views": "runs/views_list.html",
}

bp = Blueprint("runs", __name__)


@bp.get("/p/<path:project>")
def show_runs(project: str) -> Response:
    return _show(project)


@bp.get("/runs")
def show_all_runs() -> Response:
    return _show(None)


def _show(project: str | None) -> Response:
    asked = _parse(project)
    is_part = bool(request.headers.get("HX-Request"))
    error = asked.search().error
    if error is not None and is_part:
        # What stands there stays, the last good result; the bar says what is wrong.
        return Response(status=204, headers={"HX-Trigger": json.dumps({"cloister:query-error": _error_json(asked)})})
    shown = load_list(current_store(), asked, request.args.get("default", ""))
    part = PARTS.get(request.args.get("part", ""))
    context = shown.context()
    if part == PARTS["views"]:
        context["views"] = list_saved(shown.address)
    template = part or ("runs/table.html" if is_part else "runs.html")
    response = Response(render_template(template, **context), status=400 if error else 200)
    if project is not None and not part:
        response.set_cookie(cookie_name(root(), project), str(shown.drawn), httponly=True, samesite="Strict")
    # The address bar gets the complete, short address instead of the fields that a form happened to send.
    if "column" in request.args:
        response.headers["HX-Push-Url"] = shown.address.url()
    elif request.headers.get("HX-Trigger") == "runs-filter":
        response.headers["HX-Replace-Url"] = shown.address.url()
    return response


@bp.get("/runs/keys")
def list_keys() -> Response:
    """The ids of all runs that an address finds, for what is done with all of them: `project` and its parameters."""
    asked = _parse(request.args.get("project") or None)
    runs = current_store().list_runs(asked.query(page=1, page_size=KEYS_AT_ONCE, after=request.args.get("after")))
    return jsonify(keys=[run_key(run.id) for run in runs.runs], next=runs.next, total=runs.total)


@bp.app_template_global("fields_of")
def fields_of(project: str | None, text: str) -> list[tuple[str, list[ListedField]]]:
    return list_fields(current_store(), project, text)


def _parse(project: str | None) -> RunsAddress:
    try:
        asked = parse_address(project, request.args, root=root())
        asked.query()
    except BadRunQuery as error:
        abort(400, str(error))
    return asked


def _error_json(asked: RunsAddress) -> dict[str, object]:
    known = [info.key for info in current_store().find_fields(asked.project, limit=KNOWN_FIELDS)]
    error = explain_error(asked.text, known)
    return {
        "query": asked.text,
        "message": error.message,
        "column": error.column,
        "length": error.length,
        "suggestion": error.suggestion,
    }


bp.add_app_template_filter(column_name, "column_name")
bp.add_app_template_filter(find_column, "about_column")


@bp.app_template_filter("name_parts")
def split_name(name: str) -> tuple[str, str]:
    """A name as what may be cut and what stays."""
    return (name[:-NAME_TAIL], name[-NAME_TAIL:]) if len(name) > 2 * NAME_TAIL else (name, "")
