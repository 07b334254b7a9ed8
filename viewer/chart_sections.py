"""Chart sections: which charts a set of metrics makes, grouped by prefix, and how each of them wants to be drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Scale = Literal["linear", "log"]
Better = Literal["higher", "lower"]

SYSTEM_PREFIX = "system/"
UNGROUPED = "metrics"  # the section of names without a prefix
# What people look at first comes first; the other sections follow by name, and names without a prefix end the page.
_FIRST_SECTIONS = ("val", "valid", "validation", "test", "eval", "train", "training")

_WORD = r"(?:^|[/_.\-])(?:{})(?:$|[/_.\-\d@])"
_LOSS = re.compile(_WORD.format("loss|losses|nll|perplexity|ppl|cross_entropy|mse|mae|rmse|error|err"), re.IGNORECASE)
_LOG = re.compile(_WORD.format("loss|losses|nll|perplexity|ppl|cross_entropy|mse"), re.IGNORECASE)
_SHARE = re.compile(
    _WORD.format("acc|accuracy|dice|iou|miou|f1|auc|auroc|precision|recall|ap|map|top1|top5|r2|score"), re.IGNORECASE
)
_SCHEDULE = re.compile(
    _WORD.format("lr|learning_rate|epoch|step|momentum|weight_decay|beta1|beta2|temperature|dropout|schedule"),
    re.IGNORECASE,
)
_COUNT = re.compile(_WORD.format("count|n|num|samples|tokens|seen|bytes|memory|utilization|utilisation"), re.IGNORECASE)


@dataclass(frozen=True)
class ChartSpec:
    """How one metric wants to be drawn.

    Attributes:
        unit: stands in the header and behind hover values; empty for plain numbers.
        divisor: stored value / divisor = drawn value (bytes as GiB).
        scale: "log" is taken back by the browser when a value is not positive.
        smooth: False for schedules and hardware, where smoothing would show what never was.
        from_zero: the y axis starts at 0.
        ceiling: the y axis never goes beyond this while all values stay under it.
        better: which end is the best value; None where neither is.
    """

    metric: str
    title: str
    unit: str = ""
    divisor: float = 1.0
    scale: Scale = "linear"
    smooth: bool = True
    from_zero: bool = False
    ceiling: float | None = None
    better: Better | None = None

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))  # all of it is plain: `asdict` would copy each word of each of a page's charts


@dataclass(frozen=True)
class ChartSection:
    """Charts that share a heading, an x range and a crosshair."""

    name: str
    charts: tuple[ChartSpec, ...]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "charts": [chart.as_json() for chart in self.charts]}


def group_metrics(names: Iterable[str]) -> tuple[ChartSection, ...]:
    """Sections of the metrics that a training logged, by what stands before their first slash.

    Hardware metrics are left out: they have a page of their own. Within a section scores and losses come first,
    schedules last, and the name decides among equals.
    """
    groups: dict[str, list[ChartSpec]] = {}
    for name in dict.fromkeys(names):
        if not name.startswith(SYSTEM_PREFIX):
            groups.setdefault(section_name(name), []).append(describe_metric(name))
    ordered = sorted(groups, key=_section_order)
    return tuple(ChartSection(name, tuple(sorted(groups[name], key=_chart_order))) for name in ordered)


def describe_metric(name: str) -> ChartSpec:
    """How a metric is drawn, judged by its name: losses on a log axis, accuracies up to 1, schedules unsmoothed."""
    last = name.rsplit("/", 1)[-1]
    if _SCHEDULE.search(last):
        return ChartSpec(name, name, smooth=False)
    if _LOSS.search(last):
        return ChartSpec(name, name, scale="log" if _LOG.search(last) else "linear", better="lower")
    if _SHARE.search(last):
        return ChartSpec(name, name, ceiling=1.0, better="higher")
    return ChartSpec(name, name, from_zero=bool(_COUNT.search(last)))


def section_name(metric: str) -> str:
    prefix, slash, rest = metric.partition("/")
    number, deeper, _ = rest.partition("/")
    if prefix == "rank" and deeper and number.isdecimal() and len(number) < 8:
        return f"rank {number}"  # what one of several processes logged
    return prefix if slash and prefix and rest else UNGROUPED


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key by which layer 2 comes before layer 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,9})", name)]


def _chart_order(chart: ChartSpec) -> tuple[int, list[tuple[int, str]]]:
    return _interest(chart), natural_order(chart.metric)


def _interest(chart: ChartSpec) -> int:
    if not chart.smooth:
        return 3
    if chart.better is None:
        return 2
    # A training's own loss says more than its accuracy; on held-out data it is the other way round.
    first: Better = "lower" if section_name(chart.metric) in ("train", "training") else "higher"
    return 0 if chart.better == first else 1


def _section_order(name: str) -> tuple[int, str]:
    if name in _FIRST_SECTIONS:
        return _FIRST_SECTIONS.index(name), name
    return len(_FIRST_SECTIONS) + (name == UNGROUPED), name.casefold()
