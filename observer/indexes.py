"""The indexes that our collections need, made once for each database and process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .run_record import EXPERIMENT_NAME, PROJECT, UID, UPDATED_AT

if TYPE_CHECKING:
    from pymongo.database import Database


def ensure_indexes(database: Database[dict[str, Any]]) -> None:
    """Make what is missing; a database that has all answers in a millisecond."""
    runs = database["runs"]
    # Partial: runs that Sacred wrote into the same collection have no uid.
    runs.create_index(UID, unique=True, partialFilterExpression={UID: {"$exists": True}})
    runs.create_index([(PROJECT, 1), ("start_time", -1)])
    runs.create_index([(EXPERIMENT_NAME, 1), ("start_time", -1)])
    runs.create_index([("start_time", -1), ("_id", -1)])
    runs.create_index(UPDATED_AT)
    database["metrics"].create_index([("run_id", 1), ("name", 1)])
    database["console"].create_index([("run_id", 1), ("n", 1)])
    database["fs.files"].create_index(
        "cloister.sha256", unique=True, partialFilterExpression={"cloister.sha256": {"$exists": True}}
    )
    database["fs.files"].create_index([("filename", 1), ("uploadDate", 1)])
    database["fs.chunks"].create_index([("files_id", 1), ("n", 1)], unique=True)
