"""A line of text as a query, or an error that says at which column it cannot be understood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, cast

from .conditions import All, AnyOf, Condition, Negated, Node, Operator, Words, iter_conditions
from .errors import QueryError
from .fields import RUN_FIELDS, Field, UnknownField, find_field, nearest_fields, unquoted
from .grammar import query_grammar
from .literals import BadValue, read_value

if TYPE_CHECKING:
    from lark import Token, Tree

QUERY_LIMIT = 4000  # characters
DEPTH_LIMIT = 50  # brackets and "not" within each other
_EXPECTED = {
    "COMPARISON": "=, !=, <, <=, > or >=",
    "value": "a value",
    "field": "a condition, such as status = completed",
    "joint": "and, or",
}


@dataclass(frozen=True)
class Query:
    """A query that was understood. `node` is None for the empty one, which all runs meet."""

    text: str
    node: Node | None

    def to_filter(self, now: datetime | None = None, me: Iterable[str] = ()) -> dict[str, Any]:
        """MongoDB's filter of the same meaning; {} for the empty query.

        Args:
            now: what -7d is reckoned from; the present where it is left out.
            me: whose runs are those of `owner = me`: the login names of whoever asks.
        """
        from .filters import filter_of

        return {} if self.node is None else filter_of(self.node, now or datetime.now(timezone.utc), tuple(me))

    def fields(self) -> tuple[Field, ...]:
        """The fields that it asks for, each once."""
        asked = (part.field for part in iter_conditions(self.node) if isinstance(part, Condition))
        return tuple(dict.fromkeys(asked))


def parse_query(text: str, known: Iterable[str] = ()) -> Query:
    """The query that `text` is.

    Args:
        known: keys of fields that runs have, for suggestions.

    Raises:
        QueryError: it cannot be understood.
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

    if len(text) > QUERY_LIMIT:
        raise QueryError(f"A query has at most {QUERY_LIMIT:,} characters, and this has {len(text):,}.", QUERY_LIMIT, 0)
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise QueryError("A query has no NUL and no half characters.", 0, 0)
    try:
        tree = query_grammar().parse(text)
    except UnexpectedCharacters as error:
        raise _unexpected_character(text, error.pos_in_stream or 0) from None
    except UnexpectedToken as error:
        raise _unexpected_token(text, error) from None
    except UnexpectedInput as error:  # what else lark may say
        raise QueryError("This cannot be understood.", error.pos_in_stream or 0) from None
    either = cast("list[Tree[Token]]", tree.children)
    return Query(text, _Reader(tuple(known)).read(either[0], 0) if either else None)


