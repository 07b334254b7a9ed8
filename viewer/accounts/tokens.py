"""The collection `tokens`: what scripts sign in with. The secret is shown once; the database has its hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, get_args

from pymongo.database import Database

from ...observer.access.principal import Scope
from ...observer.errors import CloisterError
from .account_names import one_line

TOKENS = "tokens"
PREFIX = "clst"  # what secret scanners look for
SCOPES: tuple[Scope, ...] = get_args(Scope)
DEFAULT_DAYS = 90
LONGEST_DAYS = 366
USED_EVERY_SECONDS = 30  # how exact "last used" is
NAME_LIMIT = 100
TOKENS_AT_MOST = 100  # of one person
_ALPHABET = string.digits + string.ascii_letters
_KEY = re.compile(r"[0-9A-Za-z]{8}")
_SHAPE = re.compile(rf"{PREFIX}_(?P<key>[0-9A-Za-z]{{8}})_(?P<secret>[0-9A-Za-z]{{43}})_(?P<sum>[0-9A-Za-z]{{6}})")


class BadToken(CloisterError, ValueError):
    """A token cannot be made as it is asked for."""


class UnknownToken(CloisterError, LookupError):
    """A token is named that does not exist, or does not belong to who names it."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"There is no token {key[:20]!r}. A token is named by the eight signs after {PREFIX}_; "
            "'cloister token ls' and the page of an account list them."
        )


@dataclass(frozen=True)
class Token:
    """What is known of a token; not what opens it."""

    key: str
    user: str
    name: str
    scopes: frozenset[Scope]
    projects: frozenset[str] | None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    last_address: str = ""

    def has_expired(self, now: datetime | None = None) -> bool:
        return (now or datetime.now(timezone.utc)) >= self.expires_at


def make_token(
    database: Database[dict[str, Any]],
    user: str,
    *,
    name: str,
    scopes: Iterable[str] = ("read",),
    projects: Iterable[str] | None = None,
    days: float = DEFAULT_DAYS,
) -> tuple[str, Token]:
    """A new token of `user`, and the text to hand out: it is known nowhere else and never shown again.

    Args:
        projects: what it is limited to; None for all that its owner sees.

    Raises:
        BadToken: it has no name or scope, a scope that there is not, or lasts too long.
    """
    check_token(name=name, scopes=scopes, projects=projects, days=days)
    now = datetime.now(timezone.utc)
    key = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(43))
    token = Token(
        key=key,
        user=user,
        name=_parse_name(name),
        scopes=_parse_scopes(scopes),
        projects=None if projects is None else _parse_projects(projects),
        created_at=now,
        expires_at=now + timedelta(days=_parse_days(days)),
    )
    if database[TOKENS].count_documents({"user": user}, limit=TOKENS_AT_MOST) >= TOKENS_AT_MOST:
        raise BadToken(f"{user} has {TOKENS_AT_MOST} tokens already. Revoke those that nothing uses any more.")
    database[TOKENS].insert_one(
        {
            "_id": key,
            "hash": _hash_of(secret),
            "user": user,
            "name": token.name,
            "scopes": sorted(token.scopes),
            "projects": None if token.projects is None else sorted(token.projects),
            "created_at": now,
            "expires_at": token.expires_at,
            "last_used_at": None,
            "last_address": "",
        }
    )
    return f"{PREFIX}_{key}_{secret}_{_checksum(key + secret)}", token


def check_token(*, name: str, scopes: Iterable[str], projects: Iterable[str] | None, days: float) -> None:
    """Return if `make_token` would make this one; raises `BadToken`."""
    _parse_name(name)
    _parse_scopes(scopes)
    _parse_days(days)
    if projects is not None:
        _parse_projects(projects)


def load_token(database: Database[dict[str, Any]], key: str, *, user: str | None = None) -> Token:
    """The token with this key, of `user` alone where one is given; raises `UnknownToken`."""
    asked = {"_id": key} if user is None else {"_id": key, "user": user}
    document = database[TOKENS].find_one(asked) if _KEY.fullmatch(key) else None
    if document is None:
        raise UnknownToken(key)
    return _parse_token(document)


