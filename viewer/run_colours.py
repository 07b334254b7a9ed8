"""Which drawn run has which colour: 12 slots, the first free one for each run, remembered in the page's address."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

SLOT_COUNT = 12
MOST_DRAWN = 36  # beyond three dash patterns nobody tells lines apart
Dash = Literal["solid", "long", "short"]
_DASHES: tuple[Dash, ...] = ("solid", "long", "short")


@dataclass(frozen=True)
class RunColour:
    """A run's colour: `slot` 1 to 12 is the CSS property --run-<slot>; from the 13th run on the line is dashed."""

    slot: int
    dash: Dash = "solid"


@dataclass(frozen=True)
class DrawnRuns:
    """The runs that the charts show, each in its place. A place whose run was taken away stays free (None), so that
    the others keep their colours; the next run that is drawn takes the first free place."""

    places: tuple[Any | None, ...] = ()

    @property
    def run_ids(self) -> tuple[Any, ...]:
        return tuple(run_id for run_id in self.places if run_id is not None)

    @property
    def colours(self) -> dict[Any, RunColour]:
        return {run_id: colour_of_place(place) for place, run_id in enumerate(self.places) if run_id is not None}

    @property
    def slots(self) -> dict[Any, int]:
        """The places counted from 1, as the charts take them: 13 is colour 1, dashed."""
        return {run_id: place + 1 for place, run_id in enumerate(self.places) if run_id is not None}

    def adding(self, run_id: Any) -> DrawnRuns:
        if run_id in self.places or len(self.run_ids) >= MOST_DRAWN:
            return self
        places = list(self.places)
        if None in places:
            places[places.index(None)] = run_id
        else:
            places.append(run_id)
        return DrawnRuns(tuple(places))

    def removing(self, run_id: Any) -> DrawnRuns:
        places = [None if place == run_id else place for place in self.places]
        while places and places[-1] is None:
            places.pop()
        return DrawnRuns(tuple(places))

    def toggling(self, run_id: Any) -> DrawnRuns:
        return self.removing(run_id) if run_id in self.places else self.adding(run_id)

    def __str__(self) -> str:
        """As the address writes it: 12,,14 has a free second place; "none" is no run at all."""
        return ",".join("" if place is None else str(place) for place in self.places) or "none"


def parse_drawn(text: str) -> DrawnRuns:
    """What `str()` of drawn runs gave. Ids that are not whole numbers leave their place free; no id counts twice."""
    if text == "none":
        return DrawnRuns()
    places: list[int | None] = []
    for word in text.split(",")[:MOST_DRAWN]:
        run_id = int(word) if word.isascii() and word.isdigit() and len(word) < 19 else None
        places.append(None if run_id in places else run_id)
    while places and places[-1] is None:
        places.pop()
    return DrawnRuns(tuple(places))


def cookie_name(project: str) -> str:
    """Where a browser keeps a project's drawn runs, so that a run's own page shows the colour that it has there."""
    return f"cloister_drawn_{zlib.crc32(project.encode('utf-8', 'replace')):08x}"


def colour_of_place(place: int) -> RunColour:
    return RunColour(place % SLOT_COUNT + 1, _DASHES[min(place // SLOT_COUNT, len(_DASHES) - 1)])
