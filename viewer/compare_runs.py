"""The runs of a comparison as its pages show them: letter, colour, which one is the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..observer.run_ids import parse_run_id
from .charts import load_known_runs
from .compare_address import CompareAddress, letter_of, settle_slots
from .run_colours import SLOT_COUNT
from .run_keys import RunKey, run_key

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison. `slot` 1 to 36 is its colour and dash, `colour` 1 to 12 its colour; 0 is grey."""

    run: RunRecord
    key: RunKey
    letter: str
    slot: int
    is_baseline: bool

    @property
    def colour(self) -> int:
        return (self.slot - 1) % SLOT_COUNT + 1 if self.slot else 0


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    missing: how many of the runs asked for are not there for whoever asks, for whatever reason.
    baseline: the place of the baseline among `runs`.
    """

    runs: tuple[ComparedRun, ...]
    baseline: int
    missing: int

    @property
    def records(self) -> tuple[RunRecord, ...]:
        return tuple(each.run for each in self.runs)

    @property
    def keys(self) -> tuple[RunKey, ...]:
        return tuple(each.key for each in self.runs)

    @property
    def slots(self) -> dict[RunKey, int]:
        return {each.key: each.slot for each in self.runs}

    @property
    def base(self) -> ComparedRun:
        return self.runs[self.baseline]

    @property
    def others(self) -> tuple[ComparedRun, ...]:
        return tuple(each for each in self.runs if not each.is_baseline)

    @property
    def projects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.run.project for each in self.runs))

    def other(self, against: RunKey | None) -> ComparedRun:
        """The run whose files stand beside the baseline's: the one asked for, or the first other one."""
        return next(iter([each for each in self.others if each.key == against] or self.others))


def load_comparison(
    store: RunStore, address: CompareAddress, drawn: Callable[[str], Mapping[RunKey, int]]
) -> Comparison:
    """The runs of an address that whoever asks may see.

    Args:
        drawn: gives for a project the colours in which its runs are drawn beside their table.
    """
    records, missing = load_known_runs(store, [parse_run_id(str(key)) for key in address.runs])
    keys = tuple(run_key(record.id) for record in records)
    shown: dict[RunKey, int] = {}
    for project in dict.fromkeys(record.project for record in records):
        shown.update(drawn(project))
    slots = settle_slots(keys, dict(address.slots), shown)
    baseline = keys.index(address.baseline) if address.baseline in keys else 0
    runs = tuple(
        ComparedRun(record, key, letter_of(place), slots[key], place == baseline)
        for place, (record, key) in enumerate(zip(records, keys, strict=True))
    )
    return Comparison(runs, baseline, len(missing))


def load_asked_comparison(store: RunStore, keys: tuple[RunKey, ...], baseline: RunKey | None) -> Comparison:
    """The same for whoever asks without a page: colours are of no matter then."""
    return load_comparison(store, CompareAddress(runs=keys, baseline=baseline), lambda _project: {})
