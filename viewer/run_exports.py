"""Tables of runs as downloads: what a table shows, all of its pages, in one of the formats of table_formats.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, abort, request, stream_with_context

from ..observer.errors import CloisterError
from ..observer.run_ids import parse_run_id
from ..observer.run_query import BadRunQuery
from .audit_notes import note
from .column_keys import ColumnKey, find_column, find_value
from .run_keys import run_key
from .runs_address import RunsAddress, parse_address
from .runs_list import shown_columns, with_environment
from .store_access import current_database, current_store, root
from .table_formats import FORMATS, TableFormat, find_format

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord

MOST_ROWS = 100_000
ROWS_AT_A_TIME = 500
MOST_CHOSEN = 1000

bp = Blueprint("run_exports", __name__)
bp.add_app_template_global(lambda: FORMATS, "export_formats")


class TooManyRows(CloisterError, ValueError):
    """An export would be larger than anybody reads."""

    status = 400

    def __init__(self, total: int) -> None:
        super().__init__(f"{total:,} runs match, and an export holds {MOST_ROWS:,}. Narrow the query first.")


@bp.get("/export/runs.<name>")
def send_table(name: str) -> Response:
    """The table at an address: `project` and the parameters of its page, or `runs` instead of a search."""
    written = find_format(name)
    if written is None:
        abort(404)
    asked = _parse()
    store = current_store()
    chosen = _chosen_runs()
    first = store.list_runs(asked.query(page=1, page_size=ROWS_AT_A_TIME)) if chosen is None else None
    if first is not None and first.total > MOST_ROWS:
        raise TooManyRows(first.total)
    columns = [
        find_column(key) for key in _exported_keys(shown_columns(store, asked, first.runs if first else chosen or ()))
    ]
    total = first.total if first is not None else len(chosen or ())
    where = {"database": current_database().name} if current_database().path else {}
    said: dict[str, Any] = {"what": name, "runs": total, "query": asked.text[:400], **where}
    note("exported", target="table of runs", project=asked.project or "", **said)
    runs = with_environment(store, _iter_runs(asked) if chosen is None else chosen, [column.key for column in columns])
    return _download(written, columns, ([_value(run, column) for column in columns] for run in runs), asked)


def _parse() -> RunsAddress:
    try:
        asked = parse_address(request.args.get("project") or None, request.args, root=root())
        asked.query()
    except BadRunQuery as error:
        abort(400, str(error))
    if asked.search().error is not None:
        abort(400, str(asked.search().error))
    return asked


def _chosen_runs() -> list[RunRecord] | None:
    """The runs that `runs=` names, where it stands there."""
    if "runs" not in request.args:
        return None
    words = [word for word in request.args["runs"].split(",") if word][:MOST_CHOSEN]
    return [current_store().load_run(parse_run_id(word)) for word in words]


def _exported_keys(columns: Sequence[str]) -> list[str]:
    """Id, name and status, as every table has them, then what is shown; a curve is no value."""
    keys = ["id", "name", "status", *columns]
    return [key for key in dict.fromkeys(keys) if find_column(key).field is not None]


def _iter_runs(asked: RunsAddress) -> Iterator[RunRecord]:
    """All runs of all pages, a batch at a time: a large table is never in memory as a whole."""
    store = current_store()
    after: str | None = None
    page_number = 1
    while True:
        page = store.list_runs(asked.query(page=page_number, page_size=ROWS_AT_A_TIME, after=after))
        yield from page.runs
        if page.next is None:
            return
        after, page_number = page.next, 1


def _value(run: RunRecord, column: ColumnKey) -> Any:
    return run_key(run.id) if column.key == "id" else find_value(run, column.key)


def _download(written: TableFormat, columns: Sequence[ColumnKey], rows: Iterator[Any], asked: RunsAddress) -> Response:
    pieces = written.write(columns, rows)
    first = next(pieces)  # what is missing is said now, while it can be; the rest is sent as it is read

    def all_pieces() -> Iterator[bytes]:
        yield first
        yield from pieces

    response = Response(stream_with_context(all_pieces()), mimetype=written.mimetype)
    response.headers.set("Content-Disposition", "attachment", filename=f"{_file_name(asked)}.{written.name}")
    return response


def _file_name(asked: RunsAddress) -> str:
    name = asked.project or "all"
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "-" for sign in name)[:60] + "-runs"
