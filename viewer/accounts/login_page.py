"""Signing in and out: name and password, then the second factor where there is one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, make_response, redirect, render_template, request

from ...observer.errors import CloisterError
from ...observer.policy import load_policy
from ..audit_notes import note
from ..store_access import shared_root
from .account_indexes import ensure_account_indexes
from .attempts import charge_attempt, forget_attempts
from .current import current_accounts, current_principal, sign_in, sign_out
from .login_throttle import TooManyAttempts
from .next_page import own_path
from .password_login import check_password
from .passwords import TooManyLogins
from .pending_sign_ins import PendingSignIn, begin_pending, count_try, end_pending, find_pending
from .second_factor import begin_set_up, check_code, confirm_set_up, draw_qr_code, provisioning_uri
from .server_key import BadServerKey
from .users import User, find_user

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

bp = Blueprint("login", __name__)

LONGEST_FIELD = 1000
# One sentence for an unknown name, a wrong password and a disabled account.
WRONG = "Name and password do not belong together, or the account is switched off. An admin of the site knows which."
WRONG_CODE = "This code is not right, or it was used before. A new one appears every 30 seconds."
TOO_LATE = "That took too long, or too many codes were wrong. Sign in again."
NO_SECOND_FACTOR = "Second factors cannot be checked here at the moment. An admin finds the reason in the viewer's log."


@bp.get("/login")
def show_login() -> Response:
    next_path = own_path(request.args.get("next"))
    if current_principal().is_signed_in:
        return _go_to(next_path)
    return _login_form(next_path)


@bp.post("/login")
def log_in() -> Response:
    next_path = own_path(request.form.get("next"))
    name, password = request.form.get("name", ""), request.form.get("password", "")
    if len(name) > LONGEST_FIELD or len(password) > LONGEST_FIELD:
        return _login_form(next_path, problem=WRONG, status=403)
    accounts = current_accounts()
    ensure_account_indexes(accounts.database)
    try:
        pause = charge_attempt(name)
        checkers = tuple(accounts.password_checkers)
        user = check_password(accounts.database, name, password, checkers=checkers)
    except (TooManyAttempts, TooManyLogins) as error:
        status = 429 if isinstance(error, TooManyAttempts) else 503
        return _login_form(next_path, problem=str(error), name=name, status=status, retry_seconds=error.retry_seconds)
    if user is None:
        _note_failure(accounts.database, name, "password", pause)
        return _login_form(next_path, problem=WRONG, name=name, status=403)
    return _after_password(accounts.database, user, next_path)


def _after_password(database: Database[dict[str, Any]], user: User, next_path: str) -> Response:
    """The password was right: in, or on to the second factor."""
    if not user.has_totp and not needs_second_factor(database):
        forget_attempts(user.name)
        response = _go_to(next_path)
        sign_in(user, response, how=user.source if user.source != "local" else "password")
        return response
    response = _go_to("/login/code" if user.has_totp else "/login/set-up")
    begin_pending(database, response, user.name, next_path)
    return response


def needs_second_factor(database: Database[dict[str, Any]]) -> bool:
    """Whether the site's policy wants one of everybody. A policy that cannot be understood is taken to."""
    try:
        return load_policy(database).require_totp
    except (CloisterError, OSError) as error:
        logger.error("%s Until then everybody needs a second factor.", error)
        return True


@bp.get("/login/code")
def show_code_form() -> Response:
    pending, _ = _who_is_pending()
    return _code_form() if pending else _login_form("/", problem=TOO_LATE)


@bp.post("/login/code")
def check_second_factor() -> Response:
    pending, user = _who_is_pending()
    database = current_accounts().database
    if pending is None or user is None or not user.has_totp:
        return _login_form("/", problem=TOO_LATE, status=403)
    try:
        pause = charge_attempt(f"{user.name} second factor")
        is_right = count_try(database, pending) and check_code(database, user.name, request.form.get("code", "")[:40])
    except TooManyAttempts as error:
        return _code_form(str(error), status=429, retry_seconds=error.retry_seconds)
    except CloisterError as error:
        logger.error("Second factor of %s: %s", user.name, error)
        return _code_form(NO_SECOND_FACTOR, status=503)
    if not is_right:
        _note_failure(database, user.name, "second factor", pause)
        return _code_form(WRONG_CODE, status=403)
    forget_attempts(f"{user.name} second factor")
    return _finish(pending, user)


