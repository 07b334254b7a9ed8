"""The tables of a comparison: config, summary, environment; cells in words, with their difference from the baseline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..observer.encryption.opened import LockedText
from ..observer.run_comparison import (
    ABSENT,
    ComparedRow,
    compare_configs,
    compare_environments,
    compare_packages,
)
from .chart_sections import describe_metric
from .environment_facts import describe_command
from .runs_table import rank_metrics
from .wording import (
    MINUS,
    MISSING,
    format_column,
    format_config_value,
    format_difference,
    format_duration,
    format_exact,
    format_number,
    format_size,
)

if TYPE_CHECKING:
    from ..observer.metric_summary import MetricSummary
    from ..observer.run_record import RunRecord

CELL_LIMIT_CHARS = 120
HINT_LIMIT_CHARS = 1000


@dataclass(frozen=True)
class ComparedCell:
    """One value of one run.

    Attributes:
        delta: how it differs from the baseline's, for numbers; empty for the baseline itself.
        differs: it is not what the baseline has.
        best: the best of its row.
        locked: it is encrypted and cannot be read here.
    """

    text: str
    exact: str = ""
    delta: str = ""
    differs: bool = False
    best: bool = False
    missing: bool = False
    locked: bool = False


@dataclass(frozen=True)
class TableRow:
    name: str
    cells: tuple[ComparedCell, ...]
    hint: str = ""

    @property
    def differs(self) -> bool:
        return any(cell.differs for cell in self.cells)


@dataclass(frozen=True)
class ComparedTable:
    """Rows to show and how many there are in all."""

    rows: tuple[TableRow, ...]
    total: int
    differing: int


def config_table(runs: Sequence[RunRecord], baseline: int, *, every_key: bool) -> ComparedTable:
    return _value_table(compare_configs(runs, baseline), baseline, every_key=every_key)


def environment_table(runs: Sequence[RunRecord], baseline: int, *, every_key: bool) -> ComparedTable:
    return _value_table(compare_environments(runs, baseline), baseline, every_key=every_key, word=_environment_words)


def package_table(runs: Sequence[RunRecord], baseline: int, *, every_key: bool) -> ComparedTable:
    return _value_table(compare_packages(runs, baseline), baseline, every_key=every_key)


def _value_table(
    rows: Sequence[ComparedRow],
    baseline: int,
    *,
    every_key: bool,
    word: Callable[[ComparedRow, Any], str] = lambda _row, value: format_config_value(value),
) -> ComparedTable:
    shown = [row for row in rows if every_key or row.differs]
    table = tuple(TableRow(row.name, _value_cells(row, baseline, word), row.name) for row in shown)
    return ComparedTable(table, len(rows), sum(row.differs for row in rows))


def _value_cells(row: ComparedRow, baseline: int, word: Callable[[ComparedRow, Any], str]) -> tuple[ComparedCell, ...]:
    base = row.values[baseline]
    return tuple(
        _value_cell(value, word(row, value) if value is not ABSENT else MISSING, differs, base)
        for value, differs in zip(row.values, row.differing, strict=True)
    )


def _value_cell(value: Any, words: str, differs: bool, base: Any) -> ComparedCell:
    if value is ABSENT:
        return ComparedCell(MISSING, differs=differs, missing=True)
    if isinstance(value, LockedText):
        return ComparedCell("encrypted", value.reason, locked=True)
    text = words if len(words) <= CELL_LIMIT_CHARS else words[: CELL_LIMIT_CHARS - 1] + "…"
    delta = config_delta(value, base) if differs else ""
    return ComparedCell(text, format_exact(value)[:HINT_LIMIT_CHARS], delta, differs)


def config_delta(value: Any, base: Any) -> str:
    """How a number differs: whole ones by their difference, others by their ratio, as people speak of a rate."""
    if not (_is_finite(value) and _is_finite(base)):
        return ""
    if isinstance(value, int) and isinstance(base, int):
        return _signed_count(value - base) if abs(value - base) < 10**15 else ""
    if value * base <= 0:
        return format_difference(value - base)
    ratio = value / base
    return f"\u00d7{format_number(ratio, 3)}" if 0.001 <= ratio < 10_000 else ""


def _environment_words(row: ComparedRow, value: Any) -> str:
    if row.path == ("argv",):
        return describe_command(tuple(value))
    if row.path[-1].endswith("_bytes") and isinstance(value, (int, float)):
        return format_size(value)
    return format_config_value(value)


# ---- summary


def summary_table(runs: Sequence[RunRecord], baseline: int, *, most: int | None = None) -> ComparedTable:
    """Best or last value of each metric, then what the runs took: time, memory, energy."""
    names = rank_metrics(dict.fromkeys(name for run in runs for name in run.summary))
    shown = names if most is None else names[:most]
    rows = [_metric_row(name, [run.summary.get(name) for run in runs], baseline) for name in shown]
    rows += [row for row in _cost_rows(runs, baseline) if any(not cell.missing for cell in row.cells)]
    return ComparedTable(tuple(rows), len(names) + len(rows) - len(shown), sum(row.differs for row in rows))


def _metric_row(name: str, summaries: Sequence[MetricSummary | None], baseline: int) -> TableRow:
    better = describe_metric(name).better
    ending = {"higher": ", best", "lower": ", lowest", None: ""}[better]
    values = [_judged(summary, better) for summary in summaries]
    return number_row(name + ending, values, baseline, better)


def _judged(summary: MetricSummary | None, better: str | None) -> float | None:
    if summary is None:
        return None
    value = {"higher": summary.max, "lower": summary.min, None: summary.last}[better]
    return summary.last if value is None else value


def number_row(name: str, values: Sequence[float | None], baseline: int, better: str | None = None) -> TableRow:
    """Numbers in one precision, each with its difference from the baseline's in the same precision."""
    texts = format_column(values)
    best = _best(values, better)
    base = values[baseline]
    cells = [
        ComparedCell(
            text,
            format_exact(value),
            "" if place == baseline else number_delta(value, base, text),
            differs=value != base and not (_is_nan(value) and _is_nan(base)),
            best=best is not None and value == best,
            missing=value is None,
        )
        for place, (text, value) in enumerate(zip(texts, values, strict=True))
    ]
    return TableRow(name, tuple(cells), name)


