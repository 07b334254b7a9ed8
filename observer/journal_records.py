"""The journal's format: a record as bytes, and bytes as records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from .errors import CloisterError
from .journal_points import pack_points

FORMAT = 1
RECORD_LIMIT_BYTES = 15 * 1024 * 1024  # MongoDB takes 16 MiB; the rest is for the keys that the courier adds

Kind = Literal[
    "header", "points", "console", "set", "beat", "artifact", "resource", "source", "attach", "end",
    "column", "add", "unset", "values", "ask", "event",
]  # fmt: skip

_LENGTH = struct.Struct("<i")
# The last element of every record: type int64, name "c", the CRC-32 of all bytes between the length and this element.
_CRC_ELEMENT = b"\x12c\x00"
_TAIL = struct.Struct("<3sqB")  # with the NUL that ends a document
TAIL_BYTES = _TAIL.size
CRC_FROM_END = 9  # where its 32 bits stand
_FIRST_ELEMENT = b"\x02k\x00"  # every record starts with its kind: how the reader finds the next one after damage
SMALLEST = 4 + len(_FIRST_ELEMENT) + TAIL_BYTES


class RecordTooLarge(CloisterError, ValueError):
    """One thing to record is larger than a document of the database may be."""

    def __init__(self, kind: str, size_bytes: int) -> None:
        super().__init__(
            f"A record ({kind}) of {size_bytes} bytes does not fit into a document of the database, which takes "
            f"{RECORD_LIMIT_BYTES}. Save it as a file and record that with run.log_artifact."
        )


class NewerJournal(CloisterError, ValueError):
    """A journal was written by a later version of Cloister, in a format that this one does not know."""

    def __init__(self, found: object) -> None:
        super().__init__(
            f"The journal has format {found}; this version of Cloister reads format {FORMAT}. It is kept as it is. "
            "Update Cloister on this machine, and it will be shipped."
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
    """A record's bytes: one BSON document whose last field is the CRC-32 of what stands before it.

    Raises:
        RecordTooLarge, OverflowError, bson.errors.InvalidDocument: `fields` is no BSON that the database takes.
    """
    body = None
    if kind == "points" and len(fields) == 2:
        body = pack_points(sequence, wall_time, fields["s"], fields["v"])
    if body is None:
        from bson import encode  # spares `import cloister` the driver

        body = encode({"k": kind, "q": sequence, "t": wall_time, **fields})[4:-1]
    length = 4 + len(body) + TAIL_BYTES
    if length > RECORD_LIMIT_BYTES:
        raise RecordTooLarge(kind, length)
    return b"".join((_LENGTH.pack(length), body, _TAIL.pack(_CRC_ELEMENT, zlib.crc32(body), 0)))


def decode_records(data: bytes, base: int = 0) -> Iterator[JournalRecord]:
    """The whole records in `data`; damaged bytes between them are skipped.

    Args:
        data: bytes of a segment from a record's start.
        base: where in the segment `data` starts; added to `JournalRecord.end`.
    """
    for position, length in find_records(data):
        record = decode_record(data, position, length, base)
        if record is not None:
            yield record


def check_format(header: JournalRecord) -> None:
    """Refuse the rest of a segment whose first record, `header`, is of a later version.

    Raises:
        NewerJournal: so it is. Whoever ships keeps the segment and goes on with other runs.
    """
    found = header.fields.get("format", FORMAT)
    if not isinstance(found, int) or found > FORMAT:
        raise NewerJournal(found)


def find_records(data: bytes, *, goes_on: bool = False) -> Iterator[tuple[int, int]]:
    """Start and length of each record in `data` whose checksum holds.

    After damage the next one is sought by the bytes with which every record begins: in one pass over what is damaged.

    Args:
        goes_on: more may follow `data`, so a record that reaches beyond it is no damage, and not searched: it may hold
            what a training printed, and that may look like a record.
    """
    view, size = memoryview(data), len(data)
    length_at, tail_at, crc32 = _LENGTH.unpack_from, _TAIL.unpack_from, zlib.crc32  # this loop meets every record
    position = known = 0  # at `known` a record begins, unless it is damaged
    while position + SMALLEST <= size:
        (length,) = length_at(data, position)
        end = position + length
        if goes_on and end > size and position == known and length <= RECORD_LIMIT_BYTES:
            return
        if SMALLEST <= length <= RECORD_LIMIT_BYTES and end <= size:
            marker, crc, nul = tail_at(data, end - TAIL_BYTES)
            if marker == _CRC_ELEMENT and nul == 0 and crc32(view[position + 4 : end - TAIL_BYTES]) == crc:
                yield position, length
                position = known = end
                continue
        following = data.find(_FIRST_ELEMENT, position + 5)
        if following < 0:
            return
        position = following - 4


def decode_record(data: bytes, position: int, length: int, base: int = 0) -> JournalRecord | None:
    """The record at `position`, None if what stands there is not of our making although its checksum holds."""
    from bson import decode
    from bson.errors import BSONError

    try:
        document = decode(data[position : position + length], _codec())
        kind, sequence, wall_time = document.pop("k"), document.pop("q"), document.pop("t")
        del document["c"]
    except (BSONError, KeyError):
        return None
    if not (isinstance(kind, str) and isinstance(sequence, int) and isinstance(wall_time, float)):
        return None
    return JournalRecord(kind, sequence, wall_time, document, base + position + length, length)


@cache
def _codec() -> Any:
    from bson.codec_options import CodecOptions

    return CodecOptions(tz_aware=True)
