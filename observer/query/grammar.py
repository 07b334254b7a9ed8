"""The grammar of queries. It gives a tree of tokens and nothing else: what they mean is decided from tables."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lark import Lark

# A word is anything without spaces, brackets and comparison signs: a field, a number, a date, a text without quotes.
# After a dot it may go on in quotes: metrics."two words".
GRAMMAR = r"""
start: [either]
either: both (OR both)*
both: part (AND part)*
part: NOT part -> negated
    | "(" either ")"
    | field COMPARISON value -> compared
    | field NOT? IN "(" value ("," value)* ")" -> listed
    | (field | STRING) NOT? IN field -> within
    | field NOT? (HAS | CONTAINS) value -> containing
    | field NOT? EXISTS -> existing
    | STRING -> searched
field: WORD | WORD "(" WORD ")"
value: WORD | STRING

COMPARISON: "!=" | "<=" | ">=" | "==" | "<>" | "=" | "<" | ">"
STRING: /"(?:[^"\\]|\\.)*"/s | /'(?:[^'\\]|\\.)*'/s
WORD: /(?:[^\s()<>=!,"']|(?<=\.)"(?:[^"\\]|\\.)*")+/s
OR.2: /or(?![^\s()<>=!,"'])/i
AND.2: /and(?![^\s()<>=!,"'])/i
NOT.2: /not(?![^\s()<>=!,"'])/i
IN.2: /in(?![^\s()<>=!,"'])/i
HAS.2: /has(?![^\s()<>=!,"'])/i
CONTAINS.2: /contains(?![^\s()<>=!,"'])/i
EXISTS.2: /exists(?![^\s()<>=!,"'])/i
%ignore /\s+/
"""


@lru_cache(maxsize=1)
def query_grammar() -> Lark:
    """The parser, made once for a process: LALR, so that its time grows with the length of the text alone."""
    from lark import Lark  # here: importing cloister, and recording, do without it

    return Lark(GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=False)
