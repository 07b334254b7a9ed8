"""A run's id as the browser has it: in JSON and attributes, in addresses, and in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from ..observer.run_ids import format_run_id

if TYPE_CHECKING:
    from ..observer.run_record import RunId

RunKey = int | str  # a number, or the word that `observer/run_ids.py` has for an id of another type
EXACT_IN_BROWSERS = 2**53  # from here on JavaScript's numbers skip some


def run_key(run_id: RunId) -> RunKey:
    """What names a run in JSON, cookies and attributes. Unlike an id it can always be hashed, and "7" is not 7."""
    word = format_run_id(run_id)
    if word.removeprefix("-").isdigit() and abs(int(word)) < EXACT_IN_BROWSERS:
        return int(word)
    return word


def path_segment(run_id: RunId) -> str:
    """The id as a part of an address. The word's own % is escaped: servers undo one level of escapes."""
    return quote(format_run_id(run_id), safe=":~")


def shown_id(run_id: RunId) -> str:
    """The id as people call the run."""
    return "without an id" if run_id is None else str(run_id)
