"""How people are told times, durations, numbers, sizes and counts (VISUAL section 8): by pages and in a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

from .encryption.opened import LockedText

MISSING = "\u2013"  # an en dash
MINUS = "\u2212"  # the real one, as wide as a digit
MIN_DIGITS, MAX_DIGITS = 3, 6
MOSTLY = 0.9
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


# ---- times

_zone: ContextVar[tzinfo | None] = ContextVar("zone of whoever reads", default=None)


def read_in_zone(zone: tzinfo | None) -> None:
    """From here on, in this thread, write times in `zone`; None is this machine's own."""
    _zone.set(zone)


def in_reader_zone(when: datetime) -> datetime:
    """The same moment by the clock of whoever reads."""
    return when.astimezone(_zone.get())


def format_ago(when: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in the one unit that matters; from a week on the date."""
    if when is None:
        return MISSING
    now = now or datetime.now(timezone.utc)
    seconds = (now - when).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h ago"
    days = (in_reader_zone(now).date() - in_reader_zone(when).date()).days
    if days <= 1:
        return "yesterday"
    return f"{days} days ago" if days <= 7 else format_date(when)


def format_clock_time(when: datetime | None, now: datetime | None = None) -> str:
    """The time of day today, the date and time before."""
    if when is None:
        return MISSING
    local = in_reader_zone(when)
    days = (in_reader_zone(now or datetime.now(timezone.utc)).date() - local.date()).days
    if days == 0:
        return local.strftime("%H:%M")
    return local.strftime("yesterday %H:%M") if days == 1 else format_date(when)


def format_date(when: datetime) -> str:
    return in_reader_zone(when).strftime("%Y-%m-%d %H:%M")


def format_iso(when: datetime | None) -> str:
    """For titles: to the second, with the zone."""
    return in_reader_zone(when).isoformat(sep=" ", timespec="seconds") if when else ""


def format_duration(span: timedelta | float | None) -> str:
    """41s, 12m 08s, 1h 52m, 2d 4h."""
    if span is None:
        return MISSING
    seconds = int(span.total_seconds() if isinstance(span, timedelta) else span)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"
    return f"{seconds // 86400}d {seconds % 86400 // 3600}h"


# ---- numbers


def format_number(value: Any, digits: int = 4) -> str:
    """One number on its own, to `digits` significant digits."""
    if value is None:
        return MISSING
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return _strip_zeros(_format_one(value, digits, _decimals((value,), digits)))


def format_exact(value: Any) -> str:
    """All digits, for titles."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def format_column(values: Iterable[Any]) -> list[str]:
    """The values of one column in one precision: the fewest digits, 3 to 6, that tell them apart.

    In a long column a few pairs always lie close by chance; one value in ten may then read like another, so that
    they do not cost every row two more digits. The highest and the lowest never read like their neighbours.
    """
    cells = list(values)
    numbers = [cell for cell in cells if _is_number(cell)]
    finite = [number for number in numbers if math.isfinite(number)]
    if finite and all(isinstance(number, int) or (number.is_integer() and abs(number) < 1e15) for number in finite):
        return [_signed(f"{int(cell):,}") if _is_finite(cell) else _format_odd(cell) for cell in cells]
    digits = _digits_that_tell_apart(finite)
    decimals = _decimals(finite, digits)
    return [_format_one(cell, digits, decimals) if _is_number(cell) else _format_odd(cell) for cell in cells]


def format_difference(value: float, digits: int = 3) -> str:
    """A difference with its sign, the real minus too: +0.0131."""
    text = format_number(value, digits)
    return text if text.startswith(MINUS) or value == 0 or value != value else f"+{text}"


def _digits_that_tell_apart(numbers: Sequence[float]) -> int:
    distinct = sorted(set(numbers))
    for digits in range(MIN_DIGITS, MAX_DIGITS):
        decimals = _decimals(numbers, digits)
        shown = [_format_one(number, digits, decimals) for number in distinct]
        ends_differ = len(set(shown[:2])) == len(shown[:2]) and len(set(shown[-2:])) == len(shown[-2:])
        if ends_differ and len(set(shown)) >= MOSTLY * len(distinct):
            return digits
    return MAX_DIGITS if distinct else MIN_DIGITS


def _decimals(numbers: Iterable[float], digits: int) -> int:
    """Decimals that give the largest of `numbers` that many digits; a leading zero is not counted as one."""
    largest = max((abs(number) for number in numbers if math.isfinite(number)), default=0.0)
    if largest < 1:
        return digits
    return max(0, digits - 1 - math.floor(math.log10(largest)))


def _format_one(number: float, digits: int, decimals: int) -> str:
    if not math.isfinite(number):
        return _format_odd(number)
    size = abs(number)
    if number == 0:
        return "0"
    if size < 0.001 or size >= 1e15:
        return _signed(_scientific(number, max(1, digits - 2)))
    return _signed(f"{number:,.{decimals}f}")


def _scientific(number: float, decimals: int) -> str:
    mantissa, _, exponent = f"{number:.{decimals}e}".partition("e")
    return f"{_strip_zeros(mantissa)}e{int(exponent)}"


def _format_odd(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else f"{MINUS}Infinity"
    return str(value)


def _strip_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def _signed(text: str) -> str:
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value)


# ---- counts, sizes, config values


def format_count(count: int) -> str:
    return f"{count:,}"


def count_noun(count: int, noun: str, plural: str | None = None) -> str:
    """1 run, 1,284 runs."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def format_size(size: float | None) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    if size is None:
        return MISSING
    amount, unit = float(size), 0
    while amount >= 1023.95 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{int(amount)} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def format_config_value(value: Any, *, quoted: bool = False) -> str:
    """A config value as people would type it; floats in their shorter spelling (3e-3, 0.25).

    Args:
        quoted: text in quotes, so that "1" and 1 are told apart.
    """
    if value is None:
        return "none"
    if isinstance(value, LockedText):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shorter_spelling(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if quoted else value
    if isinstance(value, Mapping):
        inner = (f"{key}: {format_config_value(child, quoted=True)}" for key, child in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(format_config_value(child, quoted=True) for child in value) + "]"
    return str(value)


def _shorter_spelling(value: float) -> str:
    if not math.isfinite(value):
        return _format_odd(value)
    value = _without_noise(value)
    plain = repr(value)
    if 0.1 <= abs(value) < 10_000 or value == 0:
        return plain
    short = _shortest_scientific(value)
    return short if len(short) <= len(plain) else plain


def _without_noise(value: float) -> float:
    """0.3 for 0.30000000000000004: what reckoning leaves in the last digits. Titles have them all."""
    rounded = float(f"{value:.12g}")
    return rounded if len(repr(rounded)) + 8 <= len(repr(value)) else value


def _shortest_scientific(value: float) -> str:
    for decimals in range(17):
        text = _scientific(value, decimals)
        if float(text) == value:
            return text
    return repr(value)
