"""The key figures of a run: up to five cells, each a label, a value and a remark."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .chart_sections import describe_metric
from .run_processes import own_metrics
from .runs_table import rank_metrics
from .wording import MISSING, count_noun, format_exact, format_number

if TYPE_CHECKING:
    from ..observer.metric_summary import MetricSummary
    from ..observer.run_record import RunRecord

MOST_FIGURES = 5


@dataclass(frozen=True)
class Figure:
    """`tone` colours the remark: good news green, bad news red."""

    label: str
    value: str
    remark: str
    exact: str = ""
    tone: Literal["plain", "good", "bad"] = "plain"


def choose_figures(run: RunRecord, metrics: Mapping[str, MetricSummary]) -> tuple[Figure, ...]:
    """The metrics that people judge a run by, its result when it is one number, and whether all is stored.

    Args:
        metrics: those that the run's training logged, by name.
    """
    last = [_result_figure(run)] if _is_number(run.result) else []
    if run.status != "queued" and (metrics or run.uid is not None):
        last.append(_points_figure(run, metrics))
    ranked = sorted(rank_metrics(own_metrics(metrics)), key=lambda name: metrics[name].not_numbers > 0)
    numeric = [name for name in ranked if metrics[name].not_numbers < metrics[name].count]
    names = (numeric or ranked)[: MOST_FIGURES - len(last)]
    return (*(_metric_figure(metrics[name]) for name in names), *last)


def _metric_figure(summary: MetricSummary) -> Figure:
    better = describe_metric(summary.name).better
    best = {"higher": summary.max, "lower": summary.min, None: None}[better]
    if summary.not_numbers and math.isnan(summary.last):
        words = f"{summary.not_numbers:,} of {count_noun(summary.count, 'value')} no number"
        return Figure(summary.name, MISSING, words)
    if not math.isfinite(summary.last):
        return Figure(summary.name, format_number(summary.last), f"at step {summary.last_step:,}", tone="bad")
    if best is None:
        return Figure(
            summary.name, format_number(summary.last), f"at step {summary.last_step:,}", format_exact(summary.last)
        )
    word = "highest" if better == "higher" else "lowest"
    remark = f"last {format_number(summary.last)} at step {summary.last_step:,}"
    if best == summary.last:
        remark = f"at the last step, {summary.last_step:,}"
    return Figure(f"{summary.name}, {word}", format_number(best), remark, format_exact(best))


def _result_figure(run: RunRecord) -> Figure:
    return Figure("Result", format_number(run.result), "returned by the function", format_exact(run.result))


def _points_figure(run: RunRecord, metrics: Mapping[str, MetricSummary]) -> Figure:
    count = sum(summary.count for summary in (*metrics.values(), *run.system.values()))
    if run.uid is None:  # whether Sacred lost any, nobody has counted
        return Figure("Points stored", f"{count:,}", f"of {count_noun(len(metrics), 'metric')}")
    lost = run.lost.get("points", 0)
    if lost:
        return Figure("Points stored", f"{count:,}", f"{count_noun(lost, 'point')} lost", tone="bad")
    if run.lost.get("lines") or run.lost.get("bytes"):
        return Figure("Points stored", f"{count:,}", "all stored, output or files lost", tone="bad")
    return Figure("Points stored", f"{count:,}", "all stored, 0 lost", tone="good")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
