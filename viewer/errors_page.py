"""What is answered when something went wrong: a page that helps, or problem+json under /api (THREATS R24)."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from bson.errors import BSONError
from flask import Flask, Response, jsonify, render_template, request
from markupsafe import escape
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError, WTimeoutError
from werkzeug.exceptions import HTTPException

from ..observer.blobs import BlobLocked
from ..observer.errors import CloisterError
from ..observer.mongo import address_of, first_sentence
from .store_access import current_database, report_silence, root

logger = logging.getLogger("cloister")

RETRY_SECONDS = 8  # how soon a page asks again while the database is away
NOT_FOUND_TITLE = "Nothing here for you"
NOT_FOUND_SENTENCE = "This address does not exist, or it is not shared with you. A project admin can change that."
_PAGE_WORDS = {
    400: "This address cannot be answered",
    405: "This address is only for reading",
    409: "That cannot be done now",
    413: "That is too much at once",
    416: "The file has no such part",
    423: "This is encrypted",
}


@dataclass(frozen=True)
class Problem:
    """One thing that went wrong, in the words that a person or a program gets to read."""

    status: int
    title: str
    sentence: str
    action_label: str = "Back to projects"
    action_url: str | None = None  # None: the first page; "": this one again
    retry_seconds: int | None = None


def render_problem(problem: Problem) -> Response:
    """`problem` as problem+json for the API, as a page for everybody else."""
    response = _render_json(problem) if request.path.startswith("/api/") else _render_page(problem)
    response.status_code = problem.status
    if problem.retry_seconds is not None:
        response.headers["Retry-After"] = str(problem.retry_seconds)
    return response


def _render_json(problem: Problem) -> Response:
    response = jsonify(type="about:blank", status=problem.status, title=problem.title, detail=problem.sentence)
    response.content_type = "application/problem+json"
    return response


def _render_page(problem: Problem) -> Response:
    here = quote(request.path) + ("?" + request.query_string.decode("latin-1")).rstrip("?")
    action_url = root() + ("/" if problem.action_url is None else problem.action_url or here)
    try:
        page = render_template(
            "error.html",
            status=problem.status,
            title=problem.title,
            sentence=problem.sentence,
            action_label=problem.action_label,
            action_url=action_url,
            retry_seconds=problem.retry_seconds,
        )
    except Exception:
        # Wide on purpose: whatever broke the page may break its error page too, and then the person still gets words.
        logger.exception("The error page could not be rendered")
        page = _bare_page(problem, action_url)
    response = Response(page, content_type="text/html; charset=utf-8")
    if problem.retry_seconds is not None and request.method == "GET":
        response.headers["Refresh"] = str(problem.retry_seconds)  # comes back by itself, without a script
    return response


def _bare_page(problem: Problem, action_url: str) -> str:
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(problem.title)}</title>"
        f"<h1>{escape(problem.title)}</h1><p>{escape(problem.sentence)}</p>"
        f'<p><a href="{escape(action_url)}">{escape(problem.action_label)}</a></p></html>'
    )


def register_error_pages(app: Flask) -> None:
    app.register_error_handler(HTTPException, _show_http_error)
    app.register_error_handler(CloisterError, _show_our_error)
    app.register_error_handler(PyMongoError, _show_database_error)
    app.register_error_handler(BSONError, _show_damage)
    app.register_error_handler(Exception, _show_unexpected_error)


def _show_http_error(error: HTTPException) -> Response:
    if error.response is not None or (error.code or 500) < 400:  # a redirect, or an answer that the view made itself
        return error.get_response(request.environ)  # type: ignore[return-value]
    status = error.code or 500
    if status == 404:
        return render_problem(Problem(404, NOT_FOUND_TITLE, NOT_FOUND_SENTENCE))
    problem = Problem(status, _PAGE_WORDS.get(status, HTTPStatus(status).phrase), _http_sentence(error, status))
    response = render_problem(problem)
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Content-Range"):
            response.headers[name] = value
    return response


def _http_sentence(error: HTTPException, status: int) -> str:
    if status == 405:
        return f"{request.method} does nothing at {request.path}."
    return str(error.description)


def _show_our_error(error: CloisterError) -> Response:
    """What our own errors mean for a reader follows from the builtin that each derives from."""
    if isinstance(error, LookupError):
        return render_problem(_not_found(error))
    if isinstance(error, ValueError):
        status = getattr(error, "status", 400)
        return render_problem(Problem(status, _PAGE_WORDS.get(status, _PAGE_WORDS[400]), str(error)))
    if isinstance(error, ConnectionError):
        return render_problem(_database_unreachable())
    if isinstance(error, BlobLocked):
        return render_problem(Problem(423, _PAGE_WORDS[423], str(error)))
    if isinstance(error, OSError):
        return _show_damage(error)
    return _show_unexpected_error(error)


def _not_found(error: LookupError) -> Problem:
    nearest = getattr(error, "nearest", None)
    if nearest is None:
        return Problem(404, NOT_FOUND_TITLE, str(error))
    return Problem(
        404, NOT_FOUND_TITLE, str(error), action_label=f"Open {nearest}", action_url=f"/p/{quote(nearest, safe='')}"
    )


def _show_database_error(error: PyMongoError) -> Response:
    if error.timeout or isinstance(error, (ConnectionFailure, ExecutionTimeout, WTimeoutError)):
        logger.warning("The database did not answer at %s: %s", request.path, first_sentence(error))
        return render_problem(_database_unreachable())
    return _show_unexpected_error(error)


def _database_unreachable() -> Problem:
    from .app import DATABASE_SECONDS

    report_silence()
    where = address_of(current_database().access.get().database.client).removeprefix("mongodb://")
    return Problem(
        503,
        "The database does not answer",
        "Trainings go on and keep their points in the journal; nothing is lost. "
        f"Tried {where} for up to {DATABASE_SECONDS} s, trying again in {RETRY_SECONDS} s.",
        action_label="Try now",
        action_url="",
        retry_seconds=RETRY_SECONDS,
    )


def _show_damage(error: Exception) -> Response:
    """Stored bytes that are not what they should be: nobody's fault who asks for them (THREATS R11)."""
    logger.warning("Damaged data at %s: %s", request.path, error)
    sentence = str(error) if isinstance(error, CloisterError) else "A stored record cannot be read; the log says which."
    return render_problem(Problem(502, "What is stored here is damaged", sentence))


def _show_unexpected_error(error: Exception) -> Response:
    error_id = secrets.token_hex(6)
    logger.error("Error %s at %s %r", error_id, request.method, request.path, exc_info=error)
    return render_problem(Problem(500, "Something broke here", f"The viewer's log says more, under the id {error_id}."))
