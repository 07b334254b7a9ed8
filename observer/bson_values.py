"""Any Python value as something that BSON holds: bounded in size and depth, never raising, never executing for long."""

from __future__ import annotations

import datetime
import enum
import sys
import types
from collections.abc import Iterable, Mapping, Set, Sized
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

from .field_names import encode_field_name

DEPTH_LIMIT = 50  # MongoDB takes 100 levels; readers of ours and of Sacred's add a few around a value
ITEMS_LIMIT = 100_000
TEXT_LIMIT = 1_000_000
VALUE_LIMIT_BYTES = 3 * 1024 * 1024  # a run has its config twice, a result and more in one document of 16 MiB
FAIR_DEPTH = 2  # down to here one value may take half of the room that is left
ITEM_BYTES = 16  # an item of a list costs about so much in BSON beside its text
KEY_LIMIT = 20_000
NAME_LIMIT = 4_096  # characters of what names a run, a tag, a file
PLACEHOLDER_TEXT_LIMIT = 1_000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_NAMED = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def to_bson(value: Any, limit_bytes: int = VALUE_LIMIT_BYTES) -> Any:
    """`value` as plain documents, lists, numbers, text, dates; what has no such form becomes a short text.

    Dict keys are encoded as field names. Ints beyond 64 bits become text. Arrays and scalars of numpy and torch become
    lists and numbers. A cycle, a value nested too deeply and what does not fit leave a mark in angle brackets.

    Args:
        limit_bytes: how much of it there may be, about.
    """
    return BsonConverter(limit_bytes).convert(value, 0)


def to_text(value: Any, limit: int = TEXT_LIMIT) -> str:
    """`value` as a text that BSON holds, of about `limit` characters at most."""
    try:
        return _clean_text(value if isinstance(value, str) else str(value), limit)
    except Exception:
        # Wide on purpose: `__str__` is the user's own.
        return _placeholder(value)


def key_text(key: Any) -> str:
    """The key of a dict as text, of bounded length; lone surrogates stay, field names can spell them."""
    return str.__str__(key)[:KEY_LIMIT] if isinstance(key, str) else to_text(key, KEY_LIMIT)


