"""JSON that another program wrote and may not have finished: read as far as it goes, and bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from .folder_documents import clean_text
from .folder_files import Folder, RefusedPath

DOCUMENT_LIMIT_BYTES = 64 * 1024 * 1024  # a run in Sacred's database has at most 16
METRICS_LIMIT_BYTES = 1024 * 1024 * 1024
BRACKETS_LIMIT = 4_000_000  # an empty list is 2 bytes in a file and 64 in memory
DEPTH_LIMIT = 900  # Python's reader takes no more
_TOKEN = re.compile(r'[\[\]{},:"]|[^\s\[\]{},:"]+')  # where a text begins, a sign, a number or word
# What may matter inside a text. Each is found by itself: a pattern for a whole text needs 100 bytes for each character.
_IN_TEXT = re.compile(r'\\.|"', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_LONG_NUMBER = re.compile("[0-9]{19}")
_SALVAGE_LIMIT = 64 * 1024 * 1024


class UnreadableJson(ValueError):
    """A file that should hold JSON does not, and not the beginning of any either."""


def load_json_file(folder: Folder, name: str, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> tuple[Any, str | None]:
    """What a JSON file holds, and what is odd about it, in words; of a file that was cut, what stands before the cut.

    Raises:
        UnreadableJson: nothing of it can be read.
        RefusedPath: it is not a plain file, or too large.
    """
    data = folder.read(name, limit_bytes)
    if data.count(b"[") + data.count(b"{") > BRACKETS_LIMIT:
        raise UnreadableJson(f"{name} holds more than {BRACKETS_LIMIT:,} lists and objects")
    text = data.decode("utf-8", "replace")
    try:
        return load_json(text), None
    except RecursionError as error:
        raise UnreadableJson(f"{name} is nested too deeply") from error
    except ValueError as error:
        reason = str(error)
    try:
        value = load_json(completed(text))
    except (ValueError, RecursionError) as error:
        raise UnreadableJson(f"{name} is no JSON ({reason})") from error
    return value, f"{name} ends in the middle ({len(data):,} bytes): what stands before that is taken"


def load_json(text: str) -> Any:
    """JSON as MongoDB takes it: whole numbers beyond 64 bits are texts, halves of characters escapes.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """
    # Asking for each number costs as much again, so only where one may be so long.
    value = json.loads(text, parse_int=_whole_number if _LONG_NUMBER.search(text) else None)
    return _cleaned(value) if _SURROGATE.search(text) else value


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean_text(key): _cleaned(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_cleaned(child) for child in value]
    return clean_text(value) if isinstance(value, str) else value


def _whole_number(digits: str) -> int | str:
    if len(digits) <= 20 and -(2**63) <= int(digits) < 2**63:
        return int(digits)
    return digits if len(digits) < 1_000 else f"<an int of {len(digits)} digits>"


def completed(text: str) -> str:
    """JSON that was cut off, without its last incomplete entry and with its brackets closed.

    Raises:
        ValueError: it is too long, or not the beginning of JSON.
    """
    if len(text) > _SALVAGE_LIMIT:
        raise ValueError("too long to be completed")
    opened: list[str] = []
    good_end = 0  # how far it is whole; no bracket stands behind that place
    wants_value = True  # after a colon, a comma in a list, an opening bracket of a list
    for sign, start, end in _tokens(text):
        if sign in "[{":
            opened.append("]" if sign == "[" else "}")
            if len(opened) > DEPTH_LIMIT:
                raise ValueError("nested too deeply")
            good_end, wants_value = end, sign == "["
        elif sign in "]}":
            if not opened or opened.pop() != sign:
                raise ValueError("brackets that do not match")
            good_end = end
        elif sign == ",":
            # What stands before a comma is whole; a number at the very end may be half of one.
            good_end, wants_value = start, bool(opened) and opened[-1] == "]"
        elif sign == ":":
            wants_value = True
        elif wants_value and sign == '"':
            good_end = end
    if not opened:
        raise ValueError("not the beginning of an object")
    return text[:good_end] + "".join(reversed(opened))


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Each sign, number or word, where it begins and ends; of a text its quote. One that was cut ends it all."""
    place = 0
    while match := _TOKEN.search(text, place):
        sign, start, place = match.group(), match.start(), match.end()
        if sign == '"':
            place = next((inside.end() for inside in _IN_TEXT.finditer(text, place) if inside.group() == '"'), 0)
            if not place:
                return
        yield sign, start, place


__all__ = [
    "DOCUMENT_LIMIT_BYTES",
    "METRICS_LIMIT_BYTES",
    "RefusedPath",
    "UnreadableJson",
    "completed",
    "load_json",
    "load_json_file",
]
