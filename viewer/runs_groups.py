"""Runs in groups, as rows of the table: what each group has in common, and the spread of its runs' figures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .chart_sections import describe_metric
from .column_keys import ColumnKey, find_column
from .runs_address import PAGE_SIZE, GroupKeys, RunsAddress
from .runs_table import Row, RunsTable, build_columns, build_rows
from .wording import MISSING, format_column, format_config_value, format_count, format_duration, format_exact

if TYPE_CHECKING:
    from ..observer.run_grouping import RunGroup, Stats
    from ..observer.runs import RunStore
    from .run_colours import DrawnRuns

SHOWN_OF_A_GROUP = 50


@dataclass(frozen=True)
class StatsCell:
    """The runs' figures of a group in one column: mean and deviation, and from where to where they go."""

    mean: str
    std: str
    span: str
    title: str
    best: bool = False


@dataclass(frozen=True)
class GroupRow:
    """A group.

    Attributes:
        keys: what its runs have in common, as the address opens it.
        word: what tells it from the others on the page.
        runs: the first of them, where the group is open.
        more_href: where all of them are listed; None where all stand here.
    """

    keys: GroupKeys
    word: str
    label: str
    title: str
    count: int
    cells: tuple[StatsCell | None, ...]
    is_open: bool = False
    runs: tuple[Row, ...] = ()
    more_href: str | None = None


@dataclass(frozen=True)
class GroupTable:
    """A page of groups. `total` counts all, and `run_count` the runs of all that MongoDB has counted."""

    title: str
    rows: tuple[GroupRow, ...]
    total: int


def load_groups(
    store: RunStore, asked: RunsAddress, keys: Sequence[str], drawn: DrawnRuns
) -> tuple[GroupTable, RunsTable]:
    """The groups of an address, and the columns that they, and the runs of open ones, are shown in."""
    abouts = [find_column(key) for key in keys if key not in asked.group]
    summed = [about.key for about in abouts if _has_spread(about)]
    found = store.group_runs(asked.query(), asked.group, summed)
    groups = _sorted(found.groups, asked, summed)
    page = groups[(asked.page - 1) * PAGE_SIZE : asked.page * PAGE_SIZE]
    opened = {
        group.keys: store.list_runs(asked.query(where=narrowed(asked, group.keys), page=1, text="", page_size=50)).runs
        for group in page
        if group.keys in asked.opened
    }
    runs = [run for each in opened.values() for run in each]
    columns = build_columns(runs, [about.key for about in abouts], pinned=asked.pinned, widths=dict(asked.widths))
    columns = tuple(
        replace(column, width=max(column.width, 132), numeric=True) if column.key in summed else column
        for column in columns
    )
    cells = [
        _stats_cells(column.about, [group.columns[column.key] for group in page])
        if column.key in summed
        else [None] * len(page)
        for column in columns
    ]
    rows = tuple(
        GroupRow(
            group.keys,
            _word(group.keys),
            _label(group.keys),
            _title(asked.group, group.keys),
            group.run_count,
            tuple(column[place] for column in cells),
            group.keys in opened,
            build_rows(opened.get(group.keys, ()), columns, drawn),
            asked.url(text=narrowed(asked, group.keys), group=(), opened=(), page=1)
            if group.keys in opened and group.run_count > SHOWN_OF_A_GROUP
            else None,
        )
        for place, group in enumerate(page)
    )
    title = ", ".join(find_column(key).title for key in asked.group)
    return GroupTable(title, rows, found.total), RunsTable(columns, ())


def narrowed(asked: RunsAddress, keys: GroupKeys) -> str:
    """The query whose runs are those of one group of an address."""
    found = asked.search()
    asked_for = [f"({found.where})"] if found.where else [f"{_quoted(word)}" for word in found.words.split()]
    conditions = [_condition(find_column(key), value) for key, value in zip(asked.group, keys, strict=True)]
    return " and ".join([*asked_for, *conditions])


