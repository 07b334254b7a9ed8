"""What people change of their own sessions and tokens, by page or REST: written into the audit log, then done."""

from __future__ import annotations

from collections.abc import Iterable

from ...observer.errors import CloisterError
from ..audit_notes import note
from .current import current_accounts, current_identity
from .sessions import Session, end_session, find_session_by_key
from .tokens import Token, check_token, load_token, make_token, revoke_token
from .users import User


class NobodysOwn(CloisterError, LookupError):
    """Something of one's own account is asked for where nobody has one, or by a token."""

    def __init__(self) -> None:
        super().__init__("There is no account here to look at: nobody has to sign in, or a token asks.")


class UnknownSession(CloisterError, LookupError):
    """A session is to be ended that is none of one's own, or has ended."""

    def __init__(self) -> None:
        super().__init__("You have no such session; it may have ended.")


class LookingOn(CloisterError, ValueError):
    """Somebody looks at the site as somebody else, and nothing is changed meanwhile."""

    status = 403

    def __init__(self) -> None:
        super().__init__("While you look at the site as somebody else, nothing is changed. End that first.")


def own_account() -> User:
    """The account of who asks; raises `NobodysOwn`."""
    user = current_identity().user
    if user is None:
        raise NobodysOwn
    return user


def changeable_account() -> User:
    """As `own_account`; raises `LookingOn`, too."""
    user = own_account()
    if current_identity().principal.viewed_by:
        raise LookingOn
    return user


def make_own_token(
    *, name: str, scopes: Iterable[str], projects: Iterable[str] | None, days: float
) -> tuple[str, Token]:
    """A token of one's own, and its text; raises `BadToken`."""
    user = changeable_account()
    scopes, projects = sorted(scopes), None if projects is None else sorted(projects)
    check_token(name=name, scopes=scopes, projects=projects, days=days)
    note("token-made", target=f"user {user.name}", token=name, scopes=scopes, projects=projects or [], days=days)
    database = current_accounts().database
    return make_token(database, user.name, name=name, scopes=scopes, projects=projects, days=days)


def revoke_own_token(key: str) -> None:
    """Raises `UnknownToken`, for those of others as well."""
    user, database = changeable_account(), current_accounts().database
    token = load_token(database, key, user=user.name)
    note("token-revoked", target=f"user {user.name}", token=token.name, key=token.key)
    revoke_token(database, token.key, user=user.name)


def end_own_session(key: str) -> Session:
    """Raises `UnknownSession`, for those of others as well."""
    user, database = changeable_account(), current_accounts().database
    session = find_session_by_key(database, key, user=user.name)
    if session is None:
        raise UnknownSession
    note("session-revoked", target=f"user {user.name}", from_address=session.address, agent=session.agent)
    end_session(database, key, user=user.name)
    return session
