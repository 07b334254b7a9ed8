"""Expressions over metrics, such as `"val/loss" - "train/loss"`: a grammar and a table of functions, never evaluated as
Python.

A metric is a name (`loss`, `val.acc`, `metrics.loss`), in quotes where it has other characters: `"val/acc"`. Beside
metrics there are `step` and `seconds`, the time since the run's start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CloisterError
from .points import Float64s

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

LONGEST_TEXT = 1000
DEEPEST = 40
MOST_METRICS = 8
STEP, SECONDS = "step", "seconds"
_PREFIX = "metrics."

_GRAMMAR = r"""
start: sum
sum: product (SIGN product)*
product: signed (TIMES signed)*
signed: SIGN* power
power: atom (POWER SIGN* atom)*
atom: NUMBER -> number
    | QUOTED -> quoted
    | NAME -> name
    | NAME "(" sum ("," sum)* ")" -> call
    | "(" sum ")" -> inside

POWER: "**" | "^"
SIGN: "+" | "-"
TIMES: "*" | "/" | "%"
NUMBER: /(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?/
QUOTED: /(metrics\.)?("(?:[^"\\]|\\.)+"|'(?:[^'\\]|\\.)+')/s
NAME: /[^\W\d][\w.]*/

%ignore /\s+/
"""

_ONE: dict[str, Callable[[Float64s], Float64s]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "round": np.round,
    "diff": lambda values: np.diff(values, prepend=np.nan),
    "cumsum": lambda values: np.cumsum(np.nan_to_num(values, posinf=np.inf, neginf=-np.inf)),
    "cummin": np.fmin.accumulate,
    "cummax": np.fmax.accumulate,
}
_MANY: dict[str, Callable[[Float64s, Float64s], Float64s]] = {"min": np.minimum, "max": np.maximum}
FUNCTIONS: tuple[str, ...] = (*_ONE, *_MANY)
_BINARY: dict[str, Callable[[Float64s, Float64s], Float64s]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
    "**": np.power,
    "^": np.power,
}


class BadExpression(CloisterError, ValueError):
    """An expression over metrics cannot be read. `column` counts from 0, `length` is how many characters are meant."""

    def __init__(self, text: str, column: int, length: int, reason: str) -> None:
        self.text, self.column, self.length, self.reason = text, column, max(length, 1), reason
        shown = text if len(text) <= 80 else text[:77] + "..."
        super().__init__(f"Column {column + 1} of {shown!r}: {reason}.")


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes:
        metrics: whose points it needs, in the order in which they are named.
    """

    text: str
    metrics: tuple[str, ...]
    _tree: Any

    def evaluate(self, columns: Mapping[str, Float64s], steps: Float64s, seconds: Float64s) -> Float64s:
        """Its value at each row of the columns, which are all of one length; NaN or infinite where there is none."""
        known: dict[Any, Float64s] = {_metric_key(name): column for name, column in columns.items()}
        known |= {STEP: steps, SECONDS: seconds}
        with np.errstate(all="ignore"):  # 0 / 0 is a gap in the curve, as a NaN that was logged is
            value = _value(self._tree, known)
        return np.broadcast_to(np.asarray(value, np.float64), steps.shape)


def parse_expression(text: str) -> Expression:
    """Read an expression.

    Raises:
        BadExpression: it says where and why.
    """
    if len(text) > LONGEST_TEXT:
        raise BadExpression(text, LONGEST_TEXT, 1, f"an expression has at most {LONGEST_TEXT} characters")
    _check_depth(text)
    tree = _parsed(text)
    metrics: list[str] = []
    parts: Iterable[Tree[Token]] = tree.iter_subtrees_topdown()  # type: ignore[no-untyped-call]
    for each in parts:
        _check_part(text, each, metrics)
    if len(metrics) > MOST_METRICS:
        raise BadExpression(text, 0, len(text), f"it names {len(metrics)} metrics; {MOST_METRICS} is the most")
    if not metrics:
        raise BadExpression(text, 0, len(text), 'it names no metric. Write a metric with / in quotes: "val/loss"')
    return Expression(text, tuple(metrics), tree)


