"""Rows of kept columns as values: for what reckons with many runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..query.fields import Field
from .column import NUMBER, Column
from .masks import Asked
from .ordering import Rows


@dataclass(frozen=True)
class FoundValues:
    """Fields of the first runs of a query, in its order; `total` counts all that it matches."""

    ids: tuple[int, ...]
    values: tuple[list[Any], ...]
    total: int


def read_rows(asked: Asked, rows: Rows, fields: Sequence[Field], total: int) -> FoundValues:
    """The values of `fields` in these rows, each as MongoDB has it, but that whole numbers are floats too."""
    values = tuple(_values(asked, rows, field) for field in fields)
    return FoundValues(tuple(asked.table.ids[rows].tolist()), values, total)


def _values(asked: Asked, rows: Rows, field: Field) -> list[Any]:
    if field.key == "id":
        return list(asked.table.ids[rows].tolist())
    if field.key == "duration":
        return [None if np.isnan(value) else value for value in asked.durations()[rows].tolist()]
    column: Column = asked.column(field.key)
    codes = column.codes[rows]
    if (codes == NUMBER).all():
        return list(column.numbers[rows].tolist())
    pairs = zip(codes.tolist(), column.numbers[rows].tolist(), strict=True)
    return [number if code == NUMBER else column.values[code] for code, number in pairs]
