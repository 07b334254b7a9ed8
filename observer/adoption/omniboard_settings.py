"""What people have set in Omniboard for a whole database: columns of its table, and settings.

Tags and notes are in the runs, and are adopted with them. The rest is kept in `viewer_settings`, document "omniboard":
`columns`, in Omniboard's order, {kind "metric", title, metric, value "min" | "max" | "avg" | "last" | "last_avg", last}
or {kind "field", title, path}; `settings` {timezone, auto_refresh_interval, ...}; `taken_at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..field_names import encode_field_name
from ..foreign_runs import text

if TYPE_CHECKING:
    from pymongo.database import Database

VIEWER_SETTINGS = "viewer_settings"
OMNIBOARD = "omniboard"
METRIC_COLUMNS, CUSTOM_COLUMNS, SETTINGS = "omniboard.metric.columns", "omniboard.custom.columns", "omniboard.settings"
ENTRIES_LIMIT = 1_000


def take_over_omniboard(source: Database[dict[str, Any]], database: Database[dict[str, Any]]) -> bool:
    """Keep Omniboard's columns and settings of `source` where our viewer looks for them; whether there was news."""
    found = read_omniboard(source)
    if not found["columns"] and not found["settings"]:
        return False
    known = database[VIEWER_SETTINGS].find_one({"_id": OMNIBOARD}) or {}
    if all(known.get(name) == value for name, value in found.items()):
        return False
    taken = {**found, "taken_at": datetime.now(timezone.utc)}
    database[VIEWER_SETTINGS].update_one({"_id": OMNIBOARD}, {"$set": taken}, upsert=True)
    return True


def read_omniboard(source: Database[dict[str, Any]]) -> dict[str, Any]:
    """Columns and settings that people made in Omniboard; entries of a foreign shape are left out."""
    columns = [_metric_column(entry) for entry in _entries(source, METRIC_COLUMNS)]
    columns += [_custom_column(entry) for entry in _entries(source, CUSTOM_COLUMNS)]
    settings = {
        encode_field_name(text(entry.get("name"))): entry.get("value")
        for entry in _entries(source, SETTINGS)
        if entry.get("name") and isinstance(entry.get("value"), (str, int, float, bool, type(None)))
    }
    return {"columns": [column for column in columns if column is not None], "settings": settings}


def _entries(source: Database[dict[str, Any]], collection: str) -> list[dict[str, Any]]:
    return list(source[collection].find({}).sort("_id", 1).limit(ENTRIES_LIMIT))


def _metric_column(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    metric = entry.get("metric_name")
    if not isinstance(metric, str) or not metric:
        return None
    column = {"kind": "metric", "title": text(entry.get("name")) or metric, "metric": metric}
    last = entry.get("lastn")
    return {
        **column,
        "value": text(entry.get("extrema")) or "last",
        **({"last": last} if isinstance(last, int) else {}),
    }


def _custom_column(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    path = entry.get("config_path")
    if not isinstance(path, str) or not path:
        return None
    return {"kind": "field", "title": text(entry.get("name")) or path, "path": path}
