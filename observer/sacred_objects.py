"""Objects that jsonpickle describes, as plain values: those that many configs and results hold."""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

CLASS_KEY = "<class>"
NAME_LIMIT = 200
SHOWN_LIMIT = 1_000

_DATETIME, _DATE, _TIME = "datetime.datetime", "datetime.date", "datetime.time"
_PATTERNS = ("re.Pattern", "_sre.SRE_Pattern")
SIMPLE_TYPES = frozenset(
    (_DATETIME, _DATE, _TIME, *_PATTERNS, "builtins.complex", "uuid.UUID", "array.array", "pandas.Timestamp")
)
_LISTS = frozenset(["builtins.frozenset", "builtins.set", "builtins.list", "builtins.tuple", "collections.deque"])
_DICTS = frozenset(["builtins.dict", "collections.OrderedDict", "collections.defaultdict", "collections.Counter"])
_PATHS = frozenset(["Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath"])
# Dicts of Sacred's own, around the config that it hands to functions.
_PLAIN_DICTS = frozenset(("ReadOnlyDict", "DogmaticDict", "FallbackDict", "Munch", "ConfigSummary"))


def class_name(name: str) -> str:
    """A class as it is shown: of bounded length, Python 2's builtins called as today's."""
    name = name[:NAME_LIMIT]
    return f"builtins.{name[len('__builtin__.') :]}" if name.startswith("__builtin__.") else name


def has_plain_items(name: str) -> bool:
    """Whether an object of this class is no more than a dict."""
    return name in _DICTS or name.rpartition(".")[2] in _PLAIN_DICTS


def describe(value: Any) -> str:
    """A plain value in a line, as Python would write it, shortened."""
    if isinstance(value, (list, dict)):
        value = list(value.items())[:50] if isinstance(value, dict) else value[:50]
        return f"[{', '.join(describe_leaf(item) for item in value)}]"[:SHOWN_LIMIT]
    return describe_leaf(value)


def describe_leaf(value: Any) -> str:
    if isinstance(value, (str, bytes)):
        return repr(value[:NAME_LIMIT])
    if isinstance(value, (list, tuple)):
        return f"[{len(value)} values]" if len(value) > 8 else f"({', '.join(map(_shallow, value))})"
    return _shallow(value)


