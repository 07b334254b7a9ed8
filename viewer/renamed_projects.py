"""Addresses of projects that are called otherwise by now lead to where they are."""

from __future__ import annotations

from flask import Flask, Response, redirect, request, url_for

from ..observer.access.seen_database import unfiltered
from ..observer.project_aliases import find_alias
from .accounts.current import current_principal
from .store_access import current_store


def follow_renamed(app: Flask) -> None:
    """Have each answer that a project is not there look whether it has another name."""

    @app.after_request
    def lead_to_new_name(response: Response) -> Response:
        project = (request.view_args or {}).get("project")
        if response.status_code != 404 or request.method not in ("GET", "HEAD") or not isinstance(project, str):
            return response
        name = find_alias(unfiltered(current_store().database), project)
        # Whoever may not see it is not told what it is called.
        if name is None or request.endpoint is None or not current_principal().may("see", project=name):
            return response
        address = url_for(request.endpoint, **{**(request.view_args or {}), "project": name})
        query = request.query_string.decode("latin-1")
        return redirect(f"{address}?{query}" if query else address, 308)  # type: ignore[return-value]
