"""How runs show themselves in a notebook: HTML without scripts, legible on light and dark pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .console_text import plain_text
from .metric_direction import better_end
from .notebook_charts import spark_svg
from .run_comparison import flatten
from .run_ids import format_run_id
from .run_status import RunStatus
from .wording import MISSING, format_ago, format_clock_time, format_column, format_config_value, format_duration
from .wording import format_number as number

if TYPE_CHECKING:
    from .run_record import RunRecord
    from .stored_runs import StoredRun

RUNS_SHOWN, METRICS_SHOWN, KEYS_SHOWN, COLUMNS_SHOWN = 50, 12, 20, 4
VALUE_LIMIT = 120
_GLYPHS: dict[RunStatus, tuple[str, str]] = {
    "completed": ("✓", "#2f9e5f"),
    "running": ("●", "#3f8fe0"),
    "failed": ("✗", "#d9534f"),
    "interrupted": ("‖", "#b9800f"),
    "lost": ("?", "#9a6ad6"),
    "queued": ("○", "#85888f"),
}
# Colours of the page that it stands on: notebooks are light or dark, and no style of theirs may be changed.
_CELL = '"padding:2px 12px 2px 0;text-align:left;vertical-align:top;border:0;background:none"'
_FAINT = "opacity:.65"


def run_html(run: StoredRun) -> str:
    """One run: how it went, its config, its metrics with their course."""
    config = [(".".join(path), format_config_value(value)) for path, value in flatten(run.config).items()]
    facts = [
        ("Project", run.project),
        ("Started", f"{format_clock_time(run.start_time)}, {format_duration(run.duration)}"),
        ("By", " on ".join(filter(None, (run.owner, run.host)))),
        ("Tags", ", ".join(run.tags)),
        *config[:KEYS_SHOWN],
    ]
    if len(config) > KEYS_SHOWN:
        facts.append(("", f"{len(config) - KEYS_SHOWN:,} more in run.config"))
    title = f"<b>{_text(run.name)}</b> <span style='{_FAINT}'>{_text(format_run_id(run.id))}</span> {_status(run)}"
    rows = "".join(_row((_text(name), _text(value))) for name, value in facts if value)
    return f"<div><div>{title}</div><table style='{_table()}'>{rows}</table>{_metrics(run)}</div>"


def runs_html(runs: Sequence[StoredRun]) -> str:
    """Runs as a table, with what tells them apart: the first config keys that differ, the metrics that most have."""
    if not runs:
        return "<div>No runs.</div>"
    shown = runs[:RUNS_SHOWN]
    configs = [flatten(run.config) for run in shown]
    keys = [key for key in dict.fromkeys(key for each in configs for key in each) if _differs(configs, key)]
    names = _widespread(run.summary for run in shown)
    columns = {_text(".".join(key)): [_value(each.get(key)) for each in configs] for key in keys[:COLUMNS_SHOWN]}
    metrics = {_text(name): _last_values(shown, name) for name in names[:COLUMNS_SHOWN]}
    heads = ("Run", "", "Name", "Project", "Started", "Duration", *metrics, *columns)
    rows = [
        (
            _text(format_run_id(run.id)),
            _status(run),
            _text(run.name),
            _text(run.project),
            format_ago(run.start_time),
            format_duration(run.duration),
            *(cells[place] for cells in (*metrics.values(), *columns.values())),
        )
        for place, run in enumerate(shown)
    ]
    more = f"<div style='{_FAINT}'>{len(runs) - len(shown):,} more</div>" if len(runs) > len(shown) else ""
    body = "".join(map(_row, rows))
    return f"<div><table style='{_table()}'>{_row(heads, head=True)}{body}</table>{more}</div>"


def _metrics(run: StoredRun) -> str:
    names = list(run.summary)[:METRICS_SHOWN]
    if not names:
        return ""
    rows = [
        (
            _text(name),
            *(number(value) for value in (summary.last, summary.min, summary.max)),
            f"{summary.count:,}",
            spark_svg(run, name),
        )
        for name in names
        for summary in (run.summary[name],)
    ]
    heads = _row(("", "last", "min", "max", "points", ""), head=True)
    more = len(run.summary) - len(names)
    note = f"<div style='{_FAINT}'>{more:,} more metrics: run.metrics()</div>" if more else ""
    return f"<table style='{_table()}'>{heads}{''.join(map(_row, rows))}</table>{note}"


def _last_values(runs: Sequence[StoredRun], name: str) -> list[str]:
    """The column of a metric; the best value is bold."""
    values = [run.summary[name].last if name in run.summary else None for run in runs]
    finite = [value for value in values if value is not None and value == value]
    better = better_end(name)
    best = None if better is None or len(finite) < 2 else max(finite) if better == "higher" else min(finite)
    shown = format_column(values)
    return [
        f"<b>{text}</b>" if value is not None and value == best else text
        for text, value in zip(shown, values, strict=True)
    ]


def _widespread(summaries: Iterable[dict[str, Any]]) -> list[str]:
    counts: dict[str, int] = {}
    for summary in summaries:
        for name in summary:
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (better_end(name) is None, -counts[name], name))


def _differs(configs: Sequence[dict[tuple[str, ...], Any]], key: tuple[str, ...]) -> bool:
    return len({repr(config.get(key, MISSING)) for config in configs}) > 1


def _value(value: Any) -> str:
    return MISSING if value is None else _text(format_config_value(value))


def _status(run: StoredRun | RunRecord) -> str:
    glyph, colour = _GLYPHS[run.status]
    return f"<span style='color:{colour}'>{glyph} {_text(run.custom_status or run.status)}</span>"


def _row(cells: Iterable[str], *, head: bool = False) -> str:
    tag = "th" if head else "td"
    return f"<tr>{''.join(f'<{tag} style={_CELL}>{cell}</{tag}>' for cell in cells)}</tr>"


def _table() -> str:
    return "border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;margin:4px 0"


def _text(value: object) -> str:
    """Text of whoever recorded the run, as text."""
    words = plain_text(str(value))
    return escape(words if len(words) <= VALUE_LIMIT else f"{words[: VALUE_LIMIT - 1]}…")
