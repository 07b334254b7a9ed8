"""The journal's format: a record as bytes, and bytes as records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import CloisterError

FORMAT = 1
RECORD_LIMIT_BYTES = 15 * 1024 * 1024  # MongoDB takes 16 MiB; the rest is for the keys that the courier adds

Kind = Literal["header", "points", "console", "set", "beat", "artifact", "source", "attach", "end"]

_LENGTH = struct.Struct("<i")
# The last element of every record: type int64, name "c", the CRC-32 of all bytes between the length and this element.
_CRC_ELEMENT = b"\x12c\x00"
_CRC_TAIL = struct.Struct("<q")
_TAIL_BYTES = len(_CRC_ELEMENT) + _CRC_TAIL.size + 1
_FIRST_ELEMENT = b"\x02k\x00"  # every record starts with its kind: how the reader finds the next one after damage
_SMALLEST = 4 + len(_FIRST_ELEMENT) + _TAIL_BYTES


class RecordTooLarge(CloisterError, ValueError):
    """One thing to record is larger than a document of the database may be."""

    def __init__(self, kind: str, size_bytes: int) -> None:
        super().__init__(
            f"A record ({kind}) of {size_bytes} bytes does not fit into a document of the database, which takes "
            f"{RECORD_LIMIT_BYTES}. Save it as a file and record that with run.log_artifact."
        )


@dataclass(frozen=True)
class JournalRecord:
    """One record as read back, where in its segment the next one starts, and how many bytes it takes."""

    kind: str
    sequence: int
    time: float
    fields: dict[str, Any]
    end: int
    size: int


def encode_record(kind: Kind, sequence: int, wall_time: float, fields: Mapping[str, Any]) -> bytes:
    """A record's bytes: one BSON document whose last field is the CRC-32 of what stands before it."""
    from bson import encode  # spares `import cloister` the driver

    body = encode({"k": kind, "q": sequence, "t": wall_time, **fields})[4:-1]
    length = 4 + len(body) + _TAIL_BYTES
    if length > RECORD_LIMIT_BYTES:
        raise RecordTooLarge(kind, length)
    return b"".join((_LENGTH.pack(length), body, _CRC_ELEMENT, _CRC_TAIL.pack(zlib.crc32(body)), b"\x00"))


def decode_records(data: bytes, base: int = 0) -> Iterator[JournalRecord]:
    """The whole records in `data`; damaged bytes between them are skipped.

    Args:
        data: bytes of a segment from a record's start.
        base: where in the segment `data` starts; added to `JournalRecord.end`.
    """
    from bson import decode
    from bson.codec_options import CodecOptions
    from bson.errors import BSONError

    codec: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    position = 0
    while position + 4 <= len(data):
        length = _whole_record_length(data, position)
        if length:
            try:
                document = decode(data[position : position + length], codec)
            except BSONError:
                length = 0  # the CRC holds but it is no document: not written by us
        if not length:
            following = data.find(_FIRST_ELEMENT, position + 5)
            if following < 0:
                return
            position = following - 4
            continue
        position += length
        kind, sequence, wall_time = document.pop("k"), document.pop("q"), document.pop("t")
        document.pop("c", None)
        yield JournalRecord(kind, sequence, wall_time, document, base + position, length)


def _whole_record_length(data: bytes, position: int) -> int:
    """The length of the record at `position`, 0 if it is cut off or damaged."""
    (length,) = _LENGTH.unpack_from(data, position)
    if not _SMALLEST <= length <= RECORD_LIMIT_BYTES or position + length > len(data):
        return 0
    tail = position + length - _TAIL_BYTES
    if data[tail : tail + 3] != _CRC_ELEMENT:
        return 0
    (crc,) = _CRC_TAIL.unpack_from(data, tail + 3)
    return length if zlib.crc32(memoryview(data)[position + 4 : tail]) == crc else 0
