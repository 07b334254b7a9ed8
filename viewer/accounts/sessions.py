"""The collection `sessions`: who has signed in where. A browser has the id, the database only its hash."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from pymongo.database import Database

SESSIONS = "sessions"
ID_BYTES = 32
SEEN_EVERY_SECONDS = 60  # how exact "last seen" is; between, a request writes nothing
AGENT_LIMIT = 300
_ID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True)
class SessionLimits:
    """How long a session lasts without being used, and at most."""

    idle: timedelta = timedelta(hours=12)
    absolute: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Session:
    """One browser that has signed in.

    Attributes:
        key: the hash of the id: names the session in lists and addresses without opening it.
        how: by what the person was recognised: "password", "oidc", ...
        view_as: as whom the person looks at the site for now, as the access rules keep it; None: as itself.
    """

    key: str
    user: str
    created_at: datetime
    last_seen: datetime
    address: str
    agent: str
    how: str
    view_as: Any = None


def open_session(
    database: Database[dict[str, Any]], user: str, *, address: str = "", agent: str = "", how: str = "password"
) -> str:
    """A new session of `user`; the id is for the cookie and is known nowhere else."""
    session_id = secrets.token_urlsafe(ID_BYTES)
    now = datetime.now(timezone.utc)
    database[SESSIONS].insert_one(
        {
            "_id": hash_of(session_id),
            "user": user,
            "created_at": now,
            "last_seen": now,
            "address": address,
            "agent": agent[:AGENT_LIMIT],
            "how": how,
            "view_as": None,
        }
    )
    return session_id


def find_session(
    database: Database[dict[str, Any]], session_id: str, limits: SessionLimits, *, is_use: bool = True
) -> Session | None:
    """The session with this id, noted as seen if somebody uses it; None if there is none, or it ended by itself."""
    if not _ID.fullmatch(session_id):
        return None
    key = hash_of(session_id)
    document = database[SESSIONS].find_one({"_id": key})
    if document is None:
        return None
    session = _parse_session(document)
    now = datetime.now(timezone.utc)
    if has_ended(session, limits, now):
        database[SESSIONS].delete_one({"_id": key})
        return None
    if is_use and (now - session.last_seen).total_seconds() >= SEEN_EVERY_SECONDS:
        database[SESSIONS].update_one({"_id": key}, {"$set": {"last_seen": now}})
    return session


def has_ended(session: Session, limits: SessionLimits, now: datetime) -> bool:
    return now - session.last_seen >= limits.idle or now - session.created_at >= limits.absolute


def list_sessions(database: Database[dict[str, Any]], user: str, limits: SessionLimits) -> tuple[Session, ...]:
    """The sessions of `user` that last, the one used last first."""
    now = datetime.now(timezone.utc)
    found = map(_parse_session, database[SESSIONS].find({"user": user}).sort("last_seen", -1))
    return tuple(session for session in found if not has_ended(session, limits, now))


def find_session_by_key(database: Database[dict[str, Any]], key: str, *, user: str) -> Session | None:
    """One session of `user`, by what lists call it."""
    document = database[SESSIONS].find_one({"_id": key, "user": user})
    return _parse_session(document) if document else None


def end_session(database: Database[dict[str, Any]], key: str, *, user: str) -> bool:
    """End one session of `user`; False if that person has no such session."""
    return database[SESSIONS].delete_one({"_id": key, "user": user}).deleted_count == 1


def end_sessions(database: Database[dict[str, Any]], user: str, *, but: str | None = None) -> int:
    """End all sessions of `user`, except the one with the key `but`; says how many that were."""
    return database[SESSIONS].delete_many({"user": user, "_id": {"$ne": but}}).deleted_count


def hash_of(session_id: str) -> str:
    """256 random bits need no slow hash: nobody guesses them from it."""
    return hashlib.sha256(session_id.encode()).hexdigest()


def _parse_session(document: dict[str, Any]) -> Session:
    return Session(
        key=document["_id"],
        user=document["user"],
        created_at=document["created_at"],
        last_seen=document["last_seen"],
        address=document.get("address") or "",
        agent=document.get("agent") or "",
        how=document.get("how") or "",
        view_as=document.get("view_as"),
    )
