"""Whose password is it: ours first, then those who registered to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .account_names import plain_name
from .passwords import hash_password, is_outdated, verify_password
from .users import USERS, User, find_user

if TYPE_CHECKING:
    from pymongo.database import Database

# Takes database, name as typed and password; gives the account, or None for "not known here or wrong".
PasswordChecker = Callable[["Database[dict[str, Any]]", str, str], "User | None"]


def check_password(
    database: Database[dict[str, Any]], name: str, password: str, *, checkers: tuple[PasswordChecker, ...] = ()
) -> User | None:
    """The account that `name` and `password` belong to; None for whatever is wrong, after the same work.

    A local account is checked here and nowhere else: no directory can open it. Disabled accounts are None, too.
    """
    document = database[USERS].find_one({"_id": plain_name(name)}, {"password": 1, "source": 1})
    stored = document.get("password") if document and document.get("source") == "local" else None
    if verify_password(stored, password):
        user = find_user(database, name)
        if stored is not None and is_outdated(stored):
            database[USERS].update_one({"_id": plain_name(name)}, {"$set": {"password": hash_password(password)}})
        return None if user is None or user.is_disabled else user
    if stored is not None or not password:  # an empty password makes many directories answer "welcome, nobody"
        return None
    for check in checkers:
        user = check(database, name, password)
        if user is not None:
            return None if user.is_disabled else user
    return None
