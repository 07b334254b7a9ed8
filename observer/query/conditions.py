"""A query once it is understood: conditions on fields, joined by and, or, not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from .fields import Field

Operator = Literal["=", "<", "<=", ">", ">=", "contains", "has", "exists"]


@dataclass(frozen=True)
class Moment:
    """A time as somebody wrote it.

    Attributes:
        start, end: a day stands for all its moments, so it has both, `end` not included; a moment has `start` alone.
        ago: how long before now instead.
        days: today plus so many days instead.
    """

    start: datetime | None = None
    end: datetime | None = None
    ago: timedelta | None = None
    days: int | None = None

    def span(self, now: datetime) -> tuple[datetime, datetime | None]:
        if self.ago is not None:
            return now - self.ago, None
        if self.days is not None:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=self.days)
            return midnight, midnight + timedelta(days=1)
        assert self.start is not None
        return self.start, self.end


ME = object()  # whoever asks, as the value of `owner = me`


@dataclass(frozen=True)
class Condition:
    """One condition that a run meets, or not; it is never met by a run without the field."""

    field: Field
    operator: Operator
    value: Any = None


@dataclass(frozen=True)
class Words:
    """A text that is looked for in name, experiment, tags, notes, status and id."""

    text: str


@dataclass(frozen=True)
class All:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class AnyOf:
    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Negated:
    part: Node


Node = Condition | Words | All | AnyOf | Negated


def iter_conditions(node: Node | None) -> Iterator[Condition | Words]:
    """All conditions, wherever they stand."""
    if isinstance(node, (Condition, Words)):
        yield node
    elif isinstance(node, Negated):
        yield from iter_conditions(node.part)
    elif node is not None:
        for part in node.parts:
            yield from iter_conditions(part)
