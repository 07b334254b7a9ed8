"""The throttle as requests use it: attempts of the address that asks, counted in the first database."""

from __future__ import annotations

import logging
import secrets
from functools import cache

from flask import request

from .current import current_accounts
from .login_throttle import LoginThrottle
from .server_key import BadServerKey, derived_key

logger = logging.getLogger("cloister")


def charge_attempt(name: str) -> int:
    """Count an attempt to be `name`, before it is checked; says which pause follows it. Raises `TooManyAttempts`."""
    return _throttle().charge(name, request.remote_addr or "")


def forget_attempts(name: str) -> None:
    """It was right."""
    _throttle().succeeded(name, request.remote_addr or "")


def _throttle() -> LoginThrottle:
    return LoginThrottle(current_accounts().database, _secret())


@cache
def _secret() -> bytes:
    """What names are hashed with. Without a place for the viewer's key each process counts for itself."""
    try:
        return derived_key("login attempts")
    except BadServerKey as error:
        logger.warning("%s Until then attempts to sign in are counted by each viewer alone.", error)
        return secrets.token_bytes(32)
