"""Plots: Bokeh models made from columns. They know neither request nor database.

A page holds up to sixty line charts, so the browser fetches one empty line chart and clones it; its own modules
(static/js/charts/) fill the sources and set ranges, ticks and colours. Everything that they reach for has a name here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from bokeh.core.properties import value
from bokeh.embed import json_item
from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    Grid,
    LinearAxis,
    MultiLine,
    Plot,
    Range1d,
    Scatter,
    Text,
)
from bokeh.models.glyphs import Patches
from bokeh.models.renderers import GlyphRenderer

from ..observer.points import Float64s

Backend = Literal["canvas", "webgl"]

# The frame's distances from the canvas' edges, VISUAL section 7. The browser reads the real frame back from Bokeh.
BORDER_LEFT, BORDER_RIGHT, BORDER_TOP, BORDER_BOTTOM = 44, 12, 8, 26
RAW_ALPHA, RAW_WIDTH, LINE_WIDTH, END_SIZE, GAP_SIZE = 0.25, 1.0, 1.5, 6, 7
SANS = "-apple-system, 'Segoe UI Variable Text', 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
TICK_FONT_SIZE = "11px"
LAST_TICK_OFFSET = 16  # the middle of the axis' own labels below the frame
# Only seen until the browser's modules have read the page's own tokens.
DEFAULT_INK, DEFAULT_GRID, DEFAULT_EDGE = "#65676c", "#e9e7e2", "#dddbd5"


@dataclass(frozen=True)
class LineColumns:
    """One line of a chart: what to draw and how.

    Attributes:
        x, y: float64, the same length; NaN in `y` is a gap.
    """

    x: Float64s
    y: Float64s
    color: str
    dash: Sequence[int] = field(default_factory=list)


class ChartDocument(TypedDict):
    """What BokehJS' `embed_item` takes, less the element, which the browser adds."""

    root_id: str
    version: str
    doc: dict[str, Any]


def line_chart(lines: Sequence[LineColumns] = (), *, backend: Backend = "canvas") -> Plot:
    """A chart of lines over a shared x, empty when given none.

    Its axes are linear in what they draw: a logarithmic y comes as logarithms with labels of its own, so that the same
    models serve linear, log and symlog, and switching needs no new chart.
    """
    plot = Plot(
        x_range=Range1d(start=0, end=1, name="x_range"),
        y_range=Range1d(start=0, end=1, name="y_range"),
        sizing_mode="stretch_both",
        toolbar_location=None,
        output_backend=backend,
        min_border_left=BORDER_LEFT,
        min_border_right=BORDER_RIGHT,
        min_border_top=BORDER_TOP,
        min_border_bottom=BORDER_BOTTOM,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        match_aspect=False,
    )
    x_axis, y_axis = _axis("x_axis", DEFAULT_EDGE), _axis("y_axis", None)
    plot.add_layout(x_axis, "below")
    plot.add_layout(y_axis, "left")
    plot.add_layout(Grid(dimension=1, ticker=y_axis.ticker, grid_line_color=DEFAULT_GRID, name="y_grid"))
    plot.renderers.extend([_bands(), _lines("raw", ()), _lines("lines", lines), _ends(), _gaps(), _last_tick_label()])
    return plot


def chart_document(plot: Plot) -> ChartDocument:
    """The plot as JSON for BokehJS."""
    item = json_item(plot)
    return ChartDocument(root_id=str(item["root_id"]), version=item["version"], doc=dict(item["doc"]))


def _axis(name: str, line_color: str | None) -> LinearAxis:
    ticker: Any = FixedTicker(ticks=[], minor_ticks=[])  # Bokeh's own hint knows only the default ticker
    return LinearAxis(
        name=name,
        ticker=ticker,
        axis_label=None,
        axis_line_color=line_color,
        major_tick_line_color=None,
        minor_tick_line_color=None,
        major_label_text_color=DEFAULT_INK,
        major_label_text_font=SANS,
        major_label_text_font_size=TICK_FONT_SIZE,
        major_label_standoff=6,
    )


def _last_tick_label() -> GlyphRenderer[Any]:
    # The last x tick says its unit ("step 60"). Centred under its tick it would leave the card, so it stands apart from
    # the axis' own labels and ends where the frame ends. A glyph and not a Label: those are cut off at the frame.
    source = ColumnDataSource({"x": [], "y": [], "text": []}, name="last_tick_source")
    glyph = Text(
        name="last_tick",
        x="x",
        y="y",
        text="text",
        y_offset=LAST_TICK_OFFSET,
        text_align="right",
        text_baseline="middle",
        text_color=DEFAULT_INK,
        text_font=value(SANS),  # bare, a glyph takes it for the name of a column
        text_font_size=TICK_FONT_SIZE,
    )
    return GlyphRenderer(data_source=source, glyph=glyph, level="annotation")


def _lines(name: str, lines: Sequence[LineColumns]) -> GlyphRenderer[Any]:
    columns: dict[str, Any] = {
        "xs": [line.x for line in lines],
        "ys": [line.y for line in lines],
        "color": [line.color for line in lines],
        "alpha": [1.0] * len(lines),
        "width": [LINE_WIDTH] * len(lines),
        "dash": [list(line.dash) for line in lines],
    }
    glyph = MultiLine(
        xs="xs",
        ys="ys",
        line_color="color",
        line_alpha="alpha",
        line_width="width",
        line_dash="dash",
        line_join="round",
        line_cap="round",
    )
    return GlyphRenderer(name=name, data_source=ColumnDataSource(columns, name=f"{name}_source"), glyph=glyph)


def _bands() -> GlyphRenderer[Any]:
    source = ColumnDataSource({"xs": [], "ys": [], "color": [], "alpha": []}, name="bands_source")
    glyph = Patches(xs="xs", ys="ys", fill_color="color", fill_alpha="alpha", line_color=None)
    return GlyphRenderer(name="bands", data_source=source, glyph=glyph)


def _ends() -> GlyphRenderer[Any]:
    source = ColumnDataSource({"x": [], "y": [], "color": [], "alpha": []}, name="ends_source")
    glyph = Scatter(
        x="x", y="y", size=END_SIZE, marker="circle", line_color=None, fill_color="color", fill_alpha="alpha"
    )
    # Annotation level: a dot on the frame's edge is not cut in half.
    return GlyphRenderer(name="ends", data_source=source, glyph=glyph, level="annotation")


def _gaps() -> GlyphRenderer[Any]:
    source = ColumnDataSource({"x": [], "y": [], "color": []}, name="gaps_source")
    glyph = Scatter(
        x="x", y="y", size=GAP_SIZE, marker="triangle", line_color="color", line_width=1.25, fill_color=None
    )
    return GlyphRenderer(name="gaps", data_source=source, glyph=glyph, level="annotation")
