"""The order of rows: as `run_order.py` has MongoDB sort them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..run_order import RunOrder, SortKey
from .column import Floats
from .masks import Asked

Rows = npt.NDArray[np.intp]


def first_rows(asked: Asked, rows: Rows, order: RunOrder, count: int) -> Rows:
    """The first `count` of these rows in an order; all of them sorted where that is as good."""
    indexed = order.indexed
    if indexed is not None:
        return _by_index(asked, rows, indexed, count)
    if count < len(rows) // 4:
        rows = _among_first(asked, rows, order.keys[0], count)
    ids = asked.table.ids[rows]
    parts: list[npt.NDArray[np.generic]] = [-ids]
    for key in reversed(order.keys):
        missing, kinds, places = _parts(asked, rows, key)
        sign = -1 if key.descending else 1
        parts += [sign * places, sign * kinds, missing]
    return rows[np.lexsort(parts)][:count]


def _by_index(asked: Asked, rows: Rows, key: SortKey, count: int) -> Rows:
    """Without a value is below all values, and the id follows the same direction."""
    ids, sign = asked.table.ids[rows], -1 if key.descending else 1
    if key.field.key == "id":
        return rows[np.argsort(sign * ids)][:count]
    started = np.nan_to_num(asked.column("started").numbers[rows], nan=-np.inf)
    if count < len(rows) // 4:
        chosen = _smallest(sign * started, count)
        rows, ids, started = rows[chosen], ids[chosen], started[chosen]
    return rows[np.lexsort([sign * ids, sign * started])][:count]


def _among_first(asked: Asked, rows: Rows, key: SortKey, count: int) -> Rows:
    """Those that may be among the first by the first key; equal ones are all kept, for the others to decide."""
    missing, kinds, places = _parts(asked, rows, key)
    present = kinds[~missing]
    if len(present) and present.min() != present.max():
        return rows  # of several types: their order is no single number
    coarse = np.where(missing, np.inf, -places if key.descending else places)
    return rows[_smallest(coarse, count)]


def _smallest(values: Floats, count: int) -> npt.NDArray[np.bool_]:
    """Where the `count` smallest are, with all that equal the last of them."""
    limit = np.partition(values, count - 1)[count - 1]
    smallest: npt.NDArray[np.bool_] = values <= limit
    return smallest


def _parts(asked: Asked, rows: Rows, key: SortKey) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.generic], Floats]:
    if key.field.key == "id":
        zeros = np.zeros(len(rows), np.int8)
        return zeros.astype(np.bool_), zeros, asked.table.ids[rows].astype(np.float64)
    if key.field.key == "duration":
        passed = asked.durations()[rows]
        missing = np.isnan(passed)
        return missing, np.zeros(len(rows), np.int8), np.where(missing, 0.0, passed)
    return asked.column(key.field.key).order_parts(rows, descending=key.descending)
