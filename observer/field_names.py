"""User-chosen names as MongoDB field names: any text, reversibly, in one place."""

from __future__ import annotations

import re
from typing import Any

# "." and "$" mean something in MongoDB's queries, NUL ends a BSON key, a lone surrogate has no UTF-8, "%" is ours.
_UNSAFE = re.compile("[%.$\x00\ud800-\udfff]")
_ESCAPE = re.compile("%([0-9A-F]{2}|u[0-9A-F]{4})")
_EMPTY = "%"
_CONTAINERS = (dict, list, tuple)


def encode_field_name(name: str) -> str:
    """`name` as a field name without '.', '$' and NUL; `decode_field_name` gives it back exactly."""
    if name == "":
        return _EMPTY
    return _UNSAFE.sub(lambda match: _escape(match.group()), name)


def decode_field_name(field: str) -> str:
    """The name that `encode_field_name` was given. Foreign names without escapes come back as they are."""
    if "%" not in field:  # nearly every name, and a page of runs has thousands
        return field
    if field == _EMPTY:
        return ""
    return _ESCAPE.sub(lambda match: chr(int(match.group(1).lstrip("u"), 16)), field)


def decode_field_names(value: Any) -> Any:
    """`value` with the keys of all dicts in it decoded, at any depth."""
    return _rename(value, decode_field_name)


def _rename(value: Any, rename: Any) -> Any:
    if isinstance(value, dict):
        # A leaf is no call: a page of fifty runs has thousands.
        return {
            rename(str(key)): _rename(child, rename) if isinstance(child, _CONTAINERS) else child
            for key, child in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_rename(child, rename) for child in value]
    return value


def _escape(character: str) -> str:
    code = ord(character)
    return f"%{code:02X}" if code < 256 else f"%u{code:04X}"
