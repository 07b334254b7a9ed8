"""What the chart endpoints are asked for: parameters of a URL as checked values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from werkzeug.datastructures import MultiDict

from ..observer.errors import CloisterError
from ..observer.metric_expressions import Expression, parse_expression
from ..observer.query.fields import UnknownField
from ..observer.run_ids import BadRunId, parse_run_id
from ..observer.series_views import Series, Shown
from .column_keys import find_column
from .curve_columns import Encoding
from .run_keys import run_key

if TYPE_CHECKING:
    from ..observer.run_record import RunId

Axis = Literal["step", "relative", "wall"]

MOST_RUNS = 200  # lines in one chart; beyond the 36 coloured ones they are grey, VISUAL section 7
MOST_SPARKS = 200
MOST_METRICS = 12  # per request; a page asks for what came into view together
MOST_PIXELS = 4000
LONGEST_NAME = 1000
LONGEST_PATTERN = 500
MOST_GROUPED_BY = 3
METRIC_AXIS = "metric:"  # before a metric's name, where an axis is named


class Pattern(Protocol):
    """What RE2 makes of a regular expression."""

    def search(self, text: str) -> object | None: ...


class BadChartRequest(CloisterError, ValueError):
    """A chart endpoint was asked with a parameter that it cannot use."""

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        super().__init__(f"The parameter {parameter}={shown} is not {expected}.")


@dataclass(frozen=True)
class CurveRequest:
    """Which curves, how wide, over which part of which x.

    Attributes:
        over: the metric that is x; "" where `axis` says what x is.
        groups: the columns of the table whose values make groups; none for a line for each run.
    """

    metrics: tuple[str, ...]
    expressions: tuple[Expression, ...]
    runs: tuple[Any, ...]
    axis: Axis
    over: str
    shown: Shown
    groups: tuple[str, ...]
    encoding: Encoding

    @property
    def series(self) -> tuple[Series, ...]:
        named: tuple[str | Expression, ...] = (*self.metrics, *self.expressions)
        return tuple(Series(of, self.axis, self.over) for of in named)

    @property
    def stored_metrics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for series in self.series for name in series.metrics))

    @property
    def axis_word(self) -> str:
        return f"{METRIC_AXIS}{self.over}" if self.over else self.axis

    @property
    def sends_steps(self) -> bool:
        """Whether x is not the step anyway."""
        return self.axis != "step" or bool(self.over)

    @property
    def view_key(self) -> tuple[Any, ...]:
        """All that decides what a run's curve looks like, but the run and the metric."""
        return (self.axis_word, self.shown, self.groups, self.encoding)


def parse_curve_request(args: MultiDict[str, str]) -> CurveRequest:
    axis, over = _parse_axis(args.get("axis", "step"))
    expressions = parse_expressions(args)
    return CurveRequest(
        metrics=() if expressions and "metric" not in args else parse_metrics(args),
        expressions=expressions,
        runs=parse_run_ids(args),
        axis=axis,
        over=over,
        shown=Shown(
            pixels=_parse_pixels(args.get("pixels", "600")),
            low=_parse_bound("from", args.get("from")),
            high=_parse_bound("to", args.get("to")),
            is_log=parse_choice("x_scale", args.get("x_scale", "linear"), ("linear", "log")) == "log",
        ),
        groups=parse_keys(args, "group", MOST_GROUPED_BY),
        encoding=parse_choice("encoding", args.get("encoding", "json"), get_args(Encoding)),
    )


def _parse_axis(word: str) -> tuple[Axis, str]:
    over = word.removeprefix(METRIC_AXIS)
    if over == word:
        return parse_choice("axis", word, get_args(Axis)), ""
    if not over or len(over) > LONGEST_NAME or not _is_text(over):
        raise BadChartRequest("axis", word, f"{METRIC_AXIS} and the name of a metric")
    return "step", over


