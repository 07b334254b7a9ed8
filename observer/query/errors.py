"""What is wrong with a query, and at which column."""

from __future__ import annotations

from ..errors import CloisterError


class BadRunQuery(CloisterError, ValueError):
    """A list of runs is asked for in a way that has no meaning."""


class QueryError(BadRunQuery):
    """A query cannot be understood.

    Attributes:
        message: what is wrong, without the place.
        column: where in the text, counted from 0.
        length: how many characters from there on are meant; 0 at the end of the text, where something is missing.
        suggestion: what could stand there instead; "" where nothing is known to.
    """

    def __init__(self, message: str, column: int, length: int = 1, suggestion: str = "") -> None:
        self.message, self.column, self.length, self.suggestion = message, column, length, suggestion
        hint = f" Did you mean {suggestion}?" if suggestion else ""
        super().__init__(f"{message}{hint} (column {column + 1})")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.column, self.length, self.suggestion)
