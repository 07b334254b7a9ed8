"""Figures that stand on a page as they are: a Bokeh model as HTML that static/js/bokeh_figures.js mounts.

A figure is made without a theme. What takes a colour of the page says which by a tag, and the browser puts in the
colour of the theme that is shown, again when it changes, so no figure is made or sent twice:

    axis.tags = ["axis_line_color=--border"]          a property, and the CSS custom property that it follows
    mapper.tags = ["palette=sequential"]              or sequential-lines, diverging, runs: as tokens.css has them

A page calls the macros of templates/macros/figures.html for the style and the script. The data stand in a <template>
and not in a <script>: HTMX takes scripts out of what it puts into a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import bokeh.models
from bokeh.embed import json_item
from bokeh.models import BasicTicker, Grid, HoverTool, LogTicker, Model, Plot
from bokeh.plotting import figure
from flask import render_template
from markupsafe import Markup

from . import bokeh_assets
from .figure_scales import plain
from .palettes import PALE, SEQUENTIAL
from .plots import DEFAULT_EDGE, DEFAULT_GRID, DEFAULT_INK, SANS, TICK_FONT_SIZE

models: Any = bokeh.models  # its annotations know neither all of its models nor all that these take
HEIGHT = 320
DEFAULT_ACCENT = "#3451b2"
_for_file: ContextVar[bool] = ContextVar("cloister_figures_for_file", default=False)
WEBGL_FROM = 20_000  # points: fewer are drawn as fast, and better, without


def new_figure(*, x_label: str = "", y_label: str = "", height: int = HEIGHT, **options: Any) -> Any:
    """An empty `bokeh.plotting.figure` in our dress (VISUAL section 7), that a drag zooms and a double click resets.

    Args:
        options: what `figure` takes besides, such as `x_axis_type="log"` or `x_range=[...]` for categories.
    """
    options = {"tools": "box_zoom,reset", "toolbar_location": None, **options}
    plot = figure(height=height, sizing_mode="stretch_width", **options)
    plot.xaxis.axis_label, plot.yaxis.axis_label = plain(x_label) or None, plain(y_label) or None
    dress(plot)
    return plot


def dress(plot: Plot) -> None:
    """Give a plot, its axes, grids and colour bars our type and the colours of the page."""
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.min_border_right, plot.min_border_top = 12, 8
    for axis in plot.axis:
        dress_axis(axis)
    grids: Any = plot.select({"type": Grid})
    for grid in grids:
        grid.grid_line_color = DEFAULT_GRID
        grid.tags = ["grid_line_color=--grid"]


def dress_axis(axis: Any) -> None:
    axis.minor_tick_line_color = axis.major_tick_line_color = None
    axis.axis_line_color = DEFAULT_EDGE
    axis.tags = ["axis_line_color=--border", "major_label_text_color=--text-3", "axis_label_text_color=--text-2"]
    axis.major_label_text_color = axis.axis_label_text_color = DEFAULT_INK
    axis.major_label_text_font = axis.axis_label_text_font = SANS
    axis.major_label_text_font_size, axis.axis_label_text_font_size = TICK_FONT_SIZE, "12px"
    axis.axis_label_text_font_style, axis.axis_label_standoff = "normal", 8
    if isinstance(axis.ticker, (BasicTicker, LogTicker)):
        axis.ticker.desired_num_ticks = 5


def dress_colour_bar(bar: Any) -> None:
    bar.background_fill_color = bar.bar_line_color = bar.major_tick_line_color = None
    bar.width, bar.title_standoff, bar.label_standoff = 8, 8, 6
    bar.major_label_text_color = bar.title_text_color = DEFAULT_INK
    bar.major_label_text_font = bar.title_text_font = SANS
    bar.major_label_text_font_size = bar.title_text_font_size = TICK_FONT_SIZE
    bar.title_text_font_style = "normal"
    bar.tags = ["major_label_text_color=--text-3", "title_text_color=--text-2"]


def dress_legend(legend: Any) -> None:
    legend.background_fill_color = legend.border_line_color = None
    legend.label_text_color = legend.title_text_color = DEFAULT_INK
    legend.label_text_font = legend.title_text_font = SANS
    legend.label_text_font_size = legend.title_text_font_size = TICK_FONT_SIZE
    legend.title_text_font_style, legend.glyph_height, legend.spacing = "normal", 14, 0
    legend.tags = ["label_text_color=--text-2", "title_text_color=--text-2"]


def sequential(mapper: Any, *, of_lines: bool = False) -> Any:
    """A colour mapper with the sequential palette of the theme that is shown; lines leave out what is pale."""
    mapper.palette, mapper.nan_color = list(SEQUENTIAL[PALE:] if of_lines else SEQUENTIAL), DEFAULT_EDGE
    mapper.tags = [f"palette=sequential{'-lines' if of_lines else ''}", "nan_color=--border"]
    return mapper


def follow_token(model: Model, **tokens: str) -> None:
    """Have properties follow CSS custom properties: `follow_token(glyph, line_color="--accent")`."""
    model.tags = [*model.tags, *(f"{name}={token}" for name, token in tokens.items())]


def hover(tooltips: Sequence[tuple[str, str]], **options: Any) -> HoverTool:
    """A hover card of these (label, "@column") rows."""
    return HoverTool(tooltips=list(tooltips), point_policy="snap_to_data", **options)


def figure_json(model: Model) -> str:
    """The model as JSON for BokehJS, without anything that would end the element that it stands in."""
    item = json_item(model)
    text = json.dumps({"root_id": item["root_id"], "doc": item["doc"]}, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@contextmanager
def figures_of_a_file() -> Iterator[None]:
    """Figures made meanwhile are for a file that has BokehJS in it and no viewer behind it."""
    token = _for_file.set(True)
    try:
        yield
    finally:
        _for_file.reset(token)


def figure_embed(
    model: Model,
    *,
    title: str,
    name: str = "figure",
    sentence: str = "",
    height: int | None = None,
    table: str = "",
    webgl: bool = False,
    heading: int = 3,
) -> Markup:
    """A card with the figure, its title, and PNG and SVG of it to download.

    Args:
        model: a plot or a layout; belongs to this card alone.
        name: what its downloads are called.
        sentence: what the figure shows, for those who cannot see it and for print.
        height: CSS pixels kept free until it is drawn; that of the model where it has one.
        table: the address of its data as CSV, which the card then offers too.
        webgl: whether the part of BokehJS that draws by WebGL is needed.
        heading: the level of its title.
    """
    kept = height or getattr(model, "height", None) or HEIGHT
    scripts = [] if _for_file.get() else bokeh_assets.script_urls()
    return Markup(  # noqa: S704  # a template of ours, which escapes
        render_template(
            "macros/figure_card.html",
            json=Markup(figure_json(model)),  # noqa: S704  # JSON without <, > and &
            title=title,
            name=name,
            sentence=sentence,
            height=kept,
            table="" if _for_file.get() else table,
            scripts=scripts if webgl else scripts[:1],
            heading=heading,
        )
    )
