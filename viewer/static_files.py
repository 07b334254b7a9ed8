"""Our own static files: cached for a year under an address that changes with their content."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

ONE_YEAR_SECONDS = 365 * 24 * 3600


def serve_with_long_caching(app: Flask) -> None:
    """Make `url_for("static", ...)` add the file's digest, and answer such addresses with a year of caching."""
    folder = Path(app.static_folder or "")

    @app.url_defaults
    def add_digest(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and "v" not in values:
            digest = file_digest(folder / str(values["filename"]))
            if digest is not None:
                values["v"] = digest

    @app.after_request
    def set_caching(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in (200, 206, 304):
            if "v" in request.args:
                response.headers["Cache-Control"] = f"public, max-age={ONE_YEAR_SECONDS}, immutable"
            else:
                response.headers["Cache-Control"] = "no-cache"  # kept, but asked for again: cheap through the ETag
        return response


def file_digest(path: Path) -> str | None:
    """A short digest of the file's content, None when there is no such file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _digest(path: Path, _mtime_ns: int, _size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
