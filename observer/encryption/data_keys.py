"""Data keys: 96 random bytes that encrypt a project's records, stored only wrapped, and the keys derived from them."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError

if TYPE_CHECKING:
    from pymongo.database import Database

    from .key_providers import KeyProvider

COLLECTION = "encryption_keys"
SECRET_BYTES = 96  # what MongoDB's client-side encryption takes
_ID_BYTES = 16
_ENABLED = 0  # the `status` of a key that may be used
# MongoDB's library takes no field in a stored key that it does not know, so the project stands in the key's name.
_NAME_SEPARATOR = "#"
_VERSION_IN_NAME = re.compile(rb"_v([0-9]{1,9})$")
_VERSION_IN_TEXT = re.compile(rb"vault:v([0-9]{1,9}):")


class KeyForgotten(CloisterError, LookupError):
    """What was asked for is encrypted by a key that was destroyed."""

    def __init__(self, project: str, when: datetime | None) -> None:
        day = f" on {when:%Y-%m-%d}" if when else ""
        super().__init__(
            f"The key of project {project!r} was forgotten{day}. What it encrypted cannot be read any more."
        )


@dataclass(frozen=True)
class DataKey:
    """A data key that is open in this process. Its secret is never written anywhere."""

    id: bytes  # a UUID's
    project: str
    secret: bytes

    def __repr__(self) -> str:
        return f"<DataKey {uuid.UUID(bytes=self.id)} of project {self.project!r}>"

    def derived(self, purpose: str, context: bytes = b"") -> bytes:
        """32 bytes for one purpose, from which neither the secret nor another purpose's can be told (RFC 5869)."""
        # By hand: two HMACs, and the trainings that only encrypt fields need not import the library for it.
        extracted = hmac.digest(b"cloister data key", self.secret, "sha256")
        return hmac.digest(extracted, purpose.encode() + b"\0" + context + b"\x01", "sha256")


@dataclass(frozen=True)
class DataKeyFacts:
    """What is known of a stored data key without opening it.

    Attributes:
        version: of the wrapping key by which it is wrapped.
        is_forgotten: nothing is left of it but this.
    """

    id: bytes
    project: str
    version: int
    made_at: datetime | None
    is_forgotten: bool
    forgotten_at: datetime | None


def new_data_key(project: str) -> DataKey:
    return DataKey(uuid.uuid4().bytes, project, os.urandom(SECRET_BYTES))


def wrapped_document(key: DataKey, provider: KeyProvider) -> dict[str, Any]:
    """The key as it is stored: wrapped, in the form of MongoDB's key vaults.

    Raises:
        KeyUnavailable: the provider has no key for the project, or does not answer.
    """
    from bson import Binary

    now = datetime.now(timezone.utc)
    wrapped = provider.wrap(key.project, key.secret)
    return {
        "_id": Binary(key.id, 4),
        "keyAltNames": [_name(key)],
        "keyMaterial": wrapped.material,
        "creationDate": now,
        "updateDate": now,
        "status": _ENABLED,
        "masterKey": {"provider": wrapped.master},
    }


def unwrapped(document: Mapping[str, Any], provider: KeyProvider) -> DataKey:
    """The key of a stored document.

    Raises:
        KeyForgotten: it was destroyed.
        KeyUnavailable: this process cannot unwrap it.
    """
    facts = read_facts(document)
    if facts.is_forgotten:
        raise KeyForgotten(facts.project, facts.forgotten_at)
    master = str((document.get("masterKey") or {}).get("provider") or "")
    material = bytes(document.get("keyMaterial") or b"")
    return DataKey(facts.id, facts.project, provider.unwrap(facts.project, material, master, facts.version))


def read_facts(document: Mapping[str, Any]) -> DataKeyFacts:
    """What a stored key says of itself. Fields of a foreign shape become empty."""
    names = document.get("keyAltNames")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    made, forgotten = document.get("creationDate"), document.get("forgotten_at")
    return DataKeyFacts(
        id=id_bytes(document["_id"]),
        project=name.rpartition(_NAME_SEPARATOR)[0],
        version=version_of(document),
        made_at=made if isinstance(made, datetime) else None,
        is_forgotten="keyMaterial" not in document,
        forgotten_at=forgotten if isinstance(forgotten, datetime) else None,
    )


def is_key_document(document: Mapping[str, Any]) -> bool:
    """Whether a stored document may be a data key; somebody else may have put anything there."""
    key_id, material = document.get("_id"), document.get("keyMaterial", b"")
    return isinstance(key_id, (bytes, uuid.UUID)) and len(id_bytes(key_id)) == _ID_BYTES and isinstance(material, bytes)


def id_bytes(stored: Any) -> bytes:
    """The 16 bytes of a key's id, however the connection reads UUIDs."""
    return stored.bytes if isinstance(stored, uuid.UUID) else bytes(stored)


def version_of(document: Mapping[str, Any]) -> int:
    """Of the wrapping key by which a stored data key is wrapped; 0 where that is not said."""
    master = str((document.get("masterKey") or {}).get("provider") or "").encode()
    found = _VERSION_IN_NAME.search(master) or _VERSION_IN_TEXT.match(bytes(document.get("keyMaterial") or b""))
    return int(found.group(1)) if found else 0


def tombstone(facts: DataKeyFacts, when: datetime) -> dict[str, Any]:
    """What stays of a data key that is forgotten: that it was there, and when it went."""
    from bson import Binary

    return {"_id": Binary(facts.id, 4), "keyAltNames": [_name(facts)], "forgotten_at": when}


def _name(key: DataKey | DataKeyFacts) -> str:
    return f"{key.project}{_NAME_SEPARATOR}{uuid.UUID(bytes=key.id)}"


def store_key_document(database: Database[dict[str, Any]], document: Mapping[str, Any]) -> None:
    """Have the database know a wrapped data key. One that it knows may be rewrapped or forgotten, and stays so."""
    from pymongo.errors import DuplicateKeyError

    try:
        database[COLLECTION].insert_one(dict(document))
    except DuplicateKeyError:
        return


def project_digest(project: str) -> str:
    """A project's name as part of a file's or a key's name."""
    return hashlib.sha256(project.encode("utf-8", "surrogatepass")).hexdigest()[:20]
