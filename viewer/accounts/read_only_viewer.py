"""A viewer that writes nothing, and people who have to sign in: the two do not go together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from ...observer.errors import CloisterError
from .users import has_users

if TYPE_CHECKING:
    from pymongo.database import Database


class AccountsNeedWriting(CloisterError, PermissionError):
    """A viewer is to change nothing, and its database has accounts."""

    def __init__(self) -> None:
        super().__init__(
            "--read-only was given, and this database has accounts: signing in writes a session and an entry of the "
            "audit log, so nobody could. Leave --read-only out and give people the role viewer, or show the database "
            "beside one with accounts: cloister serve --also DATABASE"
        )


def refuse_read_only(database: Database[dict[str, Any]]) -> None:
    """Return if a viewer that writes nothing can show `database`; one that does not answer is shown once it does.

    Raises:
        AccountsNeedWriting
    """
    with suppress(PyMongoError):
        if has_users(database):
            raise AccountsNeedWriting
