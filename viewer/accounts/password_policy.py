"""Which new passwords are taken: long ones that nobody guesses first. No rule asks for signs or digits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from ...observer.errors import CloisterError
from .passwords import LONGEST_PASSWORD

SHORTEST_PASSWORD = 12
FEWEST_DIFFERENT = 5
LEAST_BESIDE_WORD = 6  # signs that a password must have beside the person's own name
_SITE_WORDS = ("cloister",)
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1qaz2wsx3edc4rfv",
)
_LEET = str.maketrans("0134578@$!", "oleastbasi")
_EDGES = re.compile(r"^[\d\W_]+|[\d\W_]+$")


class WeakPassword(CloisterError, ValueError):
    """A new password that is too short, too long, or among the first that anybody would try."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This password is not taken: {reason}. Take {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters of any "
            "kind; four or five words that do not belong together are easy to remember and hard to guess."
        )


def check_new_password(password: str, *, about: Iterable[str] = ()) -> None:
    """Return if `password` may become somebody's. What is in it is never part of the message.

    Args:
        about: what others know of the person: names and address, which make a bad password.

    Raises:
        WeakPassword
    """
    plain = unicodedata.normalize("NFKC", password)
    if len(plain) < SHORTEST_PASSWORD:
        raise WeakPassword(f"it has {len(plain)} characters")
    if max(len(plain), len(password)) > LONGEST_PASSWORD:
        raise WeakPassword(f"it has {max(len(plain), len(password))} characters")
    if len(set(plain.casefold())) < FEWEST_DIFFERENT:
        raise WeakPassword("it repeats the same few characters")
    if _is_common(plain.casefold()):
        raise WeakPassword("it is among the passwords that are tried first, or close to one of them")
    if _left_without(plain.casefold(), {*_words(about), *_SITE_WORDS}) < LEAST_BESIDE_WORD:
        raise WeakPassword("it is little more than a name that others know")


def _is_common(password: str) -> bool:
    return any(form in _common() or _is_sequence(form) for form in _forms(password))


def _forms(password: str) -> set[str]:
    """The password and what it was made of: without digits around it, without digits for letters, once if repeated."""
    forms = {password, _EDGES.sub("", password)}
    forms |= {form.translate(_LEET) for form in forms}
    forms |= {_EDGES.sub("", form) for form in forms}
    return {once for form in forms for once in (form, _repeated_part(form)) if len(once) >= 4}


def _repeated_part(text: str) -> str:
    """`abc` of `abcabcabc`; the text itself where nothing is repeated."""
    size = (text + text).find(text, 1)
    return text[:size] if 0 < size < len(text) else text


def _is_sequence(text: str) -> bool:
    """Whether it only walks along the alphabet or the keyboard."""
    doubled = [row * 3 for row in _ROWS]
    return any(text in row or text in row[::-1] for row in doubled) or _halves_walk(text, doubled)


def _halves_walk(text: str, rows: list[str]) -> bool:
    """`qwertyuiop123456`: two walks, each of four signs at least."""
    return any(
        all(any(part in row or part in row[::-1] for row in rows) for part in (text[:cut], text[cut:]))
        for cut in range(4, len(text) - 3)
    )


def _left_without(password: str, words: set[str]) -> int:
    """How many letters and digits it has beside these words; its length where none of them is in it."""
    rest = password
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, " ")
    return len(password) if rest == password else sum(map(str.isalnum, rest))


def _words(about: Iterable[str]) -> set[str]:
    found = {word for text in about for word in re.split(r"[\W_]+", unicodedata.normalize("NFKC", text).casefold())}
    return {word for word in found if len(word) >= 3}


@cache
def _common() -> frozenset[str]:
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # 60 ms, spent when somebody sets a password

    return frozenset(FREQUENCY_LISTS["passwords"])
