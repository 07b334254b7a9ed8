"""The words of the command line as overrides, presets, files, options of the run, and the wish for help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..run_options import RunOptions, nearest_flag, split_run_options
from .draft import Draft
from .errors import BadOverride, UnknownConfigKey
from .files import has_config_suffix
from .hints import sequence_of, union_members
from .layers import Layer, find_layer
from .literals import FALSE_WORDS, NONE_WORDS, TRUE_WORDS, Scalar

if TYPE_CHECKING:
    from .computing import Pass
    from .spec import ConfigSpec

SOURCE = "the command line"
HELP_WORDS = ("--help", "-h")
FORCE_WORDS = ("--force", "-f")
PRINT_WORDS = ("--print-config", "--print_config", "-p")
WITH = "with"  # Sacred's word: bare words after it are presets and files
_NO_OBSERVER = "there is no observer to choose; runs go where CLOISTER_URI, cloister.toml or @experiment(uri=...) say"
_OF_SACRED = {
    "-m": _NO_OBSERVER, "--mongo_db": _NO_OBSERVER, "-F": _NO_OBSERVER, "--file_storage": _NO_OBSERVER,
    "-t": _NO_OBSERVER, "--tiny_db": _NO_OBSERVER, "-s": _NO_OBSERVER, "--sql": _NO_OBSERVER,
    "-S": _NO_OBSERVER, "--s3": _NO_OBSERVER,
    "-i": "the number comes from the database; --name names a run",
    "--id": "the number comes from the database; --name names a run",
}  # fmt: skip
_NEGATIVE_NUMBER = re.compile(r"-\.?[0-9]|-\.?inf", re.IGNORECASE)


@dataclass
class CommandLine:
    """What was asked for, in its order.

    Attributes:
        layers: presets and files.
        overrides: single values: name, value, and whether the entry may be a new one (`+name=value`).
        is_forced: whether all of them may be new ones.
        prints_config: whether the config is to be shown before it is used.
    """

    layers: list[Layer] = field(default_factory=list)
    overrides: list[tuple[str, Any, bool]] = field(default_factory=list)
    options: RunOptions = field(default_factory=RunOptions)
    is_forced: bool = False
    prints_config: bool = False
    wants_help: bool = False


@dataclass(frozen=True)
class _Entries:
    """The places that words can name, and whether there may be others."""

    known: Pass
    is_forced: bool

    @property
    def root(self) -> Draft:
        return self.known.root

    def may_be(self, name: str) -> bool:
        """Whether an entry of that name, which nobody has yet, may still come to be."""
        placing = self.known.placing
        return self.is_forced or placing.may_grow(name) or placing.may_be_added(name)


def parse_command_line(words: Sequence[str], known: Pass, spec: ConfigSpec) -> CommandLine:
    """Reads `lr=0.01`, `--lr 0.01`, `--lr=0.01`, `--flag`, `--no-flag`, `@file.yaml`, `@preset`, `with preset`, and the
    run's own options, up to `--`; raises ConfigError, BadRunOption."""
    line = CommandLine()
    own = list(words[: list(words).index("--")]) if "--" in words else list(words)
    line.wants_help = any(word in HELP_WORDS for word in own)
    if line.wants_help:
        return line
    line.options, own = split_run_options(own, lambda name: find_place(name, known.root) is not None)
    line.is_forced, own = _take_flag(FORCE_WORDS, own, known.root)
    line.prints_config, own = _take_flag(PRINT_WORDS, own, known.root)
    _read_words(own, line, _Entries(known, line.is_forced), spec)
    return line


def _read_words(own: list[str], line: CommandLine, entries: _Entries, spec: ConfigSpec) -> None:
    is_after_with = False
    while own:
        word = own.pop(0)
        refuse_option_of_sacred(word, entries.root)
        if word.startswith("--"):
            line.overrides.append((*_read_option(word, own, entries), False))
        elif word.startswith("@"):
            if word == "@":
                raise BadOverride(word, "names no file and no preset. Write @config.yaml, without a space")
            line.layers.append(find_layer(word[1:], spec))
        elif word.startswith("+") and word.find("=") > 1:
            name, _, text = word[1:].partition("=")
            line.overrides.append((name, Scalar.from_argument(text), True))
        elif "=" in word and not word.startswith("="):
            line.overrides.append((*_read_assignment(word, entries), False))
        elif word.startswith("-") and len(word) > 1:
            raise BadOverride(word, _advice_on_option(word))
        elif word == WITH:
            is_after_with = True
        elif is_after_with and is_entry(word, entries.root, spec):
            raise BadOverride(word, advice_on_entry(word))
        elif is_after_with:
            line.layers.append(find_layer(word, spec))
        elif word in spec.all_presets or has_config_suffix(word):
            raise BadOverride(word, f"is a preset or a file: write @{word}, or 'with {word}'")
        else:
            raise BadOverride(word)


