"""Scatter plots and scatter matrices of runs: from columns to Bokeh models. A selected run opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import gridplot
from bokeh.transform import jitter

from .bokeh_figures import (
    DEFAULT_ACCENT,
    WEBGL_FROM,
    dress_colour_bar,
    dress_legend,
    follow_token,
    hover,
    models,
    new_figure,
    sequential,
)
from .figure_scales import Scale, plain, shortened
from .palettes import RUNS

if TYPE_CHECKING:
    from ..observer.run_columns import Column, RunColumns

MATRIX_RUNS = 3_000
MATRIX_CELL, MATRIX_BARS = 150, 16
_EMPTY = 0.06  # of the range on either side of a matrix' cell


def scatter_figure(
    runs: RunColumns,
    scales: Mapping[str, Scale],
    titles: Mapping[str, str],
    *,
    x: str,
    y: str,
    colour: str,
    paths: Sequence[str],
) -> Any:
    """A point for each run.

    Args:
        scales: of x, y and colour.
        colour: the key that colours the points; "" for one colour.
        paths: the address of each run's page.
    """
    plot = new_figure(
        x_label=titles[x],
        y_label=titles[y],
        height=440,
        **_axis_options("x", scales[x]),
        **_axis_options("y", scales[y]),
        output_backend="webgl" if len(runs) > WEBGL_FROM else "canvas",
    )
    data: dict[str, Any] = {
        "x": _drawable(runs, x),
        "y": _drawable(runs, y),
        "name": list(runs.names),
        "path": list(paths),
    }
    if colour:
        data["colour"] = _drawable(runs, colour)
    source = models.ColumnDataSource(data, name="points_source")
    points = plot.scatter(
        jitter("x", 0.4, range=plot.x_range) if scales[x].kind == "words" else "x",
        jitter("y", 0.4, range=plot.y_range) if scales[y].kind == "words" else "y",
        source=source,
        size=7,
        fill_alpha=0.65,
        line_color=None,
        fill_color=DEFAULT_ACCENT,
        nonselection_fill_alpha=0.65,
    )
    if colour:
        _colour_by(plot, points, scales[colour], titles[colour])
    else:
        follow_token(points.glyph, fill_color="--accent")
    shown = [("Run", "@name"), (titles[x], "@x"), (titles[y], "@y"), *([(titles[colour], "@colour")] if colour else [])]
    plot.add_tools(
        hover(shown, renderers=[points]), models.TapTool(callback=models.OpenURL(url="@path", same_tab=True))
    )
    return plot


def matrix_figure(runs: RunColumns, scales: Mapping[str, Scale], titles: Mapping[str, str], *, colour: str) -> Any:
    """A grid of scatter plots, of each field against each, with the spread of each on the diagonal.

    What is selected in one is selected in all of them.
    """
    keys = list(scales)
    places = {f"k{index}": scale.places(runs.columns[key]) for index, (key, scale) in enumerate(scales.items())}
    source = models.ColumnDataSource(
        {**places, "name": list(runs.names), "colour": scales[colour].places(runs.columns[colour])}
    )
    ranges = [models.Range1d(-_EMPTY, 1 + _EMPTY) for _ in keys]
    mapper = sequential(models.LinearColorMapper(low=0, high=1))
    rows: list[list[Any]] = []
    for down, low_key in enumerate(keys):
        row: list[Any] = [None] * len(keys)
        for across in range(down + 1):
            is_spread = down == across
            cell = _cell(ranges[across], models.DataRange1d(start=0) if is_spread else ranges[down])
            if is_spread:
                _add_spread(cell, places[f"k{down}"])
            else:
                _add_points(cell, source, f"k{across}", f"k{down}", mapper)
            _label_cell(
                cell,
                scales,
                titles,
                x=keys[across] if down == len(keys) - 1 else None,
                y=low_key if across == 0 else None,
                spread=is_spread,
            )
            row[across] = cell
        rows.append(row)
    return gridplot(rows, toolbar_location=None, merge_tools=False, sizing_mode="stretch_width")


def _axis_options(axis: str, scale: Scale) -> dict[str, Any]:
    if scale.kind == "words":
        return {f"{axis}_range": models.FactorRange(factors=list(map(plain, scale.words)))}
    return {f"{axis}_axis_type": scale.kind}


def _drawable(runs: RunColumns, key: str) -> Any:
    """The values themselves: numbers, or words with a dash where there is none."""
    column: Column = runs.columns[key]
    return column if runs.is_numeric(key) else ["" if word is None else plain(word) for word in column]


def _colour_by(plot: Any, points: Any, scale: Scale, title: str) -> None:
    if scale.kind == "words":
        mapper = models.CategoricalColorMapper(
            factors=list(map(plain, scale.words)), palette=[RUNS[i % len(RUNS)] for i in range(len(scale.words))]
        )
        mapper.tags = ["palette=runs"]
        points.glyph.fill_color = {"field": "colour", "transform": mapper}
        _add_legend(plot, points, scale, title)
        return
    kind = models.LogColorMapper if scale.kind == "log" else models.LinearColorMapper
    mapper = sequential(kind(low=scale.low, high=scale.high))
    points.glyph.fill_color = {"field": "colour", "transform": mapper}
    bar = models.ColorBar(color_mapper=mapper, title=shortened(title, 28))
    dress_colour_bar(bar)
    plot.add_layout(bar, "right")


def _add_legend(plot: Any, points: Any, scale: Scale, title: str) -> None:

    items = [models.LegendItem(label={"field": "colour"}, renderers=[points])]
    legend = models.Legend(items=items, title=shortened(title, 28))
    dress_legend(legend)
    plot.add_layout(legend, "right")


def _cell(x_range: Any, y_range: Any) -> Any:
    cell = new_figure(height=MATRIX_CELL, x_range=x_range, y_range=y_range, tools="box_zoom,reset", min_width=110)
    cell.min_border_left, cell.min_border_bottom = 10, 10
    return cell


def _add_points(cell: Any, source: Any, x: str, y: str, mapper: Any) -> None:
    points = cell.scatter(x, y, source=source, size=4, line_color=None, fill_alpha=0.6, nonselection_fill_alpha=0.06)
    points.glyph.fill_color = {"field": "colour", "transform": mapper}
    select = models.BoxSelectTool()
    cell.add_tools(select, hover([("Run", "@name")], renderers=[points]))
    cell.toolbar.active_drag = select


def _add_spread(cell: Any, places: Column) -> None:
    counts, edges = np.histogram(places[np.isfinite(places)], bins=MATRIX_BARS, range=(0, 1))
    bars = cell.quad(left=edges[:-1], right=edges[1:], bottom=0, top=counts, line_color=None, fill_color=DEFAULT_ACCENT)
    bars.glyph.fill_alpha = 0.35
    follow_token(bars.glyph, fill_color="--accent")


def _label_cell(
    cell: Any, scales: Mapping[str, Scale], titles: Mapping[str, str], *, x: str | None, y: str | None, spread: bool
) -> None:
    """Ticks and titles at the outer edge alone."""
    for axis, key in ((cell.xaxis[0], x), (cell.yaxis[0], y)):
        if key is None or (spread and axis is cell.yaxis[0]):
            axis.major_label_text_font_size = "0px"
        if key is None:
            continue
        ticks = scales[key].ticks()
        if not (spread and axis is cell.yaxis[0]):
            axis.ticker, axis.major_label_overrides = (
                models.FixedTicker(ticks=list(ticks)[:: -(-len(ticks) // 3)]),
                ticks,
            )
        axis.axis_label = shortened(titles[key], 20)