def _condition(column: ColumnKey, value: Any) -> str:
    if value is None:
        return f"not {column.key} exists"
    if column.shape == "tags":
        tags = value if isinstance(value, tuple) else (value,)
        return " and ".join(f"{column.key} has {_quoted(str(tag))}" for tag in tags) or f"not {column.key} exists"
    if isinstance(value, bool):
        return f"{column.key} = {'true' if value else 'false'}"
    if isinstance(value, (int, float)):
        return f"{column.key} = {value!r}"
    return f"{column.key} = {_quoted(str(value))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _has_spread(about: ColumnKey) -> bool:
    """Whether the column may hold numbers: then its mean is asked for, and there is none where it holds none."""
    if about.field is None:
        return False
    return about.shape in ("number", "duration") or about.kind == "config"


def _sorted(groups: Sequence[RunGroup], asked: RunsAddress, summed: Sequence[str]) -> list[RunGroup]:
    """By the mean of a column that the list is sorted by, or by what they have in common; else the largest first."""
    ordered = list(groups)
    for word in reversed(asked.sort):
        key, descending = word.removeprefix("-"), word.startswith("-")
        if key in summed:
            ordered.sort(key=lambda group: _mean_order(group.columns[key].mean, descending=descending))
        elif key in asked.group or key == "name":
            place = asked.group.index(key) if key in asked.group else 0
            ordered.sort(key=lambda group: _key_order(group.keys[place]), reverse=descending)
    return ordered


def _mean_order(mean: float | None, *, descending: bool) -> tuple[bool, float]:
    if mean is None or math.isnan(mean):
        return True, 0.0
    return False, -mean if descending else mean


def _key_order(value: Any) -> tuple[bool, bool, float, str]:
    is_number = isinstance(value, (int, float))
    return value is None, not is_number, float(value) if is_number else 0.0, str(value)


def _best_mean(column: ColumnKey, stats: Sequence[Stats]) -> float | None:
    means = [each.mean for each in stats if each.mean is not None]
    better = describe_metric(column.name).better if column.kind == "metrics" and column.figure != "count" else None
    if better is None or len(means) < 2:
        return None
    return max(means) if better == "higher" else min(means)


def _stats_cells(column: ColumnKey, stats: Sequence[Stats]) -> list[StatsCell | None]:
    """The figures of one column, the groups' means in one precision, their ends in another."""
    best = _best_mean(column, stats)
    means = _shown_numbers(column, [each.mean for each in stats])
    ends = _shown_numbers(column, [end for each in stats for end in (each.min, each.max)])
    return [
        _stats_cell(column, each, means[place], ends[2 * place : 2 * place + 2], best)
        for place, each in enumerate(stats)
    ]


def _stats_cell(
    column: ColumnKey, stats: Stats, mean: str, ends: Sequence[str], best: float | None
) -> StatsCell | None:
    if not stats.count or stats.mean is None:
        return None
    same = stats.min == stats.max
    facts = [("mean", stats.mean), ("std", stats.std), ("min", stats.min), ("max", stats.max)]
    title = ", ".join(f"{name} {format_exact(value)}" for name, value in facts if value is not None)
    return StatsCell(
        mean=mean,
        std="" if same or stats.std is None else _spread(column, stats.std),
        span="" if same else f"{ends[0]} to {ends[1]}",
        title=f"{format_count(stats.count)} values: {title}",
        best=best is not None and stats.mean == best,
    )


def _shown_numbers(column: ColumnKey, values: Sequence[float | None]) -> list[str]:
    return [format_duration(value) for value in values] if column.shape == "duration" else format_column(values)


def _spread(column: ColumnKey, std: float) -> str:
    """A deviation to two digits: more say nothing of it."""
    if column.shape == "duration":
        return format_duration(std)
    rounded = float(f"{std:.2g}")
    return f"{rounded:g}" if 1e-4 <= rounded < 1e6 else format_config_value(rounded)


def _label(keys: GroupKeys) -> str:
    return " · ".join(MISSING if key is None else _shown(key) for key in keys)


def _shown(key: Any) -> str:
    text = ", ".join(map(str, key)) if isinstance(key, tuple) else format_config_value(key)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _title(by: Sequence[str], keys: GroupKeys) -> str:
    return ", ".join(
        f"{find_column(name).title} = {_shown(key) if key is not None else 'none'}"
        for name, key in zip(by, keys, strict=True)
    )


def _word(keys: GroupKeys) -> str:
    return json.dumps(keys, default=str)[:400]
