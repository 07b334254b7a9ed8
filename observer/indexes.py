"""The collections and indexes that we need, made once for each database and process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .run_queue import QUEUE_ORDER
from .run_record import (
    ARCHIVED_AT,
    EXPERIMENT_NAME,
    OWNER,
    PROJECT,
    SHARED_GROUPS,
    SHARED_PEOPLE,
    UID,
    UPDATED_AT,
    VISIBILITY,
)

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")
# zstd finds what byte planes and Sacred's arrays repeat, at half of what snappy, the default, leaves of the latter.
DENSE_COLLECTIONS = ("metric_chunks", "metric_pyramid", "metrics")
_DENSE = {"wiredTiger": {"configString": "block_compressor=zstd"}}


def ensure_indexes(database: Database[dict[str, Any]]) -> None:
    """Make what is missing; a database that has all answers in a millisecond."""
    _ensure_collections(database)
    runs = database["runs"]
    # Partial: runs that Sacred wrote into the same collection have no uid.
    runs.create_index(UID, unique=True, partialFilterExpression={UID: {"$exists": True}})
    runs.create_index([(PROJECT, 1), ("start_time", -1)])
    runs.create_index([(EXPERIMENT_NAME, 1), ("start_time", -1)])
    runs.create_index([("start_time", -1), ("_id", -1)])
    runs.create_index(UPDATED_AT)
    # What somebody may see is counted from its entries; the others find what is shared by name, which is little.
    # The visibility comes first: else lists of a project would take this index and read its runs in no order.
    runs.create_index([(VISIBILITY, 1), (PROJECT, 1), (OWNER, 1)])
    for field in (SHARED_PEOPLE, SHARED_GROUPS, ARCHIVED_AT):  # the few that are archived are counted by it
        runs.create_index(field, sparse=True)
    # Workers look every second; of all runs only the few that wait are in it.
    runs.create_index(QUEUE_ORDER, name="queue", partialFilterExpression={"status": "QUEUED"})
    database["metrics"].create_index([("run_id", 1), ("name", 1)])
    database["console"].create_index([("run_id", 1), ("n", 1)])
    database["fs.files"].create_index(
        "cloister.sha256", unique=True, partialFilterExpression={"cloister.sha256": {"$exists": True}}
    )
    database["fs.files"].create_index([("filename", 1), ("uploadDate", 1)])
    database["fs.chunks"].create_index([("files_id", 1), ("n", 1)], unique=True)


def _ensure_collections(database: Database[dict[str, Any]]) -> None:
    """Make the collections that compress well. A server that refuses to (another engine) makes them its own way."""
    from pymongo.errors import CollectionInvalid, OperationFailure

    known = set(database.list_collection_names(filter={"name": {"$in": list(DENSE_COLLECTIONS)}}))
    for name in DENSE_COLLECTIONS:
        if name not in known:
            try:
                database.create_collection(name, storageEngine=_DENSE, check_exists=False)
            except (CollectionInvalid, OperationFailure) as error:  # another courier was first, or it is refused
                logger.debug("Collection %s is not made for zstd: %s", name, error)
