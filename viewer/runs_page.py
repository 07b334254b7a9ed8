"""A project's runs: the table at the left, the charts of the drawn runs at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, render_template, request

from ..observer.run_query import BadRunQuery, RunQuery
from .run_colours import DrawnRuns, cookie_name
from .runs_address import PAGE_SIZE, RunsAddress, join_columns, parse_address
from .runs_table import build_table, choose_columns, column_name
from .store_access import current_store, root

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore

DRAWN_AT_FIRST = 5
NAME_TAIL = 8  # characters that stay when a name is too long: what tells runs apart stands at the end

bp = Blueprint("runs", __name__)


@bp.get("/p/<path:project>")
def show_runs(project: str) -> Response:
    try:
        asked = parse_address(project, request.args, root=root())
        asked.query()
    except BadRunQuery as error:
        abort(400, str(error))
    address = _without_defaults(asked, request.args.get("default", ""))
    page = _load_page(current_store(), asked, address)
    is_part = bool(request.headers.get("HX-Request"))
    response = Response(render_template("runs/table.html" if is_part else "runs.html", **page))
    response.set_cookie(cookie_name(root(), project), str(page["drawn"]), httponly=True, samesite="Strict")
    # The address bar gets the complete, short address instead of the fields that a form happened to send.
    if "column" in request.args:
        response.headers["HX-Push-Url"] = address.url()
    elif request.headers.get("HX-Trigger") == "runs-filter":
        response.headers["HX-Replace-Url"] = address.url()
    return response


def _without_defaults(asked: RunsAddress, names: str) -> RunsAddress:
    """The address that the page's links start from, without what nobody has chosen.

    A live refresh names all that is shown, so that neither columns nor colours change under the pointer when a new run
    would change the defaults; `default` says which of it were defaults.
    """
    return replace(
        asked,
        columns=None if "columns" in names.split(",") else asked.columns,
        drawn=None if "draw" in names.split(",") else asked.drawn,
    )


def _live_url(shown: RunsAddress, address: RunsAddress) -> str:
    defaults = [name for name, value in (("columns", address.columns), ("draw", address.drawn)) if value is None]
    return f"{shown.url()}&default={','.join(defaults)}" if defaults else shown.url()


def _load_page(store: RunStore, asked: RunsAddress, address: RunsAddress) -> dict[str, object]:
    """What the templates of this page are given."""
    page = store.list_runs(asked.query())
    newest = _newest_runs(store, asked, page.runs)
    if not newest:
        store.find_project(address.project)  # raises ProjectNotFound, which knows the nearest name
    known = store.discover_columns(address.project)
    shown = replace(
        asked,
        columns=choose_columns(newest, known) if asked.columns is None else asked.columns,
        drawn=_choose_drawn(asked, address, newest),
    )
    drawn = shown.drawn or DrawnRuns()
    return {
        "project_name": address.project,
        "nav_active": "runs",
        "address": address,
        "shown": shown,
        "page": page,
        "live_url": _live_url(shown, address),
        "project_path": RunsAddress(address.project, root=address.root).url(),
        "columns_text": join_columns(shown.columns or ()),
        "no_runs_drawn": DrawnRuns(),
        "page_count": max(1, -(-page.total // PAGE_SIZE)),
        "project_total": page.total if not address.text else store.find_project(address.project).run_count,
        "known": known,
        "queued_count": 0 if address.text else store.count_queued(address.project),
        "drawn": drawn,
        "table": build_table(page.runs, shown.columns or (), drawn),
    }


def _choose_drawn(asked: RunsAddress, address: RunsAddress, newest: Sequence[RunRecord]) -> DrawnRuns:
    """The drawn runs: those asked for; where nobody chose, the newest, and what is drawn by now stays as it is."""
    drawn = asked.drawn or DrawnRuns()
    if address.drawn is not None or (asked.drawn and asked.query() != RunsAddress(asked.project).query()):
        return drawn
    for run in newest[:DRAWN_AT_FIRST]:
        if len(drawn.run_keys) < DRAWN_AT_FIRST:
            drawn = drawn.adding(run.id)
    return drawn


def _newest_runs(store: RunStore, address: RunsAddress, runs: tuple[RunRecord, ...]) -> tuple[RunRecord, ...]:
    """The newest runs of the project whatever is filtered, so that filtering changes neither columns nor colours."""
    plain = RunsAddress(address.project)
    if address.query() == plain.query():
        return runs
    if address.columns is not None and address.drawn is not None and runs:
        return runs  # nothing has to be chosen
    return store.list_runs(RunQuery(address.project, page_size=PAGE_SIZE)).runs


bp.add_app_template_filter(column_name, "column_name")


@bp.app_template_filter("name_parts")
def split_name(name: str) -> tuple[str, str]:
    """A name as what may be cut and what stays."""
    return (name[:-NAME_TAIL], name[-NAME_TAIL:]) if len(name) > 2 * NAME_TAIL else (name, "")
