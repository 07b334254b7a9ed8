"""Stored text on a terminal: whoever wrote it into the database can neither colour nor steer it."""

from __future__ import annotations

from rich.markup import escape

from ..config.changes import printable


def shown(stored: object) -> str:
    """`stored` as text for rich, without markup and control characters."""
    return escape(printable(str(stored)))
