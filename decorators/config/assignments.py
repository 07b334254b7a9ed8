"""What is set over the defaults, by whom, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

SourceKind = Literal["preset", "preset file", "file", "command line", "code", "resumed run", "computed"]


@dataclass(frozen=True)
class Source:
    """Who sets a value. `name` is that of the preset, the file, or what computes it."""

    kind: SourceKind
    name: str = ""

    @property
    def label(self) -> str:
        """How an error names it; nothing for what the reader has just typed."""
        if self.kind in ("preset", "preset file"):
            return f"preset {self.name!r}"
        return self.name if self.kind in ("file", "computed") else "the run that goes on" * (self.kind == "resumed run")

    def __str__(self) -> str:
        return f"preset {self.name}" if self.kind.startswith("preset") else self.name or self.kind


CALL = Source("code", "the call")  # told apart from other code by identity
COMMAND_LINE, CODE, RESUMED = Source("command line"), Source("code"), Source("resumed run")


@dataclass(frozen=True)
class Assignment:
    """One value for one place.

    Attributes:
        path: the dotted name, as it was given.
        how: "put" reads text that is undecided, "give" takes what code gave at its word, "call" is an argument of a
            call.
        may_add: whether the entry may be one that nobody knows: `+note=text`.
    """

    path: str
    value: Any
    source: Source
    how: Literal["put", "give", "call"]
    may_add: bool = False


@dataclass(frozen=True)
class Write:
    """What an assignment came to at one place, so that it can be done again."""

    key: str
    value: Any
    source: Source
    how: Literal["put", "give"]


def assignments_of(values: Mapping[str, Any], source: Source, *, prefix: str = "") -> list[Assignment]:
    """One for each key of `values`, which a file or code gave."""
    how: Literal["put", "give"] = "put" if source.kind in ("file", "preset file") else "give"
    return [Assignment(f"{prefix}.{key}" if prefix else key, value, source, how) for key, value in values.items()]


def is_inside(key: str, outer: str) -> bool:
    """Whether `key` is `outer` or something in it."""
    return key == outer or key.startswith(f"{outer}.")


def overlap(one: str, other: str) -> bool:
    return is_inside(one, other) or is_inside(other, one)


def last_source(writes: Sequence[Write], key: str) -> Source | None:
    """Who set `key` last, or something around it or in it."""
    return next((write.source for write in reversed(writes) if overlap(write.key, key)), None)