def number_delta(value: float | None, base: float | None, text: str) -> str:
    """`value - base` with as many decimals as `text` has; nothing where one of them is no number."""
    if not (_is_finite(value) and _is_finite(base)) or value is None or base is None:
        return ""
    difference = value - base
    if difference == 0:
        return "±0"
    decimals = len(text.partition(".")[2]) if "e" not in text else 0
    shown = f"{abs(difference):,.{decimals}f}"
    if "e" in text or not any(digit in shown for digit in "123456789"):
        return format_difference(difference, 3)
    return ("+" if difference > 0 else MINUS) + shown


def _best(values: Iterable[float | None], better: str | None) -> float | None:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if better is None or len(finite) < 2 or min(finite) == max(finite):
        return None
    return max(finite) if better == "higher" else min(finite)


def _cost_rows(runs: Sequence[RunRecord], baseline: int) -> list[TableRow]:
    durations = [run.duration.total_seconds() if run.duration is not None else None for run in runs]
    peaks = [_peak(run, "memory.used", gpu=True) for run in runs]
    memory = [_peak(run, "memory.used", gpu=False) for run in runs]
    return [
        _row_of("Duration", durations, baseline, format_duration, _duration_delta),
        _row_of("Peak GPU memory", peaks, baseline, format_size, _percent_delta),
        _row_of("Peak memory", memory, baseline, format_size, _percent_delta),
        number_row("Points", [_points(run) for run in runs], baseline),
    ]


def _row_of(
    name: str,
    values: Sequence[float | None],
    baseline: int,
    word: Callable[[float | None], str],
    delta: Callable[[float, float], str],
) -> TableRow:
    base = values[baseline]
    cells = (
        ComparedCell(
            word(value),
            "" if value is None else format_exact(value),
            delta(value, base) if place != baseline and value is not None and base is not None else "",
            differs=value != base,
            missing=value is None,
        )
        for place, value in enumerate(values)
    )
    return TableRow(name, tuple(cells), name)


def _peak(run: RunRecord, ending: str, *, gpu: bool) -> float | None:
    """The highest value of a hardware metric, over all GPUs where it is one of theirs."""
    peaks = [
        summary.max
        for name, summary in run.system.items()
        if summary.max is not None and (name == ending if not gpu else _is_of_gpu(name, ending))
    ]
    return max(peaks, default=None)


def _is_of_gpu(name: str, ending: str) -> bool:
    parts = name.split(".", 2)
    return len(parts) == 3 and parts[0] == "gpu" and parts[1].isdecimal() and parts[2] == ending


def _points(run: RunRecord) -> int | None:
    return sum(summary.count for summary in run.summary.values()) if run.summary else None


def _duration_delta(value: float, base: float) -> str:
    difference = int(value) - int(base)
    return "±0" if difference == 0 else ("+" if difference > 0 else MINUS) + format_duration(abs(difference))


def _percent_delta(value: float, base: float) -> str:
    if base == 0:
        return ""
    percent = round((value / base - 1) * 100)
    return "±0 %" if percent == 0 else f"{'+' if percent > 0 else MINUS}{abs(percent):,} %"


def _signed_count(difference: int) -> str:
    return ("+" if difference > 0 else MINUS) + f"{abs(difference):,}"


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
