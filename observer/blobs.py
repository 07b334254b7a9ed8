"""Blobs: files in GridFS, each stored once by its SHA-256 however many runs name it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from .errors import CloisterError

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

READ_BYTES = 1024 * 1024
CHUNK_BYTES = 255 * 1024  # GridFS's own default, which every reader is tuned for
CHUNKS_AT_ONCE = 2
SHA256 = "cloister.sha256"


class BlobNotFound(CloisterError, LookupError):
    """A run names a file that the database does not hold."""

    def __init__(self, file_id: object) -> None:
        super().__init__(f"The database holds no file {str(file_id)!r}. It may have been deleted with its run.")


class UnreadableBlob(CloisterError, OSError):
    """A stored file is there, and its bytes cannot be had."""


class BlobLocked(UnreadableBlob):
    """A stored file is encrypted, and its key cannot be had here: `reason` says why."""

    def __init__(self, filename: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The stored file {filename[:200]!r} is encrypted. {reason}")


class DamagedBlob(UnreadableBlob):
    """A stored file has lost bytes."""

    def __init__(self, filename: str, reason: object) -> None:
        super().__init__(
            f"The stored file {filename[:200]!r} is damaged: {reason}. Restore it from a backup of the database."
        )


@dataclass(frozen=True)
class Digests:
    """A file's size and its digests: SHA-256 names the blob, MD5 is what Sacred's readers look up."""

    sha256: str
    md5: str
    size: int


def digest_stream(stream: BinaryIO, copy_to: BinaryIO | None = None) -> Digests:
    """Read `stream` to its end in pieces, write the same bytes to `copy_to`, and say what they were."""
    sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    while piece := stream.read(READ_BYTES):
        sha256.update(piece)
        md5.update(piece)
        size += len(piece)
        if copy_to is not None:
            copy_to.write(piece)
    return Digests(sha256.hexdigest(), md5.hexdigest(), size)


class Blob:
    """A stored file, read in pieces. Not thread-safe; holds nothing open, so closing is not needed.

    GridFS's own reader keeps a cursor whose batches are 16 MB: a server whose threads take turns at a download would
    keep one in each of them, and a slow client would outlive the cursor. Here each question is for a few chunks.
    """

    def __init__(self, chunks: Collection[dict[str, Any]], document: Mapping[str, Any]) -> None:
        """
        Raises:
            DamagedBlob: `document` does not say how large the file is.
        """
        self.file_id = document["_id"]
        self.filename: str = str(document.get("filename") or "")
        self.size = self._count(document, "length", 0)
        self.content_type = _text(document.get("contentType"))
        self.md5 = _text(document.get("md5"))
        ours = document.get("cloister")
        self.sha256 = _text(ours.get("sha256")) if isinstance(ours, Mapping) else None
        self.is_encrypted = isinstance(ours, Mapping) and isinstance(ours.get("encryption"), Mapping)
        self._chunk_bytes = self._count(document, "chunkSize", CHUNK_BYTES)
        self._chunks = chunks
        self._position = 0
        self._held: dict[int, bytes] = {}

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes from where the last read ended; all that is left when `size` is negative.

        Raises:
            DamagedBlob: a part of the file is missing or of a wrong size.
        """
        left = self.size - self._position
        wanted = max(0, left if size < 0 else min(size, left))
        pieces = []
        while wanted:
            number, start = divmod(self._position, self._chunk_bytes)
            piece = self._chunk(number)[start : start + wanted]
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def seek(self, position: int) -> None:
        self._position = min(max(position, 0), self.size)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(READ_BYTES):
            yield piece

    def _chunk(self, number: int) -> bytes:
        if number not in self._held:
            wanted = {"$gte": number, "$lt": number + CHUNKS_AT_ONCE}
            found = self._chunks.find({"files_id": self.file_id, "n": wanted}).sort("n", 1).limit(CHUNKS_AT_ONCE)
            # Of a number, `bytes` would make as many zeros.
            whole = [chunk for chunk in found if isinstance(chunk.get("data"), bytes)]
            self._held = {int(chunk["n"]): bytes(chunk["data"]) for chunk in whole if type(chunk["n"]) in (int, float)}
        chunk = self._held.get(number)
        if chunk is None:
            raise DamagedBlob(self.filename, f"chunk {number} is missing")
        expected = min(self._chunk_bytes, self.size - number * self._chunk_bytes)
        if len(chunk) != expected:
            raise DamagedBlob(self.filename, f"chunk {number} has {len(chunk)} bytes instead of {expected}")
        return chunk

    def _count(self, document: Mapping[str, Any], field: str, otherwise: int) -> int:
        value = document.get(field) or otherwise
        if not (isinstance(value, (int, float)) and 0 <= value < 2**63):
            raise DamagedBlob(self.filename, f"its {field} is {str(value)[:50]!r}")
        return int(value)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def open_blob(database: Database[dict[str, Any]], file_id: Any) -> Blob:
    """A stored file by its id.

    Raises:
        BlobNotFound: there is none.
        DamagedBlob: the database does not say how large it is.
        BlobLocked: it is encrypted, and its key cannot be had here.
    """
    document = database["fs.files"].find_one({"_id": {"$eq": file_id}})
    if document is None:
        raise BlobNotFound(file_id)
    blob = Blob(database["fs.chunks"], document)
    if not blob.is_encrypted:
        return blob
    from .encryption.opened_blob import opened_blob  # reads what hardly any file is

    return opened_blob(database, blob)


def find_blob(database: Database[dict[str, Any]], sha256: str) -> Any:
    """The id of the stored file with this digest, or None."""
    found = database["fs.files"].find_one({SHA256: sha256}, {"_id": 1})
    return found["_id"] if found else None
