"""Which values behind a secret's name are secrets, and which only stand for one."""

from __future__ import annotations

import re
from typing import Literal

from .marks import MARK_START
from .secret_names import secret_in_name

TextKind = Literal["text", "settings", "code"]  # printed, of a configuration file, of a program

# Written where a value is meant to come from elsewhere, or where there is none.
_STANDS_FOR_ONE = re.compile(
    r"(?i)\*+|x{3,}|\.{3,}|-+|<[^<>]*>|\[[^\[\]]*\]|</?\w+>|\$\{?\w+\}?|\$\(.*|%\(\w+\)s|%s|%\w+%|\{+[^{}]*\}+|\{\}"
    r"|none|null|nil|true|false|yes|no|on|off|empty|undefined|unset|default|required|optional|missing|hidden|redacted"
    r"|str|string|bytes|int|bool|any|object|secretstr|self|https?://.*|changeme|todo|tbd|n/a|your[_\-].*"
)
_PROSE = frozenset({
    "must", "should", "could", "does", "doesn", "will", "with", "from", "that", "this", "when", "were", "have",
    "been", "cannot", "failed", "invalid", "incorrect", "wrong", "expired", "accepted", "rejected", "refused",
    "checked", "found", "expected", "unexpected", "unknown", "loaded", "valid", "okay", "same", "given", "saved",
    "reading", "using",
})  # fmt: skip
_EXPRESSION = re.compile(r"[\w.]+[(\[]|(?:os|self|args|config|cfg|settings|env|opt|params|hparams)\.\w+")
_DOTTED = re.compile(r"[A-Za-z_]+(?:[._/-][A-Za-z_]+)*")  # a name or a path of plain words
_TOKEN = re.compile(r"[\w.~+/=:%@$!*-]+")
_SHORTEST_TOKEN = 8
_SURE_TOKEN = 20


def is_secret_value(
    value: str, rule: str, kind: TextKind = "settings", *, quoted: bool = True, ends: bool = True
) -> bool:
    """Whether `value`, behind a name that `rule` knows, is to be redacted.

    Args:
        quoted: it stands in quotes, or is a value of its own; else it was cut out of a text.
        ends: nothing follows it in its line.
    """
    if not value or value.startswith(MARK_START) or _STANDS_FOR_ONE.fullmatch(value):
        return False
    if not quoted:
        if (
            kind == "code"
            or value[0] in "{%$"
            or _EXPRESSION.match(value)
            or (value.isidentifier() and secret_in_name(value))
        ):
            return False
        if kind == "text" and (value.lower() in _PROSE or (_is_word(value) and not ends) or len(value) < 4):
            return False
    if rule == "token":
        return _looks_random(value)
    if rule == "api-key":
        return len(value) >= _SHORTEST_TOKEN and not value.isspace() and " " not in value.strip()
    return True


def _is_word(value: str) -> bool:
    return value.isalpha() and (value.islower() or value.istitle())


def _looks_random(value: str) -> bool:
    if len(value) < _SHORTEST_TOKEN or _TOKEN.fullmatch(value.strip()) is None:
        return False
    if any(character.isdigit() for character in value):
        return True
    return (len(value) >= _SURE_TOKEN and _DOTTED.fullmatch(value) is None) or _is_mixed(value)


def _is_mixed(value: str) -> bool:
    """Capitals among small letters, as no word has them."""
    return len(value) >= _SURE_TOKEN and value.isalpha() and not value.isupper() and not value[1:].islower()
