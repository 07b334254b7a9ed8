"""Signing in through an OpenID provider: leaving for it, and coming back."""

from __future__ import annotations

import hmac
import logging

from flask import Blueprint, Response, abort, current_app, redirect, request

from ...observer.errors import CloisterError
from ..accounts.current import current_accounts, sign_in
from ..accounts.login_page import needs_second_factor
from ..accounts.next_page import own_path
from ..accounts.pending_sign_ins import begin_pending
from ..accounts.users import User
from ..audit_notes import note
from ..errors_page import Problem, render_problem
from ..store_access import shared_root
from . import sign_in_cookie
from .oidc_provider import OidcProvider
from .oidc_trust import ProviderFailed, SignInRefused
from .outside import admit
from .ways import OIDC_BACK_PATH, OIDC_PATH, bound_ways

logger = logging.getLogger("cloister")

bp = Blueprint("oidc", __name__)


@bp.get(OIDC_PATH)
def leave() -> Response:
    """To the provider, with a fresh sign-in in the browser's cookie."""
    provider = _provider()
    response = Response(status=303)
    started = sign_in_cookie.begin(request, response, own_path(request.args.get("next")))
    try:
        response.headers["Location"] = provider.address_to_sign_in(started)
    except ProviderFailed as error:
        logger.error("%s", error)
        return _problem(502, f"{provider.settings.label} does not answer. Try again in a minute, or tell your admin.")
    return response


@bp.get(OIDC_BACK_PATH)
def come_back() -> Response:
    """From the provider, with its answer in the address."""
    provider = _provider()
    response = _judge(provider)
    sign_in_cookie.forget(request, response)
    return response


def _judge(provider: OidcProvider) -> Response:
    resumed = sign_in_cookie.resume(request)
    answer = {name: values[0] for name, values in request.args.lists() if len(values) == 1}
    if resumed is None or not hmac.compare_digest(resumed[0].state.encode(), answer.get("state", "").encode()):
        # Somebody may have been sent here with another's answer, to work in that one's account without knowing it.
        return _refuse(SignInRefused("This browser did not begin this sign-in, or began it more than 10 minutes ago."))
    if len(answer) != len(request.args):
        return _refuse(SignInRefused("The provider's answer says something twice."))
    try:
        identity = provider.identify(answer, resumed[0])
        database = current_accounts().database
        user = admit(database, identity, provider.settings, address=request.remote_addr or "")
    except ProviderFailed as error:
        logger.error("%s", error)
        note("login-failed", actor="", how="oidc", reason=str(error))
        return _problem(502, f"{provider.settings.label} does not answer as it should. Try again, or tell your admin.")
    except CloisterError as error:
        return _refuse(error)
    return _let_in(provider, user, own_path(resumed[1]))


def _let_in(provider: OidcProvider, user: User, next_path: str) -> Response:
    """In, or on to a second factor: where the person has one here, or the policy wants one that nobody asked for."""
    database = current_accounts().database
    wanted = not provider.settings.second_factor and needs_second_factor(database)
    if user.has_totp or wanted:
        response = _go_to("/login/code" if user.has_totp else "/login/set-up")
        begin_pending(database, response, user.name, next_path)
        return response
    response = _go_to(next_path)
    sign_in(user, response, how="oidc")
    return response


def _go_to(path: str) -> Response:
    response: Response = redirect(shared_root() + path, 303)  # type: ignore[assignment]
    return response


def _refuse(error: CloisterError) -> Response:
    note("login-failed", actor="", how="oidc", reason=str(error))
    return _problem(403, str(error))


def _problem(status: int, sentence: str) -> Response:
    again = f"{shared_root()}/login"
    return render_problem(
        Problem(status, "Signing in did not work", sentence, action_label="Try again", action_url=again)
    )


def _provider() -> OidcProvider:
    ways = bound_ways(current_app.extensions)
    if ways is None or ways.provider is None:
        abort(404)
    return ways.provider
