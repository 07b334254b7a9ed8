"""The blocks of a report as HTML, of the runs that their reader may see. What they may not see is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from flask import render_template
from markupsafe import Markup

from ..observer.errors import CloisterError
from ..observer.run_query import RunQuery
from ..observer.runs import MetricNotFound, RunNotFound
from .report_blocks import Block, Part, RunSet, split_keys
from .run_keys import run_key
from .runs_table import build_table
from .store_access import root
from .wording import count_noun

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore

DEFAULT_COLUMNS = ("status", "started", "duration")
CURVE_PIXELS = 900
MOST_COLUMNS = 20


class UnfitBlock(CloisterError, ValueError):
    """A block asks for something that its runs do not have."""


@dataclass
class Shown:
    """What has been rendered so far: for the log of who saw, or exported, which runs.

    Attributes:
        for_file: the HTML is for a file: no addresses of the viewer in it.
    """

    for_file: bool = False
    runs: dict[Any, RunRecord] = field(default_factory=dict)

    def add(self, runs: tuple[RunRecord, ...]) -> None:
        self.runs.update({run_key(run.id): run for run in runs})


def render_block(store: RunStore, block: Block, shown: Shown) -> Markup:
    """The block, or why it cannot be shown."""
    try:
        return _RENDERED_BY[block.kind](store, block, shown)
    except CloisterError as error:  # a query, a field, a metric, a project that is not: its author reads which
        return render_problem(f"Line {block.line}: {error}")


def render_problem(sentence: str) -> Markup:
    return Markup(render_template("reports/problem.html", sentence=sentence))  # noqa: S704  # a template of ours


def render_parts(store: RunStore, parts: list[Part], shown: Shown) -> list[Markup]:
    """All of a report, each block with what it shows."""
    rendered = []
    for part in parts:
        if part.block is not None:
            rendered.append(render_block(store, part.block, shown))
        else:
            rendered.append(render_problem(part.problem) if part.problem else part.html or Markup())
    return rendered


def load_set(store: RunStore, chosen: RunSet) -> tuple[tuple[RunRecord, ...], int]:
    """The runs of a set in its order, and how many there are in all."""
    if chosen.ids is not None and not chosen.where:
        found = []
        for run_id in chosen.ids[: chosen.limit]:
            try:
                found.append(store.load_run(run_id))
            except RunNotFound:  # deleted, or not for this reader: the others are shown
                continue
        return tuple(found), len(found)
    page = store.list_runs(query_of(chosen))
    return page.runs, page.total


def query_of(chosen: RunSet) -> RunQuery:
    project = None if chosen.project == "*" else chosen.project
    sort = split_keys(chosen.sort) or ("-started",)
    return RunQuery(project, where=where_of(chosen), sort=sort, page_size=min(chosen.limit, 500))


def where_of(chosen: RunSet) -> str:
    """The set as a query, also where it was given by ids."""
    if chosen.ids is None:
        return chosen.where
    words = [str(each) if isinstance(each, int) else '"{}"'.format(str(each).replace('"', "")) for each in chosen.ids]
    ids = f"id in ({', '.join(words)})"
    return f"({chosen.where}) and {ids}" if chosen.where else ids


def _render_runs(store: RunStore, block: Block, shown: Shown) -> Markup:
    runs, total = load_set(store, block.runs)
    shown.add(runs)
    title = block.option("title") or block.option("name") or "Runs"
    return _template("reports/runs.html", shown, block, title=title, runs=runs, total=total)


def _render_table(store: RunStore, block: Block, shown: Shown) -> Markup:
    from .run_colours import DrawnRuns

    runs, total = load_set(store, block.runs)
    shown.add(runs)
    columns = [key for key in split_keys(block.option("columns")) if key != "name"] or list(DEFAULT_COLUMNS)
    if len(columns) > MOST_COLUMNS:
        raise UnfitBlock(f"A table shows {MOST_COLUMNS} columns at most, not {len(columns)}.")
    table = build_table(runs, columns, DrawnRuns())
    return _template("reports/table.html", shown, block, title=block.option("title"), table=table, total=total)


def _render_chart(store: RunStore, block: Block, shown: Shown) -> Markup:
    from .bokeh_figures import figure_embed
    from .report_charts import Axis, Line, curves_figure

    axis, metric = block.option("x", "step"), block.option("metric")
    if axis not in get_args(Axis):
        raise UnfitBlock(f"x: {axis[:20]} is no axis of a chart. Say step, relative or wall.")
    smoothing = _share(block.option("smoothing", "0"))
    runs, _ = load_set(store, block.runs)
    lines, drawn = [], []
    for run in runs:
        try:
            curve = store.load_curve(run.id, metric, pixels=CURVE_PIXELS, axis=axis)  # type: ignore[arg-type]
        except MetricNotFound:  # not every run logs every metric
            continue
        lines.append(Line(run.name or f"run {run.id}", curve.x, curve.values))
        drawn.append(run)
    shown.add(tuple(drawn))
    if not lines:
        return _template("reports/empty.html", shown, block, title=block.option("title") or metric, count=len(runs))
    is_log = block.option("log").lower() in ("yes", "true", "y", "1")
    plot = curves_figure(lines, axis=axis, label=metric, log=is_log, smoothing=smoothing)  # type: ignore[arg-type]
    counted = count_noun(len(runs), "run")
    sentence = f"{metric} of {len(lines)} of {counted}" if len(lines) < len(runs) else f"{metric}, {counted}"
    told = f"{sentence}, smoothed by {smoothing:g}." if smoothing else f"{sentence}."
    return figure_embed(plot, title=block.option("title") or metric, name=metric, sentence=told)


def _render_explained(store: RunStore, block: Block, shown: Shown) -> Markup:
    from ..observer.query.fields import find_field
    from ..observer.run_columns import load_run_columns
    from .explain_address import VIEWS, ExplainAddress
    from .explain_fields import fill_in, find_offered
    from .explain_views import FIGURE_KEYS, draw_view

    view = block.option("view", "parallel")
    if view not in VIEWS or view == "importance":
        names = ", ".join(name for name in VIEWS if name != "importance")
        raise UnfitBlock(f"view: {view[:20]} is no figure of a report. Say one of {names}.")
    if block.runs.project == "*":
        raise UnfitBlock("A figure explains the runs of one project. Name it, or leave the line out.")
    keys = {name: block.option(name) for name in ("target", "axis-x", "axis-y", "by")}
    found = {name: find_field(key).key if key else "" for name, key in keys.items()}
    asked = ExplainAddress(
        project=block.runs.project,
        view=view,
        where=where_of(block.runs),
        target=found["target"],
        parameters=tuple(find_field(key).key for key in split_keys(block.option("parameters"))[:20]),
        x=found["axis-x"],
        y=found["axis-y"],
        by=found["by"],
        root=root(),
    )
    address = fill_in(asked, find_offered(store, asked.project))
    runs = load_run_columns(store, address.query(), FIGURE_KEYS[address.view](address), most=block.runs.limit)
    figure: Markup = draw_view(address, runs, None)["figure"]
    return figure


def _template(name: str, shown: Shown, block: Block, **values: Any) -> Markup:
    where = where_of(block.runs)
    return Markup(render_template(name, for_file=shown.for_file, block=block, where=where, **values))  # noqa: S704  # escapes


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UnfitBlock(f"smoothing: {text[:20]} is not a number from 0 to below 1.")
    return value


_RENDERED_BY: Mapping[str, Callable[[Any, Block, Shown], Markup]] = {
    "runs": _render_runs,
    "table": _render_table,
    "chart": _render_chart,
    "explain": _render_explained,
}
