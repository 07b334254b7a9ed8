"""What runs teach, as figures: box plots by category, contours of two parameters, importances. Columns to models."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.transform import jitter

from .bokeh_figures import DEFAULT_ACCENT, dress_colour_bar, follow_token, hover, models, new_figure, sequential
from .figure_scales import Scale, shortened
from .plots import DEFAULT_INK
from .wording import format_number

if TYPE_CHECKING:
    from ..observer.run_columns import Column

MOST_BOXES, MOST_DOTS = 24, 1_500
MOST_VALUES, STRETCHES = 16, 8  # of a number: as many values are categories as they are, more are put together
REACH = 1.5  # whiskers: to the last run within so many box heights of the box (Tukey)
GRID, NEAREST, CONTOUR_LINES = 120, 12, 8
EDGE = 0.02  # of a contour's range around it, so that dots at its ends are whole
FAR = 0.16  # of the figure's width: where no run is that near, a contour says nothing


@dataclass(frozen=True)
class Box:
    """The spread of one category: quartiles, the ends of its whiskers, how many runs."""

    name: str
    count: int
    low: float
    first: float
    median: float
    third: float
    high: float

    @property
    def label(self) -> str:
        return f"{shortened(self.name, 22)} ({self.count})"


def find_boxes(words: Column, values: Column, order: Sequence[str] = ()) -> list[Box]:
    """A box for each word that has a number, the most frequent ones of many.

    Args:
        order: of the words, where they have one; else the highest median comes first.
    """
    groups: dict[str, list[float]] = {}
    for word, number in zip(words, values, strict=True):
        if word is not None and np.isfinite(number):
            groups.setdefault(str(word), []).append(float(number))
    kept = sorted(groups, key=lambda word: -len(groups[word]))[:MOST_BOXES]
    boxes = [_box(word, np.array(groups[word])) for word in kept]
    return sorted(boxes, key=lambda box: order.index(box.name) if box.name in order else -box.median)


def as_words(column: Column, scale: Scale) -> tuple[Column, list[str]]:
    """Numbers as categories, and these in order: as they are where they are few, else stretches of the scale."""
    distinct = np.unique(column[np.isfinite(column)])
    if len(distinct) <= MOST_VALUES:
        names = [format_number(value) for value in distinct]
        words = [names[int(np.searchsorted(distinct, value))] if np.isfinite(value) else None for value in column]
        return np.array(words, dtype=object), list(dict.fromkeys(names))
    edges = [format_number(float(f"{scale.value_at(place / STRETCHES):.2g}")) for place in range(STRETCHES + 1)]
    names = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    places = np.minimum(np.nan_to_num(scale.places(column), nan=-1.0) * STRETCHES, STRETCHES - 1)
    return np.array([names[int(place)] if place >= 0 else None for place in places], dtype=object), names


def box_figure(
    words: Column, values: Column, boxes: Sequence[Box], *, title: str, log: bool, names: Sequence[str]
) -> Any:
    """Boxes side by side, with a dot for each run where that is readable."""
    labels = {box.name: box.label for box in boxes}
    plot = new_figure(
        height=420,
        y_label=title,
        x_range=models.FactorRange(factors=list(dict.fromkeys(labels.values()))),
        y_axis_type="log" if log else "linear",
    )
    columns = {
        name: [getattr(box, name) for box in boxes] for name in ("low", "first", "median", "third", "high", "count")
    }
    source = models.ColumnDataSource({"label": [box.label for box in boxes], **columns})
    whisker = models.Whisker(base="label", upper="high", lower="low", source=source, line_color=DEFAULT_INK)
    whisker.upper_head.size = whisker.lower_head.size = 8
    whisker.upper_head.line_color = whisker.lower_head.line_color = DEFAULT_INK
    for part in (whisker, whisker.upper_head, whisker.lower_head):
        follow_token(part, line_color="--text-3")
    plot.add_layout(whisker)
    bars = plot.vbar(
        "label", 0.55, top="third", bottom="first", source=source, fill_color=DEFAULT_ACCENT, line_color=None
    )
    bars.glyph.fill_alpha = 0.25
    ends = {"x0": [(box.label, -0.275) for box in boxes], "x1": [(box.label, 0.275) for box in boxes]}
    middles = models.ColumnDataSource({**ends, "median": columns["median"]})
    middle = plot.segment("x0", "median", "x1", "median", source=middles, line_color=DEFAULT_ACCENT, line_width=2.5)
    follow_token(bars.glyph, fill_color="--accent")
    follow_token(middle.glyph, line_color="--accent")
    rows = [
        ("Median", "@median"),
        ("Middle half", "@first to @third"),
        ("Whiskers", "@low to @high"),
        ("Runs", "@count"),
    ]
    plot.add_tools(hover(rows, renderers=[bars]))
    _add_dots(plot, words, values, labels, names)
    plot.xaxis.major_label_orientation = 0.6 if len(boxes) > 6 else "horizontal"
    return plot


def contour_figure(
    columns: Sequence[Column], scales: Sequence[Scale], titles: Sequence[str], names: Sequence[str]
) -> Any:
    """The third column over the two others: coloured between the runs, with lines of equal value and a dot per run.

    Args:
        scales, titles: of the columns, all of which are numbers.
    """
    x, y, z = columns
    at_x, at_y, at_z = (scale.places(column) for scale, column in zip(scales, columns, strict=True))
    known = np.isfinite(at_x) & np.isfinite(at_y) & np.isfinite(at_z)
    surface = interpolate(at_x[known], at_y[known], at_z[known])
    plot = new_figure(
        height=460,
        x_label=titles[0],
        y_label=titles[1],
        tools="",
        x_range=models.Range1d(-EDGE, 1 + EDGE),
        y_range=models.Range1d(-EDGE, 1 + EDGE),
    )
    plot.grid.visible = False
    for axis, scale in ((plot.xaxis[0], scales[0]), (plot.yaxis[0], scales[1])):
        axis.ticker, axis.major_label_overrides = models.FixedTicker(ticks=list(scale.ticks())), scale.ticks()
    mapper = sequential(models.LinearColorMapper(low=0, high=1))
    mapper.nan_color = "rgba(0, 0, 0, 0)"
    mapper.tags = ["palette=sequential"]
    plot.image([surface], x=0, y=0, dw=1, dh=1, color_mapper=mapper)
    _add_lines(plot, surface)
    values: dict[str, Any] = {
        "vx": x[known],
        "vy": y[known],
        "vz": z[known],
        "name": list(np.array(names, dtype=object)[known]),
    }
    source = models.ColumnDataSource({"x": at_x[known], "y": at_y[known], "z": at_z[known], **values})
    dots = plot.scatter("x", "y", source=source, size=7, line_color="#ffffff", line_width=1)
    dots.glyph.fill_color = {"field": "z", "transform": mapper}
    follow_token(dots.glyph, line_color="--text")
    shown = [("Run", "@name"), *((title, f"@v{axis}") for title, axis in zip(titles, "xyz", strict=True))]
    plot.add_tools(hover(shown, renderers=[dots]))
    ticks = scales[2].ticks()
    bar = models.ColorBar(
        color_mapper=mapper, ticker=models.FixedTicker(ticks=list(ticks)), major_label_overrides=ticks
    )
    dress_colour_bar(bar)
    plot.add_layout(bar, "right")
    return plot


def importance_figure(titles: Sequence[str], values: Sequence[float], spreads: Sequence[float], *, label: str) -> Any:
    """Bars, the longest first."""
    shown = [
        f"{shortened(title, 30)}{' ' * place}" for place, title in enumerate(titles)
    ]  # apart, where names are alike
    plot = new_figure(
        height=60 + 26 * len(titles), x_label=label, y_range=models.FactorRange(factors=list(reversed(shown))), tools=""
    )
    low, high = (np.array(values) - spreads, np.array(values) + spreads)
    source = models.ColumnDataSource(
        {"name": shown, "title": list(titles), "value": list(values), "low": low, "high": high}
    )
    bars = plot.hbar("name", 0.6, left=0, right="value", source=source, fill_color=DEFAULT_ACCENT, line_color=None)
    follow_token(bars.glyph, fill_color="--accent")
    if any(spreads):
        whisker = models.Whisker(
            base="name", upper="high", lower="low", source=source, dimension="width", line_color=DEFAULT_INK
        )
        whisker.upper_head.size = whisker.lower_head.size = 6
        for part in (whisker, whisker.upper_head, whisker.lower_head):
            follow_token(part, line_color="--text")
        plot.add_layout(whisker)
    plot.x_range.start = min(0.0, float(low.min()))
    plot.ygrid.visible = False
    plot.add_tools(hover([("", "@title"), (label, "@value")], renderers=[bars]))
    return plot


def interpolate(x: Column, y: Column, z: Column) -> Column:
    """z on a grid over the unit square, NaN far from every run.

    The mean of the nearest runs, weighted by the inverse square of their distance (Shepard, 1968), so that each run
    keeps its own value and none is invented beyond the highest and the lowest.
    """
    ticks = (np.arange(GRID) + 0.5) / GRID
    surface = np.full((GRID, GRID), np.nan)
    nearest = min(NEAREST, len(x))
    if not nearest:
        return surface
    for row, level in enumerate(ticks):
        squared = (ticks[:, None] - x) ** 2 + (level - y) ** 2
        chosen = np.argpartition(squared, nearest - 1, axis=1)[:, :nearest]
        near = np.take_along_axis(squared, chosen, axis=1)
        weights = 1 / (near + 1e-6)
        found = (weights * z[chosen]).sum(axis=1) / weights.sum(axis=1)
        surface[row] = np.where(near.min(axis=1) <= FAR**2, found, np.nan)
    return surface


def _box(name: str, values: Column) -> Box:
    first, median, third = (float(part) for part in np.quantile(values, (0.25, 0.5, 0.75)))
    reach = REACH * (third - first)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    return Box(name, len(values), float(inside.min()), first, median, third, float(inside.max()))


def _add_dots(plot: Any, words: Column, values: Column, labels: dict[str, str], names: Sequence[str]) -> None:
    rows = [
        (labels[str(word)], float(number), name)
        for word, number, name in zip(words, values, names, strict=True)
        if word is not None and str(word) in labels and np.isfinite(number)
    ]
    if not rows or len(rows) > MOST_DOTS:
        return
    at, heights, run_names = zip(*rows, strict=True)
    source = models.ColumnDataSource({"label": list(at), "value": list(heights), "name": list(run_names)})
    spread = jitter("label", 0.3, range=plot.x_range)
    dots = plot.scatter(
        spread, "value", source=source, size=4, line_color=None, fill_color=DEFAULT_INK, fill_alpha=0.45
    )
    follow_token(dots.glyph, fill_color="--text")
    plot.add_tools(hover([("Run", "@name"), ("", "@value")], renderers=[dots]))


def _add_lines(plot: Any, surface: Column) -> None:
    from contourpy import contour_generator  # comes with Bokeh

    ticks = (np.arange(GRID) + 0.5) / GRID
    generator = contour_generator(x=ticks, y=ticks, z=np.ma.masked_invalid(surface))
    lines: list[Any] = [
        line for level in np.linspace(0, 1, CONTOUR_LINES + 2)[1:-1] for line in generator.lines(float(level))
    ]
    source = models.ColumnDataSource({"xs": [line[:, 0] for line in lines], "ys": [line[:, 1] for line in lines]})
    drawn = plot.multi_line("xs", "ys", source=source, line_color=DEFAULT_INK, line_alpha=0.55, line_width=1)
    follow_token(drawn.glyph, line_color="--surface")