def _check_depth(text: str) -> None:
    depth = 0
    for column, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth > DEEPEST:
            raise BadExpression(text, column, 1, f"at most {DEEPEST} brackets are open at a time")


def _parsed(text: str) -> Tree[Token]:
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

    try:
        return _parser().parse(text)
    except UnexpectedToken as error:
        token = error.token
        if token.type == "$END":
            raise BadExpression(text, len(text), 1, "something is missing at its end") from None
        raise BadExpression(text, token.start_pos or 0, len(token), f"{str(token)!r} does not fit here") from None
    except UnexpectedCharacters as error:
        place = error.pos_in_stream or 0
        reason = f"{text[place]!r} means nothing here; metrics with such characters stand in quotes"
        raise BadExpression(text, place, 1, reason) from None
    except UnexpectedEOF:
        raise BadExpression(text, len(text), 1, "something is missing at its end") from None


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    return Lark(_GRAMMAR, parser="lalr")


def _check_part(text: str, tree: Tree[Token], metrics: list[str]) -> None:
    first: Any = tree.children[0] if tree.children else None
    if tree.data == "call":
        _check_call(text, first, len(tree.children) - 1)
    elif tree.data in ("name", "quoted"):
        key = _key_of(tree)
        if key not in (STEP, SECONDS) and key[1] not in metrics:
            metrics.append(key[1])


def _check_call(text: str, name: Token, count: int) -> None:
    if str(name) not in FUNCTIONS:
        reason = f"there is no function {str(name)!r}; there are {', '.join(FUNCTIONS)}"
        raise BadExpression(text, name.start_pos or 0, len(name), reason)
    if str(name) in _ONE and count != 1:
        raise BadExpression(text, name.start_pos or 0, len(name), f"{name} takes one value, not {count}")


def _metric_key(name: str) -> tuple[str, str]:
    return "metric", name


def _key_of(tree: Tree[Token]) -> Any:
    """What a name or a quoted name stands for: a key of what `evaluate` knows."""
    text = str(tree.children[0])
    if tree.data == "quoted":
        quoted = text.removeprefix(_PREFIX)[1:-1]
        return _metric_key("".join(_unescaped(quoted)))
    if text in (STEP, SECONDS):
        return text
    return _metric_key(text.removeprefix(_PREFIX))


def _unescaped(text: str) -> Sequence[str]:
    letters, taken = [], False
    for letter in text:
        if letter == "\\" and not taken:
            taken = True
            continue
        letters.append(letter)
        taken = False
    return letters


def _value(tree: Any, known: Mapping[Any, Float64s]) -> Any:
    kind, children = tree.data, tree.children
    if kind == "number":
        return np.float64(children[0])
    if kind in ("name", "quoted"):
        return known[_key_of(tree)]
    if kind in ("start", "inside"):
        return _value(children[0], known)
    if kind == "call":
        return _called(str(children[0]), [_value(child, known) for child in children[1:]])
    if kind == "signed":
        return _with_signs(children[:-1], _value(children[-1], known))
    return _raised(children, known) if kind == "power" else _chained(children, known)


def _called(name: str, values: list[Any]) -> Any:
    if name in _ONE:
        return _ONE[name](np.atleast_1d(values[0]))
    return reduce(_MANY[name], values)


def _with_signs(signs: Sequence[Any], value: Any) -> Any:
    return -value if sum(sign == "-" for sign in signs) % 2 else value


def _chained(children: Sequence[Any], known: Mapping[Any, Float64s]) -> Any:
    """From left to right: value, operator, value, operator, value."""
    value = _value(children[0], known)
    for operator, operand in zip(children[1::2], children[2::2], strict=True):
        value = _BINARY[str(operator)](value, _value(operand, known))
    return value


def _raised(children: Sequence[Any], known: Mapping[Any, Float64s]) -> Any:
    """From right to left; signs before an exponent belong to it: 2 ** -x ** 2 is 2 ** (-(x ** 2))."""
    value = _value(children[-1], known)
    for child in reversed(children[:-1]):
        if not hasattr(child, "data"):  # an operator or a sign
            if child == "-":
                value = -value
            continue
        value = _BINARY["**"](_value(child, known), value)
    return value
