"""The console tab: what a run wrote, opened at its end, followed while it is written, and downloaded whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, jsonify, render_template, request

from ..observer.console_store import BadCursor, ConsolePage, Stream
from .console_lines import LINE_LIMIT_CHARS, LINES_BUDGET, ConsoleLines, Side, read_lines
from .console_search import QUERY_LIMIT, BadPattern, compile_search, search_console
from .store_access import current_store
from .user_files import render_user_file

if TYPE_CHECKING:
    from ..observer.run_record import RunId, RunRecord
    from ..observer.runs import RunStore

bp = Blueprint("run_console_page", __name__)

PIECES_AT_ONCE = 1000
DOWNLOAD_PIECES = 500
ENDING_LINES = 200
OPENING_LINES = 1000  # what the page opens with, 300 kB; the rest comes as one scrolls


@dataclass(frozen=True)
class ConsoleChunk:
    """A stretch of the console as a page or its live tail shows it.

    Attributes:
        first, last: cursors to go on from, upwards and downwards; empty where there is nothing yet.
        earlier, later: there is more on that side.
        ending: the traceback that the run ended with, if its own output does not end with it.
    """

    content: ConsoleLines
    first: str
    last: str
    earlier: bool
    later: bool
    ending: tuple[str, ...]


@bp.get("/runs/<run:run_id>/console")
def show_console(run_id: RunId) -> str:
    """The page with the newest lines, or with the lines before a cursor for a reader without scripts."""
    run = current_store().load_run(run_id)
    chunk = _load_chunk(current_store(), run, before=request.args.get("before"))
    return render_template("run/console.html", run=run, active_tab="console", chunk=chunk)


@bp.get("/runs/<run:run_id>/console/lines")
def show_lines(run_id: RunId) -> str:
    """Lines after or before a cursor, else the newest, as the fragment that the page puts beside what it has."""
    run = current_store().load_run(run_id)
    chunk = _load_chunk(
        current_store(),
        run,
        after=request.args.get("after"),
        before=request.args.get("before"),
        traceback=_parse_stream(request.args.get("traceback")),
    )
    return render_template("console/chunk.html", run=run, chunk=chunk)


@bp.get("/runs/<run:run_id>/console/search")
def search_lines(run_id: RunId) -> Response:
    """The nearest piece with a line that matches `q`, before or after a cursor; a long console in several answers."""
    current_store().load_run(run_id)
    text = request.args.get("q", "")
    if not text or len(text) > QUERY_LIMIT:
        abort(400, f"Search for 1 to {QUERY_LIMIT} characters.")
    after, before = request.args.get("after"), request.args.get("before")
    try:
        found = search_console(
            current_store(),
            run_id,
            compile_search(text, is_pattern=request.args.get("pattern") == "yes"),
            direction="before" if after is None else "after",
            cursor=before if after is None else after,
            stream=_parse_stream(request.args.get("stream")),
        )
    except (BadCursor, BadPattern) as error:
        abort(400, str(error))
    return jsonify(asdict(found))


@bp.get("/runs/<run:run_id>/console/download")
def download_console(run_id: RunId) -> Response:
    """The whole text as it was written, escapes and carriage returns included, streamed."""
    run = current_store().load_run(run_id)
    stream = _parse_stream(request.args.get("stream"))
    suffix = f"-{stream}" if stream else ""
    chunks = iter_console_text(current_store(), run_id, only=stream)
    return render_user_file(chunks, name=f"run-{run.id}-console{suffix}.txt", content_type="text/plain")


def iter_console_text(store: RunStore, run_id: RunId, *, only: Stream | None = None) -> Iterator[bytes]:
    """The text of a run's pieces from the first on. Holds one page of pieces at a time."""
    page = store.load_console(run_id, after="", limit=DOWNLOAD_PIECES)
    while page.pieces:
        yield "".join(piece.text for piece in page.pieces if only in (None, piece.stream)).encode("utf-8", "replace")
        page = store.load_console(run_id, after=page.last, limit=DOWNLOAD_PIECES)


def _load_chunk(
    store: RunStore,
    run: RunRecord,
    *,
    after: str | None = None,
    before: str | None = None,
    traceback: Stream | None = None,
) -> ConsoleChunk:
    if after is not None and before is not None:
        abort(400, "Ask for lines after a cursor or before one, not both.")
    opens_at_end = after is None and before is None
    try:
        page = store.load_console(run.id, after=after, before=before, limit=PIECES_AT_ONCE)
    except BadCursor as error:
        abort(400, str(error))
    keep: Side = "first" if after is not None else "last"
    budget = OPENING_LINES if opens_at_end else LINES_BUDGET
    content = read_lines(page.pieces, keep=keep, traceback=traceback, budget=budget)
    if opens_at_end:
        content = content.numbered(_first_number(run, page, content))
    more = page.more or content.dropped_pieces > 0
    return ConsoleChunk(
        content,
        first=content.first or before or after or "",
        last=content.last or after or before or "",
        earlier=more if after is None else True,
        later=more if after is not None else before is not None,
        ending=_unprinted_traceback(run, content),
    )


def _unprinted_traceback(run: RunRecord, content: ConsoleLines) -> tuple[str, ...]:
    lines = "".join(run.fail_trace).rstrip("\n").split("\n") if run.status == "failed" and run.fail_trace else []
    printed = {"".join(text for text, _ in line.spans).strip() for line in content.lines[-ENDING_LINES:]}
    if not lines or lines[-1].strip() in printed:
        return ()
    if len(lines) > ENDING_LINES:
        lines = [*lines[:10], f"  ... {len(lines) - ENDING_LINES} lines ...", *lines[10 - ENDING_LINES :]]
    return tuple(line[:LINE_LIMIT_CHARS] for line in lines)


def _parse_stream(text: str | None) -> Stream | None:
    streams: dict[str | None, Stream] = {"stdout": "stdout", "stderr": "stderr"}
    return streams.get(text)


def _first_number(run: RunRecord, page: ConsolePage, content: ConsoleLines) -> int:
    """Counted back from the end: nobody has counted the lines of a long console from its start."""
    if not page.more and not content.dropped_pieces:
        return 1
    return max(1, run.console_lines - len(content.lines) + 1)
