"""What a database needs once its runs are adopted: projects, the counter, and what people had set in Omniboard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..run_registry import skip_taken_numbers
from .omniboard_settings import take_over_omniboard

if TYPE_CHECKING:
    from pymongo.database import Database


def finish_database(
    database: Database[dict[str, Any]],
    projects: Mapping[str, datetime | None],
    omniboard: Database[dict[str, Any]] | None,
) -> None:
    """Make what is missing; doing it again changes nothing.

    Args:
        projects: those of the runs, and when the first of each started.
        omniboard: where Omniboard keeps its settings, if anywhere.
    """
    from pymongo import UpdateOne

    now = datetime.now(timezone.utc)
    writes = [
        UpdateOne({"_id": name}, {"$setOnInsert": {"created_at": started or now}}, upsert=True)
        for name, started in projects.items()
    ]
    if writes:
        database["projects"].bulk_write(writes, ordered=False)
        skip_taken_numbers(database)
    if omniboard is not None:
        take_over_omniboard(omniboard, database)
