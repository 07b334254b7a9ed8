"""Runs beside each other as JSON: what the page Compare shows of config, environment, packages and summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...observer.run_comparison import (
    ABSENT,
    ComparedRow,
    compare_configs,
    compare_environments,
    compare_packages,
)
from ..compare_address import MOST_COMPARED
from ..compare_runs import Comparison, load_asked_comparison
from ..run_keys import RunKey, run_key
from ..store_access import current_store
from .json_values import json_number, json_value
from .parameters import BadParameter, parse_run_key
from .route import REQUIRED, Route, run, text
from .run_json import ANYTHING, ID, NUMBER, TEXT, TEXTS, Schema, either_null, list_schema, object_schema

RUNS_LIMIT_CHARS = 20_000

_ROW: Schema = object_schema(
    key=TEXTS,
    values=list_schema(object_schema(recorded={"type": "boolean"}, value=ANYTHING, differs={"type": "boolean"})),
)
_METRIC: Schema = object_schema(
    metric=TEXT,
    values=list_schema(
        object_schema(
            last=either_null(NUMBER),
            min=either_null(NUMBER),
            max=either_null(NUMBER),
            last_difference=either_null(NUMBER),
        )
    ),
)


def compare_runs(runs: str, baseline: RunKey | None) -> dict[str, Any]:
    comparison = load_asked_comparison(current_store(), _parse_runs(runs), baseline)
    records, base = comparison.records, comparison.baseline
    return {
        "runs": [
            {"id": each.key, "name": each.run.name, "project": each.run.project, "status": each.run.status}
            for each in comparison.runs
        ],
        "missing": comparison.missing,
        "baseline": comparison.base.key if comparison.runs else None,
        "config": _rows(compare_configs(records, base)),
        "environment": _rows(compare_environments(records, base)),
        "packages": _rows(compare_packages(records, base)),
        "metrics": _metrics(comparison),
    }


def _parse_runs(words: str) -> tuple[RunKey, ...]:
    keys = tuple(dict.fromkeys(run_key(parse_run_key("runs", word)) for word in words.split(",") if word))
    if not 1 <= len(keys) <= MOST_COMPARED:
        raise BadParameter("runs", words[:80], f"1 to {MOST_COMPARED} ids of runs with commas between")
    return keys


def _rows(rows: Sequence[ComparedRow]) -> list[dict[str, Any]]:
    return [
        {
            "key": [json_value(part) for part in row.path],
            "values": [
                {
                    "recorded": value is not ABSENT,
                    "value": None if value is ABSENT else json_value(value),
                    "differs": differs,
                }
                for value, differs in zip(row.values, row.differing, strict=True)
            ],
        }
        for row in rows
    ]


def _metrics(comparison: Comparison) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for record in comparison.records for name in record.summary)
    rows = []
    for name in sorted(names):
        base = comparison.base.run.summary.get(name)
        values = []
        for record in comparison.records:
            summary = record.summary.get(name)
            difference = None if summary is None or base is None else json_number(summary.last - base.last)
            values.append(
                {
                    "last": None if summary is None else json_number(summary.last),
                    "min": None if summary is None or summary.min is None else json_number(summary.min),
                    "max": None if summary is None or summary.max is None else json_number(summary.max),
                    "last_difference": difference,
                }
            )
        rows.append({"metric": json_value(name), "values": values})
    return rows


ROUTES = (
    Route(
        path="/compare",
        name="compare_runs",
        summary="Config, environment, packages and metrics of some runs beside each other, measured from a baseline",
        handler=compare_runs,
        answer=object_schema(
            runs=list_schema(object_schema(id=ID, name=TEXT, project=TEXT, status=TEXT)),
            missing={"type": "integer", "minimum": 0},
            baseline=either_null(ID),
            config=list_schema(_ROW),
            environment=list_schema(_ROW),
            packages=list_schema(_ROW),
            metrics=list_schema(_METRIC),
        ),
        parameters=(
            text(
                "runs",
                f"Run ids, as other answers have them, with commas between; up to {MOST_COMPARED}.",
                limit=RUNS_LIMIT_CHARS,
                default=REQUIRED,
            ),
            run("baseline", "The run that the others are compared with; the first one where it is left out."),
        ),
    ),
)
