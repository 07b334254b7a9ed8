"""A session for people whom the proxy names, so that they have one as everybody else: listed, ended, viewing as others.

The session alone opens nothing: `identify` takes it only while the proxy names the same person.
"""

from __future__ import annotations

from flask import Flask, Response, redirect, request

from ..accounts.current import current_identity, sign_in


def open_sessions_for_browsers(app: Flask) -> None:
    """Before a page is shown to somebody who is known by the proxy's word alone, open a session and load it again."""

    @app.before_request
    def open_session() -> Response | None:
        # Browsers say what they load. Scripts do not: they keep no cookie, and would open a session each time.
        if request.method != "GET" or request.headers.get("Sec-Fetch-Dest") != "document":
            return None
        identity = current_identity()
        if identity.user is None or identity.session is not None or identity.token is not None:
            return None
        # One slash: "//elsewhere" would be another host.
        path = "/" + request.full_path.rstrip("?").lstrip("/\\")
        response: Response = redirect(request.script_root + path, 303)  # type: ignore[assignment]
        sign_in(identity.user, response, how="proxy")
        return response
