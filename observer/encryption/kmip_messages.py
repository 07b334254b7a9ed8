"""KMIP's messages: tag, type, length, value; requests of one operation, and what the answer says.

Source: OASIS, Key Management Interoperability Protocol Specification Version 1.2, section 9.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

STRUCTURE, INTEGER, ENUMERATION, TEXT, BYTES = 1, 2, 5, 7, 8
_PREFIX = 0x42
DEEPEST = 16

# Tags, without their first byte 0x42.
ATTRIBUTE, ATTRIBUTE_NAME, ATTRIBUTE_VALUE = 0x0008, 0x000A, 0x000B
BATCH_COUNT, BATCH_ITEM = 0x000D, 0x000F
KEY_BLOCK, KEY_FORMAT_TYPE, KEY_MATERIAL, KEY_VALUE = 0x0040, 0x0042, 0x0043, 0x0045
NAME_TYPE, NAME_VALUE = 0x0054, 0x0055
OBJECT_TYPE, OPERATION = 0x0057, 0x005C
PROTOCOL_VERSION, VERSION_MAJOR, VERSION_MINOR = 0x0069, 0x006A, 0x006B
REQUEST_HEADER, REQUEST_MESSAGE, REQUEST_PAYLOAD = 0x0077, 0x0078, 0x0079
RESPONSE_PAYLOAD, RESULT_MESSAGE, RESULT_REASON, RESULT_STATUS = 0x007C, 0x007D, 0x007E, 0x007F
REVOCATION_REASON, REVOCATION_REASON_CODE = 0x0081, 0x0082
SECRET_DATA, SECRET_DATA_TYPE = 0x0085, 0x0086
TEMPLATE_ATTRIBUTE, UNIQUE_IDENTIFIER = 0x0091, 0x0094

# Values of enumerations.
REGISTER, LOCATE, GET, GET_ATTRIBUTES, ACTIVATE, REVOKE, DESTROY = 0x03, 0x08, 0x0A, 0x0B, 0x12, 0x13, 0x14
OBJECT_SECRET_DATA, SEED, OPAQUE, NAME_IS_TEXT, CESSATION = 7, 2, 2, 1, 6
ITEM_NOT_FOUND = 1


@dataclass(frozen=True)
class Item:
    """A field: its value is a text, bytes, a number, or the fields in it."""

    tag: int
    kind: int
    value: str | bytes | int | tuple[Item, ...]

    def encoded(self) -> bytes:
        if isinstance(self.value, tuple):
            data = b"".join(item.encoded() for item in self.value)
        elif isinstance(self.value, int):
            data = struct.pack(">i" if self.kind == INTEGER else ">I", self.value)
        else:
            data = self.value.encode() if isinstance(self.value, str) else self.value
        return struct.pack(">BHBI", _PREFIX, self.tag, self.kind, len(data)) + data + bytes(-len(data) % 8)

    def find(self, *tags: int) -> Item | None:
        """The field at the end of this path, the first of its tag at each step."""
        found: Item | None = self
        for tag in tags:
            inner = found.value if found is not None and isinstance(found.value, tuple) else ()
            found = next((item for item in inner if item.tag == tag), None)
        return found

    def all(self, tag: int) -> Iterator[Item]:
        yield from (item for item in (self.value if isinstance(self.value, tuple) else ()) if item.tag == tag)


def structure(tag: int, *items: Item) -> Item:
    return Item(tag, STRUCTURE, items)


def text(tag: int, value: str) -> Item:
    return Item(tag, TEXT, value)


def enumeration(tag: int, value: int) -> Item:
    return Item(tag, ENUMERATION, value)


def name_attribute(name: str) -> Item:
    value = structure(ATTRIBUTE_VALUE, text(NAME_VALUE, name), enumeration(NAME_TYPE, NAME_IS_TEXT))
    return structure(ATTRIBUTE, text(ATTRIBUTE_NAME, "Name"), value)


def attribute(name: str, value: str | int) -> Item:
    stored = text(ATTRIBUTE_VALUE, value) if isinstance(value, str) else Item(ATTRIBUTE_VALUE, INTEGER, value)
    return structure(ATTRIBUTE, text(ATTRIBUTE_NAME, name), stored)


def request(operation: int, *payload: Item) -> bytes:
    """A request of one operation, version 1.2."""
    version = structure(PROTOCOL_VERSION, Item(VERSION_MAJOR, INTEGER, 1), Item(VERSION_MINOR, INTEGER, 2))
    header = structure(REQUEST_HEADER, version, Item(BATCH_COUNT, INTEGER, 1))
    batch = structure(BATCH_ITEM, enumeration(OPERATION, operation), structure(REQUEST_PAYLOAD, *payload))
    return structure(REQUEST_MESSAGE, header, batch).encoded()


def decode(data: bytes, depth: int = 0) -> Item:
    """The field that `data` begins with.

    Raises:
        ValueError: it is cut, or nested too deeply.
    """
    return next(_decode_all(data, depth))


def _decode_all(data: bytes, depth: int) -> Iterator[Item]:
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError("cut")
        prefix, tag, kind, length = struct.unpack_from(">BHBI", data, at)
        value = data[at + 8 : at + 8 + length]
        if prefix != _PREFIX or len(value) != length:
            raise ValueError("cut")
        yield Item(tag, kind, _value(kind, value, depth))
        at += 8 + length + -length % 8


def _value(kind: int, data: bytes, depth: int) -> str | bytes | int | tuple[Item, ...]:
    if kind == STRUCTURE:
        return tuple(_decode_all(data, depth + 1))
    if kind == TEXT:
        return data.decode("utf-8", "replace")
    if kind in (INTEGER, ENUMERATION) and len(data) == 4:
        return int.from_bytes(data, "big", signed=kind == INTEGER)
    return data