def find_token(database: Database[dict[str, Any]], text: str, *, address: str = "") -> Token | None:
    """The token that `text` opens, noted as used; None for one that is wrong, revoked or expired."""
    shape = _SHAPE.fullmatch(text)
    if shape is None or shape["sum"] != _checksum(shape["key"] + shape["secret"]):
        return None  # a typing error asks no database
    document = database[TOKENS].find_one({"_id": shape["key"]})
    if document is None or not hmac.compare_digest(document["hash"], _hash_of(shape["secret"])):
        return None
    token = _parse_token(document)
    now = datetime.now(timezone.utc)
    if token.has_expired(now):
        return None
    if token.last_used_at is None or (now - token.last_used_at).total_seconds() >= USED_EVERY_SECONDS:
        database[TOKENS].update_one({"_id": token.key}, {"$set": {"last_used_at": now, "last_address": address}})
    return token


def list_tokens(database: Database[dict[str, Any]], user: str | None = None) -> tuple[Token, ...]:
    """The tokens of `user`, or of everybody, the newest first; expired ones too, until somebody revokes them."""
    asked = {} if user is None else {"user": user}
    return tuple(map(_parse_token, database[TOKENS].find(asked).sort([("created_at", -1), ("_id", 1)])))


def revoke_token(database: Database[dict[str, Any]], key: str, *, user: str | None = None) -> Token | None:
    """Delete a token, of `user` alone where one is given; None if there is no such token."""
    asked = {"_id": key} if user is None else {"_id": key, "user": user}
    document = database[TOKENS].find_one_and_delete(asked)
    return _parse_token(document) if document else None


def revoke_tokens(database: Database[dict[str, Any]], user: str) -> int:
    """Delete all tokens of `user`; says how many that were."""
    return database[TOKENS].delete_many({"user": user}).deleted_count


def _parse_name(name: str) -> str:
    name = one_line(name)
    if not name or len(name) > NAME_LIMIT:
        raise BadToken(
            f"A token needs a name of 1 to {NAME_LIMIT} characters that says what it is for, such as 'nightly export'; "
            f"this one has {len(name)}."
        )
    return name


def _parse_scopes(given: Iterable[str]) -> frozenset[Scope]:
    chosen = set(given)
    unknown = chosen - set(SCOPES)
    if unknown or not chosen:
        said = ", ".join(sorted(unknown)) or "none"
        raise BadToken(f"A token's scopes are some of {', '.join(SCOPES)}; this one has {said[:NAME_LIMIT]}.")
    return frozenset(scope for scope in SCOPES if scope in chosen)


def _parse_projects(given: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(name.encode("utf-8", "replace").decode().strip() for name in given) - {""}
    if not chosen:
        raise BadToken("A token that is limited to projects needs at least one. Name them, or leave the limit out.")
    return chosen


def _parse_days(days: float) -> float:
    if not 0 < days <= LONGEST_DAYS:
        raise BadToken(f"A token lasts up to {LONGEST_DAYS} days, not {days:g}. Make a new one before it ends.")
    return days


def _hash_of(secret: str) -> str:
    """Of 256 random bits; a slow hash would protect them no better."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(text: str) -> str:
    """Six signs by which a scanner, and we, tell a token from something that looks like one."""
    number = zlib.crc32(text.encode())
    signs = []
    for _ in range(6):
        number, rest = divmod(number, len(_ALPHABET))
        signs.append(_ALPHABET[rest])
    return "".join(signs)


def _parse_token(document: dict[str, Any]) -> Token:
    projects = document.get("projects")
    return Token(
        key=document["_id"],
        user=document["user"],
        name=document.get("name") or "",
        scopes=frozenset(document.get("scopes") or ()),
        projects=None if projects is None else frozenset(projects),
        created_at=document["created_at"],
        expires_at=document["expires_at"],
        last_used_at=document.get("last_used_at"),
        last_address=document.get("last_address") or "",
    )
