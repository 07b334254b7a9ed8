"""A metric of several runs as a figure that stands in a report, on a page, in a file and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .bokeh_figures import dress_legend, follow_token, hover, models, new_figure
from .figure_scales import shortened
from .palettes import RUNS
from .plots import LINE_WIDTH, RAW_ALPHA

if TYPE_CHECKING:
    from ..observer.points import Float64s

Axis = Literal["step", "relative", "wall"]
AXIS_LABELS: dict[Axis, str] = {"step": "step", "relative": "seconds since the start", "wall": ""}
HEIGHT, LEGEND_ROW, LEGEND_COLUMNS, MOST_IN_LEGEND = 300, 22, 3, 12
DASHES = ("solid", [5, 3], [2, 3])


@dataclass(frozen=True)
class Line:
    """One run's curve."""

    name: str
    x: Float64s
    y: Float64s


def curves_figure(lines: Sequence[Line], *, axis: Axis, label: str, log: bool, smoothing: float) -> Any:
    """The lines in the colours of the first runs, a smoothed one over its raw one, with their names below."""
    positive = all((line.y[np.isfinite(line.y)] > 0).all() for line in lines)
    rows = -(-min(len(lines), MOST_IN_LEGEND) // LEGEND_COLUMNS)
    plot = new_figure(
        x_label=AXIS_LABELS[axis],
        y_label=label,
        height=HEIGHT + rows * LEGEND_ROW,
        x_axis_type="datetime" if axis == "wall" else "linear",
        y_axis_type="log" if log and positive else "linear",
    )
    plot.xgrid.visible = False
    items = []
    for place, line in enumerate(lines):
        x = line.x * 1000 if axis == "wall" else line.x
        source = models.ColumnDataSource({"x": x, "y": smoothed(line.y, smoothing), "raw": line.y})
        if smoothing:
            _draw(plot, source, "raw", place, alpha=RAW_ALPHA, width=1)
        drawn = _draw(plot, source, "y", place, alpha=1, width=LINE_WIDTH)
        drawn.name = shortened(line.name, 40)
        items.append(models.LegendItem(label={"value": shortened(line.name, 30)}, renderers=[drawn]))
        plot.add_tools(hover([("Run", "$name"), (label, "@raw"), ("x", "@x{0,0.[00]}")], renderers=[drawn]))
    legend = models.Legend(items=items[:MOST_IN_LEGEND], ncols=LEGEND_COLUMNS, orientation="horizontal")
    dress_legend(legend)
    legend.location, legend.padding, legend.margin = "bottom_left", 4, 4
    plot.add_layout(legend, "below")
    return plot


def smoothed(values: Float64s, weight: float) -> Float64s:
    """TensorBoard's exponential mean, without the pull to 0 at its beginning; gaps stay gaps."""
    if weight <= 0:
        return values
    found = np.full(len(values), np.nan)
    mean, share = 0.0, 0.0
    for place, value in enumerate(values.tolist()):
        if not np.isfinite(value):
            continue
        mean = mean * weight + (1 - weight) * value
        share = share * weight + (1 - weight)
        found[place] = mean / share
    return found


def _draw(plot: Any, source: Any, column: str, place: int, *, alpha: float, width: float) -> Any:
    drawn = plot.line("x", column, source=source, line_width=width, line_alpha=alpha, line_join="round")
    drawn.glyph.line_color = RUNS[place % len(RUNS)]
    drawn.glyph.line_dash = DASHES[place // len(RUNS) % len(DASHES)]
    follow_token(drawn.glyph, line_color=f"--run-{place % len(RUNS) + 1}")
    return drawn
