"""The words of the command line as overrides, files and the wish for help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .draft import Draft
from .errors import BadOverride, UnknownConfigKey
from .hints import sequence_of, union_members
from .literals import FALSE_WORDS, NONE_WORDS, TRUE_WORDS, Scalar

SOURCE = "the command line"
HELP_WORDS = ("--help", "-h")
# Options of the run itself. A config key of the same name wins: it was there first.
RUN_OPTIONS = {"--resume": "resume", "--fork-from": "fork_from"}
_NEGATIVE_NUMBER = re.compile(r"-\.?[0-9]|-\.?inf", re.IGNORECASE)


@dataclass
class CommandLine:
    """What was asked for, in its order."""

    files: list[Path] = field(default_factory=list)
    overrides: list[tuple[str, Any]] = field(default_factory=list)
    run_options: dict[str, str] = field(default_factory=dict)
    wants_help: bool = False


def parse_command_line(words: Sequence[str], root: Draft) -> CommandLine:
    """Reads `lr=0.01`, `--lr 0.01`, `--lr=0.01`, `--flag`, `--no-flag`, `@file.yaml` up to `--`; raises ConfigError."""
    line = CommandLine()
    own = list(words[: list(words).index("--")]) if "--" in words else list(words)
    line.wants_help = any(word in HELP_WORDS for word in own)
    if line.wants_help:
        return line
    while own:
        word = own.pop(0)
        if _is_run_option(word, root):
            line.run_options.update([_read_run_option(word, own)])
        elif word.startswith("--"):
            line.overrides.append(_read_option(word, own, root))
        elif word.startswith("@"):
            if word == "@":
                raise BadOverride(word, "names no file. Write @config.yaml, without a space")
            line.files.append(Path(word[1:]))
        elif "=" in word and not word.startswith("="):
            line.overrides.append(_read_assignment(word, root))
        elif word.startswith("-") and len(word) > 1:
            raise BadOverride(word, f"is no option. Options have two dashes: -{word}")
        else:
            raise BadOverride(word)
    return line


def find_place(name: str, root: Draft) -> Draft | None:
    """The place that a word names; an option may have dashes where the parameter has underscores."""
    return root.find(name) or (root.find(name.replace("-", "_")) if "-" in name else None)


def _is_run_option(word: str, root: Draft) -> bool:
    name = word.partition("=")[0]
    return name in RUN_OPTIONS and find_place(name[2:], root) is None


def _read_run_option(word: str, rest: list[str]) -> tuple[str, str]:
    option, equals, value = word.partition("=")
    if not equals:
        if not rest or _begins_another(rest[0]):
            raise BadOverride(word, f"needs a run. Write {option} 12, with the number or the uid of a run")
        value = rest.pop(0)
    return RUN_OPTIONS[option], value


def _read_assignment(word: str, root: Draft) -> tuple[str, Any]:
    name, _, text = word.partition("=")
    # A key may hold "=" itself: then the longest existing key is meant, as with dots.
    for mark in range(len(word) - 1, len(name), -1):
        if word[mark] == "=" and word[:mark] in root.members:
            name, text = word[:mark], word[mark + 1 :]
            break
    if find_place(name, root) is None:
        raise _unknown(name, root)
    return name, Scalar.from_argument(text)


def _read_option(word: str, rest: list[str], root: Draft) -> tuple[str, Any]:
    if "=" in word:
        return _read_assignment(word[2:], root)
    name = word[2:]
    place = find_place(name, root)
    if place is None and name.startswith("no-"):
        negated = find_place(name[3:], root)
        if negated is not None and _is_flag(negated):
            return name[3:], Scalar("false")
    if place is None:
        raise _unknown(name, root)
    if _is_flag(place) and not (rest and _is_value_of_flag(rest[0], place)):
        return name, Scalar("true")
    if not rest or _looks_like_option(rest[0]):
        raise BadOverride(word, f"needs a value. Write {word} VALUE, or {word}=VALUE where it begins with a dash")
    values = [rest.pop(0)]
    while _is_sequence(place) and rest and _is_further_item(rest[0]):
        values.append(rest.pop(0))
    scalars = [Scalar.from_argument(value) for value in values]
    return name, scalars[0] if len(scalars) == 1 else scalars


def _unknown(name: str, root: Draft) -> UnknownConfigKey:
    return UnknownConfigKey(name, list(root.iter_keys()))


def _is_flag(place: Draft) -> bool:
    return bool in union_members(place.hint)


def _is_value_of_flag(word: str, place: Draft) -> bool:
    """Whether `--amp` takes the next word: one that means a bool, or any where it may be something else, as bf16."""
    further = set(union_members(place.hint)) - {bool, type(None)}
    return word.lower() in TRUE_WORDS | FALSE_WORDS | NONE_WORDS or (bool(further) and not _begins_another(word))


def _begins_another(word: str) -> bool:
    return word.startswith(("--", "@")) or "=" in word


def _is_sequence(place: Draft) -> bool:
    return any(sequence_of(member) is not None for member in union_members(place.hint))


def _looks_like_option(word: str) -> bool:
    return word.startswith("--") and _NEGATIVE_NUMBER.match(word) is None


def _is_further_item(word: str) -> bool:
    """Whether `--layers 64 32` goes on with `word`."""
    if word.startswith("-"):
        return _NEGATIVE_NUMBER.match(word) is not None
    return not _begins_another(word)
