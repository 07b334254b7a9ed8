"""JSON that another program wrote and may not have finished: read as far as it goes, and bounded."""

from __future__ import annotations

import json
import re
from typing import Any

from .folder_files import Folder, RefusedPath

DOCUMENT_LIMIT_BYTES = 64 * 1024 * 1024  # a run in Sacred's database has at most 16
METRICS_LIMIT_BYTES = 1024 * 1024 * 1024
# A whole text, one that was cut, a sign, a number or word.
_TOKEN = re.compile(r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<cut>".*)|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
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
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(text), None
    except RecursionError as error:
        raise UnreadableJson(f"{name} is nested too deeply") from error
    except ValueError as error:
        reason = str(error)
    try:
        value = json.loads(completed(text))
    except (ValueError, RecursionError) as error:
        raise UnreadableJson(f"{name} is no JSON ({reason})") from error
    return value, f"{name} ends in the middle ({len(data):,} bytes): what stands before that is taken"


def completed(text: str) -> str:
    """JSON that was cut off, without its last incomplete entry and with its brackets closed.

    Raises:
        ValueError: it is too long, or not the beginning of JSON.
    """
    if len(text) > _SALVAGE_LIMIT:
        raise ValueError("too long to be completed")
    open_brackets: list[str] = []
    good_end, good_brackets = 0, ""
    wants_value = True  # after a colon, a comma in a list, an opening bracket of a list
    for match in _TOKEN.finditer(text):
        sign = match.group()
        if sign in "[{":
            open_brackets.append("]" if sign == "[" else "}")
            good_end, good_brackets = match.end(), "".join(reversed(open_brackets))
            wants_value = sign == "["
        elif sign in "]}":
            if not open_brackets or open_brackets.pop() != sign:
                raise ValueError("brackets that do not match")
            good_end, good_brackets = match.end(), "".join(reversed(open_brackets))
        elif sign == ",":
            # What stands before a comma is whole; a number at the very end may be half of one.
            good_end, good_brackets = match.start(), "".join(reversed(open_brackets))
            wants_value = bool(open_brackets) and open_brackets[-1] == "]"
        elif sign == ":":
            wants_value = True
        elif wants_value and match["text"] is not None:
            good_end, good_brackets = match.end(), "".join(reversed(open_brackets))
    if not good_brackets:
        raise ValueError("not the beginning of an object")
    return text[:good_end] + good_brackets


__all__ = [
    "DOCUMENT_LIMIT_BYTES",
    "METRICS_LIMIT_BYTES",
    "RefusedPath",
    "UnreadableJson",
    "completed",
    "load_json_file",
]
