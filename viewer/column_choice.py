"""Which columns a table of runs has that nobody has set up, and in which of them its runs differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..observer.query.fields import metric_field
from .chart_sections import describe_metric, section_name
from .column_keys import config_key, curve_key, find_config_value, find_value

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import Columns

DEFAULT_CONFIGS, DEFAULT_COLUMNS = 2, 3  # what stands beside the charts without scrolling sideways
DEFAULT_RUN_COLUMNS = ("started", "duration", "tags")
MOST_DIFFERING = 40
_VALIDATION = ("val", "valid", "validation", "eval", "test", "dev")
_DULL_KEYS = ("seed", "device", "workers", "num_workers", "verbose")  # they differ, but seldom explain a difference


def choose_columns(runs: Sequence[RunRecord], columns: Columns) -> tuple[str, ...]:
    """The columns of a table that nobody has set up: what was validated, and what the runs were given differently."""
    ranked = sorted(columns.config, key=lambda key: key.rsplit(".", 1)[-1] in _DULL_KEYS)
    # In that order, so that the runs are not compared by dozens of keys of which two are shown.
    differing = (key for key in ranked if len(runs) == 1 or _differs(runs, key))
    config = list(itertools.islice(differing, DEFAULT_CONFIGS))
    seldom = _seldom_logged(runs, columns.metrics)
    metrics = sorted(columns.metrics, key=lambda name: (name in seldom, _metric_rank(name)))[
        : DEFAULT_COLUMNS - len(config)
    ]
    curves = [curve_key(metrics[0])] if metrics else []
    return (
        *(metric_field(name).key for name in metrics),
        *curves,
        *(config_key(key) for key in config),
        *DEFAULT_RUN_COLUMNS,
    )


def rank_metrics(names: Iterable[str]) -> list[str]:
    """Metric names, those that people judge a run by first."""
    return sorted(names, key=_metric_rank)


def differing_columns(runs: Sequence[RunRecord], shown: Sequence[str], config: Iterable[str]) -> tuple[str, ...]:
    """Of the columns that are shown those in which the runs differ, then every other config key in which they do."""
    kept = [key for key in shown if len({repr(find_value(run, key)) for run in runs}) > 1 or key.startswith("curve(")]
    others = [config_key(key) for key in config if _differs(runs, key)]
    return tuple(dict.fromkeys([*kept, *others]))[:MOST_DIFFERING]


def _seldom_logged(runs: Sequence[RunRecord], names: Iterable[str]) -> frozenset[str]:
    """Metrics of few runs, such as a test that one run had: their column, and its curves, would stand empty."""
    logged = [run.summary for run in runs if run.summary]
    return frozenset(name for name in names if 2 * sum(name in summary for summary in logged) < len(logged))


def _metric_rank(name: str) -> tuple[bool, int, str]:
    """Validation first, then what has a better end (accuracies before losses), then by name."""
    better = describe_metric(name).better
    return section_name(name).lower() not in _VALIDATION, {"higher": 0, "lower": 1, None: 2}[better], name


def _differs(runs: Sequence[RunRecord], key: str) -> bool:
    return len({repr(find_config_value(run.config, key)) for run in runs}) > 1
