"""The token that a page of ours has and a page of others has not (THREATS R17)."""

from __future__ import annotations

import hashlib
import hmac

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"


def make_csrf_token(secret: str) -> str:
    """The token that belongs to a session, or to whatever else only this browser holds."""
    return hmac.new(secret.encode("utf-8", "replace"), b"cloister csrf token", hashlib.sha256).hexdigest()


def is_csrf_token(given: str | None, secret: str | None) -> bool:
    if not given or not secret:
        return False
    return hmac.compare_digest(make_csrf_token(secret).encode(), given.encode("utf-8", "replace"))
