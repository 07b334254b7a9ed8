"""Which command a command line names: `python train.py evaluate lr=0.1`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..run_options import split_run_options
from .command_line import (
    HELP_WORDS,
    WITH,
    advice_on_entry,
    find_place,
    is_bare,
    is_entry,
    is_flag,
    is_further_item,
    is_sequence,
    is_value_of_flag,
    refuse_option_of_sacred,
)
from .draft import Draft
from .errors import BadOverride
from .files import has_config_suffix
from .resolving import Sources
from .spec import ConfigSpec


@dataclass(frozen=True)
class ParsedLine:
    """A command line, taken apart as far as it can be before it is known whose entries it sets.

    Attributes:
        command: the command that was named; None: the experiment itself.
        words: the others, for `ConfigSpec.resolve`.
        wants_help: whether `--help` is among them.
    """

    command: str | None
    words: tuple[str, ...]
    wants_help: bool


class _Word(str):
    """A word that is told from an equal one, because the command has to be taken out where it stands."""

    __slots__ = ()


def split_command_line(words: Sequence[str], commands: Collection[str], spec: ConfigSpec) -> ParsedLine:
    """The command among `words`: the first bare word, before `with`, that is no value of an option.

    Raises:
        BadOverride: the first bare word names no command.
        BadRunOption: an option of the run has no value.
        ConfigError: the spec's own config cannot be read.
    """
    marked = [_Word(word) for word in words]
    own = marked[: words.index("--")] if "--" in words else marked
    wants_help = any(word in HELP_WORDS for word in own)
    root = Sources.read(spec).make_root()
    _, left = split_run_options(own, lambda name: find_place(name, root) is not None)
    found = _first_bare(left, commands, root)
    if found is None:
        return ParsedLine(None, tuple(words), wants_help)
    name = found if found in commands else found.replace("-", "_")
    if name not in commands:
        raise BadOverride(found, _advice(found, commands, spec, root))
    return ParsedLine(str(name), tuple(str(word) for word in marked if word is not found), wants_help)


def _first_bare(words: Sequence[str], commands: Collection[str], root: Draft) -> str | None:
    left = list(words)
    while left:
        word = left.pop(0)
        if word in HELP_WORDS:
            continue
        refuse_option_of_sacred(word, root)
        if word.startswith("--") and "=" not in word:
            _drop_values(word, left, commands, root)
        elif word == WITH:
            return None
        elif is_bare(word):
            return word
    return None


def _drop_values(option: str, left: list[str], commands: Collection[str], root: Draft) -> None:
    """Takes away what an option takes as its value. Of one that is not known yet, that is no command's name."""
    place = find_place(option[2:], root)
    if place is None:
        if left and is_bare(left[0]) and left[0] not in commands and not option.startswith("--no-"):
            left.pop(0)
    elif is_flag(place):
        if left and is_value_of_flag(left[0], place) and left[0] not in commands:
            left.pop(0)
    elif left:
        left.pop(0)
        while is_sequence(place) and left and is_further_item(left[0]) and left[0] not in (*commands, WITH):
            left.pop(0)


def _advice(word: str, commands: Collection[str], spec: ConfigSpec, root: Draft) -> str:
    if is_entry(word, root, spec):
        return advice_on_entry(word)
    if word in spec.all_presets or has_config_suffix(word):
        return f"is a preset or a file, and no command: write @{word}, or 'with {word}'"
    from difflib import get_close_matches  # only a wrong word needs it

    near = get_close_matches(word.replace("-", "_"), commands, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(commands)}"
    return f"is neither an override (name=value) nor a command. {hint}"
