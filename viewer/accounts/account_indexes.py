"""The indexes of what accounts leave in the database; what nobody needs any more is forgotten by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .login_throttle import ATTEMPTS
from .pending_sign_ins import PENDING
from .sessions import SESSIONS
from .tokens import TOKENS

if TYPE_CHECKING:
    from pymongo.database import Database

KEPT_UNUSED_SECONDS = 400 * 86400  # of ended sessions, which nobody can use: longer than any policy lets one last
_made: set[tuple[int, str]] = set()  # by client and database: asked for once by each process


def ensure_account_indexes(database: Database[dict[str, Any]]) -> None:
    key = (id(database.client), database.name)
    if key in _made:
        return
    database[SESSIONS].create_index("user")
    database[SESSIONS].create_index("last_seen", expireAfterSeconds=KEPT_UNUSED_SECONDS)
    database[TOKENS].create_index("user")
    for name in (ATTEMPTS, PENDING):
        database[name].create_index("forget_at", expireAfterSeconds=0)
    _made.add(key)
