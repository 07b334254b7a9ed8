"""Finished runs for pages to show, and pages as a person reads them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from html import unescape
from typing import Any

from cloister.observer.field_names import encode_field_name
from pymongo.database import Database
from running_viewer import insert_run

HTMX = {"HX-Request": "true"}


def add_run(
    database: Database[dict[str, Any]],
    run_id: int,
    *,
    name: str | None = None,
    metrics: dict[str, float] | None = None,
    tags: list[str] | None = None,
    minutes_ago: int | None = None,
    **fields: Any,
) -> None:
    """A completed run; the higher its id, the newer it is."""
    started = datetime.now(timezone.utc) - timedelta(minutes=1000 - run_id if minutes_ago is None else minutes_ago)
    done = {"status": "COMPLETED", "start_time": started, "stop_time": started + timedelta(seconds=41)}
    insert_run(database, run_id, **{**done, **fields})
    ours: dict[str, Any] = {"tags": tags or []}
    if name is not None:
        ours["name"] = name
    ours["summary"] = {
        encode_field_name(metric): {"last": value, "min": value, "max": value, "last_step": 9, "count": 10}
        for metric, value in (metrics or {}).items()
    }
    database["runs"].update_one({"_id": run_id}, {"$set": {f"cloister.{key}": value for key, value in ours.items()}})


def text_of(page: str) -> str:
    """What a person reads, tags as single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())
