"""Stored files that are encrypted, read in the clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..blobs import Blob, BlobLocked, DamagedBlob
from .keyring import LOCKS, Keyring, keyring_of, why_locked
from .sealed_files import SEGMENT_BYTES, SealedReader

if TYPE_CHECKING:
    from pymongo.database import Database


class OpenedBlob(Blob):
    """As a stored file, whose bytes are those that were encrypted. Any part of it is read without what precedes it."""

    def __init__(self, stored: Blob, keyring: Keyring) -> None:
        """
        Raises:
            BlobLocked: its key cannot be had.
            DamagedBlob: it is no encrypted file.
        """
        self._stored = stored
        self.file_id, self.filename = stored.file_id, stored.filename
        self.is_encrypted = True
        self.content_type, self.md5, self.sha256 = stored.content_type, None, stored.sha256
        self._chunk_bytes, self._position, self._held = SEGMENT_BYTES, 0, {}
        try:
            self._reader = SealedReader(self._read_at, stored.size, keyring.find)
        except LOCKS as error:
            raise BlobLocked(self.filename, why_locked(error)) from error
        except ValueError as error:
            raise DamagedBlob(self.filename, error) from error
        self.size = self._reader.size

    def _read_at(self, place: int, size: int) -> bytes:
        self._stored.seek(place)
        return self._stored.read(size)

    def _chunk(self, number: int) -> bytes:
        if number not in self._held:
            try:
                self._held = {number: self._reader.segment(number)}
            except ValueError as error:
                raise DamagedBlob(self.filename, error) from error
        return self._held[number]


def opened_blob(database: Database[dict[str, Any]], stored: Blob) -> OpenedBlob:
    """The file that an encrypted one holds.

    Raises:
        BlobLocked, DamagedBlob: see `OpenedBlob`.
    """
    return OpenedBlob(stored, keyring_of(database))
