"""What is answered when something went wrong: a page that helps, or problem+json under /api (THREATS R24)."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from http import HTTPStatus

from flask import Flask, Response, jsonify, render_template, request
from markupsafe import escape
from pymongo.errors import PyMongoError
from werkzeug.exceptions import HTTPException

logger = logging.getLogger("cloister")

RETRY_SECONDS = 8  # how soon a page asks again while the database is away


@dataclass(frozen=True)
class Problem:
    """One thing that went wrong, in the words that a person or a program gets to read."""

    status: int
    title: str
    sentence: str
    action_label: str = "Back to projects"
    action_url: str = "/"
    retry_seconds: int | None = None


NOT_FOUND = Problem(
    404,
    "Nothing here for you",
    "This address does not exist, or it is not shared with you. A project admin can change that.",
)


def database_unreachable(where: str) -> Problem:
    return Problem(
        503,
        "The database does not answer",
        "Trainings go on and keep their points in the journal; nothing is lost. "
        f"Tried {where}, trying again in {RETRY_SECONDS} s.",
        action_label="Try now",
        action_url="",
        retry_seconds=RETRY_SECONDS,
    )


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
    action_url = problem.action_url or request.full_path.rstrip("?")
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
    if problem.retry_seconds is not None:
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
    app.register_error_handler(LookupError, _show_lookup_error)
    app.register_error_handler(PyMongoError, _show_database_error)
    app.register_error_handler(Exception, _show_unexpected_error)


def _show_http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return Response(error.response.get_data(), status=error.code)
    status = error.code or 500
    if status == 404:
        return render_problem(NOT_FOUND)
    return render_problem(Problem(status, HTTPStatus(status).phrase, str(error.description)))


def _show_lookup_error(error: LookupError) -> Response:
    from ..observer.errors import CloisterError

    if not isinstance(error, CloisterError):
        return _show_unexpected_error(error)
    return render_problem(NOT_FOUND)


def _show_database_error(error: PyMongoError) -> Response:
    logger.warning("The database did not answer: %s", error)
    return render_problem(database_unreachable("the database"))


def _show_unexpected_error(error: Exception) -> Response:
    error_id = secrets.token_hex(6)
    logger.error("Error %s at %s %r", error_id, request.method, request.path, exc_info=error)
    return render_problem(Problem(500, "Something broke here", f"It is in the viewer's log under the id {error_id}."))
