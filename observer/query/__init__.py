"""The query language: one line of text in, MongoDB's filter out; docs/query.md describes it."""

from __future__ import annotations

from .errors import QueryError
from .fields import Field, UnknownField, find_field
from .parsing import Query, parse_query

__all__ = ["Field", "Query", "QueryError", "UnknownField", "find_field", "parse_query"]
