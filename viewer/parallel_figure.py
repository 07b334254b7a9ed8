"""Parallel coordinates: an axis for each field, a line for each run, coloured by the last axis.

All axes share one range from 0 to 1, since Bokeh knows no such figure; static/js/explain.js turns what is brushed on
them back into values, by the columns of `axes_source`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.core.properties import value

from .bokeh_figures import DEFAULT_ACCENT, dress_axis, dress_colour_bar, follow_token, models, new_figure, sequential
from .figure_scales import MISSING_PLACE, Scale, shortened
from .plots import DEFAULT_INK, SANS, TICK_FONT_SIZE
from .wording import MISSING

if TYPE_CHECKING:
    from ..observer.run_columns import RunColumns

MOST_LINES = 2_000
HEIGHT, AXIS_WIDTH = 380, 118
LINE_ALPHA = 0.55
SHORT_TITLE = 14  # characters: neighbours of this length stand apart


def parallel_figure(
    runs: RunColumns, scales: Mapping[str, Scale], titles: Sequence[str], run_keys: Sequence[Any]
) -> Any:
    """The figure of `runs`, whose columns are the axes from left to right; the last one gives the colours.

    Args:
        titles: what stands above each axis.
        run_keys: the runs' ids as addresses have them.
    """
    count = len(scales)
    plot = new_figure(
        height=HEIGHT,
        tools="",
        x_range=models.Range1d(-0.35, count - 1 + 0.35),
        y_range=models.Range1d(MISSING_PLACE - 0.08, 1.2),
        min_width=AXIS_WIDTH * count,
    )
    plot.xaxis.visible = plot.yaxis.visible = False
    plot.grid.visible = False
    _add_lines(plot, runs, scales, run_keys)
    _add_axes(plot, runs, scales)
    _add_titles(plot, titles)
    brushes = models.ColumnDataSource({"left": [], "right": [], "bottom": [], "top": []}, name="brush_source")
    quad = models.Quad(
        left="left", right="right", bottom="bottom", top="top", fill_color=DEFAULT_ACCENT, fill_alpha=0.22
    )
    quad.line_color = DEFAULT_ACCENT
    follow_token(quad, fill_color="--accent", line_color="--accent")
    plot.add_glyph(brushes, quad, level="annotation")
    return plot


def axes_json(scales: Mapping[str, Scale], titles: Sequence[str]) -> list[dict[str, Any]]:
    """What the page's script needs of each axis to turn places into values and these into a query."""
    return [
        {"key": key, "title": title, "kind": scale.kind, "low": scale.low, "high": scale.high, "words": scale.words}
        for (key, scale), title in zip(scales.items(), titles, strict=True)
    ]


def _add_lines(plot: Any, runs: RunColumns, scales: Mapping[str, Scale], run_keys: Sequence[Any]) -> None:
    places = np.array([scale.places(runs.columns[key]) for key, scale in scales.items()])
    colour = places[-1].copy()
    places[np.isnan(places)] = MISSING_PLACE
    xs = list(range(len(scales)))
    source = models.ColumnDataSource(
        {
            "xs": [xs] * len(runs),
            "ys": [np.round(line, 4).tolist() for line in places.T],
            "colour": colour,
            "alpha": [LINE_ALPHA] * len(runs),
            "width": [1.0] * len(runs),
            "name": list(runs.names),
            "run": list(run_keys),
        },
        name="lines_source",
    )
    mapper = sequential(models.LinearColorMapper(low=0, high=1), of_lines=True)
    lines = models.MultiLine(xs="xs", ys="ys", line_alpha="alpha", line_width="width", line_join="round")
    lines.line_color = {"field": "colour", "transform": mapper}
    plot.add_glyph(source, lines)
    last = list(scales.values())[-1]
    ticks = last.ticks()
    bar = models.ColorBar(
        color_mapper=mapper, ticker=models.FixedTicker(ticks=list(ticks)), major_label_overrides=ticks
    )
    dress_colour_bar(bar)
    plot.add_layout(bar, "right")


def _axis(place: int, ticks: list[float], *, has_gaps: bool) -> Any:
    axis = models.LinearAxis(fixed_location=place, ticker=models.FixedTicker(ticks=ticks))
    dress_axis(axis)
    axis.bounds = (MISSING_PLACE if has_gaps else 0, 1)
    axis.major_label_text_font_size, axis.level = "0px", "annotation"
    axis.major_tick_out, axis.major_tick_in = 3, 0
    axis.major_tick_line_color = axis.axis_line_color = DEFAULT_INK
    axis.tags = ["axis_line_color=--text-2", "major_tick_line_color=--text-2"]
    return axis


def _add_axes(plot: Any, runs: RunColumns, scales: Mapping[str, Scale]) -> None:
    """Axes over the lines, their labels on a ground of their own: an axis' own ones would be lost among the lines."""
    labels: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
    for place, (key, scale) in enumerate(scales.items()):
        has_gaps = bool(np.isnan(scale.places(runs.columns[key])).any())
        ticks = {**({MISSING_PLACE: MISSING} if has_gaps else {}), **scale.ticks()}
        plot.add_layout(_axis(place, list(ticks), has_gaps=has_gaps), "left")
        labels["x"] += [place] * len(ticks)
        labels["y"] += list(ticks)
        labels["text"] += list(ticks.values())
    text = _text(text_align="right", x_offset=-7, background_fill_color="#ffffff", background_fill_alpha=0.8, padding=1)
    follow_token(text, background_fill_color="--surface")
    plot.add_glyph(models.ColumnDataSource(labels), text, level="annotation")


def _text(**options: Any) -> Any:
    text = models.Text(x="x", y="y", text="text", text_baseline="middle", text_color=DEFAULT_INK, **options)
    text.text_font, text.text_font_size = value(SANS), TICK_FONT_SIZE
    follow_token(text, text_color="--text")
    return text


def _add_titles(plot: Any, titles: Sequence[str]) -> None:
    # Two heights, so that neighbours with long names do not write over each other.
    are_short = max(map(len, titles)) <= SHORT_TITLE
    heights = [1.07 if are_short or place % 2 == 0 else 1.13 for place in range(len(titles))]
    source = models.ColumnDataSource(
        {"x": list(range(len(titles))), "y": heights, "text": [shortened(t, 24) for t in titles]}
    )
    plot.add_glyph(source, _text(text_align="center"), level="annotation")
