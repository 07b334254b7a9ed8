"""Rows grouped by the values of some fields, as `run_grouping.py` has MongoDB group them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..query.evaluation import is_number
from ..query.fields import Field
from ..run_grouping import GROUPS_LIMIT, RunGroup, RunGroups, Stats, plain_key
from ..run_status import QUEUED_STATES
from .column import NUMBER, Column, Floats
from .masks import Asked
from .ordering import Rows

Codes = npt.NDArray[np.int64]


def group_rows(asked: Asked, rows: Rows, by: tuple[Field, ...], columns: dict[str, Field]) -> RunGroups:
    """The groups of these rows, the largest first."""
    if not len(rows):
        return RunGroups((), 0)
    coded = [_coded(asked, rows, field) for field in by]
    combined = np.zeros(len(rows), np.int64)
    for codes, values in coded:  # the product of three fields of 2**20 values fits
        combined = combined * len(values) + codes
    _, firsts, places = np.unique(combined, return_index=True, return_inverse=True)
    counts = np.bincount(places)
    stats = {key: _stats(_numbers(asked, rows, field), places, len(counts)) for key, field in columns.items()}
    groups = [
        (int(counts[group]), tuple(values[codes[first]] for codes, values in coded), group)
        for group, first in enumerate(firsts)
    ]
    groups.sort(key=lambda group: (-group[0], tuple(map(_order, group[1]))))
    shown = tuple(
        RunGroup(keys, count, {key: each[group] for key, each in stats.items()})
        for count, keys, group in groups[:GROUPS_LIMIT]
    )
    return RunGroups(shown, len(groups))


def frequent_values(asked: Asked, rows: Rows, field: Field) -> list[Any]:
    """The different values that these rows have in a field, those in lists too, the most frequent first."""
    codes, values = _coded(asked, rows, field)
    counts: dict[Any, int] = {}
    for code, count in enumerate(np.bincount(codes, minlength=len(values)).tolist()):
        if count:
            for value in values[code] if isinstance(values[code], tuple) else (values[code],):
                counts[value] = counts.get(value, 0) + count
    return sorted(counts, key=lambda value: (-counts[value], str(value)))


def _coded(asked: Asked, rows: Rows, field: Field) -> tuple[Codes, list[Any]]:
    """For each row a place in the list of the different values."""
    if field.key == "status":
        return _states(asked, rows)
    if field.key == "id":
        return _distinct(asked.table.ids[rows].astype(np.float64))
    if field.key == "duration":
        return _distinct(asked.durations()[rows])
    return _coded_column(asked.column(field.key), rows)


def _coded_column(column: Column, rows: Rows) -> tuple[Codes, list[Any]]:
    codes = column.codes[rows].astype(np.int64)
    is_number = codes == NUMBER
    table = [plain_key(value) for value in column.values]
    if not is_number.any():
        return codes, table
    numbers, places = np.unique(column.numbers[rows][is_number], return_inverse=True)
    codes[is_number] = len(table) + places
    return codes, table + [_whole(number) for number in numbers.tolist()]


def _distinct(numbers: Floats) -> tuple[Codes, list[Any]]:
    values, places = np.unique(numbers, return_inverse=True)
    return places.astype(np.int64), [None if value != value else _whole(value) for value in values.tolist()]


def _states(asked: Asked, rows: Rows) -> tuple[Codes, list[Any]]:
    known: dict[Any, str] = {state.upper(): "queued" for state in QUEUED_STATES}
    known |= {"COMPLETED": "completed", "FAILED": "failed", "RUNNING": "running"}
    states = ["interrupted", "queued", "completed", "failed", "running", "lost"]
    column = asked.column("status")
    table = np.array([states.index(known.get(value, "interrupted")) for value in map(_text, column.values)])
    codes = table[np.maximum(column.codes[rows], 0)].astype(np.int64)
    codes[(codes == states.index("running")) & ~asked.is_alive()[rows]] = states.index("lost")
    return codes, states


def _stats(numbers: Floats, places: npt.NDArray[np.intp], groups: int) -> list[Stats]:
    finite = np.isfinite(numbers)
    numbers, places = numbers[finite], places[finite]
    counts = np.bincount(places, minlength=groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.bincount(places, numbers, groups) / counts
        squares = np.bincount(places, (numbers - means[places]) ** 2, groups)
        deviations = np.sqrt(squares / (counts - 1))
    lowest, highest = np.full(groups, np.inf), np.full(groups, -np.inf)
    np.minimum.at(lowest, places, numbers)
    np.maximum.at(highest, places, numbers)
    return [
        Stats(int(count), float(mean), float(std) if count > 1 else None, float(low), float(high))
        if count
        else Stats(0, None, None, None, None)
        for count, mean, std, low, high in zip(counts, means, deviations, lowest, highest, strict=True)
    ]


def _numbers(asked: Asked, rows: Rows, field: Field) -> Floats:
    if field.key == "duration":
        return asked.durations()[rows] / 1000
    if field.key == "id":
        return asked.table.ids[rows].astype(np.float64)
    column = asked.column(field.key)
    if column.is_time:
        return np.full(len(rows), np.nan)
    table = np.array([float(value) if is_number(value) else np.nan for value in column.values])  # beyond 2**53
    codes = column.codes[rows]
    return np.where(codes == NUMBER, column.numbers[rows], table[np.maximum(codes, 0)])


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _order(value: Any) -> tuple[bool, str, Any]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is not None, "" if is_number else str(type(value)), value if is_number else str(value)
