"""Text in a cell of CSV that no spreadsheet takes for a formula, whoever wrote it."""

from __future__ import annotations

_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def guard_cell(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would reckon with. Numbers are not given here."""
    return f"'{text}" if text.startswith(_BEGINS_A_FORMULA) else text
