"""Which drawn run has which colour: 12 slots, the first free one for each run, remembered in the page's address."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..observer.run_ids import BadRunId, parse_run_id
from .run_keys import RunKey, run_key

if TYPE_CHECKING:
    from ..observer.run_record import RunId

SLOT_COUNT = 12
COLOURED = 36  # beyond three dash patterns nobody tells lines apart: the others are grey
MOST_DRAWN = 200
Dash = Literal["solid", "long", "short"]
_DASHES: tuple[Dash, ...] = ("solid", "long", "short")


@dataclass(frozen=True)
class RunColour:
    """A run's colour: `slot` 1 to 12 is the CSS property --run-<slot>; from the 13th run on the line is dashed.

    Slot 0 is grey: of a run beyond the `COLOURED` ones.
    """

    slot: int
    dash: Dash = "solid"


@dataclass(frozen=True)
class DrawnRuns:
    """The runs that the charts show, each in its place. A place whose run was taken away stays free (None), so that
    the others keep their colours; the next run that is drawn takes the first free place."""

    places: tuple[RunKey | None, ...] = ()

    @property
    def run_keys(self) -> tuple[RunKey, ...]:
        return tuple(key for key in self.places if key is not None)

    @property
    def colours(self) -> dict[RunKey, RunColour]:
        return {key: colour_of_place(place) for place, key in enumerate(self.places) if key is not None}

    @property
    def slots(self) -> dict[RunKey, int]:
        """The places counted from 1, as the charts take them: 13 is colour 1, dashed."""
        return {key: place + 1 for place, key in enumerate(self.places) if key is not None}

    def adding(self, run_id: RunId) -> DrawnRuns:
        key = run_key(run_id)
        if key in self.places or len(self.run_keys) >= MOST_DRAWN:
            return self
        places = list(self.places)
        if None in places:
            places[places.index(None)] = key
        else:
            places.append(key)
        return DrawnRuns(tuple(places))

    def removing(self, run_id: RunId) -> DrawnRuns:
        key = run_key(run_id)
        places = [None if place == key else place for place in self.places]
        while places and places[-1] is None:
            places.pop()
        return DrawnRuns(tuple(places))

    def toggling(self, run_id: RunId) -> DrawnRuns:
        return self.removing(run_id) if run_key(run_id) in self.places else self.adding(run_id)

    def __str__(self) -> str:
        """As the address writes it: 12,,14 has a free second place; "none" is no run at all."""
        return ",".join("" if place is None else str(place) for place in self.places) or "none"


def parse_drawn(text: str) -> DrawnRuns:
    """What `str()` of drawn runs gave. Words that are no id leave their place free; no id counts twice."""
    if text == "none":
        return DrawnRuns()
    places: list[RunKey | None] = []
    for word in text.split(",")[:MOST_DRAWN]:
        key = _parse_key(word)
        places.append(None if key in places else key)
    while places and places[-1] is None:
        places.pop()
    return DrawnRuns(tuple(places))


def _parse_key(word: str) -> RunKey | None:
    try:
        return run_key(parse_run_id(word))
    except BadRunId:
        return None


def cookie_name(root: str, project: str) -> str:
    """Where a browser keeps a project's drawn runs, so that a run's own page shows the colour that it has there.

    `root` is where the database lies on this server: two may have a project of the same name.
    """
    return f"cloister_drawn_{zlib.crc32(f'{root}/{project}'.encode('utf-8', 'replace')):08x}"


def colour_of_place(place: int) -> RunColour:
    if place >= COLOURED:
        return RunColour(0)
    return RunColour(place % SLOT_COUNT + 1, _DASHES[min(place // SLOT_COUNT, len(_DASHES) - 1)])
