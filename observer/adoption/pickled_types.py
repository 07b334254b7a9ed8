"""The types that a pickled record of a run may name, and what becomes of each: decided one by one."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

Construct = Callable[[tuple[Any, ...], Any, list[Any], dict[str, Any]], Any]  # arguments, state, items, pairs


class NoValue(Exception):
    """An object was given what its type does not take."""


def _mapping(arguments: tuple[Any, ...], _state: Any, _items: list[Any], pairs: dict[str, Any]) -> Any:
    first = arguments[-1] if arguments else None
    if isinstance(first, list):  # an OrderedDict of Python 2
        first = {key: value for key, value in first if isinstance(key, str)}
    return {**(first or {}), **pairs}


def _list(arguments: tuple[Any, ...], _state: Any, items: list[Any], _pairs: dict[str, Any]) -> Any:
    first = arguments[0] if arguments and isinstance(arguments[0], list) else []
    return [*first, *items]


def _datetime(arguments: tuple[Any, ...], *_: Any) -> Any:
    packed = _octets(arguments, 10)
    zone = arguments[1] if len(arguments) > 1 else None
    parts = (packed[0] << 8 | packed[1], packed[2] & 0x7F, *packed[3:7])
    year, month, day, hour, minute, second = parts
    # Sacred's dates are UTC without saying so.
    moment = datetime(year, month, day, hour, minute, second, int.from_bytes(packed[7:10], "big"))
    if zone is None:
        return moment.replace(tzinfo=timezone.utc)
    if not isinstance(zone, _Zone):
        raise NoValue("a date in no time zone")
    return (moment - zone.offset).replace(tzinfo=timezone.utc)


def _date(arguments: tuple[Any, ...], *_: Any) -> Any:
    packed = _octets(arguments, 4)
    return date(packed[0] << 8 | packed[1], packed[2], packed[3]).isoformat()


class _Zone:
    """A time zone, as far as a date needs it."""

    def __init__(self, offset: timedelta) -> None:
        self.offset = offset


class _Span:
    """A time span that only a time zone is made of."""


def _timedelta(arguments: tuple[Any, ...], *_: Any) -> Any:
    if len(arguments) > 3 or not all(type(part) is int for part in arguments):
        raise NoValue("a time span of other parts than days, seconds, microseconds")
    return timedelta(*arguments)


def _timezone(arguments: tuple[Any, ...], state: Any, *_: Any) -> Any:
    spans = [part for part in (*arguments, *(state.values() if isinstance(state, dict) else ())) if _is_span(part)]
    if arguments and not spans and type(arguments[0]) in (int, float):  # bson's FixedOffset: minutes
        spans = [timedelta(minutes=arguments[0])]
    return _Zone(spans[0] if spans else timedelta(0))


def _is_span(value: Any) -> bool:
    return isinstance(value, timedelta)


def _object_id(arguments: tuple[Any, ...], state: Any, *_: Any) -> Any:
    from bson import ObjectId

    held = state.get("_ObjectId__id") if isinstance(state, dict) else state
    held = held if held is not None else (arguments[0] if arguments else None)
    if isinstance(held, str) and len(held) == 12:
        held = held.encode("latin-1")  # written by Python 2
    if not (isinstance(held, bytes) and len(held) == 12):
        raise NoValue("an ObjectId that has not 12 bytes")
    return ObjectId(held)


def _whole_number(arguments: tuple[Any, ...], *_: Any) -> Any:
    if len(arguments) != 1 or type(arguments[0]) is not int:
        raise NoValue("an Int64 that is no number")
    return arguments[0]


def _octet_text(arguments: tuple[Any, ...], *_: Any) -> Any:
    held = arguments[0] if arguments else b""
    if not isinstance(held, bytes):
        raise NoValue("bytes that are none")
    return held


def _encoded(arguments: tuple[Any, ...], *_: Any) -> Any:
    """`_codecs.encode`: how protocols 0 to 2 write bytes."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or arguments[1] != "latin1":
        raise NoValue("text in another encoding than latin1")
    return arguments[0].encode("latin-1")


def _uuid(_arguments: tuple[Any, ...], state: Any, *_: Any) -> Any:
    return str(uuid.UUID(int=state["int"]))


def _decimal(_arguments: tuple[Any, ...], state: Any, *_: Any) -> Any:
    from bson import Decimal128

    high, low = state
    packed = int(low).to_bytes(8, "little") + int(high).to_bytes(8, "little")
    return str(Decimal128.from_bid(packed))


def _timestamp(_arguments: tuple[Any, ...], state: Any, *_: Any) -> Any:
    return datetime.fromtimestamp(state["_Timestamp__time"], timezone.utc)


def _as_text(shown: str) -> Construct:
    return lambda *_: shown


def _octets(arguments: tuple[Any, ...], size: int) -> bytes:
    packed = arguments[0] if arguments else None
    if isinstance(packed, str):
        packed = packed.encode("latin-1")
    if not isinstance(packed, bytes) or len(packed) != size:
        raise NoValue("a date of another length")
    return packed


_BUILTINS = ("builtins", "__builtin__")
_DICTS = (
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("bson.son", "SON"),
    ("munch", "Munch"),
    ("sacred.config.custom_containers", "DogmaticDict"),
    ("sacred.config.custom_containers", "FallbackDict"),
    ("sacred.config.custom_containers", "ReadOnlyDict"),
    ("sacred.config.config_summary", "ConfigSummary"),
)
_LISTS = (
    ("sacred.config.custom_containers", "DogmaticList"),
    ("sacred.config.custom_containers", "ReadOnlyList"),
)

CONSTRUCTORS: dict[tuple[str, str], Construct] = {
    **dict.fromkeys(_DICTS, _mapping),
    **dict.fromkeys(_LISTS, _list),
    **{(module, name): _list for module in _BUILTINS for name in ("list", "set", "frozenset", "tuple")},
    **{(module, "dict"): _mapping for module in _BUILTINS},
    **{(module, "bytes"): _octet_text for module in _BUILTINS},
    **{(module, "bytearray"): _octet_text for module in _BUILTINS},
    ("_codecs", "encode"): _encoded,
    ("copyreg", "_reconstructor"): _as_text(""),  # taken apart where it is called
    ("copy_reg", "_reconstructor"): _as_text(""),
    ("datetime", "datetime"): _datetime,
    ("datetime", "date"): _date,
    ("datetime", "timedelta"): _timedelta,
    ("datetime", "timezone"): _timezone,
    ("bson.tz_util", "FixedOffset"): _timezone,
    ("bson.objectid", "ObjectId"): _object_id,
    ("bson.int64", "Int64"): _whole_number,
    ("bson.binary", "Binary"): _octet_text,
    ("bson.decimal128", "Decimal128"): _decimal,
    ("bson.timestamp", "Timestamp"): _timestamp,
    ("bson.min_key", "MinKey"): _as_text("<bson.MinKey>"),
    ("bson.max_key", "MaxKey"): _as_text("<bson.MaxKey>"),
    # They may be stored, and are for MongoDB to run or to match: as values they are only shown.
    ("bson.code", "Code"): _as_text("<bson.Code>"),
    ("bson.regex", "Regex"): _as_text("<bson.Regex>"),
    ("bson.dbref", "DBRef"): _as_text("<bson.DBRef>"),
    ("uuid", "UUID"): _uuid,
}
# Named as an argument (a defaultdict's factory, a base), and never called.
_BASES = ("object", "int", "long", "float", "str", "unicode", "bool")
INERT = frozenset((module, name) for module in _BUILTINS for name in _BASES)
