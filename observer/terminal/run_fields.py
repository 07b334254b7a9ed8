"""What a run has under a column key, as the table on pages and the query language name it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..field_names import decode_field_name, encode_field_name
from ..query.fields import find_field
from ..run_comparison import compare_configs
from ..run_ids import format_run_id
from ..run_record import RunRecord
from ..wording import MISSING, format_ago, format_column, format_config_value, format_duration, format_iso
from .safe_text import CELL_LIMIT, words

# Column key -> attribute of the record, where that is called otherwise too.
PLAIN = {
    "id": "id",
    "name": "name",
    "project": "project",
    "experiment": "experiment",
    "status": "status",
    "started": "start_time",
    "ended": "stop_time",
    "duration": "duration",
    "tags": "tags",
    "notes": "notes",
    "owner": "owner",
    "host": "host",
}


@dataclass(frozen=True)
class FieldColumn:
    """One column of several runs: a title, and each run's value as it is written."""

    key: str
    title: str
    cells: tuple[str, ...]
    numeric: bool


def read_field(run: RunRecord, key: str) -> Any:
    """The value under a column key, None where the run has none.

    Raises:
        UnknownField: no run can have such a key.
    """
    field = find_field(key)
    if field.family == "run":
        return getattr(run, PLAIN.get(field.key, field.key), None)
    names = [decode_field_name(part) for part in field.paths[0].split(".")]
    if field.family == "metrics":
        summary = run.summary.get(names[-2])
        return None if summary is None else getattr(summary, names[-1])
    if field.family == "config":
        return _inside(run.config, names[1:])
    return _inside(run.git if field.family == "git" else run.environment, names[2:])


def field_column(runs: Sequence[RunRecord], key: str) -> FieldColumn:
    values = [read_field(run, key) for run in runs]
    present = [value for value in values if value is not None]
    numeric = bool(present) and all(type(value) in (int, float) for value in present)
    if key == "id":
        cells = [words(format_run_id(value), CELL_LIMIT) for value in values]
    elif numeric and not key.startswith("config."):
        cells = format_column(values)
    else:
        cells = [words(_written(value, key), CELL_LIMIT) for value in values]
    return FieldColumn(key, _title(key), tuple(cells), numeric)


def differing_config(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """Keys of the config entries whose values are not the same in all of `runs`, as the first run has them in order."""
    rows = (row for row in compare_configs(runs) if row.differs)
    return tuple(f"config.{'.'.join(map(encode_field_name, row.path))}" for row in rows)


def as_json(value: Any) -> str:
    """A value as JSON on one line: times in ISO 8601, durations in seconds, null for what is no number."""
    return json.dumps(_as_plain(value)).replace("\x7f", "\\u007f")  # ASCII alone: it may be shown by a terminal


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_plain(child) for child in value]
    if isinstance(value, datetime):
        return format_iso(value).replace(" ", "T")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _inside(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    found: Any = values
    for name in names:
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _written(value: Any, key: str) -> str:
    if value is None or value == () or value == "":
        return MISSING
    if isinstance(value, datetime):
        return format_ago(value)
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else format_config_value(value)


def _title(key: str) -> str:
    field = find_field(key)
    return words(field.title.capitalize() if field.family == "run" else field.title, CELL_LIMIT)
