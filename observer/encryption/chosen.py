"""What of a run is encrypted: as the site's policy says for its project, and what its user adds to that."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CONSOLE, SOURCES, ARTIFACTS, RESULTS, CONFIG = "console", "sources", "artifacts", "results", "config"
EVERYTHING = "everything"
WORDS = (CONFIG, CONSOLE, SOURCES, ARTIFACTS, RESULTS, EVERYTHING)
_CONFIG_GLOB = f"{CONFIG}."
LONGEST_WORD = 500


@dataclass(frozen=True)
class Chosen:
    """The parts of a run that are encrypted.

    Attributes:
        words: as the policy and the user write them, in their order: "console", "config.patient.*".
    """

    words: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words)

    def has(self, part: str) -> bool:
        return part in self.words or EVERYTHING in self.words

    @property
    def has_config(self) -> bool:
        """Whether any entry of the config is chosen."""
        return self.has(CONFIG) or any(word.startswith(_CONFIG_GLOB) for word in self.words)

    def has_key(self, path: str) -> bool:
        """Whether the config entry at this dotted path, or one that it is a part of, is chosen."""
        if self.has(CONFIG):
            return True
        parts = path.split(".")
        paths = [".".join(parts[: length + 1]) for length in range(len(parts))]
        globs = [word[len(_CONFIG_GLOB) :] for word in self.words if word.startswith(_CONFIG_GLOB)]
        return any(fnmatch.fnmatchcase(each, glob) for glob in globs for each in paths)


def parse_words(value: Any) -> tuple[str, ...]:
    """A list of words, or a text with spaces between them, each checked.

    Raises:
        ValueError: one is none; the text says what was expected.
    """
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, (list, tuple)) or not all(map(is_word, words)):
        raise ValueError(f"a list of {', '.join(WORDS)} or config.<glob of dotted keys>")
    return tuple(dict.fromkeys(words))


def is_word(word: object) -> bool:
    if not isinstance(word, str) or len(word) > LONGEST_WORD:
        return False
    return word in WORDS or (word.startswith(_CONFIG_GLOB) and len(word) > len(_CONFIG_GLOB))


def parse_table(value: Any) -> dict[str, list[str]]:
    """The policy's `encrypt` table: for globs of project names, what is encrypted there.

    Raises:
        ValueError: as `parse_words`.
    """
    if not isinstance(value, Mapping):
        raise ValueError('a table of project names, such as {"medical-*" = ["console", "config.patient.*"]}')
    return {str(project): list(parse_words(words)) for project, words in value.items()}


def chosen_for(project: str, table: Mapping[str, Iterable[str]], own: Iterable[str] = ()) -> Chosen:
    """What is encrypted of a project's runs.

    Args:
        table: the policy's.
        own: what the user has chosen beside that.
    """
    words = [word for glob, words in table.items() if fnmatch.fnmatchcase(project, glob) for word in words]
    return Chosen(tuple(dict.fromkeys((*words, *own))))