class _Reader:
    """Makes conditions of the grammar's tree."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self._known = known

    def read(self, tree: Tree[Token], depth: int) -> Node:
        if depth > 3 * DEPTH_LIMIT:  # three rules of the grammar for each bracket
            raise QueryError("Brackets are too deep.", tree.meta.start_pos)
        if tree.data in ("either", "both", "part", "negated"):
            parts = tuple(self.read(part, depth + 1) for part in _trees(tree))
            if tree.data == "negated":
                return Negated(parts[0])
            if len(parts) == 1:
                return parts[0]
            return AnyOf(parts) if tree.data == "either" else All(parts)
        node: Node = getattr(self, f"_{tree.data}")(tree)
        return node

    def _compared(self, tree: Tree[Token]) -> Node:
        field_tree, sign, value_tree = cast("tuple[Tree[Token], Token, Tree[Token]]", tree.children)
        field = self._field(field_tree)
        if sign in ("!=", "<>"):
            return Negated(self._equal(field, value_tree))
        if sign in ("=", "=="):
            return self._equal(field, value_tree)
        if field.kind in ("text", "list", "status", "flag"):
            raise _at(sign, f"{field.key} has no order. Use =, != or contains.")
        value = self._value(field, value_tree)
        if value is None or isinstance(value, bool) or value != value:
            raise _at(cast("Token", value_tree.children[0]), "Nothing is less or more than that. Use = or !=.")
        return Condition(field, cast("Operator", str(sign)), value)

    def _equal(self, field: Field, value_tree: Tree[Token]) -> Node:
        value = self._value(field, value_tree)
        if value is None:
            return Negated(Condition(field, "exists"))
        if field.kind == "flag":
            given = Condition(field, "exists")
            return given if value else Negated(given)
        return Condition(field, "has" if field.kind == "list" else "=", value)

    def _listed(self, tree: Tree[Token]) -> Node:
        field_tree, *values = _trees(tree)
        field = self._field(field_tree)
        choices = tuple(self._equal(field, value) for value in values)
        found = choices[0] if len(choices) == 1 else AnyOf(choices)
        return Negated(found) if _has_not(tree) else found

    def _within(self, tree: Tree[Token]) -> Node:
        from lark import Token

        first, *_, field_tree = tree.children
        if isinstance(first, Token):
            text = _string(first)
        else:
            words = cast("Any", first).children
            if len(words) != 1:
                raise _at(cast("Token", words[0]), "A text in quotes stands before in.")
            text = str(words[0])
        field = self._field(cast("Tree[Token]", field_tree))
        found = self._contained(field, text, cast("Tree[Token]", field_tree), exact=field.kind == "list")
        return Negated(found) if _has_not(tree) else found

    def _containing(self, tree: Tree[Token]) -> Node:
        field_tree, value_tree = _trees(tree)
        field = self._field(field_tree)
        has = any(getattr(token, "type", "") == "HAS" for token in tree.children)
        if has and field.kind == "any":
            value = self._value(field, value_tree)
            if value is None:
                raise _at(cast("Token", value_tree.children[0]), "A list has values; null is none.")
            found: Node = Condition(field, "has", value)
        else:
            found = self._contained(field, _text_of(value_tree), field_tree, exact=has)
        return Negated(found) if _has_not(tree) else found

    def _contained(self, field: Field, text: str, place: Tree[Token], *, exact: bool) -> Node:
        if field.kind not in ("text", "list", "any"):
            raise _at(cast("Token", place.children[0]), f"{field.key} is no text. Use =, !=, < or >.")
        return Condition(field, "has" if exact and field.kind == "list" else "contains", text)

    def _existing(self, tree: Tree[Token]) -> Node:
        found = Condition(self._field(_trees(tree)[0]), "exists")
        return Negated(found) if _has_not(tree) else found

    def _searched(self, tree: Tree[Token]) -> Node:
        return Words(_string(cast("Token", tree.children[0])))

    def _field(self, tree: Tree[Token]) -> Field:
        words = cast("list[Token]", tree.children)
        key = str(words[0]) if len(words) == 1 else f"{words[0]}({words[1]})"
        lowered = key.lower()
        try:
            return find_field(lowered if lowered in RUN_FIELDS else key)
        except UnknownField as error:
            start, end = words[0].start_pos or 0, words[-1].end_pos or 0
            suggestion = error.suggestion or nearest_fields(key, self._known)
            raise QueryError(error.reason, start, end - start, suggestion) from None

    def _value(self, field: Field, tree: Tree[Token]) -> Any:
        token = cast("Token", tree.children[0])
        try:
            return read_value(field, _text_of(tree), in_quotes=token.type == "STRING")
        except BadValue as error:
            raise _at(token, str(error), error.suggestion) from None


def _trees(tree: Tree[Token]) -> list[Tree[Token]]:
    from lark import Token

    return [child for child in tree.children if not isinstance(child, Token)]


def _has_not(tree: Tree[Token]) -> bool:
    return any(getattr(child, "type", "") == "NOT" for child in tree.children)


def _text_of(tree: Tree[Token]) -> str:
    token = cast("Token", tree.children[0])
    return _string(token) if token.type == "STRING" else str(token)


def _string(token: Token) -> str:
    return unquoted(str(token))


def _at(token: Token, message: str, suggestion: str = "") -> QueryError:
    return QueryError(message, token.start_pos or 0, len(token), suggestion)


def _unexpected_character(text: str, place: int) -> QueryError:
    if text[place] in "\"'":
        return QueryError("A quote begins here and does not end.", place, len(text) - place)
    if text[place] == "!":
        return QueryError("A single ! means nothing.", place, 1, "!=")
    return QueryError(f"{text[place]!r} cannot stand here.", place)


def _unexpected_token(text: str, error: Any) -> QueryError:
    token, expected = error.token, set(error.expected)
    at_end = token.type == "$END"
    place = len(text.rstrip()) if at_end else token.start_pos
    length = 0 if at_end else len(token)
    found = "The query ends here" if at_end else f"{str(token)[:40]!r} stands here"
    if {"WORD", "STRING"} == expected:
        return QueryError(f"{found}, where a value is missing.", place, length)
    if "COMPARISON" in expected:
        if at_end and not text.strip().rsplit(None, 1)[1:]:  # a single word: somebody searches for it
            word = text.strip()
            return QueryError(f"{word[:40]!r} alone is no condition.", text.index(word), len(word), f'"{word[:40]}"')
        return QueryError(f"{found}, where =, <, >, in, has, contains or exists is missing.", place, length)
    if expected & {"AND", "OR"}:
        bracket = " or )" if "RPAR" in expected and "(" in text else ""
        return QueryError(f"{found}, where and, or{bracket} is missing.", place, length)
    if expected <= {"RPAR", "COMMA"}:
        return QueryError(f"{found}, where ) is missing.", place, length)
    if expected == {"LPAR", "WORD"} or expected == {"LPAR"}:
        return QueryError(f"{found}, where a field, or a list in brackets, is missing.", place, length)
    return QueryError(f"{found}, where a condition is missing, such as status = completed.", place, length)
