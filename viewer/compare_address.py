"""The address of a comparison: which runs in which order and colours, which is the baseline, what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

from ..observer.run_ids import BadRunId, parse_run_id
from .run_keys import RunKey, run_key

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

MOST_COMPARED = 50
SLOTS = 36  # twelve colours, each whole and in two dashes
View = Literal["all", "config", "charts", "source", "model", "environment", "console", "media"]
# View, what its switch is called.
VIEWS: dict[View, str] = {
    "all": "All",
    "config": "Config",
    "charts": "Charts",
    "source": "Source",
    "model": "Model",
    "environment": "Environment",
    "console": "Console",
    "media": "Media",
}
WITHIN: dict[View, View] = {"model": "source", "environment": "config"}  # views without a switch of their own
Layout = Literal["split", "unified"]


@dataclass(frozen=True)
class CompareAddress:
    """What a comparison shows.

    Attributes:
        runs: in the order of the letters A, B, C.
        slots: their colours by run; of a run without one the page finds it.
        baseline: what the others are compared with; None for the first run.
        against: the run whose files stand beside the baseline's; None for the first other one.
        every_key: whether rows in which no run differs are shown too.
        media, step: which series of images is shown, at which step.
        project: where runs are looked for to add.
        left_out: runs beyond those that can be compared.
    """

    runs: tuple[RunKey, ...] = ()
    slots: tuple[tuple[RunKey, int], ...] = ()
    baseline: RunKey | None = None
    view: View = "all"
    against: RunKey | None = None
    layout: Layout = "split"
    every_key: bool = False
    media: str = ""
    step: int | None = None
    project: str = ""
    left_out: int = 0
    root: str = ""

    def url(self, **changes: Any) -> str:
        """This address with some fields changed; what is as by default is left out."""
        address = replace(self, **changes)
        query = urlencode(address._parameters(), safe=",/:", quote_via=quote)
        return f"{self.root}/compare?{query}" if query else f"{self.root}/compare"

    def part(self, name: str) -> str:
        """Where one part of the page alone is fetched."""
        return self.part_with(name)

    def part_with(self, name: str, **changes: Any) -> str:
        path, _, query = self.url(**{"view": "all", **changes}).partition("?")
        return f"{path}/part/{name}?{query}"

    def adding(self, key: RunKey) -> str:
        return self.url(runs=(*self.runs, key))

    def removing(self, key: RunKey) -> str:
        kept = tuple(run for run in self.runs if run != key)
        slots = tuple(pair for pair in self.slots if pair[0] != key)
        baseline = None if self.baseline == key else self.baseline
        return self.url(
            runs=kept, slots=slots, baseline=baseline, against=None if self.against == key else self.against
        )

    def _parameters(self) -> dict[str, str]:
        slots = dict(self.slots)
        given: dict[str, str] = {
            "runs": ",".join(str(key) for key in self.runs),
            "colours": ",".join(str(slots.get(key) or "") for key in self.runs).strip(","),
            "baseline": "" if self.baseline in (None, *self.runs[:1]) else str(self.baseline),
            "show": "" if self.view == "all" else self.view,
            "with": "" if self.against is None else str(self.against),
            "layout": "" if self.layout == "split" else self.layout,
            "keys": "all" if self.every_key else "",
            "media": self.media,
            "step": "" if self.step is None else str(self.step),
            "project": self.project if len(self.runs) < 2 else "",
        }
        return {name: value for name, value in given.items() if value}


def parse_compare(parameters: MultiDict[str, str], *, root: str = "") -> CompareAddress:
    """The comparison behind a request. Words that mean nothing are as if they were not there: a link is not refused
    because one of fifty ids in it was cut."""
    words = [word.strip() for text in parameters.getlist("runs") for word in text.split(",")]
    keys = tuple(dict.fromkeys(key for key in map(_key, words) if key is not None))
    runs = keys[:MOST_COMPARED]
    view = parameters.get("show", "all")
    return CompareAddress(
        runs=runs,
        slots=_parse_slots(words, parameters.get("colours", "")),
        baseline=_one_of(runs, parameters.get("baseline")),
        view=view if view in VIEWS else "all",
        against=_one_of(runs, parameters.get("with")),
        layout="unified" if parameters.get("layout") == "unified" else "split",
        every_key=parameters.get("keys") == "all",
        media=parameters.get("media", "")[:2000],
        step=_whole(parameters.get("step", "")),
        project=parameters.get("project", "")[:1000],
        left_out=len(keys) - len(runs),
        root=root,
    )


def settle_slots(
    runs: tuple[RunKey, ...], given: Mapping[RunKey, int], drawn: Mapping[RunKey, int]
) -> dict[RunKey, int]:
    """A colour for each run: the address's, else that in which the table draws it, else the first free one.

    Beyond the 36 that can be told apart a run is grey: slot 0, as in the charts.
    """
    slots: dict[RunKey, int] = {}
    for known in (given, drawn):
        for key in runs:
            if key not in slots and key in known and known[key] not in slots.values():
                slots[key] = known[key]
    free = iter([slot for slot in range(1, SLOTS + 1) if slot not in slots.values()])
    for key in runs:
        if key not in slots:
            slots[key] = next(free, 0)
    return slots


def letter_of(place: int) -> str:
    """A, B, ..., Z, AA, AB: what runs are called where their names have no room."""
    return (letter_of(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def _key(word: str | None) -> RunKey | None:
    if not word:
        return None
    try:
        return run_key(parse_run_id(word))
    except BadRunId:
        return None


def _one_of(runs: tuple[RunKey, ...], word: str | None) -> RunKey | None:
    key = _key(word)
    return key if key in runs else None


def _parse_slots(words: list[str], text: str) -> tuple[tuple[RunKey, int], ...]:
    pairs = []
    for word, number in zip(words, text.split(","), strict=False):
        key, slot = _key(word), _whole(number)
        if key is not None and slot is not None and 1 <= slot <= SLOTS:
            pairs.append((key, slot))
    return tuple(pairs)


def _whole(text: str) -> int | None:
    bare = text.removeprefix("-")
    return int(text) if bare.isascii() and bare.isdigit() and len(bare) < 19 else None
