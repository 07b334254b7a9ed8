"""Charts of stored runs for a notebook: by Bokeh, its script in the page, where it is installed; else lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .amounts import count_of
from .console_text import plain_text
from .wording import format_number

if TYPE_CHECKING:
    from .metric_reader import Axis, Curve
    from .stored_runs import StoredRun

WIDTH, HEIGHT = 720, 300
SPARK_WIDTH, SPARK_HEIGHT = 120, 18
# The runs' colours of the light theme, VISUAL section 3: charts stand on white whatever the notebook's theme is.
COLOURS = (
    *("#2238b8", "#a14206", "#107460", "#da3aa4", "#9078ee", "#967600"),
    *("#1d85b0", "#900e26", "#50a729", "#aa8676", "#464e58", "#783b82"),
)


class StoredChart:
    """One metric of some runs; the last expression of a cell shows it.

    It is drawn anew each time it is shown, from at most three points for each pixel: no spike is lost.
    """

    def __init__(self, runs: Sequence[StoredRun], metric: str, *, axis: Axis = "step", log: bool = False) -> None:
        self._runs, self._metric, self._axis, self._log = tuple(runs), metric, axis, log

    def __repr__(self) -> str:
        names = ", ".join(plain_text(run.name) for run in self._runs[:5])
        return f"<chart of {plain_text(self._metric)!r}: {names}{', ...' if len(self._runs) > 5 else ''}>"

    def _repr_html_(self) -> str:
        curves = self._curves()
        if not curves:
            return f"<div>No points of {escape(plain_text(self._metric))} in {count_of(len(self._runs), 'run')}.</div>"
        if find_spec("bokeh") is None:
            return lines_svg([curve for _, curve in curves], WIDTH, HEIGHT)
        return _framed(self._draw(curves), plain_text(self._metric))

    def figure(self) -> Any:
        """The chart as a `bokeh.plotting.figure`, for those who go on from there. Needs bokeh."""
        return self._draw(self._curves())

    def _draw(self, curves: Sequence[tuple[StoredRun, Curve]]) -> Any:
        from bokeh.plotting import figure  # not among the packages of a training

        plot = figure(
            width=WIDTH,
            height=HEIGHT,
            title=plain_text(self._metric),
            y_axis_type="log" if self._log else "linear",
            x_axis_type="datetime" if self._axis == "wall" else "linear",
            tools="pan,xbox_zoom,wheel_zoom,reset,save",
        )
        plot.toolbar.logo = None
        for place, (run, curve) in enumerate(curves):
            x = curve.x * 1000 if self._axis == "wall" else curve.x
            colour, dash = COLOURS[place % len(COLOURS)], ("solid", "dashed")[place // len(COLOURS) % 2]
            plot.line(x, curve.values, color=colour, line_dash=dash, line_width=1.5, legend_label=_label(run))
        plot.xaxis.axis_label = {"step": "step", "relative": "seconds since the start", "wall": "time"}[self._axis]
        [legend] = plot.legend
        legend.click_policy, legend.visible, legend.label_text_font_size = "hide", len(curves) > 1, "11px"
        plot.add_layout(legend, "right")  # beside the frame: within it a legend hides where curves end
        return plot

    def _curves(self) -> list[tuple[StoredRun, Curve]]:
        curves = [(run, _find_curve(run, self._metric, WIDTH, self._axis)) for run in self._runs]
        return [(run, curve) for run, curve in curves if curve is not None and len(curve.x)]


def spark_svg(run: StoredRun, metric: str) -> str:
    """A metric's course as a small picture; "" without points."""
    curve = _find_curve(run, metric, SPARK_WIDTH, "step")
    return "" if curve is None or not len(curve.x) else lines_svg([curve], SPARK_WIDTH, SPARK_HEIGHT, spark=True)


def lines_svg(curves: Sequence[Curve], width: int, height: int, *, spark: bool = False) -> str:
    """Curves as an SVG without any script; a gap where a value is not finite."""
    points = [
        (float(x), float(y)) for curve in curves for x, y in zip(curve.x, curve.values, strict=True) if math.isfinite(y)
    ]
    if not points:
        return ""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    bounds = min(xs), max(xs), min(ys), max(ys)
    paths = "".join(
        f'<path d="{_path(curve, bounds, width, height)}" fill="none" stroke-width="1.5" '
        f'stroke="{"currentColor" if spark else COLOURS[place % len(COLOURS)]}"/>'
        for place, curve in enumerate(curves)
    )
    said = f"from {format_number(bounds[2])} to {format_number(bounds[3])}"
    return f'<svg width="{width}" height="{height}" role="img" aria-label="{escape(said)}">{paths}</svg>'


def _find_curve(run: StoredRun, metric: str, pixels: int, axis: Axis) -> Curve | None:
    from .runs import MetricNotFound

    try:
        return run.curve(metric, pixels=pixels, axis=axis)
    except MetricNotFound:
        return None


def _path(curve: Curve, bounds: tuple[float, float, float, float], width: int, height: int) -> str:
    low_x, high_x, low_y, high_y = bounds
    steps, pen = [], "M"
    for x, y in zip(curve.x, curve.values, strict=True):
        if not math.isfinite(y):
            pen = "M"
            continue
        left = 1 + (x - low_x) / ((high_x - low_x) or 1.0) * (width - 2)
        top = 1 + (high_y - y) / ((high_y - low_y) or 1.0) * (height - 2)
        steps.append(f"{pen}{left:.1f} {top:.1f}")
        pen = "L"
    return "".join(steps)


def _label(run: StoredRun) -> str:
    return f"{plain_text(run.name)} ({run.id})"


def _framed(plot: Any, title: str) -> str:
    """The chart as a page of its own, in a frame of the notebook that has no rights in it and asks no network.

    A script that is loaded once for all charts would be gone with the cell that loaded it, and with a saved notebook.
    """
    from bokeh.embed import file_html
    from bokeh.resources import Resources

    page = file_html(plot, Resources(mode="inline"), title)
    size = f'width="{WIDTH + 20}" height="{HEIGHT + 20}" style="border:0;background:#fff"'
    rights = 'sandbox="allow-scripts allow-downloads"'
    return f'<iframe title="{escape(title)}" {rights} {size} srcdoc="{escape(page)}"></iframe>'
