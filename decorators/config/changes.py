"""What a config has other than its defaults, and who said so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .assignments import Source, Write, last_source
from .errors import shorten
from .literals import Scalar, quote

_logger = logging.getLogger("cloister")
_ABSENT: Any = object()
_NUMBERS = (int, float)
RECORDED_CHANGES = 1000  # of one run; a config written by people has fewer entries
_TOLD_CHANGES = 12  # in one line
_VALUE_CHARACTERS = 60


@dataclass(frozen=True)
class ConfigChange:
    """One entry that differs from its default.

    Attributes:
        kind: "changed"; "set" where it has no default; "added" where there is no such entry by default.
        before: the default; None where there is none.
        source: who set it last: a preset, a file, the command line, code; "computed" where it follows from others, or
            the config function that gave it.
        types: the names of both types, where they differ. A whole number for a float is no other type, nor is a value
            for None.
    """

    key: str
    kind: Literal["changed", "set", "added"]
    before: Any
    after: Any
    source: str
    types: tuple[str, str] | None = None
    is_computed: bool = False

    def as_record(self) -> dict[str, Any]:
        """As the run keeps it; what it became stands in the config."""
        record: dict[str, Any] = {"key": self.key, "kind": self.kind, "source": self.source}
        if self.kind == "changed":
            record["before"] = self.before
        if self.types is not None:
            record["types"] = list(self.types)
        return record

    def __str__(self) -> str:
        after = shorten_value(self.after)
        became = f"{shorten_value(self.before)} -> {after}" if self.kind == "changed" else f"= {after}"
        types = f", {self.types[0]} -> {self.types[1]}" if self.types is not None else ""
        return f"{printable(self.key)} {became} ({printable(self.source)}{types})"


def find_changes(
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    writes: Sequence[Write],
    given_by: Mapping[str, str],
    is_known: Callable[[str], bool],
) -> tuple[ConfigChange, ...]:
    """The values of `config` that differ from `defaults`, in its order, or are not there.

    Args:
        writes: what was set.
        given_by: the entries that config functions gave.
        is_known: whether there is such an entry by default, with a value or without one.
    """
    changes = []
    for key, before, value in _differences(config, defaults, ""):
        source = last_source(writes, key) or Source("computed", _giver(key, given_by))
        told, is_computed = str(source), source.kind == "computed"
        if before is _ABSENT:
            kind: Literal["set", "added"] = "set" if is_known(key) else "added"
            changes.append(ConfigChange(key, kind, None, value, told, is_computed=is_computed))
        else:
            types = types_changed(before, value)
            changes.append(ConfigChange(key, "changed", before, value, told, types, is_computed))
    return tuple(changes)


def _differences(config: Mapping[str, Any], defaults: Any, above: str) -> Iterator[tuple[str, Any, Any]]:
    for name, value in config.items():
        key = f"{above}.{name}" if above else name
        before = defaults.get(name, _ABSENT) if isinstance(defaults, Mapping) else _ABSENT
        if isinstance(value, Mapping) and value and (before is _ABSENT or isinstance(before, Mapping)):
            yield from _differences(value, before, key)
        elif before is _ABSENT or not is_same(before, value):
            yield key, before, value


def _giver(key: str, given_by: Mapping[str, str]) -> str:
    return next((label for given, label in given_by.items() if key == given or key.startswith(f"{given}.")), "")


def is_same(one: Any, other: Any) -> bool:
    """Equal, and of one type: True is not 1. Arrays and other things that do not answer plainly differ."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if one != one and other != other:  # nan is the same as nan here
        return True
    try:
        return bool(one == other)
    except Exception:  # a foreign object compares as it likes; an array gives an array
        return False


def types_changed(before: Any, after: Any) -> tuple[str, str] | None:
    """The names of the types, where a value is of another kind than its default."""
    if before is None or after is None or type(before) is type(after):
        return None
    if type(before) in _NUMBERS and type(after) in _NUMBERS:
        return None
    return type(before).__name__, type(after).__name__


def shorten_value(value: Any) -> str:
    """A value as it would be typed, cut to what a line can hold."""
    if value is None or isinstance(value, (bool, int, float, str, list, tuple, dict, Scalar)):
        text = quote(value)
        return printable(text if len(text) <= _VALUE_CHARACTERS else f"{text[: _VALUE_CHARACTERS - 3]}...")
    return printable(shorten(value))


def printable(text: str) -> str:
    """`text` on one line, with control characters spelled out: a value must not steer the terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def log_changes(changes: Sequence[ConfigChange]) -> None:
    """Tells the log what differs from the defaults, in one line; as a warning where a type is another one."""
    if not changes:
        return
    told = [str(change) for change in changes[:_TOLD_CHANGES]]
    if len(changes) > len(told):
        told.append(f"and {len(changes) - len(told)} more")
    _logger.info("Config: %s", "; ".join(told))
    if odd := [change for change in changes if change.types is not None]:
        _logger.warning(
            "%s of another type than by default: %s",
            "A config entry is" if len(odd) == 1 else f"{len(odd)} config entries are",
            "; ".join(str(change) for change in odd[:_TOLD_CHANGES]),
        )