def find_place(name: str, root: Draft) -> Draft | None:
    """The place that a word names; an option may have dashes where the parameter has underscores."""
    return root.find(name) or (root.find(name.replace("-", "_")) if "-" in name else None)


def is_entry(word: str, root: Draft, spec: ConfigSpec) -> bool:
    """Whether a bare word names an entry, as in `lr = 0.5`, and nothing else."""
    return find_place(word, root) is not None and word not in spec.all_presets and not has_config_suffix(word)


def advice_on_entry(word: str) -> str:
    return f"is a config key. Write {word}=VALUE, without spaces"


def refuse_option_of_sacred(word: str, root: Draft) -> None:
    """Raises BadOverride for an option that only Sacred has; an entry of that name comes first."""
    flag = word.partition("=")[0]
    if word.startswith("--"):
        flag = f"--{flag[2:].replace('-', '_')}"
    if flag in _OF_SACRED and not (flag.startswith("--") and find_place(flag[2:], root) is not None):
        raise BadOverride(flag, f"is an option of Sacred's that is not needed here: {_OF_SACRED[flag]}")


def _take_flag(flags: Sequence[str], words: Sequence[str], root: Draft) -> tuple[bool, list[str]]:
    """Whether one of `flags` is among `words`, and the words without it; an entry of that name comes first."""
    taken = {flag for flag in flags if not (flag.startswith("--") and find_place(flag[2:], root) is not None)}
    rest = [word for word in words if word not in taken]
    return len(rest) < len(words), rest


def _advice_on_option(word: str) -> str:
    near = nearest_flag(word)
    return f"is no option. Options have two dashes: -{word}" + (f"; or did you mean {near}?" if near else "")


def _read_assignment(word: str, entries: _Entries) -> tuple[str, Any]:
    name, _, text = word.partition("=")
    # A key may hold "=" itself: then the longest existing key is meant, as with dots.
    for mark in range(len(word) - 1, len(name), -1):
        if word[mark] == "=" and word[:mark] in entries.root.members:
            name, text = word[:mark], word[mark + 1 :]
            break
    if find_place(name, entries.root) is None and not entries.may_be(name):
        raise UnknownConfigKey(name, entries.known.placing.known_keys())
    return name, Scalar.from_argument(text)


def _read_option(word: str, rest: list[str], entries: _Entries) -> tuple[str, Any]:
    if "=" in word:
        return _read_assignment(word[2:], entries)
    name = word[2:]
    place = find_place(name, entries.root)
    if place is None and name.startswith("no-"):
        negated = find_place(name[3:], entries.root)
        if negated is not None and is_flag(negated):
            return name[3:], Scalar("false")
    if place is None and not entries.may_be(name):
        raise UnknownConfigKey(name, entries.known.placing.known_keys())
    if place is not None and is_flag(place) and not (rest and is_value_of_flag(rest[0], place)):
        return name, Scalar("true")
    if not rest or _looks_like_option(rest[0]):
        if place is None and nearest_flag(word) is not None:
            raise UnknownConfigKey(name, entries.known.placing.known_keys())
        raise BadOverride(word, f"needs a value. Write {word} VALUE, or {word}=VALUE where it begins with a dash")
    values = [rest.pop(0)]
    while place is not None and is_sequence(place) and rest and is_further_item(rest[0]):
        values.append(rest.pop(0))
    scalars = [Scalar.from_argument(value) for value in values]
    return name, scalars[0] if len(scalars) == 1 else scalars


def is_bare(word: str) -> bool:
    """Whether a word is a name by itself: neither an option nor an override, a file or a preset."""
    return not word.startswith(("-", "@", "+")) and "=" not in word


def is_flag(place: Draft) -> bool:
    return bool in union_members(place.hint)


def is_value_of_flag(word: str, place: Draft) -> bool:
    """Whether `--amp` takes the next word: one that means a bool, or any where it may be something else, as bf16."""
    further = set(union_members(place.hint)) - {bool, type(None)}
    return word.lower() in TRUE_WORDS | FALSE_WORDS | NONE_WORDS or (bool(further) and not _begins_another(word))


def _begins_another(word: str) -> bool:
    return word.startswith(("--", "@")) or "=" in word


def is_sequence(place: Draft) -> bool:
    return any(sequence_of(member) is not None for member in union_members(place.hint))


def _looks_like_option(word: str) -> bool:
    return word.startswith("--") and _NEGATIVE_NUMBER.match(word) is None


def is_further_item(word: str) -> bool:
    """Whether `--layers 64 32` goes on with `word`."""
    if word.startswith("-"):
        return _NEGATIVE_NUMBER.match(word) is not None
    return not _begins_another(word)
