"""Text that stands for a value: a word of the command line, a scalar of a YAML file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

_INT = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*", re.ASCII)
_OTHER_BASE_INT = re.compile(r"[+-]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)", re.ASCII)
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_FLOAT = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?", re.ASCII)
# A bare `nan` or `inf` is a name as often as a number: without a hint only YAML's spelling with the dot is a number.
_YAML_NOT_FINITE = re.compile(r"[+-]?\.inf|\.nan", re.ASCII | re.IGNORECASE)
_NOT_FINITE = re.compile(r"[+-]?\.?inf(?:inity)?|[+-]?\.?nan", re.ASCII | re.IGNORECASE)
YAML_KEY_CHARACTERS = 1000  # a longer key is one for YAML only where a question mark says so
TRUE_WORDS = frozenset({"true", "yes", "on", "1"})
FALSE_WORDS = frozenset({"false", "no", "off", "0"})
NONE_WORDS = frozenset({"none", "null", "~"})


class TooLarge(ValueError):
    """The text is a number, but none that an int or a float can hold."""


@dataclass(frozen=True)
class Scalar:
    """Text whose type is not decided yet: the hint of its key decides, and not how it happens to look.

    So `version: 1.10` stays '1.10' for a `str`, and `1e-3`, which YAML 1.1 reads as text, is a number for a `float`.
    """

    text: str
    quoted: bool = False  # then it is text, even where it reads like a number or None
    line: int | None = field(default=None, compare=False)

    @classmethod
    def from_argument(cls, text: str) -> Scalar:
        """One word of the command line. Quotes around all of it, which the shell left in, are taken off."""
        if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
            inner = _unquote(text[1:-1], text[0])
            if inner is not None:
                return cls(inner, quoted=True)
        return cls(text)

    def __repr__(self) -> str:
        return repr(self.text)


def quote(value: object) -> str:
    """`value` as one word that the command line reads back as it is, given the hint that fits."""
    if isinstance(value, Scalar):  # of a file: as it is written there
        return value.text if not value.quoted else quote(value.text)
    if isinstance(value, str):
        return value if _is_plain_text(value) else "'" + value.replace("'", "''") + "'"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_quote_inside(item) for item in value)}]"
    if isinstance(value, (set, frozenset)):
        return f"[{', '.join(sorted(_quote_inside(item) for item in value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_quote_key(key)}: {_quote_inside(item)}' for key, item in value.items())}}}"
    return _write_float(value) if isinstance(value, float) else str(value)


def parse_literal(text: str) -> Any:
    """None, a bool, an int or a float where `text` is one in YAML 1.2, else `text`; raises TooLarge for 1e400."""
    lowered = text.lower()
    if lowered in NONE_WORDS:
        return None
    if lowered in ("true", "false"):
        return lowered == "true"
    if _INT.fullmatch(text) or _OTHER_BASE_INT.fullmatch(text):
        return parse_int(text)
    if _FLOAT.fullmatch(text) or _YAML_NOT_FINITE.fullmatch(text):
        return parse_float(text)
    return text


def parse_int(text: str) -> int:
    """The int that `text` spells; raises ValueError."""
    if _OTHER_BASE_INT.fullmatch(text):
        return int(text, 0)
    if not _INT.fullmatch(text):
        raise ValueError(text)
    try:
        return int(text)
    except ValueError:  # Python reads at most 4,300 digits
        raise TooLarge(text) from None


def parse_whole(text: str) -> int:
    """As `parse_int`, and `1e3` and `20.0` too, which are whole."""
    try:
        return parse_int(text)
    except ValueError:
        number = parse_float(text)
        if not number.is_integer():
            raise
        return int(number)


def parse_float(text: str) -> float:
    """The float that `text` spells; raises ValueError, also for a number that is too large for a float."""
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    if _OTHER_BASE_INT.fullmatch(text):
        return float(int(text, 0))
    if not _FLOAT.fullmatch(text):
        raise ValueError(text)
    number = float(text)
    if math.isinf(number):
        raise TooLarge(text)
    return number


def parse_bool(text: str) -> bool:
    """True or False for the eight words that mean it; raises ValueError."""
    lowered = text.lower()
    if lowered not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(text)
    return lowered in TRUE_WORDS


def is_none(value: object) -> bool:
    """Whether `value` is None or unquoted text that says so."""
    return value is None or (isinstance(value, Scalar) and not value.quoted and value.text.lower() in NONE_WORDS)


def split_at_commas(text: str) -> list[Scalar]:
    """The items of `64,32`; a comma inside quotes does not part them."""
    if not text.strip():
        return []
    items = re.findall(r"""(?:^|,)(\s*'(?:[^']|'')*'\s*(?=,|$)|\s*"(?:[^"\\]|\\.)*"\s*(?=,|$)|[^,]*)""", text)
    return [Scalar.from_argument(item.strip()) for item in items]


def _unquote(inner: str, mark: str) -> str | None:
    """What stands between the quotes, or None where they do not belong together: `'a' and 'b'`."""
    if mark == "'":
        return None if "'" in inner.replace("''", "") else inner.replace("''", "'")
    if re.fullmatch(r'(?:[^"\\]|\\["\\])*', inner, re.DOTALL):
        return re.sub(r'\\(["\\])', r"\1", inner)
    return None if re.search(r'(?<!\\)"', inner) else inner


def _quote_inside(value: object) -> str:
    """Inside brackets text is YAML's: in double quotes, with all that could mean something escaped."""
    if isinstance(value, str):
        return '"' + re.sub(r'[^ -~]|["\\]', lambda match: f"\\U{ord(match.group()):08x}", value) + '"'
    return quote(value)


def _quote_key(value: object) -> str:
    text = _quote_inside(value)
    return text if len(text) <= YAML_KEY_CHARACTERS else f"? {text} "


def _is_plain_text(value: str) -> bool:
    try:
        return bool(value) and value == value.strip() and parse_literal(value) == value and value[0] not in "\"'[{("
    except TooLarge:
        return False


def _write_float(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
