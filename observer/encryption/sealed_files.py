"""Files: a stream of AES-256-GCM segments, each of which can be opened by itself.

    "CLOISTER" 0x01 | data key's id (16) | salt (32) | segments: 64 KiB of the file, encrypted, and 16 bytes of tag

A file's key follows from the data key and the salt. The salt follows from the file's own digest under the data key: the
same file is the same stored bytes wherever a run of the project has it, so it is stored once, and what it is stored
under tells nothing to whoever has not the key. A segment's nonce is its number, and whether it is the last (STREAM,
Hoang, Reyhanitabar, Rogaway, Vizár, 2015), so none can be cut off, moved or doubled.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from .data_keys import DataKey
from .sealed_text import gcm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT = "aes-256-gcm-stream-1"
MAGIC = b"CLOISTER\x01"
SEGMENT_BYTES = 64 * 1024
TAG_BYTES = 16
_KEY_ID_BYTES = 16
_SALT_BYTES = 32
HEADER_BYTES = len(MAGIC) + _KEY_ID_BYTES + _SALT_BYTES
_READ_BYTES = 1024 * 1024


class ChangedMeanwhile(OSError):
    """A file was written to while it was encrypted."""


def sealed_size(size: int) -> int:
    """How many bytes a file of `size` bytes has once it is encrypted. An empty one has a segment too."""
    return HEADER_BYTES + size + TAG_BYTES * max(1, -(-size // SEGMENT_BYTES))


def plain_size(size: int) -> int:
    """How large the file in `size` encrypted bytes is.

    Raises:
        ValueError: so many bytes are no encrypted file.
    """
    body = size - HEADER_BYTES
    segments = -(-body // (SEGMENT_BYTES + TAG_BYTES))
    plain = body - TAG_BYTES * segments
    if segments < 1 or plain < 0 or sealed_size(plain) != size:
        raise ValueError(f"{size} bytes are no encrypted file")
    return plain


class SealedStream(io.RawIOBase):
    """A file, read as it is encrypted; it can be read several times from its start, as far as it does not change.

    Attributes:
        sha256, md5: of the file itself, known once it was read to its end.
        size: of the file itself.
    """

    def __init__(self, source: BinaryIO, key: DataKey) -> None:
        """
        Raises:
            OSError: `source` cannot be read.
        """
        super().__init__()
        self._source, self._key = source, key
        source.seek(0)
        digest, self.size = hashlib.sha256(), 0
        while piece := source.read(_READ_BYTES):
            digest.update(piece)
            self.size += len(piece)
        self._expected: str | None = digest.hexdigest()
        self._salt = hmac.digest(key.derived("file names"), digest.digest(), "sha256")
        self._ready = bytearray()
        self._number, self._read_bytes, self._is_over = 0, 0, False
        self._begin()

    def forget_digest(self) -> None:
        """Encrypt what is read under a salt of its own: the file changes, and what it was is no name for it."""
        self._expected, self._salt = None, os.urandom(_SALT_BYTES)
        self._begin()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """To the start, or to the end in order to ask how long it is."""
        if whence == io.SEEK_END:
            return sealed_size(self.size)
        if offset:
            raise io.UnsupportedOperation("an encrypted stream is read from its start")
        self._begin()
        return 0

    def read(self, size: int = -1, /) -> bytes:
        while not self._is_over and (size < 0 or len(self._ready) < size):
            self._ready += self._next_segment()
        cut = len(self._ready) if size < 0 else size
        piece, self._ready = bytes(self._ready[:cut]), self._ready[cut:]
        return piece

    def _begin(self) -> None:
        self._source.seek(0)
        self._cipher = _file_cipher(self._key, self._salt)
        self._ready = bytearray(MAGIC + self._key.id + self._salt)
        self._number, self._is_over, self._read_bytes = 0, False, 0
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._ahead = self._read_source()

    def _read_source(self) -> bytes:
        left = self.size - self._read_bytes  # what is appended meanwhile is not of the file as it was
        wanted = min(SEGMENT_BYTES, left)
        piece = self._source.read(wanted)
        while len(piece) < wanted and (more := self._source.read(wanted - len(piece))):
            piece += more
        self._read_bytes += len(piece)
        return piece

    def _next_segment(self) -> bytes:
        piece, self._ahead = self._ahead, self._read_source()
        self._is_over = not self._ahead
        self._sha256.update(piece)
        self._md5.update(piece)
        sealed = self._cipher.encrypt(_nonce(self._number, is_last=self._is_over), piece, None)
        self._number += 1
        # The salt names what the first reading found. Other bytes under it would share its key and its nonces.
        if self._is_over and self._expected not in (None, self._sha256.hexdigest()):
            raise ChangedMeanwhile("it was written to while it was encrypted")
        if self._is_over and self._read_bytes != self.size:
            raise ChangedMeanwhile("it became shorter while it was encrypted")
        return sealed

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()


class SealedReader:
    """Opens the segments of an encrypted file.

    Raises:
        ValueError: it is no encrypted file.
    """

    def __init__(self, read_at: Callable[[int, int], bytes], size: int, find_key: Callable[[bytes], DataKey]) -> None:
        """
        Args:
            read_at: gives the stored bytes from a place on, so many.
            size: how many there are.
            find_key: gives the data key of an id.
        """
        header = read_at(0, HEADER_BYTES)
        if not header.startswith(MAGIC):
            raise ValueError("it does not begin as an encrypted file")
        self.size = plain_size(size)
        key_id, salt = header[len(MAGIC) : -_SALT_BYTES], header[-_SALT_BYTES:]
        self._read_at = read_at
        self._cipher = _file_cipher(find_key(key_id), salt)
        self._last = max(0, -(-self.size // SEGMENT_BYTES) - 1)

    def segment(self, number: int) -> bytes:
        """A segment of the file itself.

        Raises:
            ValueError: it was changed.
        """
        from cryptography.exceptions import InvalidTag

        length = min(SEGMENT_BYTES, self.size - number * SEGMENT_BYTES) + TAG_BYTES
        sealed = self._read_at(HEADER_BYTES + number * (SEGMENT_BYTES + TAG_BYTES), length)
        try:
            return self._cipher.decrypt(_nonce(number, is_last=number == self._last), sealed, None)
        except (InvalidTag, ValueError) as error:
            raise ValueError(f"segment {number} is not what its key has written") from error


def file_facts(stream: SealedStream) -> dict[str, Any]:
    """What is known of the file itself, to be kept encrypted beside what is known of its stored bytes."""
    return {"sha256": stream.sha256, "md5": stream.md5, "size": stream.size}


def _file_cipher(key: DataKey, salt: bytes) -> AESGCM:
    return gcm(key.derived("file", salt))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])