@bp.get("/login/set-up")
def show_set_up() -> Response:
    pending, user = _who_is_pending()
    if pending is None or user is None or user.has_totp:
        return _login_form("/", problem=TOO_LATE)
    return _set_up_form(pending, user)


@bp.post("/login/set-up")
def confirm_second_factor() -> Response:
    """The policy wants a second factor and this person has none yet: it is set up before anything is opened."""
    pending, user = _who_is_pending()
    database = current_accounts().database
    if pending is None or user is None or user.has_totp or not count_try(database, pending):
        return _login_form("/", problem=TOO_LATE, status=403)
    codes = confirm_set_up(database, user.name, request.form.get("code", "").strip()[:40], by=pending.key)
    if codes is None:
        return _set_up_form(pending, user, WRONG_CODE, status=403)
    note("totp-changed", actor=user.name, target=f"user {user.name}", change="set up")
    going_on = shared_root() + pending.next_path
    page = render_template("accounts/recovery_codes.html", codes=codes, going_on=going_on)
    return _finish(pending, user, make_response(page))


@bp.post("/logout")
def log_out() -> Response:
    response = _go_to("/login")
    sign_out(response)
    return response


def _who_is_pending() -> tuple[PendingSignIn | None, User | None]:
    database = current_accounts().database
    pending = find_pending(database)
    user = find_user(database, pending.user) if pending else None
    return (None, None) if user is None or user.is_disabled else (pending, user)


def _finish(pending: PendingSignIn, user: User, response: Response | None = None) -> Response:
    response = response or _go_to(pending.next_path)
    if not end_pending(current_accounts().database, response, pending):
        return _login_form("/", problem=TOO_LATE, status=403)
    forget_attempts(user.name)
    sign_in(user, response, how="password and code")
    return response


def _note_failure(database: Database[dict[str, Any]], name: str, what: str, pause: int) -> None:
    """Attempts within a pause are not noted, or they would fill the log; that there is one, its last attempt says."""
    # Names that are none are not kept: they are often passwords in the wrong field.
    user = find_user(database, name)
    target = f"user {user.name}" if user else "an unknown account"
    details: dict[str, Any] = {"pause_seconds": pause} if pause else {}
    note("login-failed", actor="", target=target, what=what, **details)


def _go_to(path: str) -> Response:
    response: Response = redirect(shared_root() + path, 303)  # type: ignore[assignment]
    return response


def _login_form(
    next_path: str, *, problem: str = "", name: str = "", status: int = 200, retry_seconds: int | None = None
) -> Response:
    from ..identity.ways import offered_ways  # it binds itself to the accounts, so it cannot be imported by them

    ways = [(way.label, shared_root() + way.path) for way in offered_ways()]
    page = render_template("accounts/login.html", problem=problem, next_path=next_path, name=name[:100], ways=ways)
    return _answer(page, status, retry_seconds)


def _code_form(problem: str = "", *, status: int = 200, retry_seconds: int | None = None) -> Response:
    return _answer(render_template("accounts/code.html", problem=problem), status, retry_seconds)


def _set_up_form(pending: PendingSignIn, user: User, problem: str = "", *, status: int = 200) -> Response:
    try:
        secret = begin_set_up(current_accounts().database, user.name, by=pending.key)
    except BadServerKey as error:
        logger.error("%s", error)
        return _login_form(pending.next_path, problem=NO_SECOND_FACTOR, status=503)
    page = render_template(
        "accounts/set_up.html",
        problem=problem,
        secret=secret,
        qr_code=draw_qr_code(provisioning_uri(user.name, secret, site=request.host)),
    )
    return _answer(page, status)


def _answer(page: str, status: int, retry_seconds: int | None = None) -> Response:
    response = make_response(page, status)
    if retry_seconds is not None:
        response.headers["Retry-After"] = str(retry_seconds)
    return response
