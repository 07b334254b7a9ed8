"""The table of runs: its columns with their widths, and each cell in the words and the precision of its column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..observer.field_names import decode_field_name
from .chart_sections import describe_metric
from .column_choice import choose_columns, rank_metrics
from .column_keys import ColumnKey, find_column, find_value
from .run_colours import DrawnRuns, RunColour
from .run_keys import run_key
from .wording import MISSING, format_ago, format_column, format_config_value, format_duration, format_exact, format_iso

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord

__all__ = ["Cell", "Column", "Row", "RunsTable", "build_table", "choose_columns", "find_value", "rank_metrics"]

CELL_LENGTH = 60  # characters; the rest is in the title
_WIDTHS = {"curve": 80, "tags": 168, "time": 96, "duration": 84}
_NARROWEST, _WIDEST, _PER_LETTER, _PER_BOLD, _AROUND = 56, 200, 7, 6.2, 18


@dataclass(frozen=True)
class Column:
    """One chosen column. `left` is where a pinned one stays, in px from the end of the name.

    Attributes:
        numeric: it stands right.
        is_first: the metric that a phone shows of each run.
    """

    key: str
    title: str
    about: ColumnKey
    numeric: bool
    width: int
    left: int | None = None
    is_first: bool = False
    is_last_pinned: bool = False

    @cached_property
    def css(self) -> str:
        """The classes of its cells; every one of them asks."""
        words = [f"cell-{'metric' if self.kind == 'metrics' else self.kind}", f"shape-{self.shape}"]
        words += ["number"] * self.numeric + ["cell-first"] * self.is_first
        words += ["is-pinned"] * (self.left is not None) + ["is-pinned-last"] * self.is_last_pinned
        return " ".join(words + ["is-extra"] * (self.key == "duration"))

    @cached_property
    def is_plain(self) -> bool:
        """Whether its cells show text and nothing else: the template has a form of its own for the others."""
        return self.shape not in ("curve", "tags") and self.key not in ("notes", "project", "started")

    @property
    def kind(self) -> str:
        return self.about.kind

    @property
    def shape(self) -> str:
        return self.about.shape

    @property
    def name(self) -> str:
        return self.about.name


@dataclass(frozen=True)
class Cell:
    """A value as shown, and with all its digits."""

    text: str
    exact: str = ""
    best: bool = False
    missing: bool = False


@dataclass(frozen=True)
class Row:
    """A run in the table; `colour` is None while it is not drawn."""

    run: RunRecord
    cells: tuple[Cell, ...]
    colour: RunColour | None


@dataclass(frozen=True)
class RunsTable:
    """Columns, the pinned ones first, and rows with a cell for each."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def first_metric(self) -> str | None:
        return next((column.name for column in self.columns if column.is_first), None)

    @cached_property
    def curve_metric(self) -> str | None:
        return next((column.name for column in self.columns if column.shape == "curve"), None)


def build_table(
    runs: Sequence[RunRecord],
    keys: Iterable[str],
    drawn: DrawnRuns,
    *,
    pinned: Sequence[str] = (),
    widths: Mapping[str, int] | None = None,
) -> RunsTable:
    """The table of `runs` with the columns `keys`."""
    columns = build_columns(runs, keys, pinned=pinned, widths=widths or {})
    return RunsTable(columns, build_rows(runs, columns, drawn))


def build_rows(runs: Sequence[RunRecord], columns: Sequence[Column], drawn: DrawnRuns) -> tuple[Row, ...]:
    cells = [format_cells(column.about, [find_value(run, column.key) for run in runs]) for column in columns]
    colours = drawn.colours
    return tuple(
        Row(run, tuple(column[index] for column in cells), colours.get(run_key(run.id)))
        for index, run in enumerate(runs)
    )


def build_columns(
    runs: Sequence[RunRecord], keys: Iterable[str], *, pinned: Sequence[str], widths: Mapping[str, int]
) -> tuple[Column, ...]:
    """The columns of these keys, the pinned ones first, each as wide as what stands in it."""
    abouts = [find_column(key) for key in keys]
    abouts.sort(key=lambda about: about.key not in pinned)
    titles = short_titles(abouts)
    first = next((about.key for about in abouts if about.kind == "metrics"), None)
    last_pinned = next((about.key for about in reversed(abouts) if about.key in pinned), None)
    columns, left = [], 0
    for about, title in zip(abouts, titles, strict=True):
        values = [find_value(run, about.key) for run in runs]
        width = widths.get(about.key) or _natural_width(about, title, values)
        is_pinned = about.key in pinned
        numeric = about.shape in ("number", "duration") or (about.shape == "value" and _is_numeric(values))
        place, ends = left if is_pinned else None, about.key == last_pinned
        columns.append(Column(about.key, title, about, numeric, width, place, about.key == first, ends))
        left += width
    return tuple(columns)


def column_name(key: str) -> str:
    """The metric's name, or the config key as the person wrote it."""
    return find_column(key).name


def short_titles(columns: Sequence[ColumnKey]) -> list[str]:
    """Config keys by their last part, unless two columns would then read the same."""
    short = [_last_part(about) if about.kind in ("config", "env") else about.title for about in columns]
    return [
        title if short.count(title) == 1 or about.kind == "curve" else about.title
        for title, about in zip(short, columns, strict=True)
    ]


def _last_part(about: ColumnKey) -> str:
    assert about.field is not None
    return decode_field_name(about.field.paths[0].rsplit(".", 1)[-1])


def _natural_width(about: ColumnKey, title: str, values: Sequence[Any]) -> int:
    if about.shape in _WIDTHS:
        return _WIDTHS[about.shape]
    longest = max((len(cell.text) for cell in format_cells(about, values)), default=0)
    needed = max(_PER_LETTER * longest, _PER_BOLD * len(title) + 14) + _AROUND  # 14: the arrow of a sorted one
    return max(_NARROWEST, min(math.ceil(needed / 8) * 8, _WIDEST))


def _is_numeric(values: Iterable[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present)


def format_cells(column: ColumnKey, values: Sequence[Any]) -> list[Cell]:
    """The cells of one column."""
    if column.kind == "metrics":
        return _metric_cells(column, values)
    return [Cell(MISSING, missing=True) if value is None else _plain_cell(column, value) for value in values]


def _metric_cells(column: ColumnKey, values: Sequence[Any]) -> list[Cell]:
    best = None if column.figure == "count" else _best_value(column.name, values)
    return [
        Cell(text, format_exact(value), best=value is not None and value == best, missing=value is None)
        for text, value in zip(format_column(values), values, strict=True)
    ]


def _plain_cell(column: ColumnKey, value: Any) -> Cell:
    if isinstance(value, datetime):
        return Cell(format_ago(value), format_iso(value))
    if isinstance(value, timedelta):
        return Cell(format_duration(value), f"{value.total_seconds():,.0f} s")
    if column.shape == "tags":
        return Cell(", ".join(value))
    text = value[:10] if column.key == "git.commit" and isinstance(value, str) else format_config_value(value)
    return Cell(text if len(text) <= CELL_LENGTH else f"{text[: CELL_LENGTH - 1]}…", format_exact(value)[:400])


def _best_value(metric: str, values: Iterable[Any]) -> float | None:
    """The best of at least two values; None where no end of the metric is known to be the better one."""
    better = describe_metric(metric).better
    finite = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    if better is None or len(finite) < 2:
        return None
    return max(finite) if better == "higher" else min(finite)
