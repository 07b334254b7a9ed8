"""A run's metrics as the terminal draws them: read from the store, thinned to its dots, no spike lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from ..hardware import describe_hardware_metric
from ..metric_summary import SYSTEM_PREFIX
from ..wording import format_number, format_size
from .braille_chart import COLOURS, DOTS_ACROSS, Line, draw_chart, sparkline
from .safe_text import words

if TYPE_CHECKING:
    from ..run_record import RunRecord
    from ..runs import RunStore

CHART_WIDTH, CHART_HEIGHT = 60, 9


def read_line(store: RunStore, run: RunRecord, metric: str, width: int, colour: str) -> Line:
    """The curve of a metric for a chart of `width` cells; without points where the run has none of it."""
    from ..runs import MetricNotFound

    try:
        curve = store.load_curve(run.id, metric, pixels=max(2, width * DOTS_ACROSS))
    except MetricNotFound:
        return Line(run.name, (), (), colour)
    return Line(run.name, curve.x.tolist(), curve.values.tolist(), colour)


def metric_chart(
    store: RunStore, runs: Sequence[RunRecord], metric: str, *, width: int, height: int, log: bool = False
) -> list[Text]:
    """One metric of one run or several, each in its colour."""
    lines = [read_line(store, run, metric, width, COLOURS[place % len(COLOURS)]) for place, run in enumerate(runs)]
    return draw_chart(chart_title(runs, metric), lines, width=width, height=height, log=log)


def chart_title(runs: Sequence[RunRecord], metric: str) -> Text:
    """The metric's name and, of one run, its last value."""
    title, _ = describe_hardware_metric(metric) if metric.startswith(SYSTEM_PREFIX) else (metric, "")
    text = Text(words(title), "bold")
    if len(runs) == 1:
        text.append(f"  {last_value(runs[0], metric)}", "bright_black")
    return text


def last_value(run: RunRecord, metric: str) -> str:
    hardware = metric.startswith(SYSTEM_PREFIX)
    summary = run.system.get(metric.removeprefix(SYSTEM_PREFIX)) if hardware else run.summary.get(metric)
    if summary is None:
        return ""
    unit = describe_hardware_metric(metric)[1] if hardware else ""
    if unit in ("bytes", "B/s"):
        return format_size(summary.last) + ("/s" if unit == "B/s" else "")
    return f"{format_number(summary.last)} {unit}".rstrip()


def spark(store: RunStore, run: RunRecord, metric: str, width: int) -> Text:
    line = read_line(store, run, metric, width, "")
    return Text(sparkline(line.y, width), COLOURS[0])
