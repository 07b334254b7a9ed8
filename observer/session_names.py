"""How runs and their sessions are named: uids made of text, and moments that stay equal to themselves when stored."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from hashlib import sha256


def uid_of_text(text: str) -> str:
    """The uid of the run that CLOISTER_RUN names: a uid as it is, any other text the same uid on every host."""
    known = as_uid(text)
    if known is not None:
        return known
    digest = bytearray(sha256(b"cloister run " + text.encode("utf-8", "surrogatepass")).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # a UUIDv8, which is free in all other bits. Source: RFC 9562, section 5.8
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def as_uid(text: str) -> str | None:
    """`text` as a run's uid in its usual form, None if it is none."""
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None


def session_time(moment: datetime | None = None) -> datetime:
    """A moment as MongoDB keeps it, so that it stays equal to itself: in milliseconds."""
    now = moment or datetime.now(timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
