"""Values as they are written in a query, read by the kind of field that they are compared with."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, get_args

from ..run_status import RunStatus
from .conditions import ME, Moment
from .fields import Field, Kind

STATES: tuple[str, ...] = get_args(RunStatus)
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d[\d_]*", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(
    r"(?:(\d+(?:\.\d+)?)w)?(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?"
    r"(?:(\d+(?:\.\d+)?)s)?",
    re.ASCII,
)
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(Z|[+-]\d\d:?\d\d)?)?", re.ASCII | re.IGNORECASE
)
_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "none": None}


class BadValue(ValueError):
    """A value is none of its field's; the message says what would be."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


def read_value(field: Field, text: str, *, in_quotes: bool) -> Any:
    """The value that `text` stands for beside `field`.

    Raises:
        BadValue: it is none of the field's kind.
    """
    return _READERS[field.kind](field, text, in_quotes)


def read_number(text: str) -> int | float | None:
    """A number, exactly where it is whole; None for what is none."""
    plain = text.lower().lstrip("+-")
    if plain in ("nan", "inf", "infinity"):
        return float(text)
    if not _NUMBER.fullmatch(text) or len(text) > 400:
        return None
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def read_duration(text: str) -> float | None:
    """Seconds: 90, 90s, 2h, 1h30m, 1.5d; None for what is no duration."""
    parts = _DURATION.fullmatch(text.lower()) if text else None
    if parts is None:
        number = read_number(text)
        return float(number) if number is not None and abs(number) < 1e12 else None
    return sum(
        float(amount) * seconds
        for amount, seconds in zip(parts.groups(), (604800, 86400, 3600, 60, 1), strict=True)
        if amount
    )


def read_moment(text: str) -> Moment | None:
    """-7d, 2026-11-01, 2026-11-01T10:00Z, today; None for what is no time. Without a zone it is UTC."""
    word = text.lower()
    if word in _DAYS:
        return Moment(days=_DAYS[word])
    if word == "now":
        return Moment(ago=timedelta(0))
    if word.startswith("-") and not read_number(word):
        seconds = read_duration(word[1:])
        return None if seconds is None or seconds > 1e10 else Moment(ago=timedelta(seconds=seconds))
    return _read_date(text)


def _read_date(text: str) -> Moment | None:
    found = _MOMENT.fullmatch(text)
    if not found:
        return None
    day, clock, zone = found.groups()
    try:
        if clock is None:
            start = datetime.fromisoformat(day).replace(tzinfo=timezone.utc)
            return Moment(start, start + timedelta(days=1))
        offset = "+00:00" if zone is None or zone in "Zz" else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
        seconds = clock if clock.count(":") == 2 else f"{clock}:00"
        whole, _, part = seconds.partition(".")  # Python 3.10 takes three or six digits alone
        moment = datetime.fromisoformat(f"{day}T{whole}.{part:0<6}{offset}")
        return Moment(moment.astimezone(timezone.utc))
    except (ValueError, OverflowError):  # the 31st of February, the year 0
        return None


def _text(field: Field, text: str, in_quotes: bool) -> Any:
    return ME if field.key == "owner" and text.lower() == "me" and not in_quotes else text


def _any(field: Field, text: str, in_quotes: bool) -> Any:
    if in_quotes:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    number = read_number(text)
    return text if number is None else number


def _number(field: Field, text: str, in_quotes: bool) -> Any:
    number = read_number(text)
    if number is None:
        raise BadValue(f"{field.key} is a number, and {text[:40]!r} is none.")
    return number


def _id(field: Field, text: str, in_quotes: bool) -> Any:
    is_number = not in_quotes and _INTEGER.fullmatch(text) and len(text) < 19
    return int(text) if is_number else text


def _status(field: Field, text: str, in_quotes: bool) -> Any:
    if text.lower() in STATES:
        return text.lower()
    nearest = difflib.get_close_matches(text.lower(), STATES, n=1, cutoff=0.75)
    if nearest and not in_quotes:
        raise BadValue(f"No run has the status {text[:40]!r}.", nearest[0])
    return text  # a status of somebody's own, as Sacred's runs may have


def _time(field: Field, text: str, in_quotes: bool) -> Any:
    moment = read_moment(text)
    if moment is None:
        raise BadValue(f"{field.key} is a time, and {text[:40]!r} is none. Say -7d, 2026-11-01 or 2026-11-01T10:00Z.")
    return moment


def _duration(field: Field, text: str, in_quotes: bool) -> Any:
    seconds = read_duration(text)
    if seconds is None or seconds != seconds:
        raise BadValue(f"{field.key} is a span of time, and {text[:40]!r} is none. Say 90s, 2h or 1h30m.")
    return seconds


def _flag(field: Field, text: str, in_quotes: bool) -> Any:
    value = {"true": True, "yes": True, "false": False, "no": False}.get(text.lower())
    if value is None:
        raise BadValue(f"{field.key} is true or false, not {text[:40]!r}.")
    return value


_READERS: dict[Kind, Callable[[Field, str, bool], Any]] = {
    "id": _id,
    "text": _text,
    "list": _text,
    "status": _status,
    "time": _time,
    "duration": _duration,
    "number": _number,
    "flag": _flag,
    "any": _any,
}
