"""Who asks: found once for each request, from its token, its session, or what a trusted proxy says."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import Response, current_app, g, request
from pymongo.errors import PyMongoError

from ...observer.access.looking_as import principal_viewed_as
from ...observer.access.memberships import load_principal
from ...observer.access.principal import LOCAL, NOBODY, Principal
from ...observer.errors import CloisterError
from ...observer.policy import Policy, load_policy
from ..trusted_proxies import PEER_KEY
from .password_login import PasswordChecker
from .sessions import Session, SessionLimits, end_session, find_session, open_session
from .tokens import Token, find_token
from .users import User, find_user, has_users

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..store_access import StoreAccess

logger = logging.getLogger("cloister")

EXTENSION = "cloister.accounts"
COOKIE = "cloister_session"
SECURE_COOKIE = "__Host-cloister_session"  # browsers take it over TLS only, and from this host alone

RequestIdentity = Callable[[Mapping[str, str], str, "Database[dict[str, Any]]"], "User | None"]


@dataclass
class Accounts:
    """The accounts of one viewer: those in its first database.

    Attributes:
        may_be_local: whether everybody is `LOCAL` while there is no account. Not where others can reach the viewer.
        request_identities: further ways to know who asks, each from headers, the connection's other end and database;
            the first that knows somebody decides. For what a trusted proxy says.
        password_checkers: who else knows passwords, for `check_password`.
        local_secret: what forms belong to while nobody has to sign in.
    """

    home: StoreAccess
    may_be_local: bool = True
    request_identities: list[RequestIdentity] = field(default_factory=list)
    password_checkers: list[PasswordChecker] = field(default_factory=list)
    local_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _had_users: bool = False

    @property
    def database(self) -> Database[dict[str, Any]]:
        return self.home.get().database

    @property
    def have_been_needed(self) -> bool:
        """As far as is known without asking the database."""
        return self._had_users or not self.may_be_local

    def are_needed(self) -> bool:
        """Whether a request needs an identity. Once it did, it does as long as this process lives."""
        self._had_users = self._had_users or has_users(self.database)
        return self._had_users or not self.may_be_local


@dataclass(frozen=True)
class Identity:
    """Who asks, and by what that is known.

    Attributes:
        own: the principal as itself, while `principal` may be the one as whom it looks at the site.
    """

    principal: Principal
    user: User | None = None
    session: Session | None = None
    token: Token | None = None
    own: Principal = NOBODY


def accounts_of(extensions: Mapping[str, Any]) -> Accounts:
    """The accounts of the app with these `extensions`."""
    accounts: Accounts = extensions[EXTENSION]
    return accounts


def current_accounts() -> Accounts:
    return accounts_of(current_app.extensions)


def current_identity() -> Identity:
    """Who asks, found at the first call of a request."""
    if "identity" not in g:
        g.identity = identify(
            current_accounts(),
            request.headers,  # type: ignore[arg-type]  # Werkzeug's headers are one in all but name
            request.cookies,
            request.remote_addr or "",
            secure=request.is_secure,
            peer=request.environ.get(PEER_KEY),
        )
    identity: Identity = g.identity
    return identity


def current_principal() -> Principal:
    """Who asks, with all rights of that person."""
    return current_identity().principal


def current_user() -> User | None:
    """The account of who asks; None where nobody has to sign in, nobody has, or a share link opened the page."""
    return current_identity().user


def principal_of_request(
    headers: Mapping[str, str],
    cookies: Mapping[str, str],
    address: str,
    *,
    accounts: Accounts,
    secure: bool = False,
    peer: str | None = None,
) -> Principal:
    """Who asks, without Flask: for the live stream. Asked again later, it says whether that still holds.

    A page that is only open is no use of its session, which may end meanwhile.
    """
    return identify(accounts, headers, cookies, address, secure=secure, peer=peer, is_use=False).principal


def identify(
    accounts: Accounts,
    headers: Mapping[str, str],
    cookies: Mapping[str, str],
    address: str,
    *,
    secure: bool = False,
    peer: str | None = None,
    is_use: bool = True,
) -> Identity:
    """Who asks. A token that is wrong is nobody, whatever else the request has.

    Args:
        address: whose request it is; `peer`, where given, who is at the other end of the connection: a proxy.
    """
    if not accounts.are_needed():
        return Identity(LOCAL, own=LOCAL)
    database = accounts.database
    authorization = headers.get("Authorization", "")
    if is_bearer(authorization):
        return _of_token(database, authorization.partition(" ")[2].strip(), address)
    session_id = cookies.get(SECURE_COOKIE if secure else COOKIE)
    vouched = _vouched_for(accounts, headers, peer or address, database)
    found = _of_session(database, session_id, is_use=is_use) if session_id else None
    if found is not None and _is_still_meant(found, vouched):
        return found
    if vouched is not None:
        principal = load_principal(database, vouched.name, site=vouched.site)
        return Identity(principal, vouched, own=principal)
    return Identity(NOBODY)


def _vouched_for(
    accounts: Accounts, headers: Mapping[str, str], peer: str, database: Database[dict[str, Any]]
) -> User | None:
    """Whom a trusted proxy names."""
    for know in accounts.request_identities:
        user = know(headers, peer, database)
        if user is not None and not user.is_disabled:
            return user
    return None


def _is_still_meant(found: Identity, vouched: User | None) -> bool:
    """Whether a session goes on: where a proxy says who asks, as long as it names that person."""
    assert found.session is not None
    assert found.user is not None
    return found.session.how != "proxy" if vouched is None else found.user.name == vouched.name


def is_bearer(authorization: str) -> bool:
    return authorization.partition(" ")[0].lower() == "bearer"


def _of_token(database: Database[dict[str, Any]], text: str, address: str) -> Identity:
    token = find_token(database, text, address=address)
    user = find_user(database, token.user) if token else None
    if token is None or user is None or user.is_disabled:
        return Identity(NOBODY)
    principal = load_principal(
        database, user.name, kind="token", site=user.site, scopes=token.scopes, projects=token.projects
    )
    return Identity(principal, user, token=token, own=principal)


def _of_session(database: Database[dict[str, Any]], session_id: str, *, is_use: bool) -> Identity | None:
    session = find_session(database, session_id, session_limits(database), is_use=is_use)
    user = find_user(database, session.user) if session else None
    if session is None or user is None or user.is_disabled:
        return None
    own = load_principal(database, user.name, site=user.site)
    return Identity(principal_viewed_as(database, own, session.view_as), user, session, own=own)


def session_limits(database: Database[dict[str, Any]]) -> SessionLimits:
    """How long sessions last here. A policy that cannot be understood grants no more than the shortest of both."""
    try:
        policy = load_policy(database)
    except (CloisterError, OSError) as error:
        logger.error("%s Until then sessions last an hour.", error)
        return SessionLimits(timedelta(hours=1), timedelta(hours=1))
    return limits_of(policy)


def limits_of(policy: Policy) -> SessionLimits:
    return SessionLimits(timedelta(hours=policy.session_idle_hours), timedelta(days=policy.session_days))


def sign_in(user: User, response: Response, *, how: str) -> None:
    """Open a session of `user` for this browser, written into the audit log first. The one before ends."""
    from ..audit_notes import note

    database = current_accounts().database
    note("login", actor=user.name, how=how)
    _end_presented_session(database)
    session_id = open_session(
        database, user.name, address=request.remote_addr or "", agent=request.user_agent.string, how=how
    )
    set_session_cookie(response, session_id)


def sign_out(response: Response) -> None:
    """End the session of this browser."""
    from ..audit_notes import note

    identity = current_identity()
    if identity.user is not None:
        note("logout")
    _end_presented_session(current_accounts().database)
    name = SECURE_COOKIE if request.is_secure else COOKIE
    response.delete_cookie(name, path="/", secure=request.is_secure, httponly=True, samesite="Lax")


def _end_presented_session(database: Database[dict[str, Any]]) -> None:
    session = current_identity().session
    if session is not None:
        end_session(database, session.key, user=session.user)


def set_session_cookie(response: Response, session_id: str) -> None:
    name = SECURE_COOKIE if request.is_secure else COOKIE
    response.set_cookie(name, session_id, path="/", secure=request.is_secure, httponly=True, samesite="Lax")


def page_user() -> User | None:
    """For the frame of pages, error pages too: None where the database does not answer."""
    identity = identity_if_known()
    return identity.user if identity else None


def page_principal() -> Principal:
    identity = identity_if_known()
    return identity.principal if identity else NOBODY


def identity_if_known() -> Identity | None:
    """Who asks, for what stands on error pages too: None where the database does not say."""
    if g.get("identity_unknown"):
        return None
    try:
        return current_identity()
    except (PyMongoError, CloisterError):
        g.identity_unknown = True  # the frame asks several times; the database was asked long enough
        return None


def session_key() -> str | None:
    """The key of the session of this browser, to be told from the others in a list."""
    session = current_identity().session
    return session.key if session else None
