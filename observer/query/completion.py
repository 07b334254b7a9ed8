"""What may be typed next in a query, at a place in its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .fields import FUNCTIONS, Field, Kind, UnknownField, find_field, quoted
from .grammar import query_grammar
from .literals import STATES
from .parsing import QUERY_LIMIT

if TYPE_CHECKING:
    from lark import Token

CHOICES_LIMIT = 20
WordKind = Literal["field", "function", "operator", "value", "word"]
_WORD_AT_END = re.compile(r"""(?:[^\s()<>=!,"']|(?<=\.)"(?:[^"\\]|\\.)*("|$))*$""", re.DOTALL)
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*(?P<end>"|$)|'(?:[^'\\]|\\.)*(?P<single_end>'|$)""", re.DOTALL)
_MEANS_MORE = re.compile(r"(?i)and|or|not|in|has|contains|exists|true|false|null|none|nan|inf|me|[-+.\d].*", re.DOTALL)
_EQUAL, _ORDER = ("=", "!="), ("<", "<=", ">", ">=")
_OPERATORS: dict[Kind, tuple[str, ...]] = {
    "id": (*_EQUAL, *_ORDER, "in"),
    "text": (*_EQUAL, "contains", "in", "not in", "exists"),
    "list": ("has", "contains", "in", "exists"),
    "status": (*_EQUAL, "in", "not in"),
    "time": (">", ">=", "<", "<=", "=", "exists"),
    "duration": (">", ">=", "<", "<=", "=", "exists"),
    "number": (">", ">=", "<", "<=", "=", "!=", "in", "exists"),
    "flag": ("=",),
    "any": (*_EQUAL, *_ORDER, "in", "not in", "contains", "has", "exists"),
}
_MEANINGS = {
    "has": "a list holds it",
    "contains": "a text holds it, in any case",
    "in": "one of several",
    "not in": "none of several",
    "exists": "there is a value",
}
_VALUES: dict[Kind, tuple[str, ...]] = {
    "status": STATES,
    "time": ("-1d", "-7d", "-30d", "today", "yesterday", "2026-01-31"),
    "duration": ("10m", "1h", "1d"),
    "flag": ("true", "false"),
}


@dataclass(frozen=True)
class Choice:
    """Something that may stand in a query.

    Attributes:
        start, length: what it takes the place of, in the text.
        detail: what it is, for people.
    """

    text: str
    kind: WordKind
    detail: str
    start: int
    length: int


@dataclass(frozen=True)
class Known:
    """What a database has, asked for with the beginning of it: fields as (key, detail), values as they are."""

    find_fields: Callable[[str], Iterable[tuple[str, str]]]
    find_values: Callable[[Field, str], Iterable[Any]]


def complete_query(text: str, column: int, known: Known) -> tuple[Choice, ...]:
    """What may stand at `column` instead of the word that ends there; nothing where the text before makes no sense."""
    before = text[: max(0, column)][:QUERY_LIMIT]
    start = _start_of_word(before)
    partial = before[start:]
    read = _read(before[:start])
    if read is None:
        return ()
    tokens, accepted = read
    words: list[tuple[str, WordKind, str]] = []
    if accepted == {"WORD", "STRING"}:
        words = _values(tokens, partial, known)
    elif accepted == {"WORD"} and tokens[-1].type == "LPAR":
        fields = known.find_fields(partial or "metrics.")
        words = [(key, "field", detail) for key, detail in fields if key.startswith("metrics.")]
    elif "COMPARISON" in accepted:
        words = _operators(tokens)
    elif "WORD" in accepted:
        words = _fields(partial, known)
        words += [("not", "word", "")] if partial and "NOT" in accepted else []
    else:
        words = [(word, "word", "") for word in ("and", "or") if word.upper() in accepted]
        words += [(")", "word", "")] if "RPAR" in accepted and "LPAR" in {token.type for token in tokens} else []
    typed = partial.lower().strip("\"'")
    sought = [word for word in words if word[1] == "field" or typed in word[0].lower()]
    sought.sort(key=lambda word: not word[0].lower().strip('"').startswith(typed))
    return tuple(Choice(*word, start, len(partial)) for word in sought[:CHOICES_LIMIT])


def _start_of_word(before: str) -> int:
    """Where the word begins that ends with the text: at a quote that is open, or after what is no part of a word."""
    place = 0
    for found in _QUOTED.finditer(before):
        if not (found["end"] or found["single_end"]) and before[: found.start()][-1:] != ".":
            return found.start()
        if before[: found.start()][-1:] != ".":
            place = found.end()
    word = _WORD_AT_END.search(before, place)
    return word.start() if word else len(before)


def _read(before: str) -> tuple[list[Token], set[str]] | None:
    """The tokens before the word, and which may follow; None where they are no beginning of a query."""
    from lark.exceptions import UnexpectedInput

    tokens = []
    try:
        parser = query_grammar().parse_interactive(before)
        for token in parser.lexer_thread.lex(parser.parser_state):  # type: ignore[no-untyped-call]
            parser.feed_token(token)
            tokens.append(token)
        return tokens, {*parser.accepts()}  # type: ignore[no-untyped-call]
    except UnexpectedInput:
        return None


def _fields(partial: str, known: Known) -> list[tuple[str, WordKind, str]]:
    words: list[tuple[str, WordKind, str]] = [(key, "field", detail) for key, detail in known.find_fields(partial)]
    if partial:
        words += [(f"{name}(", "function", "of a metric") for name in FUNCTIONS if name.startswith(partial.lower())]
    return words


def _operators(tokens: Sequence[Token]) -> list[tuple[str, WordKind, str]]:
    field = _field_before(tokens)
    signs = _OPERATORS[field.kind] if field is not None else (*_EQUAL, *_ORDER)
    return [(sign, "operator", _MEANINGS.get(sign, "")) for sign in signs]


def _values(tokens: Sequence[Token], partial: str, known: Known) -> list[tuple[str, WordKind, str]]:
    field = _field_before(tokens)
    if field is None:
        return []
    if field.kind in _VALUES:
        return [(value, "value", "") for value in _VALUES[field.kind]]
    found = [_written(value) for value in known.find_values(field, partial.strip("\"'"))]
    own = ["me"] if field.key == "owner" else []
    return [(text, "value", "") for text in (*own, *found)]


def _field_before(tokens: Sequence[Token]) -> Field | None:
    """The field that the condition at the end is about."""
    place = len(tokens) - 1
    if place >= 0 and tokens[place].type in ("LPAR", "COMMA"):  # in a list: what stands before its "in"
        while place >= 0 and tokens[place].type != "IN":
            place -= 1
    while place >= 0 and tokens[place].type in ("COMPARISON", "IN", "NOT", "HAS", "CONTAINS"):
        place -= 1
    if place >= 3 and tokens[place].type == "RPAR":
        return _field_of(f"{tokens[place - 3]}({tokens[place - 1]})")
    return _field_of(str(tokens[place])) if place >= 0 else None


def _field_of(key: str) -> Field | None:
    try:
        return find_field(key)
    except UnknownField:
        return None


def _written(value: Any) -> str:
    """A value as a query has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, str):
        is_word = quoted(value) == value and not _MEANS_MORE.fullmatch(value)
        return value if is_word else '"{}"'.format(value.replace("\\", "\\\\").replace('"', '\\"'))
    return repr(value)
