"""Private keys in text: whole blocks, and what is left of one that ends nowhere or begins before."""

from __future__ import annotations

import re

from .marks import mark

KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
KEY_CHARACTERS = 20_000  # of a private key; what is longer is none
RULE = "private-key"

_END = re.compile(r"-----END [A-Z0-9 ]{0,60}-----")
_LINE_OF_KEY = re.compile(r"[\w+/=\\ \t\r:,.()@<>\-]{0,200}")


def without_key_blocks(text: str) -> tuple[str, int]:
    """`text` with a mark in the place of each private key, and how many there were."""
    parts, done, count = [], 0, 0
    begin = KEY_BEGIN.search(text)
    while begin is not None:
        end, _ = end_of_key(text, begin.end(), KEY_CHARACTERS)
        parts += [text[done : begin.start()], mark(RULE)]
        if end > begin.end() and text[end - 1] == "\n":
            end -= 1  # of a key that breaks off, the last line ends where it ended
        done, count = end, count + 1
        begin = KEY_BEGIN.search(text, done)
    return "".join(parts) + text[done:], count


def end_of_key(text: str, start: int, limit: int) -> tuple[int, int]:
    """Where in `text` a key that goes on at `start` ends, and how much of it may still follow, 0 where it has ended.

    Args:
        limit: how many characters of it may come.
    """
    stop = min(len(text), start + limit)
    end = _END.search(text, start, min(len(text), stop + 100))
    if end is not None:
        return end.end(), 0
    place = start
    while place < stop:
        line_end = text.find("\n", place, stop)
        following = stop if line_end < 0 else line_end + 1
        if _LINE_OF_KEY.fullmatch(text[place:following].rstrip("\r\n")) is None:
            return place, 0  # no key goes on like this
        place = following
    return place, limit - (place - start)
