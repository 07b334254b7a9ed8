"""Seals: the end of the chain, signed once a day, so that what lies before can no longer be rewritten."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from ..errors import CloisterError
from .evidence_folder import EvidenceFolder, key_name, place_of

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

COLLECTION = "audit_seals"


class LogRewritten(CloisterError, RuntimeError):
    """The log is not the one that this machine has seen."""

    def __init__(self, database: str, seq: int, last: int) -> None:
        super().__init__(
            f"The audit log in {database} ends at entry {last} and no longer has entry {seq} as this machine knows it. "
            "It is not signed. 'cloister audit verify' says what was changed."
        )


@dataclass(frozen=True)
class Seal:
    """A signature under the end of the chain as it was at a time.

    Attributes:
        seq, hash: the entry that was the last one.
        first: the hash of entry 1.
        at: ISO 8601, UTC.
        public, signature: base64.
    """

    seq: int
    hash: str
    first: str
    at: str
    public: str
    signature: str

    @property
    def key(self) -> str:
        return key_name(decode_base64(self.public))

    def is_genuine(self, trusted: Collection[bytes]) -> bool:
        """Whether one of the trusted keys signed exactly this."""
        return decode_base64(self.public) in trusted and is_signed(
            _signed_bytes(self.seq, self.hash, self.first, self.at), self.signature, self.public
        )


def seal_if_due(database: Database[dict[str, Any]], folder: EvidenceFolder, *, at_once: bool = False) -> Seal | None:
    """Sign the end of the chain if nothing of today (UTC) is signed yet and there is something new; None if not.

    Raises:
        LogRewritten: this machine has seen another chain.
        UnsafeEvidence, DamagedEvidence: the key cannot be relied on.
    """
    entries = database["audit"]
    head = entries.find_one({}, {"hash": 1}, sort=[("_id", -1)])
    first = entries.find_one({"_id": 1}, {"hash": 1})
    if head is None or first is None:
        return None
    own = _text(folder.signing_key().public_key().public_bytes_raw())
    last = database[COLLECTION].find_one({"public": own}, sort=[("_id", -1)])  # each machine signs for itself
    today = datetime.now(timezone.utc)
    if last is not None and (last.get("_id") == head["_id"] or (_day(last) == str(today.date()) and not at_once)):
        return None
    _refuse_rewritten(database, folder, head["_id"])
    seal = _sign(folder, head["_id"], head["hash"], first["hash"], today.isoformat(timespec="seconds"))
    folder.keep_seal(place_of(database), to_document(seal))
    try:
        database[COLLECTION].insert_one(to_document(seal))
    except DuplicateKeyError:  # another machine's seal of the same entry is there; ours stays beside our key
        logger.debug("Entry %s is sealed by another key too.", seal.seq)
    return seal


def _refuse_rewritten(database: Database[dict[str, Any]], folder: EvidenceFolder, last: int) -> None:
    """Raise if this machine has seen another chain: a signature must not make a forgery genuine."""
    place = place_of(database)
    seen = folder.sighting(place)
    known = [] if seen is None else [(1, seen.first), (seen.seq, seen.hash)]
    known += [(seal["_id"], seal["hash"]) for seal in folder.seals(place)[-1:]]
    for seq, entry_hash in known:
        found = database["audit"].find_one({"_id": seq}, {"hash": 1})
        if found is None or found.get("hash") != entry_hash:
            raise LogRewritten(database.name, seq, last)


def sign_text(folder: EvidenceFolder, text: bytes) -> dict[str, str]:
    """`text` signed by this machine's key: {public, signature}, base64."""
    key = folder.signing_key()
    return {
        "public": _text(key.public_key().public_bytes_raw()),
        "signature": _text(key.sign(text)),
    }


def is_signed(text: bytes, signature: str, public: str) -> bool:
    """Whether this signature is one of this public key under this text. Garbage is not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(decode_base64(public)).verify(decode_base64(signature), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def to_document(seal: Seal) -> dict[str, Any]:
    return {
        "_id": seal.seq,
        "hash": seal.hash,
        "first": seal.first,
        "at": seal.at,
        "public": seal.public,
        "signature": seal.signature,
    }


def from_document(document: Mapping[str, Any]) -> Seal | None:
    """The seal that is stored so; None for what is none."""
    texts = [document.get(name) for name in ("hash", "first", "at", "public", "signature")]
    seq = document.get("_id")
    if isinstance(seq, bool) or not isinstance(seq, int) or not all(isinstance(text, str) for text in texts):
        return None
    return Seal(int(seq), *(str(text) for text in texts))


def _sign(folder: EvidenceFolder, seq: int, entry_hash: str, first: str, at: str) -> Seal:
    signed = sign_text(folder, _signed_bytes(seq, entry_hash, first, at))
    return Seal(seq, entry_hash, first, at, signed["public"], signed["signature"])


def _signed_bytes(seq: int, entry_hash: str, first: str, at: str) -> bytes:
    return json.dumps(["cloister audit seal 1", seq, entry_hash, first, at], separators=(",", ":")).encode()


def _day(document: Mapping[str, Any]) -> str:
    return str(document.get("at", ""))[:10]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
