"""Secrets that are known word for word: from variables of the environment, and from the run's own config."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from .marks import MARK_START, mark
from .secret_names import secret_in_name
from .secret_values import is_secret_value

SHORTEST = 6
SHORTEST_WORD = 16  # of letters alone: a shorter password may be a word that stands everywhere
LONGEST = 4096
COUNT_LIMIT = 100
_IN_URL = re.compile(r"://[^\s/@:]*:([^\s@]+)@")
_KINDS = (str.islower, str.isupper, str.isdigit)


class KnownValues:
    """Values to be taken out wherever they stand. Grows while a run is recorded; thread-safe."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}

    def add(self, value: object, rule: str) -> None:
        """Take `value` out from now on, if it is one that stands nowhere by accident."""
        if not isinstance(value, str) or len(self._rules) >= COUNT_LIMIT or value in self._rules:
            return
        if is_distinctive(value):
            self._rules = dict(sorted([*self._rules.items(), (value, rule)], key=lambda pair: -len(pair[0])))

    def redact(self, text: str, found: Callable[[str], None]) -> str:
        for value, rule in self._rules.items():
            if value in text:
                for _ in range(text.count(value)):
                    found(rule)
                text = text.replace(value, mark(rule))
        return text


def add_environment(known: KnownValues, environment: Mapping[str, str], globs: Iterable[str]) -> None:
    """Know the values of variables whose names say that they are secret, or that a rule names."""
    chosen = tuple(globs)
    for name, value in environment.items():
        if any(fnmatchcase(name, glob) for glob in chosen):
            known.add(value, "environment")
            continue
        rule = secret_in_name(name)
        if rule is not None and is_secret_value(value, rule):
            known.add(value, rule)
        elif "://" in value and (inside := _IN_URL.search(value)) is not None:
            known.add(inside[1], "url-credentials")


def is_distinctive(value: str) -> bool:
    """Whether text that holds `value` holds it on purpose: no path, no short word, nothing of a few characters."""
    if not SHORTEST <= len(value) <= LONGEST or MARK_START in value or value.isspace():
        return False
    if value.startswith(("/", "./", "~")) or (value.isdigit() and len(value) < 10):
        return False
    kinds = sum(any(kind(character) for character in value) for kind in _KINDS)
    kinds += any(not character.isalnum() for character in value)
    return kinds >= 2 or len(value) >= SHORTEST_WORD
