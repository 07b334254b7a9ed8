"""Only our own pages change something: the token that their forms and scripts carry (THREATS R17)."""

from __future__ import annotations

import secrets

from flask import Response, g, request
from markupsafe import Markup

from ..errors_page import Problem, render_problem
from . import csrf
from .current import COOKIE, SECURE_COOKIE, current_accounts, current_identity, identity_if_known, is_bearer

FORM_COOKIE = "cloister_form"  # before there is a session, the login form's token belongs to this
SECURE_FORM_COOKIE = "__Host-cloister_form"
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def csrf_token() -> str:
    """The token for this page's forms and scripts."""
    secret = _secret_of_forms()
    if secret is None:
        g.form_secret = secret = secrets.token_urlsafe(32)
    return csrf.make_csrf_token(secret)


def csrf_field() -> Markup:
    """The hidden field that every form of ours that posts something has."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(csrf.FIELD, csrf_token())  # escapes


def _secret_of_forms() -> str | None:
    """What the token of this request's pages belongs to; None where the browser has nothing yet."""
    identity = identity_if_known()
    if identity is not None and identity.principal.kind == "local":
        return current_accounts().local_secret
    if identity is not None and identity.session is not None:
        return request.cookies.get(SECURE_COOKIE if request.is_secure else COOKIE)
    name = SECURE_FORM_COOKIE if request.is_secure else FORM_COOKIE
    given: str | None = g.get("form_secret") or request.cookies.get(name)
    return given


def set_form_cookie(response: Response) -> Response:
    if "form_secret" in g:
        name = SECURE_FORM_COOKIE if request.is_secure else FORM_COOKIE
        response.set_cookie(name, g.form_secret, path="/", secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def refuse_forged_requests() -> Response | None:
    """Before each request: what changes something carries the token of our own page, or is no browser's."""
    if request.method not in _UNSAFE or request.endpoint is None:
        return None
    if _is_no_browser():
        return None
    given = request.headers.get(csrf.HEADER) or request.form.get(csrf.FIELD)
    if csrf.is_csrf_token(given, _secret_of_forms()):
        return None
    return render_problem(_forged())


def _forged() -> Problem:
    sign = "The request lacks the sign that it comes from a page of this viewer as you are signed in now. "
    if request.path.startswith("/api/"):
        what = f"Send that page's token as {csrf.HEADER}, or a token for scripts as Authorization: Bearer ..."
        return Problem(403, "Not from a page of this viewer", sign + what)
    return Problem(
        403,
        "This page was open for too long",
        sign + "Load the page again and repeat what you did.",
        action_label="Load it again",
        action_url="" if request.path == "/login" else None,
    )


def _is_no_browser() -> bool:
    """A script: it shows a token, which no browser adds by itself; or nobody signs in here and no browser asks."""
    if is_bearer(request.headers.get("Authorization", "")):
        return True
    identity = current_identity()
    from_browser = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    return identity.principal.kind == "local" and request.path.startswith("/api/") and not from_browser
