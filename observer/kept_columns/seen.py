"""Which rows somebody sees: `sees` of each different combination of what decides it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..access.principal import VISIBILITIES, Principal
from ..access.visibility import sees
from .column import Bools
from .ordering import Rows
from .table import ColumnTable

_DECIDING = ("project", "owner", "visibility", "people", "groups")


@dataclass(frozen=True)
class _Combination:
    """A run as far as it decides who sees it."""

    id: int
    project: str
    owner: str
    visibility: str
    shared_people: tuple[str, ...]
    shared_groups: tuple[str, ...]


def seen_rows(table: ColumnTable, principal: Principal, rows: Rows) -> Rows:
    """Those of these rows that the principal sees, whoever that is but a share link."""
    if principal.sees_everything or not len(rows):
        return rows
    if not principal.sees_runs:
        return rows[:0]
    columns = [table.columns[name] for name in _DECIDING]
    combined, size = np.zeros(len(rows), np.int64), 1
    for column in columns:
        combined = combined * (len(column.values) + 1) + column.codes[rows] + 1
        size *= len(column.values) + 1
        if size > 2**40:  # else the next product could leave 64 bits
            combined = np.unique(combined, return_inverse=True)[1].astype(np.int64)
            size = len(rows)
    _, firsts, places = np.unique(combined, return_index=True, return_inverse=True)
    allowed: Bools = np.fromiter(
        (sees(principal, _combination(table, int(row))) for row in rows[firsts]), np.bool_, len(firsts)
    )
    return rows[allowed[places]]


def _combination(table: ColumnTable, row: int) -> _Combination:
    project, owner, visibility, people, groups = (table.columns[name].value_at(row) for name in _DECIDING)
    return _Combination(
        int(table.ids[row]),
        _text(project),
        _text(owner),
        visibility if visibility in VISIBILITIES else "",
        _names(people),
        _names(groups),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()
