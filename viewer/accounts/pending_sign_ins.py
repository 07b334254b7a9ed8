"""Between the password and the second factor: who has proved the first and not yet the other. Opens no page."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from flask import Response, request

from .sessions import hash_of

if TYPE_CHECKING:
    from pymongo.database import Database

PENDING = "pending_sign_ins"
LASTS = timedelta(minutes=10)
MOST_TRIES = 5
COOKIE = "cloister_pending"
SECURE_COOKIE = "__Host-cloister_pending"
_ID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True)
class PendingSignIn:
    """Somebody who has typed the right password of `user` in this browser."""

    key: str
    user: str
    next_path: str


def begin_pending(database: Database[dict[str, Any]], response: Response, user: str, next_path: str) -> None:
    """Remember it for some minutes, in a cookie of its own."""
    pending_id = secrets.token_urlsafe(32)
    now = datetime.now(timezone.utc)
    database[PENDING].insert_one(
        {"_id": hash_of(pending_id), "user": user, "next": next_path, "tries": 0, "forget_at": now + LASTS}
    )
    response.set_cookie(
        _cookie_name(),
        pending_id,
        max_age=int(LASTS.total_seconds()),
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def find_pending(database: Database[dict[str, Any]]) -> PendingSignIn | None:
    """Whose password this browser has proved; None where that was too long ago, or too many codes were wrong."""
    pending_id = request.cookies.get(_cookie_name(), "")
    if not _ID.fullmatch(pending_id):
        return None
    now = datetime.now(timezone.utc)
    lasting = {"_id": hash_of(pending_id), "forget_at": {"$gt": now}, "tries": {"$lt": MOST_TRIES}}
    document = database[PENDING].find_one(lasting)
    return PendingSignIn(document["_id"], document["user"], document["next"]) if document else None


def count_try(database: Database[dict[str, Any]], pending: PendingSignIn) -> bool:
    """Count a code before it is checked; False for one too many, however many come at once."""
    counted = database[PENDING].update_one({"_id": pending.key, "tries": {"$lt": MOST_TRIES}}, {"$inc": {"tries": 1}})
    return counted.modified_count == 1


def end_pending(database: Database[dict[str, Any]], response: Response, pending: PendingSignIn) -> bool:
    """It is used up, once: False where another request has used it."""
    response.delete_cookie(_cookie_name(), path="/", secure=request.is_secure, httponly=True, samesite="Lax")
    return database[PENDING].delete_one({"_id": pending.key}).deleted_count == 1


def _cookie_name() -> str:
    return SECURE_COOKIE if request.is_secure else COOKIE
