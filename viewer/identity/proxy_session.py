"""A session for people whom the proxy names, so that they have one as everybody else: listed, ended, viewing as others.

The session alone opens nothing: `identify` takes it only while the proxy names the same person.
"""

from __future__ import annotations

import time
from collections import deque

from flask import Flask, Response, redirect, request

from ..accounts.current import current_identity, sign_in

# A browser that keeps no cookies would be sent in a circle, and open a session each time round.
AT_MOST, IN_SECONDS = 5, 30.0
KNOWN_AT_MOST = 10_000


def open_sessions_for_browsers(app: Flask) -> None:
    """Before a page is shown to somebody who is known by the proxy's word alone, open a session and load it again."""
    opened: dict[str, deque[float]] = {}

    @app.before_request
    def open_session() -> Response | None:
        # Browsers say what they load. Scripts do not: they keep no cookie, and are known without a session.
        if request.method != "GET" or request.headers.get("Sec-Fetch-Dest") != "document":
            return None
        identity = current_identity()
        if identity.user is None or identity.session is not None or identity.token is not None:
            return None
        if not _may_open(opened, identity.user.name):
            return None
        response: Response = redirect(_same_address(), 303)  # type: ignore[assignment]
        sign_in(identity.user, response, how="proxy")
        return response


def _same_address() -> str:
    """The path as it was asked for, escapes and all. With one slash: "//elsewhere" would be another host."""
    asked = str(request.environ.get("REQUEST_URI") or request.full_path)
    return "/" + asked.lstrip("/\\") if asked.startswith("/") else "/"


def _may_open(opened: dict[str, deque[float]], name: str) -> bool:
    if len(opened) > KNOWN_AT_MOST:
        opened.clear()
    times, now = opened.setdefault(name, deque(maxlen=AT_MOST)), time.monotonic()
    if len(times) == AT_MOST and now - times[0] < IN_SECONDS:
        return False
    times.append(now)
    return True