def parse_expressions(args: MultiDict[str, str]) -> tuple[Expression, ...]:
    """The expressions given as `expression=`, which may be repeated.

    Raises:
        BadExpression: one of them cannot be read.
    """
    texts = tuple(dict.fromkeys(args.getlist("expression")))
    if len(texts) > MOST_METRICS:
        raise BadChartRequest("expression", f"{len(texts)} of them", f"at most {MOST_METRICS}")
    for text in texts:
        if not _is_text(text):
            raise BadChartRequest("expression", text, "text in UTF-8")
    return tuple(map(parse_expression, texts))


def parse_keys(args: MultiDict[str, str], name: str, most: int) -> tuple[str, ...]:
    """Columns of the table of runs."""
    keys = tuple(dict.fromkeys(key for key in args.getlist(name) if key))
    if len(keys) > most:
        raise BadChartRequest(name, f"{len(keys)} columns", f"at most {most} columns")
    for key in keys:
        if len(key) > LONGEST_NAME or not _is_text(key):
            raise BadChartRequest(name, key, "a column of the table of runs")
        try:
            find_column(key)
        except UnknownField as error:
            raise BadChartRequest(name, key, f"a column of the table of runs. {error}") from None
    return keys


def parse_metrics(args: MultiDict[str, str], most: int = MOST_METRICS) -> tuple[str, ...]:
    """The names given as `metric=`, which may be repeated: a name may hold a comma."""
    names = tuple(dict.fromkeys(args.getlist("metric")))
    if not names or not all(names):
        raise BadChartRequest("metric", "", "the name of a metric")
    if len(names) > most:
        raise BadChartRequest("metric", f"{len(names)} names", f"at most {most} names")
    for name in names:
        if len(name) > LONGEST_NAME or not _is_text(name):
            raise BadChartRequest("metric", name, f"a name of at most {LONGEST_NAME} characters in UTF-8")
    return names


def parse_run_ids(args: MultiDict[str, str], most: int = MOST_RUNS) -> tuple[Any, ...]:
    """The ids in `runs=12,id:mine`: numbers, or the words for ids of other types."""
    parts = [part.strip() for text in args.getlist("runs") for part in text.split(",") if part.strip()]
    ids = tuple({run_key(run_id): run_id for run_id in map(_run_id, parts)}.values())
    if not ids:
        raise BadChartRequest("runs", args.get("runs", ""), "a list of run ids such as 12,13")
    if len(ids) > most:
        raise BadChartRequest("runs", f"{len(ids)} ids", f"at most {most} run ids")
    return ids


def parse_pattern(text: str) -> Pattern:
    """A regular expression of RE2's syntax, which is searched for whatever the case, in linear time."""
    import re2  # type: ignore[import-untyped]  # with the first search: whoever draws charts needs it seldom

    if len(text) > LONGEST_PATTERN or not _is_text(text):
        raise BadChartRequest("q", text, f"a regular expression of at most {LONGEST_PATTERN} characters in UTF-8")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        compiled: Pattern = re2.compile(text, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "?"
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise BadChartRequest("q", text, f"a regular expression: {shown}") from None
    return compiled


def _run_id(text: str) -> RunId:
    try:
        return parse_run_id(text)
    except BadRunId:
        raise BadChartRequest("runs", text, "a list of run ids such as 12,13,id:my-run") from None


def _is_text(text: str) -> bool:
    """Whether MongoDB can be asked for it: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _parse_pixels(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 2 <= int(text) <= MOST_PIXELS):
        raise BadChartRequest("pixels", text, f"a whole number from 2 to {MOST_PIXELS}")
    return int(text)


def _parse_bound(name: str, text: str | None) -> float | None:
    if text is None or text == "":
        return None
    try:
        bound = float(text)
    except ValueError:
        raise BadChartRequest(name, text, "a number") from None
    if not math.isfinite(bound):
        raise BadChartRequest(name, text, "a finite number")
    return bound


def parse_choice(name: str, value: str, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise BadChartRequest(name, value, "one of " + ", ".join(choices))
    return value
