"""How much of a stored value is read, whatever its writer wanted."""

from __future__ import annotations

import base64
import zlib

DEPTH_LIMIT = 80  # MongoDB takes 100 levels, and a value lies some levels down in its run
ITEMS_LIMIT = 100_000
UNPACKED_LIMIT_BYTES = 64 * 1024 * 1024  # of all arrays and tables of a value together
TEXT_LIMIT = 4 * 1024 * 1024  # of JSON inside a value


class Room:
    """What is left of the limits, for a value and everything inside it."""

    def __init__(self, items: int = ITEMS_LIMIT) -> None:
        self.items = items
        self.bytes = UNPACKED_LIMIT_BYTES

    def take_bytes(self, size: int) -> None:
        """Pay before the work is done, so that what fails costs too.

        Raises:
            OverflowError: there is not so much left.
        """
        if size > self.bytes:
            self.bytes -= self.bytes // 4  # who asks too often gets nothing
            raise OverflowError(f"{size} bytes are more than is read")
        self.bytes -= size

    def unpack_base64(self, text: str) -> bytes:
        """Raises: ValueError, OverflowError."""
        self.take_bytes(len(text))
        return base64.b64decode(text)

    def unpack_zlib(self, packed: bytes, size: int) -> bytes:
        """Up to `size` bytes of what `packed` holds.

        Raises:
            zlib.error: it is damaged, or was never packed.
            OverflowError: there is no room for it.
        """
        self.take_bytes(size)
        return zlib.decompressobj().decompress(packed, size)
