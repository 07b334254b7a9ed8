"""Scripts and styles, gzipped once and kept: BokehJS alone is 1.3 MB, and 0.4 MB packed."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, request

from .static_files import file_digest

SMALLEST_BYTES = 1024  # below, the packing costs more than it saves
PACKED_TYPES = frozenset({"text/javascript", "text/css", "image/svg+xml", "application/javascript"})


def pack_static_files(app: Flask) -> None:
    """Answer for files under /static/ gzipped where the browser takes that. Pages are not packed: what a page says and
    what a request brought would be squeezed together, and the length would tell of secrets in it (BREACH)."""

    @app.after_request
    def pack(response: Response) -> Response:
        if not request.path.startswith("/static/") or response.mimetype not in PACKED_TYPES:
            return response
        response.vary.add("Accept-Encoding")
        path = _served_file(response)
        if path is None or request.accept_encodings["gzip"] <= 0 or request.headers.get("Range"):
            return response
        digest = file_digest(path)
        if digest is None or path.stat().st_size < SMALLEST_BYTES:
            return response
        return _packed(response, path, digest)


def _served_file(response: Response) -> Path | None:
    """The file that `send_file` has opened for this answer."""
    file = getattr(response.response, "file", None)
    name = getattr(file, "name", None)
    return Path(name) if response.status_code == 200 and isinstance(name, str) else None


def _packed(response: Response, path: Path, digest: str) -> Response:
    etag = f"{digest}-gzip"
    response.response.close()  # type: ignore[union-attr]  # the opened file
    response.direct_passthrough = False
    response.set_etag(etag)
    if request.if_none_match.contains(etag):
        response.status_code = 304
        response.set_data(b"")
        del response.headers["Content-Length"]
        return response
    response.set_data(_pack(path, digest))
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Accept-Ranges"] = "none"
    return response


@lru_cache(maxsize=64)
def _pack(path: Path, _digest: str) -> bytes:
    return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)
