"""Names of accounts: one spelling each, so that nobody can be called almost like somebody else."""

from __future__ import annotations

import re
import unicodedata

from ...observer.errors import CloisterError

LONGEST_NAME = 64
LONGEST_LINE = 200  # of what people are called beside it
_NAME = re.compile(r"[\w.@+-]+")
_EDGES = re.compile(r"\w.*\w|\w", re.DOTALL)
# Beside letters, what digits, signs and modifiers are called: they belong to every script.
_NO_SCRIPT = frozenset({"DIGIT", "LOW", "FULL", "COMMERCIAL", "PLUS", "HYPHEN-MINUS", "MODIFIER", "COMBINING"})
_JAPANESE = frozenset({"CJK", "HIRAGANA", "KATAKANA"})  # written beside each other


class BadAccountName(CloisterError, ValueError):
    """A name that no account can have."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"{name[:LONGEST_NAME]!r} cannot be the name of an account: {reason}. Take 1 to {LONGEST_NAME} letters, "
            "digits, or . _ - @ + between them, such as ana.silva."
        )


def plain_name(given: str) -> str:
    """The one spelling of a name: compatibility forms resolved, without upper case. Never raises."""
    given = given.encode("utf-8", "replace").decode()  # half a character, as a command line can have it, is none
    for _ in range(3):  # a folded letter may be one that folds again, in Greek for instance
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", given).casefold()).strip()
        if folded == given:
            break
        given = folded
    return given


def one_line(given: str) -> str:
    """A name for people, as tables can show it and the database can hold it."""
    return " ".join(given.encode("utf-8", "replace").decode().split())


def parse_account_name(given: str) -> str:
    """The stored name for what somebody typed.

    Raises:
        BadAccountName: it is empty, too long, or could be mistaken for another one.
    """
    name = plain_name(given)
    if not name:
        raise BadAccountName(given, "it is empty")
    if len(name) > LONGEST_NAME:
        raise BadAccountName(given, f"it has {len(name)} characters")
    if not _NAME.fullmatch(name):
        raise BadAccountName(given, "it has a sign that names do not have")
    if not _EDGES.fullmatch(name):
        raise BadAccountName(given, "it begins or ends with a sign")
    if len(_scripts(name)) > 1:
        raise BadAccountName(given, "it mixes letters of different alphabets, which look alike")
    return name


def _scripts(name: str) -> set[str]:
    """The alphabets of its letters, by the first word of what Unicode calls them: LATIN, CYRILLIC, GREEK ..."""
    words = {unicodedata.name(character, "UNNAMED").split()[0] for character in name if not character.isascii()}
    if any(character.isascii() and character.isalpha() for character in name):
        words.add("LATIN")
    words = {"JAPANESE" if word in _JAPANESE else word for word in words}
    return words - _NO_SCRIPT