def _shallow(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        return "..."
    return repr(value[:NAME_LIMIT] if isinstance(value, (str, bytes)) else value)[:NAME_LIMIT]


def read_simple(name: str, node: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
    """An object of `SIMPLE_TYPES`, or a number of numpy's.

    Raises:
        ValueError, TypeError, LookupError, OverflowError: the description is damaged.
    """
    if name in (_DATETIME, _DATE, _TIME):
        return _read_date(name, node["__reduce__"][1], read)
    if name in _PATTERNS:
        return str(node["pattern"])
    if name == "builtins.complex":
        real, imaginary = read(node["py/newargs"])
        return complex_text(complex(real, imaginary))
    if name == "uuid.UUID":
        digits = str(node["hex"])[:32]
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if name == "array.array":
        return read(node["values"])
    if name == "pandas.Timestamp":
        return datetime.datetime.fromisoformat(str(node["isoformat"])[:26])
    return read(node["value"]) if "value" in node else f"<dtype {str(node['dtype'])[:NAME_LIMIT]}>"


def complex_text(number: complex) -> str:
    return str(number).strip("()")


def _read_date(name: str, arguments: Any, read: Callable[[Any], Any]) -> Any:
    packed = base64.b64decode(arguments[0])
    if name == _TIME:
        hour, minute, second, *micro = packed
        return datetime.time(hour & 0x7F, minute, second, int.from_bytes(micro, "big")).isoformat()
    year, month, day = int.from_bytes(packed[:2], "big"), packed[2] & 0x7F, packed[3]
    if name == _DATE:
        return datetime.date(year, month, day).isoformat()
    hour, minute, second, *micro = packed[4:]
    when = datetime.datetime(year, month, day, hour, minute, second, int.from_bytes(micro, "big"))
    if len(arguments) < 2:
        return when
    zone = read(arguments[1])
    offset = _ZONE.fullmatch(zone) if isinstance(zone, str) else None
    if offset is None:
        return f"{when.isoformat()} {describe_leaf(zone)}"
    return datetime.datetime.fromisoformat(when.isoformat() + (offset[1] or "+00:00")).astimezone(datetime.timezone.utc)


# ---- what __reduce__ names: a callable by its name, and plain arguments


def rebuild(name: str, arguments: list[Any], items: Any, pairs: Any) -> tuple[bool, Any]:
    """Whether `name` is known here, and what it would have made of its arguments, as a plain value.

    Args:
        items, pairs: what is put into it afterwards, as into a list or a dict; None or lists.

    Raises:
        ValueError, TypeError, LookupError, OverflowError, ArithmeticError: the arguments are not such as it takes.
    """
    module, _, last = name.rpartition(".")
    if name in _LISTS:
        contents = [*(arguments[0] if arguments else []), *(items or [])]
        return True, sorted(contents, key=describe_leaf) if last in ("set", "frozenset") else contents
    if name in _DICTS:
        given = arguments[0] if arguments and isinstance(arguments[0], (dict, list)) else {}
        found = [*(given.items() if isinstance(given, dict) else given), *(pairs or [])]
        return True, {key if isinstance(key, str) else describe_leaf(key): value for key, value in found}
    if last in _PATHS and module.startswith("pathlib"):
        kind = PureWindowsPath if "Windows" in last else PurePosixPath
        return True, str(kind(*(str(part) for part in arguments)))
    if name in _BY_NAME:
        return True, _BY_NAME[name](arguments)
    return False, None


def _zone(arguments: list[Any]) -> str:
    """`datetime.timezone` of a difference as `str` writes it."""
    match = _DIFFERENCE.fullmatch(arguments[0])
    if match is None:
        raise ValueError(f"{arguments[0]!r} is no difference")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return str(datetime.timezone(datetime.timedelta(days, hours * 3600 + minutes * 60 + seconds)))


def _difference(arguments: list[Any]) -> str:
    return str(datetime.timedelta(*(int(part) for part in arguments[:3])))


_DIFFERENCE = re.compile(r"(?:(-?\d+) days?, )?(\d+):(\d\d):(\d\d)(?:\.\d+)?", re.ASCII)
_ZONE = re.compile(r"UTC([+-]\d\d:\d\d(?::\d\d)?)?", re.ASCII)
_BY_NAME: dict[str, Callable[[list[Any]], Any]] = {
    "datetime.timedelta": _difference,
    "datetime.timezone": _zone,
    "pytz._UTC": lambda _arguments: "UTC",
    "pytz._p": lambda arguments: str(datetime.timezone(datetime.timedelta(seconds=int(arguments[1])))),
    "decimal.Decimal": lambda arguments: str(arguments[0])[:SHOWN_LIMIT],
    "fractions.Fraction": lambda arguments: "/".join(str(part)[:SHOWN_LIMIT] for part in arguments[:2]),
    "builtins.range": lambda arguments: f"range({', '.join(map(describe_leaf, arguments[:3]))})",
    "builtins.slice": lambda arguments: f"slice({', '.join(map(describe_leaf, arguments[:3]))})",
    "builtins.complex": lambda arguments: complex_text(complex(*arguments[:2])),
    "builtins.iter": lambda arguments: arguments[0],
    "builtins.getattr": lambda arguments: f"<{str(arguments[0]).strip('<>')}.{arguments[1]}>"[:SHOWN_LIMIT],
}


def foreign_text(value: Any) -> Any:
    """A leaf that is no plain value: numbers of other classes as numbers, BSON's own types as text."""
    if isinstance(value, bool) or value is None:
        return bool(value) if value is not None else None
    for plain in (int, float, str, bytes):
        if isinstance(value, plain):
            return plain(value)  # type: ignore[arg-type]
    if isinstance(value, datetime.datetime):
        return value
    kind = type(value).__name__
    if kind in ("ObjectId", "Decimal128", "UUID"):
        return str(value)
    if kind == "Regex":
        return f"<Regex {describe_leaf(value.pattern)}>"
    if kind == "Code":
        return f"<Code {describe_leaf(str(value))}>"
    if kind == "DatetimeMS":
        return f"<a date outside of the years 1 to 9999: {int(value)} ms since 1970>"
    return f"<{kind}>"
