"""One's own account: who one is here, the password, the sessions, the tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timezone
from functools import wraps
from typing import TypeVar

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request

from ...observer.access.principal import ALL_PROJECTS, Principal
from ...observer.errors import CloisterError
from ..audit_notes import note
from ..errors_page import Problem, render_problem
from ..store_access import current_store, shared_root
from . import own_changes
from .account_changes import change_facts, check_password_change, set_password
from .attempts import charge_attempt, forget_attempts
from .browser_words import browser_name
from .current import current_accounts, current_identity, session_key, session_limits
from .login_page import needs_second_factor
from .login_throttle import TooManyAttempts
from .password_login import check_password
from .password_policy import SHORTEST_PASSWORD
from .passwords import TooManyLogins
from .second_factor import count_recovery_codes
from .sessions import end_sessions, list_sessions
from .tokens import DEFAULT_DAYS, SCOPES, BadToken, Token, list_tokens
from .users import User

bp = Blueprint("profile", __name__)

View = TypeVar("View", bound=Callable[..., Response])

# What `?done=` says, so that no address can put words of its own on the page.
DONE = {
    "name": "Your name is changed.",
    "password": "Your password is changed. Your other sessions have ended.",
    "session": "The session has ended.",
    "sessions": "All your other sessions have ended.",
    "token": "The token is void.",
    "second-factor-off": "The second factor is off. Your password alone lets you in.",
}
SCOPE_WORDS = {
    "read": "read what you see",
    "record": "write beside runs",
    "admin": "manage what you manage",
}
DAYS = {7: "a week", 30: "30 days", 90: "90 days", 365: "a year"}
WRONG_PASSWORD = "This is not your password."  # noqa: S105  # a sentence


def own_user() -> User:
    """The account of who asks. Where nobody has to sign in there is none, and no page of it."""
    user = current_identity().user
    if user is None:
        abort(404)
    return user


def refuse_while_looking(view: View) -> View:
    """Nothing is changed while somebody looks at the site as somebody else: one's own account neither."""

    @wraps(view)
    def checked(*arguments: object, **values: object) -> Response:
        if current_identity().principal.viewed_by:
            sentence = "While you look at the site as somebody else, nothing is changed. End that first."
            return render_problem(Problem(403, "You are looking as somebody else", sentence))
        return view(*arguments, **values)

    return checked  # type: ignore[return-value]


@bp.get("/profile")
def show_profile() -> Response:
    own_user()
    return profile_page(done=DONE.get(request.args.get("done", ""), ""))


@bp.post("/profile/name")
@refuse_while_looking
def change_name() -> Response:
    user = own_user()
    if user.source != "local":
        abort(404)
    note("user-changed", target=f"user {user.name}", what="name and e-mail address")
    full_name, email = request.form.get("full_name", ""), request.form.get("email", "")
    change_facts(current_accounts().database, user.name, full_name=full_name, email=email)
    return go_to_profile("name")


@bp.post("/profile/password")
@refuse_while_looking
def change_password() -> Response:
    user = own_user()
    database = current_accounts().database
    new = request.form.get("new", "")
    problem = password_problem(user, request.form.get("current", ""))
    if problem:
        return profile_page({"current": problem}, status=403)
    if new != request.form.get("again", ""):
        return profile_page({"again": "The two are not the same."}, status=400)
    try:
        check_password_change(database, user.name, new)
    except CloisterError as error:
        return profile_page({"new": str(error)}, status=400)
    note("password-changed", target=f"user {user.name}")
    set_password(database, user.name, new, keep_session=session_key())
    return go_to_profile("password")


@bp.post("/profile/sessions/<key>/end")
@refuse_while_looking
def end_one_session(key: str) -> Response:
    own_changes.end_own_session(key)
    return go_to_profile("session")


@bp.post("/profile/sessions/end")
@refuse_while_looking
def end_other_sessions() -> Response:
    user = own_user()
    note("session-revoked", target=f"user {user.name}", which="all others")
    end_sessions(current_accounts().database, user.name, but=session_key())
    return go_to_profile("sessions")


@bp.post("/profile/tokens")
@refuse_while_looking
def add_token() -> Response:
    form = request.form
    days = form.get("days", "")
    try:
        made = own_changes.make_own_token(
            name=form.get("name", ""),
            scopes=form.getlist("scopes"),
            projects=form.getlist("projects") or None,
            days=int(days) if days.isascii() and days.isdecimal() and len(days) < 5 else -1,
        )
    except BadToken as error:
        return profile_page({"token": str(error)}, status=400)
    return profile_page(new_token=made)


@bp.post("/profile/tokens/<key>/revoke")
@refuse_while_looking
def revoke_own_token(key: str) -> Response:
    own_changes.revoke_own_token(key)
    return go_to_profile("token")


def password_problem(user: User, password: str) -> str:
    """Why `password` does not prove that it is `user` who asks; "" if it does. Counted as an attempt to sign in."""
    accounts = current_accounts()
    try:
        charge_attempt(user.name)
        checkers = tuple(accounts.password_checkers)
        found = check_password(accounts.database, user.name, password, checkers=checkers)
    except (TooManyAttempts, TooManyLogins) as error:
        return str(error)
    if found is None or found.name != user.name:
        note("login-failed", target=f"user {user.name}", what="password, for a change of the account")
        return WRONG_PASSWORD
    forget_attempts(user.name)
    return ""


def go_to_profile(done: str) -> Response:
    response: Response = redirect(f"{shared_root()}/profile?done={done}", 303)  # type: ignore[assignment]
    return response


def profile_page(
    errors: dict[str, str] | None = None,
    *,
    done: str = "",
    new_token: tuple[str, Token] | None = None,
    status: int = 200,
) -> Response:
    """The page as things are now, with what went wrong beside its field."""
    user, database = own_user(), current_accounts().database
    page = render_template(
        "accounts/profile.html",
        user=user,
        roles=shown_roles(current_identity().own),
        principal=current_identity().own,
        sessions=list_sessions(database, user.name, session_limits(database)),
        limits=session_limits(database),
        this_session=session_key(),
        tokens=list_tokens(database, user.name),
        now=datetime.now(timezone.utc),
        projects=[project.name for project in current_store().list_projects()],
        recovery_codes=count_recovery_codes(database, user.name),
        second_factor_needed=needs_second_factor(database),
        can_have_second_factor=user.source in ("local", "ldap"),
        scopes=[(scope, SCOPE_WORDS[scope]) for scope in SCOPES],
        days=DAYS,
        default_days=DEFAULT_DAYS,
        shortest=SHORTEST_PASSWORD,
        form=request.form,
        errors=defaultdict(str, errors or {}),
        done=done,
        new_token=new_token,
        browser_name=browser_name,
    )
    return make_response(page, status)


def shown_roles(principal: Principal) -> list[tuple[str, str]]:
    """Project and role, as people read them."""
    if "admin" in principal.site:
        return [("all projects", "admin")]
    return [
        ("all projects" if project == ALL_PROJECTS else project, role)
        for project, role in sorted(principal.roles.items())
    ]
