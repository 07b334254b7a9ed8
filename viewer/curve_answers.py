"""What the charts' endpoint answers: curves of runs, or bands of groups of them, as JSON, most of it remembered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..observer.curve_bands import RunRows, band_of, rows_of
from ..observer.metric_reader import Curve
from ..observer.series_views import Series, TooLongToReckon, load_series, load_views
from .column_keys import find_value
from .curve_cache import current_cache
from .curve_columns import band_json, columns_json, head_json, refusal_json
from .run_keys import RunKey, run_key
from .store_access import current_database
from .wording import MISSING, format_config_value

if TYPE_CHECKING:
    from ..observer.run_heads import RunHead
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore
    from .chart_requests import CurveRequest


@dataclass(frozen=True)
class RunGroup:
    """Runs with the same values of what is grouped by."""

    words: tuple[str, ...]
    heads: tuple[RunHead, ...]


def answer_curves(store: RunStore, wanted: CurveRequest) -> str:
    """The whole answer as JSON text."""
    heads = store.load_heads(wanted.runs, wanted.stored_metrics)
    there = [head for head in heads if head is not None]
    missing = [run_key(run_id) for run_id, head in zip(wanted.runs, heads, strict=True) if head is None]
    rest: dict[str, Any] = {
        "runs": [{"run_id": run_key(head.run.id), "name": head.run.name, "status": head.run.status} for head in there],
        "missing": missing,
    }
    refused: list[dict[str, Any]] = []
    if wanted.groups:
        groups = tuple(group_heads(store, there, wanted.groups))
        curves = [text for series in wanted.series for text in _band_texts(store, groups, series, wanted, refused)]
    else:
        by_series = [list(_curve_texts(store, there, series, wanted, refused)) for series in wanted.series]
        curves = [text for of_run in zip(*by_series, strict=True) for text in of_run if text]
    rest["refused"] = refused
    axis = json.dumps(wanted.axis_word)
    return f'{{"axis":{axis},"curves":[{",".join(curves)}],{json.dumps(rest)[1:]}'


# ---- curves


def _curve_texts(
    store: RunStore, heads: Sequence[RunHead], series: Series, wanted: CurveRequest, refused: list[dict[str, Any]]
) -> Iterator[str]:
    """JSON of each run's curve, "" where there is none."""
    cache, place = current_cache(), current_database().path
    keys = [(place, run_key(head.run.id), _name_of(series), *wanted.view_key) for head in heads]
    known = [None if head.state is None else cache.get(key, head.state) for head, key in zip(heads, keys, strict=True)]
    unknown = [head for head, text in zip(heads, known, strict=True) if text is None]
    drawn = iter(load_series(store.database, unknown, series, wanted.shown))
    for head, key, text in zip(heads, keys, known, strict=True):
        if text is None:
            curve = next(drawn)
            if isinstance(curve, TooLongToReckon):
                refused.append(refusal_json(head.run, _name_of(series), curve))
                curve = None
            text = _columns_text(curve, series, wanted)
            if head.state is not None:
                cache.put(key, head.state, text)
        yield f"{_head_text(head, series)[:-1]},{text[1:]}" if text else ""


def _columns_text(curve: Curve | None, series: Series, wanted: CurveRequest) -> str:
    return "" if curve is None else json.dumps(columns_json(curve, wanted.encoding, has_steps=wanted.sends_steps))


def _head_text(head: RunHead, series: Series) -> str:
    summary = head.summary(series.of) if isinstance(series.of, str) else None
    return json.dumps(head_json(head.run, _name_of(series), summary))


def _name_of(series: Series) -> str:
    return series.of if isinstance(series.of, str) else series.of.text


# ---- groups


def group_heads(store: RunStore, heads: Sequence[RunHead], by: Sequence[str]) -> Iterator[RunGroup]:
    """The runs by what they have there, in the order of each group's first run."""
    values = run_values(store, [head.run.id for head in heads], by)
    groups: dict[tuple[str, ...], list[RunHead]] = {}
    for head in heads:
        words = tuple(shown_value(value) for value in values.get(run_key(head.run.id), (None,) * len(by)))
        groups.setdefault(words, []).append(head)
    for words, members in groups.items():
        yield RunGroup(words, tuple(members))


def run_values(store: RunStore, run_ids: Sequence[Any], keys: Sequence[str]) -> dict[RunKey, tuple[Any, ...]]:
    """What each run has in columns of the table."""
    return {run_key(run.id): tuple(find_value(run, key) for key in keys) for run in store.load_listed(run_ids)}


def shown_value(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or MISSING
    return format_config_value(value)


def _band_texts(
    store: RunStore, groups: Iterable[RunGroup], series: Series, wanted: CurveRequest, refused: list[dict[str, Any]]
) -> Iterator[str]:
    cache, place = current_cache(), current_database().path
    for group in groups:
        members = tuple(run_key(head.run.id) for head in group.heads)
        states = tuple(head.state for head in group.heads)
        key = (place, members, _name_of(series), *wanted.view_key)
        text = None if None in states else cache.get(key, states)
        if text is None:
            text = _band_text(store, group, series, wanted, refused)
            if None not in states:
                cache.put(key, states, text)
        if text:
            head = {"group": list(group.words), "metric": _name_of(series), "runs": members}
            yield f"{json.dumps(head)[:-1]},{text[1:]}"


def _band_text(
    store: RunStore, group: RunGroup, series: Series, wanted: CurveRequest, refused: list[dict[str, Any]]
) -> str:
    rows: list[RunRows] = []
    for head, view in zip(group.heads, load_views(store.database, group.heads, series, wanted.shown), strict=True):
        if isinstance(view, TooLongToReckon):
            refused.append(refusal_json(head.run, _name_of(series), view))
        elif view is not None:
            rows.append(rows_of(view))
    band = band_of(rows, wanted.shown.pixels)
    return json.dumps(band_json(band, wanted.encoding)) if len(band.x) else ""


def listed_words(runs: Iterable[RunRecord], keys: Sequence[str]) -> list[dict[str, Any]]:
    """What runs have in columns of the table, as values and as words: what charts colour by."""
    return [
        {"run_id": run_key(run.id), "name": run.name, "values": [shown_value(find_value(run, key)) for key in keys]}
        for run in runs
    ]
