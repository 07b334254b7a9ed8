"""Explain: what of a project's runs goes with what, as figures over the runs of a query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, render_template, request, stream_with_context

from ..observer.query.errors import BadRunQuery, QueryError
from ..observer.query.fields import UnknownField
from ..observer.run_columns import RunColumns, load_run_columns
from .audit_notes import note
from .explain_address import VIEWS, ExplainAddress, parse_explain_address
from .explain_fields import Offered, fill_in, find_offered, short_titles
from .explain_views import FIGURE_KEYS, NothingToDraw, draw_view
from .importance import METHOD_NAMES, ImportanceDesk
from .run_keys import run_key
from .store_access import current_store, root

if TYPE_CHECKING:
    from ..observer.runs import RunStore

bp = Blueprint("explain", __name__)
_DESK = "cloister.importance"
CSV_ROWS_AT_A_TIME = 1_000


@bp.record_once
def _make_desk(state: Any) -> None:
    state.app.extensions[_DESK] = ImportanceDesk()


@bp.get("/p/<path:project>/explain")
def show_explain(project: str) -> str:
    store = current_store()
    address, offered = _asked(store, project)
    found: dict[str, Any] = {"query_error": None, "runs": None, "figure": "", "problem": ""}
    try:
        found |= _draw(store, address)
    except QueryError as error:
        found["query_error"] = error
    except NothingToDraw as reason:
        found |= {"problem": str(reason), "runs": reason.runs}
    part = "explain/figures.html" if request.headers.get("HX-Request") else "explain.html"
    return render_template(
        part,
        project_name=project,
        nav_active="explain",
        address=address,
        views=VIEWS,
        offered=offered,
        titles=short_titles(tuple(dict.fromkeys((*offered.parameters, *offered.targets, *_all_keys(address))))),
        method_names=METHOD_NAMES,
        **found,
    )


@bp.get("/p/<path:project>/explain/importance")
def show_importance(project: str) -> str:
    """The part of the page that asks again until its figure is there."""
    store = current_store()
    address, _ = _asked(store, project)
    try:
        found = _draw(store, address)
    except QueryError as error:
        abort(400, str(error))
    except NothingToDraw as reason:
        found = {"figure": "", "problem": str(reason)}
    return render_template("explain/importance_part.html", **found)


@bp.get("/p/<path:project>/explain/data.csv")
def send_data(project: str) -> Response:
    """The columns behind the figure, one row for each run."""
    store = current_store()
    address, _ = _asked(store, project)
    keys = FIGURE_KEYS[address.view](address)
    try:
        runs = load_run_columns(store, address.query(), keys)
    except QueryError as error:
        abort(400, str(error))
    note(
        "exported",
        target=f"project {project}",
        project=project,
        what="explained runs",
        runs=len(runs),
        query=address.where[:400],
    )
    response = Response(stream_with_context(_csv(runs, keys)), mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename="explain.csv")
    return response


def _asked(store: RunStore, project: str) -> tuple[ExplainAddress, Offered]:
    try:
        asked = parse_explain_address(project, request.args, root=root())
    except (UnknownField, BadRunQuery) as error:
        abort(400, str(error))
    offered = find_offered(store, project)
    return fill_in(asked, offered), offered


def _draw(store: RunStore, address: ExplainAddress) -> dict[str, Any]:
    from flask import current_app

    runs = load_run_columns(store, address.query(), FIGURE_KEYS[address.view](address))
    desk: ImportanceDesk = current_app.extensions[_DESK]
    return {"runs": runs, "problem": "", **draw_view(address, runs, desk)}


def _all_keys(address: ExplainAddress) -> list[str]:
    return [key for key in (*address.parameters, address.target, address.x, address.y, address.by) if key]


def _csv(runs: RunColumns, keys: tuple[str, ...]) -> Iterator[str]:
    import csv
    import io

    from .csv_cells import guard_cell

    def written(rows: Any) -> str:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        return text.getvalue()

    yield written([["run_id", "run", *map(guard_cell, keys)]])
    columns = [runs.columns[key] for key in keys]
    for start in range(0, len(runs), CSV_ROWS_AT_A_TIME):
        places = range(start, min(start + CSV_ROWS_AT_A_TIME, len(runs)))
        yield written(
            [run_key(runs.ids[place]), guard_cell(runs.names[place]), *(_cell(column[place]) for column in columns)]
            for place in places
        )


def _cell(value: Any) -> Any:
    from .csv_cells import guard_cell

    if value is None or value != value:  # NaN
        return ""
    return guard_cell(value) if isinstance(value, str) else repr(float(value))
