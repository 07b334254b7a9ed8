"""What pages were told last, so that one which lost its stream hears exactly what it missed."""

from __future__ import annotations

import re
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..observer.runs import RunChange
    from .change_feed import Gap

KEPT_EVENTS = 4096  # some minutes of a busy site; a page that was away for longer fetches everything anew
_PLACE = re.compile(r"([0-9a-f]{8})\.([0-9]{1,15})", re.ASCII)


@dataclass(frozen=True)
class LiveEvent:
    """Something that pages are told.

    Attributes:
        number: of all that this hub has told, counted from 1.
    """

    number: int
    item: RunChange | Gap


@dataclass
class LiveHistory:
    """Numbers events and keeps the newest. Used from the event loop only.

    Attributes:
        name: of this hub; numbers of another one, before a restart, mean nothing here.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(4))
    last: int = 0
    _kept: deque[LiveEvent] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))

    def add(self, item: RunChange | Gap) -> LiveEvent:
        self.last += 1
        event = LiveEvent(self.last, item)
        self._kept.append(event)
        return event

    @property
    def place(self) -> str:
        """How far everything is told, as an event's id."""
        return self.place_of(self.last)

    def place_of(self, number: int) -> str:
        return f"{self.name}.{number}"

    def after(self, place: str) -> list[LiveEvent] | None:
        """What was told after an id of ours; None where that is not known any more, or never was."""
        found = _PLACE.fullmatch(place)
        if found is None or found[1] != self.name:
            return None
        number = int(found[2])
        oldest = self._kept[0].number if self._kept else self.last + 1
        if number > self.last or number < oldest - 1:
            return None
        return [event for event in self._kept if event.number > number]


def is_place(text: str) -> bool:
    """Whether a text has the form of such an id."""
    return _PLACE.fullmatch(text) is not None
