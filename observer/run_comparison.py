"""Runs beside each other: which config values, packages and facts of their machines they have, and which differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .encryption.opened import LockedText

if TYPE_CHECKING:
    from .run_record import RunRecord

DEEPEST = 40
# Packages have a table of their own; that a process has another number than another one says nothing.
_LEFT_OUT = ("distributions", "editable_distributions", "notes", "pid")

Path = tuple[str, ...]


class Absent:
    """What a run has at a place that only others have."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


@dataclass(frozen=True)
class ComparedRow:
    """What each run has at one place, in the order of the runs.

    Attributes:
        path: the keys from the outside in; a key may itself hold dots.
        values: `ABSENT` where a run has nothing there.
        differing: for each run whether it differs from the baseline.
    """

    path: Path
    values: tuple[Any, ...]
    differing: tuple[bool, ...]

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def differs(self) -> bool:
        return any(self.differing)


def compare_configs(runs: Sequence[RunRecord], baseline: int = 0) -> tuple[ComparedRow, ...]:
    """All config values of the runs, in the order of the baseline's config; what only others have follows."""
    return compare_values([flatten(run.config) for run in runs], baseline)


def compare_environments(runs: Sequence[RunRecord], baseline: int = 0) -> tuple[ComparedRow, ...]:
    """What the runs ran on, without their packages."""
    facts = [
        {key: value for key, value in run.environment.items() if key not in _LEFT_OUT} | {"argv": run.argv}
        for run in runs
    ]
    return compare_values([flatten(each) for each in facts], baseline)


def compare_packages(runs: Sequence[RunRecord], baseline: int = 0) -> tuple[ComparedRow, ...]:
    """The version of every installed package, by name."""
    rows = compare_values([{(name,): version for name, version in packages_of(run).items()} for run in runs], baseline)
    return tuple(sorted(rows, key=lambda row: row.name.lower()))


def packages_of(run: RunRecord) -> dict[str, str]:
    """Version by name of each installed package."""
    listed = run.environment.get("distributions")
    texts = [entry for entry in listed if isinstance(entry, str)] if isinstance(listed, (list, tuple)) else []
    return {name: version for name, _, version in (text.partition("==") for text in texts)}


def compare_values(columns: Sequence[Mapping[Path, Any]], baseline: int = 0) -> tuple[ComparedRow, ...]:
    """One row for each place that at least one of the columns has."""
    others = [column for place, column in enumerate(columns) if place != baseline]
    places: dict[Path, None] = dict.fromkeys(columns[baseline]) if columns else {}
    for column in others:
        places.update(dict.fromkeys(column))
    return tuple(_row(path, tuple(column.get(path, ABSENT) for column in columns), baseline) for path in places)


def _row(path: Path, values: tuple[Any, ...], baseline: int) -> ComparedRow:
    return ComparedRow(path, values, tuple(not is_same(value, values[baseline]) for value in values))


def flatten(values: Mapping[str, Any]) -> dict[Path, Any]:
    """Nested values by their path; lists and empty mappings are values themselves."""
    return dict(_iter_leaves((), values))


def _iter_leaves(path: Path, values: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    for key, value in values.items():
        inner = (*path, str(key))
        if isinstance(value, Mapping) and value and len(inner) < DEEPEST:
            yield from _iter_leaves(inner, value)
        else:
            yield inner, value


def is_same(one: Any, other: Any) -> bool:
    """Whether two recorded values mean the same: 1 and 1.0 do, 1 and true do not, NaN and NaN do.

    Of what is encrypted and cannot be read here nobody can say that it differs.
    """
    if isinstance(one, LockedText) or isinstance(other, LockedText):
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    return type(one) is type(other) and bool(one == other)
