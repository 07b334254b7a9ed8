"""What somebody wrote into the bar above the runs: a query, or just words to look for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from ..observer.query import QueryError, parse_query

# What makes a text a query, although it cannot be read as one: then the bar says why. Else the words are looked for.
_COMPARES = re.compile(r"[=<>]|^\s*not\s|\b(?:config|metrics|env|git)\.\S|\s(?:has|contains|exists)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Search:
    """What runs are looked for by. One of `words` and `where` is empty; with an `error` both are."""

    words: str = ""
    where: str = ""
    error: QueryError | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.words or self.where or self.error)


def explain_error(text: str, known: Collection[str]) -> QueryError:
    """What is wrong with a query that cannot be read; of the `known` fields the nearest one is named."""
    try:
        parse_query(text, known)
    except QueryError as error:
        return error
    raise AssertionError(f"{text!r} can be read")


@lru_cache(maxsize=256)
def read_search(text: str) -> Search:
    """Text from the bar. `mlp aug` are words of names and tags, `config.lr < 1e-2` is a query."""
    text = text.strip()
    if not text:
        return Search()
    try:
        parse_query(text)
    except QueryError as error:
        return Search(error=error) if _COMPARES.search(text) else Search(words=text)
    return Search(where=text)
