"""An audit entry: its fields, its stored form, and the hash that chains it to the one before."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from typing import Any

GENESIS = "0" * 64  # what the first entry follows
_TEXT_LIMIT = 500  # characters of one value; names and reasons, not documents
_ITEMS_LIMIT = 2_000  # values in one list or table
_DEPTH_LIMIT = 4
_SALT_BYTES = 16
# Control and direction characters: a name with a line break must not look like an entry of its own.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)

Details = Mapping[str, Any]


@dataclass(frozen=True)
class AuditEntry:
    """What happened, as the log keeps it.

    Attributes:
        seq: 1, 2, 3, ... without a gap.
        at: aware UTC, whole milliseconds.
        actor: a person's name, "token NAME of PERSON", "account@host" of a command, "" where nobody was known.
        salt: hides a pseudonymised entry's former values from guessing; "" once they are gone.
        previous: the hash of the entry before.
        commitment: stands for the fields that may be pseudonymised, in the hash.
    """

    seq: int
    at: datetime
    actor: str
    action: str
    target: str = ""
    project: str = ""
    address: str = ""
    details: Details = field(default_factory=dict)
    salt: str = ""
    previous: str = GENESIS
    commitment: str = ""
    hash: str = ""


def new_entry(
    *, seq: int, previous: str, actor: str, action: str, target: str, project: str, address: str, details: Details
) -> AuditEntry:
    """The entry that follows the one with hash `previous`, its values made harmless and bounded."""
    now = datetime.now(timezone.utc)
    entry = AuditEntry(
        seq=seq,
        at=now.replace(microsecond=now.microsecond // 1000 * 1000),  # as exact as a date in MongoDB
        actor=plain_text(actor),
        action=action,
        target=plain_text(target),
        project=plain_text(project),
        address=plain_text(address),
        details={plain_text(key): _plain(value, 1) for key, value in list(details.items())[:_ITEMS_LIMIT]},
        salt=secrets.token_hex(_SALT_BYTES),
        previous=previous,
    )
    entry = replace(entry, commitment=commit(entry))
    return replace(entry, hash=chain_hash(entry))


def commit(entry: AuditEntry) -> str:
    """A digest of the fields that name people, which the hash holds in their place.

    So these fields can be pseudonymised later without breaking the chain; whether that was allowed, another entry says.
    """
    values = [entry.salt, entry.actor, entry.target, entry.address, entry.details]
    return hashlib.sha256(_canonical(values)).hexdigest()


def chain_hash(entry: AuditEntry) -> str:
    """SHA-256 over everything that the entry says and the hash before it."""
    time = entry.at.isoformat(timespec="milliseconds")
    values = ["cloister audit 1", entry.seq, time, entry.action, entry.project, entry.commitment, entry.previous]
    return hashlib.sha256(_canonical(values)).hexdigest()


def to_document(entry: AuditEntry) -> dict[str, Any]:
    """As MongoDB holds it. `details` is text: no key of it becomes a field's name; its bytes are what was hashed."""
    return {
        "_id": entry.seq,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "project": entry.project,
        "address": entry.address,
        "details": _canonical(entry.details).decode(),
        "salt": entry.salt,
        "previous": entry.previous,
        "commitment": entry.commitment,
        "hash": entry.hash,
    }


FIELDS = frozenset(f.name for f in fields(AuditEntry)) - {"seq"} | {"_id"}


class NotAnEntry(ValueError):
    """A stored document is no audit entry; the message says why."""


def from_document(document: Mapping[str, Any]) -> AuditEntry:
    """Read a stored entry.

    Raises:
        NotAnEntry: a field is missing, too many, or of another type than we write.
    """
    if document.keys() != FIELDS:
        odd = sorted(str(name) for name in document.keys() ^ FIELDS)
        raise NotAnEntry(f"the fields {', '.join(odd)} are missing or not ours")
    at = document["at"]
    if type(document["_id"]) is not int and type(document["_id"]).__name__ != "Int64":
        raise NotAnEntry("its number is none")
    if not isinstance(at, datetime):
        raise NotAnEntry("its time is none")
    texts = {name: document[name] for name in FIELDS - {"_id", "at", "details"}}
    if not all(isinstance(value, str) for value in (*texts.values(), document["details"])):
        raise NotAnEntry("a field that should be text is not")
    try:
        details = json.loads(document["details"])
    except (ValueError, RecursionError) as error:
        raise NotAnEntry("its details are damaged") from error
    if not isinstance(details, dict) or _canonical(details).decode() != document["details"]:
        raise NotAnEntry("its details are damaged")
    aware = at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)
    return AuditEntry(seq=int(document["_id"]), at=aware, details=details, **texts)


def plain_text(value: object) -> str:
    """Text without control characters, cut where it is very long."""
    text = str(value)
    shown = text if len(text) <= _TEXT_LIMIT else f"{text[: _TEXT_LIMIT - 1]}…"
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)


def _plain(value: Any, depth: int) -> Any:
    """The value as JSON reads it back unchanged."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**53 else str(value)
    if depth >= _DEPTH_LIMIT or isinstance(value, (str, bytes)):
        return plain_text(value)
    if isinstance(value, Mapping):
        return {plain_text(key): _plain(inner, depth + 1) for key, inner in list(value.items())[:_ITEMS_LIMIT]}
    if isinstance(value, (list, tuple, set, frozenset)):
        members = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [_plain(inner, depth + 1) for inner in list(members)[:_ITEMS_LIMIT]]
    return plain_text(value)


def _canonical(value: object) -> bytes:
    """One value, one text: sorted keys, no spaces, ASCII."""
    return _ENCODER.encode(value).encode()
