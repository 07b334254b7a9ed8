"""What an entry says about entries that were pseudonymised: which ones, and what they have to be since."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from .evidence_folder import EvidenceFolder
from .seals import decode_base64, is_signed, sign_text

if TYPE_CHECKING:
    from .entry import AuditEntry

PSEUDONYMISED = "audit-pseudonymised"


def signed_listing(folder: EvidenceFolder, pseudonym: str, entries: Mapping[int, str]) -> dict[str, Any]:
    """The details of an entry that allows these entries to be what they are now: their numbers and commitments."""
    listed = {str(seq): digest for seq, digest in entries.items()}
    return {"pseudonym": pseudonym, "entries": listed, **sign_text(folder, _signed_bytes(pseudonym, listed))}


def read_listing(entry: AuditEntry, trusted: Collection[bytes]) -> dict[int, str] | None:
    """The numbers and commitments that `entry` lists; None unless a trusted key signed them."""
    details = entry.details
    listed, pseudonym = details.get("entries"), details.get("pseudonym")
    public, signature = str(details.get("public")), str(details.get("signature"))
    if not isinstance(listed, dict) or not isinstance(pseudonym, str) or decode_base64(public) not in trusted:
        return None
    if not is_signed(_signed_bytes(pseudonym, listed), signature, public):
        return None
    return {int(seq): str(digest) for seq, digest in listed.items()}


def _signed_bytes(pseudonym: str, listed: Mapping[str, str]) -> bytes:
    body = json.dumps(listed, sort_keys=True, separators=(",", ":"))
    return json.dumps(["cloister audit pseudonyms 1", pseudonym, body], separators=(",", ":")).encode()
