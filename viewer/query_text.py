"""What somebody wrote into the bar above the runs: a query, or just words to look for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from ..observer.query import QueryError, parse_query
from ..observer.query.fields import RUN_FIELDS

# What makes a text a query although it cannot be read as one, so that the bar says why: it begins with a word that is
# compared, or a field of ours is. Else the words are looked for: names may hold any sign, "lr=3e-3 <test>" too.
_SIGN = r"\s*(?:[=<>]|!=|(?<=\s)(?:has\b|in\s*\(|contains\b|exists\b))"
_BEGINS = re.compile(rf"(?:\s*\(|\s*not\s)*\s*[\w./-]+(?:\([^()]*\)|\"[^\"]*\")?{_SIGN}", re.IGNORECASE)
_FIELDS = re.compile(rf"(?:^|[\s(])(?:(?:config|metrics|env|git)\.\S+|{'|'.join(RUN_FIELDS)}){_SIGN}", re.IGNORECASE)
_FAMILY = re.compile(r"(?:config|metrics|env|git)\.", re.IGNORECASE)


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
        is_query = _BEGINS.match(text) or _FIELDS.search(text) or _FAMILY.match(text)
        return Search(error=error) if is_query else Search(words=text)
    return Search(where=text)
