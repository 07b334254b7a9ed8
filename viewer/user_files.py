"""Bytes that users brought, as HTTP answers in which nothing of them can run.

Whoever logs an artifact chooses every byte of it and its name. So such bytes leave as an attachment, as a type that no
browser executes, inside a sandbox without an origin, and the only ones shown inline are raster images, sounds and films
whose first bytes say that they are one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from flask import Response, abort

from ..observer.blobs import BlobLocked, BlobNotFound, UnreadableBlob

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore

Disposition = Literal["attachment", "inline"]

SANDBOX_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
UNKNOWN_TYPE = "application/octet-stream"
# Windows opens a device by these names, whatever ending they have: a download called "con.txt" cannot be saved there.
DEVICE_NAMES = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])(?=\s*(\.|$))")
NAME_LIMIT_BYTES = 200  # ext4 takes 255; the rest is for the browser's " (1)" and ".crdownload"

# What a file may be called by. Left out on purpose: everything that a browser renders as a document (HTML, SVG, XML,
# PDF, MHTML) and everything that could be taken for a script.
ALLOWED_TYPES = frozenset(
    {
        "application/gzip",
        "application/json",
        "application/zip",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/plain",
        UNKNOWN_TYPE,
    }
)
# Sounds and films: played, never run. By name they leave as any unknown file; as themselves only where their first
# bytes say so (media_head.py).
MEDIA_TYPES = frozenset(
    {
        "audio/flac",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "video/mp4",
        "video/ogg",
        "video/webm",
    }
)
INLINE_TYPES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"}) | MEDIA_TYPES


def render_user_file(
    chunks: Iterable[bytes],
    *,
    name: str,
    content_type: str = UNKNOWN_TYPE,
    size_bytes: int | None = None,
    disposition: Disposition = "attachment",
) -> Response:
    """An answer that carries user bytes, streamed, under the rules for user files (THREATS R19).

    Args:
        chunks: read while the answer is sent; the first is read at once, so that a file that cannot be read at all
            raises here, where it can still become an error page.
        name: any text at all; it becomes a harmless file name.
        content_type: replaced by `application/octet-stream` unless it is on the allow list; sounds and films are on it
            where they are shown inline.
        size_bytes: what the answer will be long; None where only the end will tell.
        disposition: "inline" is honoured for raster images, sounds and films only. The caller has looked at their
            first bytes.
    """
    is_media = disposition == "inline" and content_type in MEDIA_TYPES
    served_type = content_type if is_media else allowed_type(content_type)
    if served_type not in INLINE_TYPES:
        disposition = "attachment"
    response = Response(started(chunks), mimetype=served_type)
    response.headers["Content-Disposition"] = content_disposition(name, disposition)
    response.headers["Content-Security-Policy"] = SANDBOX_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "private, no-store" if disposition == "attachment" else "private, max-age=3600"
    if size_bytes is not None:
        response.content_length = size_bytes
    return response


def render_stored_file(
    store: RunStore,
    file_id: object,
    *,
    name: str,
    run: RunRecord,
    content_type: str | None = None,
    disposition: Disposition = "attachment",
) -> Response:
    """A file out of the database, which `run`, read from the same store, names. Where its bytes are gone: 410."""
    try:
        blob = store.open_blob(file_id, run)
        chosen_type = content_type or blob.content_type or UNKNOWN_TYPE
        return render_user_file(
            blob, name=name, content_type=chosen_type, size_bytes=blob.size, disposition=disposition
        )
    except BlobLocked as error:
        abort(423, str(error))
    except (BlobNotFound, UnreadableBlob) as error:
        abort(410, str(error))


def allowed_type(content_type: str | None) -> str:
    """The media type without its parameters if it is harmless, else `application/octet-stream`."""
    bare = (content_type or "").split(";", 1)[0].strip().lower()
    return bare if bare in ALLOWED_TYPES else UNKNOWN_TYPE


def content_disposition(name: str, disposition: Disposition = "attachment") -> str:
    """The header's value: an ASCII name for old clients, the real one percent-encoded (RFC 6266, RFC 5987)."""
    safe = download_name(name)
    plain = unicodedata.normalize("NFKD", safe).encode("ascii", "ignore").decode("ascii").replace('"', "'").strip(" .")
    return f"{disposition}; filename=\"{plain or 'download'}\"; filename*=UTF-8''{quote(safe, safe='')}"


def download_name(name: str) -> str:
    """A name that is a single, visible, short file name on every system, whatever was given.

    The last part of a path is kept. Control and format characters go: a right-to-left mark makes `exe.gpj` of a
    `.jpg`. What Windows refuses becomes `_`.
    """
    last = re.split(r"[/\\]", name)[-1]
    visible = "".join(char for char in last if unicodedata.category(char)[0] != "C")
    harmless = DEVICE_NAMES.sub(r"\1_", re.sub(r'[<>:"|?*%;]', "_", visible).strip(" ."), count=1)
    return shortened(harmless, NAME_LIMIT_BYTES) or "download"


def shortened(name: str, limit_bytes: int) -> str:
    """`name` cut in its stem, so that the ending that tells programs what it is stays."""
    if len(name.encode()) <= limit_bytes:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 16:
        stem, ending = name, ""
    room = limit_bytes - len((dot + ending).encode()) if ending else limit_bytes
    return stem.encode()[:room].decode("utf-8", "ignore") + (dot + ending if ending else "")


def started(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same chunks, the first of them already read."""
    iterator = iter(chunks)
    first = next(iterator, b"")

    def all_chunks() -> Iterator[bytes]:
        yield first
        yield from iterator

    return all_chunks()
