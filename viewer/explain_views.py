"""The figures of the Explain page: from the columns of runs to what the page shows of them, one row for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..observer.errors import CloisterError
from .explain_fields import short_titles
from .figure_scales import scale_of
from .importance import METHOD_NAMES, Importance, ImportanceDesk, pose
from .run_keys import path_segment, run_key
from .wording import count_noun, format_count, format_number

if TYPE_CHECKING:
    from markupsafe import Markup

    from ..observer.run_columns import RunColumns
    from .explain_address import ExplainAddress, View
    from .figure_scales import Scale

MOST_POINTS = 20_000
FEWEST_FOR_CONTOUR = 4
Shown = dict[str, Any]


class NothingToDraw(CloisterError, ValueError):
    """The runs have nothing that this figure could show."""

    def __init__(self, sentence: str, runs: RunColumns | None = None) -> None:
        super().__init__(sentence)
        self.runs = runs


# Which fields a figure reads: no others leave the database.
FIGURE_KEYS: Mapping[View, Callable[[ExplainAddress], tuple[str, ...]]] = {
    "parallel": lambda address: _unique(*address.parameters, address.target),
    "scatter": lambda address: _unique(address.x, address.y, address.by),
    "matrix": lambda address: _unique(*address.parameters[:4], address.target),
    "importance": lambda address: _unique(*address.parameters, address.target),
    "boxes": lambda address: _unique(address.by, address.target),
    "contour": lambda address: _unique(address.x, address.y, address.target),
}


def draw_view(address: ExplainAddress, runs: RunColumns, desk: ImportanceDesk | None) -> Shown:
    """What the template shows: `figure`, and `remarks` about what it leaves out.

    Raises:
        NothingToDraw: these runs have nothing that it could show.
    """
    keys = FIGURE_KEYS[address.view](address)
    if not len(runs):
        raise NothingToDraw("No run matches." if address.where else "This project has no runs yet.", runs)
    if not keys or not address.target:
        raise NothingToDraw("These runs have no metric and no config that could be compared.", runs)
    remarks = []
    if runs.total > len(runs):
        remarks.append(f"The newest {format_count(len(runs))} of {format_count(runs.total)} runs are read.")
    if address.view == "importance" and desk is not None:
        return {"remarks": remarks, **_importance(address, runs, desk)}
    scales = {key: scale_of(runs.columns[key], log=address.wants_log(key)) for key in keys}
    shown = _DRAWN_BY[address.view](address, runs, scales)
    return {**shown, "scales": scales, "remarks": [*remarks, *shown.get("remarks", [])]}


def _parallel(address: ExplainAddress, runs: RunColumns, scales: Mapping[str, Scale]) -> Shown:
    from .bokeh_figures import figure_embed
    from .parallel_figure import MOST_LINES, axes_json, parallel_figure

    if len(scales) < 2:
        raise NothingToDraw("Parallel coordinates take at least one parameter beside the metric. Choose one.", runs)
    known = runs
    if runs.is_numeric(address.target):
        known = runs.taking(np.isfinite(runs.columns[address.target]))
        if not len(known):
            raise NothingToDraw(f"None of {_of(runs)} has a number for {address.target}.", runs)
    drawn = known.taking(np.linspace(0, len(known) - 1, min(len(known), MOST_LINES)).astype(int))
    titles = list(short_titles(tuple(scales)).values())
    plot = parallel_figure(drawn, scales, titles, [run_key(run_id) for run_id in drawn.ids])
    sentence = f"{count_noun(len(drawn), 'run')}, a line each through {', '.join(titles)}; coloured by {titles[-1]}."
    remarks = [] if len(known) == len(runs) else [f"{_of(runs, len(runs) - len(known))} without {titles[-1]} left out."]
    if len(drawn) < len(known):
        remarks.append(f"{format_count(len(drawn))} of {format_count(len(known))} lines are drawn, evenly chosen.")
    figure = _embed(figure_embed, address, plot, "Parallel coordinates", sentence)
    return {"figure": figure, "axes": axes_json(scales, titles), "remarks": remarks}


def _scatter(address: ExplainAddress, runs: RunColumns, scales: Mapping[str, Scale]) -> Shown:
    from .bokeh_figures import WEBGL_FROM, figure_embed
    from .scatter_figures import scatter_figure

    _need_values(runs, address.x, address.y)
    titles = short_titles(tuple(scales))
    colour = address.by if address.by not in (address.x, address.y) else ""
    paths = [f"{address.root}/runs/{path_segment(run_id)}" for run_id in runs.ids]
    plot = scatter_figure(runs, scales, titles, x=address.x, y=address.y, colour=colour, paths=paths)
    coloured = f", coloured by {titles[colour]}" if colour else ""
    title = f"{titles[address.y]} over {titles[address.x]}"
    sentence = f"{title} of {_of(runs)}{coloured}. {_correlation(runs, address.x, address.y)}".rstrip()
    return {"figure": _embed(figure_embed, address, plot, title, sentence, webgl=len(runs) >= WEBGL_FROM)}


def _matrix(address: ExplainAddress, runs: RunColumns, scales: Mapping[str, Scale]) -> Shown:
    from .bokeh_figures import figure_embed
    from .scatter_figures import MATRIX_CELL, MATRIX_RUNS, matrix_figure

    if len(scales) < 2:
        raise NothingToDraw("A scatter matrix takes at least one parameter beside the metric. Choose one.", runs)
    drawn = runs.taking(slice(0, MATRIX_RUNS))
    titles = short_titles(tuple(scales))
    layout = matrix_figure(drawn, scales, titles, colour=address.target)
    sentence = f"{', '.join(titles.values())} against each other, {_of(drawn)}, coloured by {titles[address.target]}."
    remarks = [] if len(drawn) == len(runs) else [f"The newest {format_count(len(drawn))} runs are drawn."]
    if len(address.parameters) > 4:
        remarks.append("The first four parameters are shown.")
    height = len(scales) * MATRIX_CELL
    return {
        "figure": _embed(figure_embed, address, layout, "Scatter matrix", sentence, height=height),
        "remarks": remarks,
    }


def _boxes(address: ExplainAddress, runs: RunColumns, scales: Mapping[str, Scale]) -> Shown:
    from .bokeh_figures import figure_embed
    from .explain_figures import MOST_BOXES, as_words, box_figure, find_boxes

    target = address.target
    if address.by == target or not runs.is_numeric(target):
        raise NothingToDraw("Box plots take a number, and another field whose values are the categories.", runs)
    words = runs.columns[address.by]
    order: list[str] = []
    if runs.is_numeric(address.by):
        words, order = as_words(words, scales[address.by])
    boxes = find_boxes(words, runs.columns[target], order)
    if not boxes:
        raise NothingToDraw(f"None of {_of(runs)} has both {address.by} and {target}.", runs)
    titles = short_titles((address.by, target))
    is_log = scales[target].kind == "log"
    plot = box_figure(words, runs.columns[target], boxes, title=titles[target], log=is_log, names=runs.names)
    best = max(boxes, key=lambda box: box.median)
    title = f"{titles[target]} by {titles[address.by]}"
    sentence = (
        f"{title}: the highest median is {format_number(best.median)}, of {best.name} "
        f"({count_noun(best.count, 'run')}). Boxes hold the middle half of the runs, whiskers reach 1.5 box heights."
    )
    distinct = len({word for word in words if word is not None})
    remarks = (
        [f"The {MOST_BOXES} most frequent of {format_count(distinct)} values are shown."]
        if distinct > MOST_BOXES
        else []
    )
    return {"figure": _embed(figure_embed, address, plot, title, sentence), "boxes": boxes, "remarks": remarks}


def _contour(address: ExplainAddress, runs: RunColumns, scales: Mapping[str, Scale]) -> Shown:
    from .bokeh_figures import figure_embed
    from .explain_figures import contour_figure

    keys = (address.x, address.y, address.target)
    if len(set(keys)) < 3 or not all(key and runs.is_numeric(key) for key in keys):
        raise NothingToDraw("A contour takes two parameters and a metric, all of them numbers. Choose others.", runs)
    known = _need_values(runs, *keys)
    if known < FEWEST_FOR_CONTOUR:
        raise NothingToDraw(
            f"{count_noun(known, 'run')} with all three numbers: a contour takes {FEWEST_FOR_CONTOUR}.", runs
        )
    titles = [short_titles(keys)[key] for key in keys]
    columns = [runs.columns[key] for key in keys]
    plot = contour_figure(columns, [scales[key] for key in keys], titles, runs.names)
    title = f"{titles[2]} over {titles[0]} and {titles[1]}"
    sentence = (
        f"{title}, between {count_noun(known, 'run')} as the mean of the nearest, weighted by distance; blank where no "
        "run is near."
    )
    return {"figure": _embed(figure_embed, address, plot, title, sentence)}


def _importance(address: ExplainAddress, runs: RunColumns, desk: ImportanceDesk) -> Shown:
    scales = {key: scale_of(runs.columns[key], log=address.wants_log(key)) for key in address.parameters}
    log = [key for key, scale in scales.items() if scale.kind == "log"]
    question = pose(runs, address.target, address.parameters, address.method, log)
    if question is None:
        raise NothingToDraw(
            "Importance takes at least 10 runs with a number for the metric, and a parameter that differs among them.",
            runs,
        )
    answer = desk.ask(question)
    part = {"importance": answer, "part_url": address.url("importance"), "method_name": METHOD_NAMES[address.method]}
    return {"figure": _importance_figure(address, runs, answer) if answer.values else "", **part}


def _importance_figure(address: ExplainAddress, runs: RunColumns, answer: Importance) -> Markup:
    from .bokeh_figures import figure_embed
    from .explain_figures import importance_figure

    keys = tuple(answer.values)
    titles = short_titles(keys)
    label = "Fall of R² when shuffled" if answer.method == "forest" else "Share of the variance"
    spreads = [answer.spreads.get(key, 0.0) for key in keys]
    plot = importance_figure([titles[key] for key in keys], list(answer.values.values()), spreads, label=label)
    name = METHOD_NAMES[answer.method]
    told = ", ".join(f"{titles[key]} {format_number(answer.values[key], 3)}" for key in keys[:3])
    target = short_titles((address.target,))[address.target]
    sentence = f"What matters for {target}, by {name}, {count_noun(answer.runs, 'run')}: {told}."
    if answer.score is not None:
        seen = (
            "a quarter of the runs, which it had not seen"
            if answer.held_out
            else "the runs that it learned from, as there are few"
        )
        sentence += f" The forest explains R² = {format_number(answer.score, 3)} of {seen}."
    return _embed(figure_embed, address, plot, f"Importance: {name}", sentence)


def _embed(figure_embed: Any, address: ExplainAddress, model: Any, title: str, sentence: str, **options: Any) -> Markup:
    name = f"{address.project}-{address.view}"
    embedded: Markup = figure_embed(
        model, title=title, name=name, sentence=sentence, table=address.url("data.csv"), heading=2, **options
    )
    return embedded


def _need_values(runs: RunColumns, *keys: str) -> int:
    """How many runs have a value of each; at least one."""
    known = np.ones(len(runs), dtype=bool)
    for key in keys:
        column = runs.columns[key]
        known &= np.isfinite(column) if runs.is_numeric(key) else np.array([each is not None for each in column])
    if not known.any():
        raise NothingToDraw(f"None of {_of(runs)} has both {' and '.join(keys)}.", runs)
    return int(known.sum())


def _correlation(runs: RunColumns, x: str, y: str) -> str:
    """How far the two rise together, by their ranks, which no scale changes (Spearman, 1904)."""
    if not (runs.is_numeric(x) and runs.is_numeric(y)):
        return ""
    known = np.isfinite(runs.columns[x]) & np.isfinite(runs.columns[y])
    ranks = [_ranks(runs.columns[key][known]) for key in (x, y)]
    if known.sum() < 3 or any(rank.std() == 0 for rank in ranks):
        return ""
    return f"Rank correlation {format_number(float(np.corrcoef(*ranks)[0, 1]), 3)}."


def _ranks(values: Any) -> Any:
    """Each value's place in order; equal ones share the middle of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[inverse]


def _of(runs: RunColumns, count: int | None = None) -> str:
    return count_noun(len(runs) if count is None else count, "run")


def _unique(*keys: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in keys if key))


_DRAWN_BY: Mapping[str, Callable[[Any, Any, Any], Shown]] = {
    "parallel": _parallel,
    "scatter": _scatter,
    "matrix": _matrix,
    "boxes": _boxes,
    "contour": _contour,
}
