"""A stored file as an HTTP answer: whole, a part of it, or "you have it already"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Response
from pymongo import timeout as database_timeout
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import is_resource_modified, parse_range_header, quote_etag

from .user_files import Disposition, render_user_file

if TYPE_CHECKING:
    from ..observer.blobs import Blob

PIECE_BYTES = 2 * 255 * 1024  # two chunks of GridFS, one question to the database


def blob_response(
    blob: Blob, *, name: str, content_type: str | None, headers: Headers, disposition: Disposition = "attachment"
) -> Response:
    """The file as an attachment, streamed in pieces, so that memory does not grow with its size.

    Args:
        headers: the request's; Range (one range), If-Range and If-None-Match are honoured.
        disposition: as `render_user_file` takes it.

    Raises:
        RequestedRangeNotSatisfiable: more than one range, or one beyond the file's end.
    """
    etag = quote_etag(blob.sha256) if blob.sha256 else None
    if etag is not None and _has_it_already(headers, etag):
        return Response(status=304, headers={"ETag": etag})
    start, stop = _wanted_range(headers, etag, blob.size)
    # The request's limit on database time counts a cursor's whole life, and a download may rightly take an hour.
    with database_timeout(None):
        response = render_user_file(
            _iter_part(blob, start, stop),
            name=name or blob.filename,
            content_type=content_type or blob.content_type or "",
            size_bytes=stop - start,
            disposition=disposition,
        )
    response.headers["Accept-Ranges"] = "bytes"
    if etag is not None:
        response.headers["ETag"] = etag
    if stop - start != blob.size:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
    return response


def _has_it_already(headers: Headers, etag: str) -> bool:
    environ = {"REQUEST_METHOD": "GET", "HTTP_IF_NONE_MATCH": headers.get("If-None-Match", "")}
    return bool(environ["HTTP_IF_NONE_MATCH"]) and not is_resource_modified(environ, etag=etag.strip('"'))


def _wanted_range(headers: Headers, etag: str | None, size: int) -> tuple[int, int]:
    """First byte and the one after the last. A Range header that is not understood means the whole file (RFC 9110)."""
    if "If-Range" in headers and headers["If-Range"] != etag:
        return 0, size
    if headers.get("Range", "").count(",") > 0:
        raise RequestedRangeNotSatisfiable(size, description="Ask for one range at a time.")
    wanted = parse_range_header(headers.get("Range"))
    if wanted is None or wanted.units != "bytes":
        return 0, size
    found = wanted.range_for_length(size)
    if found is None or found[0] >= size:
        raise RequestedRangeNotSatisfiable(size, description=f"The file has {size} bytes.")
    return found[0], min(found[1], size)


def _iter_part(blob: Blob, start: int, stop: int) -> Iterator[bytes]:
    blob.seek(start)
    left = stop - start
    while left > 0:
        piece = blob.read(min(PIECE_BYTES, left))
        if not piece:
            return  # shorter than it says; the promised length then shows the client that something is missing
        left -= len(piece)
        yield piece
