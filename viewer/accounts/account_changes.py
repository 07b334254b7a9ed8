"""What is changed of an account, and what ends with it: sessions and tokens never outlive what they rested on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .account_names import plain_name
from .password_policy import check_new_password
from .passwords import hash_password
from .second_factor import remove_second_factor
from .sessions import end_sessions
from .tokens import revoke_tokens
from .users import SITE_RIGHTS, USERS, LastAdmin, OtherSource, User, add_user, has_users, load_user

if TYPE_CHECKING:
    from pymongo.database import Database


def make_account(
    database: Database[dict[str, Any]],
    name: str,
    password: str | None,
    *,
    full_name: str = "",
    email: str = "",
    site: Iterable[str] = (),
) -> User:
    """A new local account. The first one of all administers the site, or nobody could.

    Args:
        password: None for an account that cannot sign in until an admin gives it one.

    Raises:
        WeakPassword, BadAccountName, UserExists
    """
    if password is not None:
        check_new_password(password, about=(name, full_name, email))
    rights = {*site, "admin"} if not has_users(database) else set(site)
    return add_user(
        database,
        name,
        password_hash=None if password is None else hash_password(password),
        full_name=full_name,
        email=email,
        site=rights,
    )


def set_password(
    database: Database[dict[str, Any]], name: str, password: str, *, keep_session: str | None = None
) -> int:
    """Give a local account a new password; its other sessions end. Says how many that were.

    Args:
        keep_session: the key of the session in which the person has just typed the old one.

    Raises:
        UnknownUser, WeakPassword
        OtherSource: the password is another system's.
    """
    user = load_user(database, name)
    if user.source != "local":
        raise OtherSource(user.name, user.source)
    check_new_password(password, about=(user.name, user.full_name, user.email))
    changed = {"password": hash_password(password), "password_changed_at": datetime.now(timezone.utc)}
    database[USERS].update_one({"_id": user.name}, {"$set": changed})
    return end_sessions(database, user.name, but=keep_session)


def disable_user(database: Database[dict[str, Any]], name: str) -> User:
    """Nobody signs in as this person any more: sessions end and tokens are void for good. The runs stay.

    Raises:
        UnknownUser
        LastAdmin: nobody else could administer the site.
    """
    user = load_user(database, name)
    _keep_an_admin(database, user)
    database[USERS].update_one({"_id": user.name}, {"$set": {"disabled_at": datetime.now(timezone.utc)}})
    end_sessions(database, user.name)
    revoke_tokens(database, user.name)
    return load_user(database, name)


def enable_user(database: Database[dict[str, Any]], name: str) -> User:
    """Let a disabled account sign in again, with the password that it had."""
    user = load_user(database, name)
    database[USERS].update_one({"_id": user.name}, {"$set": {"disabled_at": None}})
    return load_user(database, name)


def change_site_rights(database: Database[dict[str, Any]], name: str, site: Iterable[str]) -> User:
    """What the person is for the whole site from now on. Sessions begin anew, as after any change of rights.

    Raises:
        UnknownUser, LastAdmin
    """
    user = load_user(database, name)
    rights = sorted(set(site) & set(SITE_RIGHTS))
    if "admin" not in rights:
        _keep_an_admin(database, user)
    if set(rights) != set(user.site):
        database[USERS].update_one({"_id": user.name}, {"$set": {"site": rights}})
        end_sessions(database, user.name)
    return load_user(database, name)


def change_facts(database: Database[dict[str, Any]], name: str, *, full_name: str, email: str) -> User:
    """How a local account's person is called and reached."""
    user = load_user(database, name)
    facts = {"full_name": " ".join(full_name.split())[:200], "email": email.strip()[:200]}
    database[USERS].update_one({"_id": user.name}, {"$set": facts})
    return load_user(database, name)


def reset_second_factor(database: Database[dict[str, Any]], name: str) -> bool:
    """Take somebody's second factor away, who has lost it; the sessions end. False if there was none."""
    user = load_user(database, name)
    removed = remove_second_factor(database, user.name)
    end_sessions(database, user.name)
    return removed


def _keep_an_admin(database: Database[dict[str, Any]], user: User) -> None:
    if "admin" not in user.site or user.is_disabled:
        return
    others = {"_id": {"$ne": plain_name(user.name)}, "site": "admin", "disabled_at": None}
    if database[USERS].find_one(others, {"_id": 1}) is None:
        raise LastAdmin(user.name)
