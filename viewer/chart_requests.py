"""What the chart endpoints are asked for: parameters of a URL as checked values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from werkzeug.datastructures import MultiDict

from ..observer.errors import CloisterError
from ..observer.run_ids import BadRunId, parse_run_id
from .curve_columns import Encoding
from .run_keys import run_key

if TYPE_CHECKING:
    from ..observer.run_record import RunId

Axis = Literal["step", "relative", "wall"]

MOST_RUNS = 36  # coloured lines in one chart, VISUAL section 7
MOST_SPARKS = 200
MOST_METRICS = 12  # per request; a page asks for what came into view together
MOST_PIXELS = 4000
LONGEST_NAME = 1000


class BadChartRequest(CloisterError, ValueError):
    """A chart endpoint was asked with a parameter that it cannot use."""

    def __init__(self, parameter: str, value: object, expected: str) -> None:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        super().__init__(f"The parameter {parameter}={shown} is not {expected}.")


@dataclass(frozen=True)
class CurveRequest:
    """Which curves, how wide, over which part of which x."""

    metrics: tuple[str, ...]
    runs: tuple[Any, ...]
    pixels: int
    axis: Axis
    low: float | None
    high: float | None
    encoding: Encoding


def parse_curve_request(args: MultiDict[str, str]) -> CurveRequest:
    return CurveRequest(
        metrics=parse_metrics(args),
        runs=parse_run_ids(args),
        pixels=_parse_pixels(args.get("pixels", "600")),
        axis=_parse_choice("axis", args.get("axis", "step"), get_args(Axis)),
        low=_parse_bound("from", args.get("from")),
        high=_parse_bound("to", args.get("to")),
        encoding=_parse_choice("encoding", args.get("encoding", "json"), get_args(Encoding)),
    )


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


def _parse_choice(name: str, value: str, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise BadChartRequest(name, value, "one of " + ", ".join(choices))
    return value