class BsonConverter:
    """Carries what has been seen on the way down and how much room is left, for one value."""

    def field_name(self, key: Any) -> str:
        """A dict's key as a field name."""
        return encode_field_name(key_text(key))

    def foreign(self, value: Any) -> Any:
        """What has no plain form."""
        return _placeholder(value)

    def __init__(self, limit_bytes: int) -> None:
        self._ancestors: set[int] = set()
        self._items_left = ITEMS_LIMIT
        self._bytes_left = limit_bytes

    def convert(self, value: Any, depth: int) -> Any:
        try:
            return self._leaf(value, depth)
        except Exception:
            # Wide on purpose: the value is the user's own object, its methods may raise anything, and one bad value
            # may cost that value alone.
            return _placeholder(value)

    def _leaf(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.convert(value.value, depth + 1)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int):
            return _plain_int(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, bytes):
            return self._bytes(value)
        if isinstance(value, datetime.datetime):
            return _plain_datetime(value)
        if isinstance(value, (PurePath, datetime.date, datetime.time, datetime.timedelta)):
            return self._text(str(value))
        return self._container(value, depth)

    def _text(self, value: str) -> str:
        text = _clean_text(value, min(TEXT_LIMIT, max(self._bytes_left // 2, 0)))
        self._bytes_left -= len(text.encode())
        return text

    def _bytes(self, value: bytes) -> bytes | str:
        if len(value) > min(TEXT_LIMIT, self._bytes_left // 2):
            return f"<{len(value)} bytes>"
        self._bytes_left -= len(value)
        return bytes(value)

    def _container(self, value: Any, depth: int) -> Any:
        if depth >= DEPTH_LIMIT:
            return "<nested too deeply>"
        if id(value) in self._ancestors:
            return "<contains itself>"
        self._ancestors.add(id(value))
        kept = self._set_apart() if 0 < depth <= FAIR_DEPTH else (0, 0)
        try:
            return self._children(value, depth + 1)
        finally:
            self._ancestors.discard(id(value))
            self._items_left += kept[0]
            self._bytes_left += kept[1]

    def _set_apart(self) -> tuple[int, int]:
        """Keep half of the room for what comes behind a value: a huge one costs itself, and not its neighbours."""
        kept = self._items_left // 2, self._bytes_left // 2
        self._items_left -= kept[0]
        self._bytes_left -= kept[1]
        return kept

    def _children(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value.items(), depth)
        if isinstance(value, (list, tuple)):
            return self._items(value, depth)
        if isinstance(value, (set, frozenset, Set)):
            return sorted(self._items(value, depth), key=repr)
        if is_dataclass(value) and not isinstance(value, type):
            return self._mapping(((field.name, _attribute(value, field.name)) for field in fields(value)), depth)
        plain = _plain_number_or_array(value)
        if plain is not value:
            return self.convert(plain, depth)
        return self.foreign(value)

    def _mapping(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for key, child in items:
            if not self._has_room():
                document["<more>"] = _rest(items, len(document))
                break
            name = self.field_name(key)
            while name in document:  # 1 and "1" are two keys in Python and must stay two
                name += "'"
            self._bytes_left -= len(name.encode())
            document[name] = self.convert(child, depth)
        return document

    def _items(self, value: Iterable[Any], depth: int) -> list[Any]:
        items: list[Any] = []
        for child in value:
            if not self._has_room():
                items.append(_rest(value, len(items)))
                break
            items.append(self.convert(child, depth))
        return items

    def _has_room(self) -> bool:
        """Whether another item has room, which is then taken."""
        self._items_left -= 1
        self._bytes_left -= ITEM_BYTES
        return self._items_left >= 0 and self._bytes_left >= 0


def _rest(whole: Iterable[Any], taken: int) -> str:
    count = f"{len(whole) - taken} " if isinstance(whole, Sized) else ""
    return f"<{count}more, which do not fit into a document: save them with run.log_artifact>"


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception as error:
        # Wide on purpose: it may be a property, which is the user's own code.
        return f"<could not be read: {type(error).__name__}>"


def _plain_number_or_array(value: Any) -> Any:
    """numpy's and torch's numbers and arrays as Python's; anything else unchanged. Imports neither of the two."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.numel() > ITEMS_LIMIT:
            return f"<tensor of shape {tuple(value.shape)}, {value.dtype}>"
        return value.detach().cpu().tolist()
    if numpy is not None and isinstance(value, numpy.generic):
        plain = value.item()
        return _placeholder(value) if isinstance(plain, (numpy.generic, tuple)) else plain
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.tolist() if value.size <= ITEMS_LIMIT else f"<array of shape {value.shape}, {value.dtype}>"
    return value


def _plain_int(value: int) -> int | str:
    number = int.__index__(value)  # a subclass may compare as it likes
    if INT64_MIN <= number <= INT64_MAX:
        return number
    return str(number) if number.bit_length() < 3000 else f"<an int of {number.bit_length()} bits>"


def _plain_datetime(value: datetime.datetime) -> datetime.datetime | str:
    """A date that BSON holds; pandas' and other subclasses have years that are none, or zones that fail."""
    day = (value.year, value.month, value.day)
    plain = datetime.datetime(*day, value.hour, value.minute, value.second, value.microsecond, value.tzinfo)
    try:
        return plain if plain.tzinfo is None else plain.astimezone(datetime.timezone.utc)
    except OverflowError:  # the first or the last day there is, in a zone where it is another day
        return plain.isoformat()


def _placeholder(value: Any) -> str:
    """What a value is, in words. Never calls its repr: that may take for ever, or raise, or hold a secret."""
    try:
        kind = type(value)
        name = f" {value.__qualname__}" if isinstance(value, _NAMED) else ""
        return _clean_text(f"<{kind.__module__}.{kind.__qualname__}{name}>", PLACEHOLDER_TEXT_LIMIT)
    except Exception:
        # Wide on purpose: even a class may be made so that asking for its name fails.
        return "<an object>"


def _clean_text(text: str, limit: int) -> str:
    plain = str.__str__(text)
    if len(plain) > limit:
        plain = f"{plain[:limit]} <{len(plain) - limit} more characters>"
    # Lone surrogates have no UTF-8; they come from file names and from broken decoding.
    return plain.encode("utf-8", "backslashreplace").decode("utf-8")
