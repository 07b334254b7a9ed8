"""Turning one's own second factor on and off."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, abort, make_response, render_template, request

from ..audit_notes import note
from ..store_access import shared_root
from .current import current_accounts, session_key
from .login_page import NO_SECOND_FACTOR, WRONG_CODE, needs_second_factor
from .profile_page import go_to_profile, own_user, password_problem, profile_page, refuse_while_looking
from .second_factor import (
    begin_set_up,
    confirm_set_up,
    draw_qr_code,
    new_recovery_codes,
    offered_secret,
    provisioning_uri,
    remove_second_factor,
)
from .server_key import BadServerKey
from .users import User

NEEDED = "The policy of this site wants a second factor of everybody."

logger = logging.getLogger("cloister")

bp = Blueprint("second_factor", __name__)


@bp.post("/profile/second-factor")
@refuse_while_looking
def begin() -> Response:
    """The password is asked for first: a browser left open must not become somebody else's for good."""
    user = _user_with_password(has_totp=False)
    problem = password_problem(user, request.form.get("password", ""))
    if problem:
        return profile_page({"second_factor": problem}, status=403)
    try:
        secret = begin_set_up(current_accounts().database, user.name, by=_this_session())
    except BadServerKey as error:
        logger.error("%s", error)
        return profile_page({"second_factor": NO_SECOND_FACTOR}, status=503)
    return _set_up_page(user, secret)


@bp.post("/profile/second-factor/confirm")
@refuse_while_looking
def confirm() -> Response:
    user = _user_with_password(has_totp=False)
    database, by = current_accounts().database, _this_session()
    codes = confirm_set_up(database, user.name, request.form.get("code", "").strip()[:40], by=by)
    if codes is None:
        return _set_up_page(user, offered_secret(database, user.name, by=by) or "", WRONG_CODE, status=403)
    note("totp-changed", target=f"user {user.name}", change="set up")
    return _show_codes(codes)


@bp.post("/profile/second-factor/codes")
@refuse_while_looking
def renew_codes() -> Response:
    user = _user_with_password(has_totp=True)
    problem = password_problem(user, request.form.get("password", ""))
    if problem:
        return profile_page({"second_factor": problem}, status=403)
    note("totp-changed", target=f"user {user.name}", change="new recovery codes")
    return _show_codes(new_recovery_codes(current_accounts().database, user.name))


@bp.post("/profile/second-factor/off")
@refuse_while_looking
def turn_off() -> Response:
    user = _user_with_password(has_totp=True)
    database = current_accounts().database
    if needs_second_factor(database):
        return profile_page({"second_factor": NEEDED}, status=403)
    problem = password_problem(user, request.form.get("password", ""))
    if problem:
        return profile_page({"second_factor": problem}, status=403)
    note("totp-changed", target=f"user {user.name}", change="turned off")
    remove_second_factor(database, user.name)
    return go_to_profile("second-factor-off")


def _user_with_password(*, has_totp: bool) -> User:
    user = own_user()
    if user.source not in ("local", "ldap") or user.has_totp != has_totp:
        abort(404)
    return user


def _this_session() -> str:
    """Who shows the secret, and confirms it: nobody else with the same account."""
    key = session_key()
    if key is None:
        abort(404)
    return key


def _set_up_page(user: User, secret: str, problem: str = "", *, status: int = 200) -> Response:
    page = render_template(
        "accounts/own_set_up.html",
        problem=problem,
        secret=secret,
        qr_code=draw_qr_code(provisioning_uri(user.name, secret, site=request.host)),
    )
    return make_response(page, status)


def _show_codes(codes: tuple[str, ...]) -> Response:
    page = render_template("accounts/recovery_codes.html", codes=codes, going_on=f"{shared_root()}/profile")
    return make_response(page)
