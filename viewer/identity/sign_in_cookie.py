"""What a browser holds between leaving for an OpenID provider and coming back: one secret, from which all follows.

Nothing is stored here meanwhile, so that strangers who begin sign-ins and never come back fill nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from flask import Request, Response

from .oidc_provider import SignIn

COOKIE = "cloister_oidc"
SECURE_COOKIE = "__Host-cloister_oidc"  # taken over TLS only, and no neighbouring host can plant it
COOKIE_SECONDS = 600
_VALUE = re.compile(r"([A-Za-z0-9_-]{43})(?:\.([A-Za-z0-9_-]{0,2000}))?", re.ASCII)


def begin(request: Request, response: Response, next_path: str) -> SignIn:
    """A new sign-in, remembered by the browser that gets `response`."""
    secret = secrets.token_urlsafe(32)
    place = base64.urlsafe_b64encode(next_path.encode()).rstrip(b"=").decode()
    response.set_cookie(
        _name(request),
        f"{secret}.{place}",
        max_age=COOKIE_SECONDS,
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",  # Strict would not come back: the provider's page sends the browser here
    )
    return _sign_in(secret)


def resume(request: Request) -> tuple[SignIn, str] | None:
    """The sign-in that this browser has begun, and where it wanted to go; None if it has begun none."""
    found = _VALUE.fullmatch(request.cookies.get(_name(request), ""))
    if found is None:
        return None
    place = found.group(2) or ""
    try:
        next_path = base64.urlsafe_b64decode(place + "=" * (-len(place) % 4)).decode()
    except ValueError:
        return None
    return _sign_in(found.group(1)), next_path


def forget(request: Request, response: Response) -> None:
    """A sign-in is good for one answer, whatever that was."""
    response.delete_cookie(_name(request), path="/", secure=request.is_secure, httponly=True, samesite="Lax")


def _name(request: Request) -> str:
    return SECURE_COOKIE if request.is_secure else COOKIE


def _sign_in(secret: str) -> SignIn:
    return SignIn(state=_derive(secret, "state"), nonce=_derive(secret, "nonce"), verifier=_derive(secret, "verifier"))


def _derive(secret: str, purpose: str) -> str:
    """One of the three, 256 bits, from which neither the secret nor the other two can be found."""
    digest = hmac.new(secret.encode(), f"cloister sign-in {purpose}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
