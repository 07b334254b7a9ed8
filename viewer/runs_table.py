"""The table of runs: which columns it has, and each cell in the words and the precision of its column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..observer.field_names import decode_field_name
from .chart_sections import describe_metric, section_name
from .run_colours import DrawnRuns, RunColour
from .run_keys import run_key
from .runs_address import find_config_value
from .wording import MISSING, format_column, format_config_value, format_exact

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import Columns

DEFAULT_CONFIGS, DEFAULT_COLUMNS = 2, 3  # what stands beside the charts without scrolling sideways
_VALIDATION = ("val", "valid", "validation", "eval", "test", "dev")
_DULL_KEYS = ("seed", "device", "workers", "num_workers", "verbose")  # they differ, but seldom explain a difference


@dataclass(frozen=True)
class Column:
    """One chosen column. `key` is what `RunQuery.sort` takes; `numeric` columns stand right."""

    key: str
    title: str
    kind: Literal["metrics", "config"]
    numeric: bool

    @property
    def name(self) -> str:
        """The metric's name, or the config key as the person wrote it."""
        return column_name(self.key)


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
    """Columns and rows; the first `metric_count` columns, and cells of each row, are metrics."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def metric_count(self) -> int:
        return sum(column.kind == "metrics" for column in self.columns)

    @property
    def first_metric(self) -> str | None:
        return next((column.name for column in self.columns if column.kind == "metrics"), None)


def build_table(runs: Sequence[RunRecord], keys: Iterable[str], drawn: DrawnRuns) -> RunsTable:
    """The table of `runs` with the columns `keys`, metrics before config."""
    keys = tuple(sorted(keys, key=lambda key: key.startswith("config.")))
    values = [[find_value(run, key) for run in runs] for key in keys]
    titles = _short_titles(keys)
    columns = tuple(
        Column(key, title, "metrics" if key.startswith("metrics.") else "config", _is_numeric(column))
        for key, title, column in zip(keys, titles, values, strict=True)
    )
    cells = [_cells(column, found) for column, found in zip(columns, values, strict=True)]
    colours = drawn.colours
    rows = tuple(
        Row(run, tuple(column[index] for column in cells), colours.get(run_key(run.id)))
        for index, run in enumerate(runs)
    )
    return RunsTable(columns, rows)


def choose_columns(runs: Sequence[RunRecord], columns: Columns) -> tuple[str, ...]:
    """The columns of a table that nobody has set up: what was validated, and what the runs were given differently."""
    differing = [key for key in columns.config if _differs(runs, key)]
    if len(runs) == 1:
        differing = list(columns.config)
    config = sorted(differing, key=lambda key: key.rsplit(".", 1)[-1] in _DULL_KEYS)[:DEFAULT_CONFIGS]
    seldom = _seldom_logged(runs, columns.metrics)
    metrics = sorted(columns.metrics, key=lambda name: (name in seldom, _metric_rank(name)))[
        : DEFAULT_COLUMNS - len(config)
    ]
    return (*(f"metrics.{name}" for name in metrics), *(f"config.{key}" for key in config))


def _seldom_logged(runs: Sequence[RunRecord], names: Iterable[str]) -> frozenset[str]:
    """Metrics of few runs, such as a test that one run had: their column, and its curves, would stand empty."""
    logged = [run.summary for run in runs if run.summary]
    return frozenset(name for name in names if 2 * sum(name in summary for summary in logged) < len(logged))


def rank_metrics(names: Iterable[str]) -> list[str]:
    """Metric names, those that people judge a run by first."""
    return sorted(names, key=_metric_rank)


def find_value(run: RunRecord, key: str) -> Any:
    kind, _, name = key.partition(".")
    if kind == "config":
        return find_config_value(run.config, name)
    summary = run.summary.get(name)
    return None if summary is None else summary.last


def column_name(key: str) -> str:
    kind, _, name = key.partition(".")
    return name if kind == "metrics" else ".".join(decode_field_name(part) for part in name.split("."))


def _metric_rank(name: str) -> tuple[bool, int, str]:
    """Validation first, then what has a better end (accuracies before losses), then by name."""
    better = describe_metric(name).better
    return section_name(name).lower() not in _VALIDATION, {"higher": 0, "lower": 1, None: 2}[better], name


def _differs(runs: Sequence[RunRecord], key: str) -> bool:
    return len({repr(find_config_value(run.config, key)) for run in runs}) > 1


def _short_titles(keys: Sequence[str]) -> list[str]:
    """Config keys by their last part, unless two columns would then read the same."""
    names = [column_name(key) for key in keys]
    short = [
        decode_field_name(key.rsplit(".", 1)[-1]) if key.startswith("config.") else name
        for key, name in zip(keys, names, strict=True)
    ]
    return [title if short.count(title) == 1 else name for title, name in zip(short, names, strict=True)]


def _is_numeric(values: Iterable[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present)


def _cells(column: Column, values: Sequence[Any]) -> list[Cell]:
    if column.kind == "config":
        return [Cell(MISSING, missing=True) if value is None else _config_cell(value) for value in values]
    best = _best_value(column.name, values)
    return [
        Cell(text, format_exact(value), best=value is not None and value == best, missing=value is None)
        for text, value in zip(format_column(values), values, strict=True)
    ]


def _config_cell(value: Any) -> Cell:
    text = format_config_value(value)
    return Cell(text if len(text) <= 40 else f"{text[:39]}…", format_exact(value)[:400])


def _best_value(metric: str, values: Iterable[Any]) -> float | None:
    """The best of at least two values; None where no end of the metric is known to be the better one."""
    better = describe_metric(metric).better
    finite = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    if better is None or len(finite) < 2:
        return None
    return max(finite) if better == "higher" else min(finite)
