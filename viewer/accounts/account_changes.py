"""What is changed of an account, and what ends with it: sessions and tokens never outlive what they rested on.

Each change has a check of its own, for whoever writes the audit log between the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .account_names import LONGEST_LINE, one_line, parse_account_name
from .password_policy import check_new_password
from .passwords import hash_password
from .second_factor import remove_second_factor
from .sessions import end_sessions
from .tokens import revoke_tokens
from .users import (
    SITE_RIGHTS,
    USERS,
    LastAdmin,
    OtherSource,
    User,
    UserExists,
    add_user,
    find_user,
    has_users,
    load_user,
)

if TYPE_CHECKING:
    from pymongo.database import Database


@dataclass(frozen=True)
class NewAccount:
    """An account that can be made: its name is good and free."""

    database: Database[dict[str, Any]]
    name: str
    full_name: str
    email: str
    site: frozenset[str]

    def check(self, password: str | None) -> None:
        """Raises `WeakPassword`."""
        if password is not None:
            check_new_password(password, about=(self.name, self.full_name, self.email))

    def make(self, password: str | None) -> User:
        """Make it; without a password nobody can sign in until somebody sets one."""
        self.check(password)
        return add_user(
            self.database,
            self.name,
            password_hash=None if password is None else hash_password(password),
            full_name=self.full_name,
            email=self.email,
            site=self.site,
        )


def prepare_account(
    database: Database[dict[str, Any]], name: str, *, full_name: str = "", email: str = "", site: Iterable[str] = ()
) -> NewAccount:
    """A new local account, checked and not made yet. The first one of all administers the site, or nobody could.

    Raises:
        BadAccountName, UserExists
    """
    name = parse_account_name(name)
    if find_user(database, name) is not None:
        raise UserExists(name)
    rights = frozenset(site) & frozenset(SITE_RIGHTS)
    if not has_users(database):
        rights |= {"admin"}
    return NewAccount(database, name, one_line(full_name)[:LONGEST_LINE], one_line(email)[:LONGEST_LINE], rights)


def make_account(
    database: Database[dict[str, Any]],
    name: str,
    password: str | None,
    *,
    full_name: str = "",
    email: str = "",
    site: Iterable[str] = (),
) -> User:
    """`prepare_account` and `make` at once.

    Raises:
        WeakPassword, BadAccountName, UserExists
    """
    return prepare_account(database, name, full_name=full_name, email=email, site=site).make(password)


def check_password_change(database: Database[dict[str, Any]], name: str, password: str | None = None) -> User:
    """The account, if `password` can become its own.

    Raises:
        UnknownUser, WeakPassword
        OtherSource: its password is another system's.
    """
    user = load_user(database, name)
    if user.source != "local":
        raise OtherSource(user.name, user.source)
    if password is not None:
        check_new_password(password, about=(user.name, user.full_name, user.email))
    return user


def set_password(
    database: Database[dict[str, Any]], name: str, password: str, *, keep_session: str | None = None
) -> int:
    """Give a local account a new password; its sessions end. Says how many that were.

    Args:
        keep_session: the key of the session in which the person has just typed the old one; it goes on.

    Raises:
        As `check_password_change`.
    """
    user = check_password_change(database, name, password)
    changed = {"password": hash_password(password), "password_changed_at": datetime.now(timezone.utc)}
    database[USERS].update_one({"_id": user.name}, {"$set": changed})
    return end_sessions(database, user.name, but=keep_session)


def check_disabling(database: Database[dict[str, Any]], name: str) -> User:
    """The account, if it can be disabled.

    Raises:
        UnknownUser
        LastAdmin: nobody else could administer the site.
    """
    user = load_user(database, name)
    _keep_an_admin(database, user)
    return user


def disable_user(database: Database[dict[str, Any]], name: str) -> User:
    """Nobody signs in as this person any more: sessions end and tokens are void for good. The runs stay.

    Raises:
        As `check_disabling`.
    """
    user = check_disabling(database, name)
    database[USERS].update_one({"_id": user.name}, {"$set": {"disabled_at": datetime.now(timezone.utc)}})
    end_sessions(database, user.name)
    revoke_tokens(database, user.name)
    return load_user(database, name)


def enable_user(database: Database[dict[str, Any]], name: str) -> User:
    """Let a disabled account sign in again, with the password that it had."""
    user = load_user(database, name)
    database[USERS].update_one({"_id": user.name}, {"$set": {"disabled_at": None}})
    return load_user(database, name)


def check_site_rights(database: Database[dict[str, Any]], name: str, site: Iterable[str]) -> User:
    """The account, if it can have these rights for the whole site. Raises `UnknownUser`, `LastAdmin`."""
    user = load_user(database, name)
    if "admin" not in site:
        _keep_an_admin(database, user)
    return user


def change_site_rights(database: Database[dict[str, Any]], name: str, site: Iterable[str]) -> User:
    """What the person is for the whole site from now on. Sessions begin anew, as after any change of rights.

    Raises:
        As `check_site_rights`.
    """
    rights = sorted(set(site) & set(SITE_RIGHTS))
    user = check_site_rights(database, name, rights)
    if set(rights) != set(user.site):
        database[USERS].update_one({"_id": user.name}, {"$set": {"site": rights}})
        end_sessions(database, user.name)
    return load_user(database, name)


def change_facts(database: Database[dict[str, Any]], name: str, *, full_name: str, email: str) -> User:
    """How an account's person is called and reached."""
    user = load_user(database, name)
    database[USERS].update_one(
        {"_id": user.name},
        {"$set": {"full_name": one_line(full_name)[:LONGEST_LINE], "email": one_line(email)[:LONGEST_LINE]}},
    )
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
    others = {"_id": {"$ne": user.name}, "site": "admin", "disabled_at": None}
    if database[USERS].find_one(others, {"_id": 1}) is None:
        raise LastAdmin(user.name)
