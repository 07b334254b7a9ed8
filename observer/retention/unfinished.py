"""What was killed in the middle of a delete, a restore or a purge, ended: by the next start of a viewer or command."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..mongo import stored_for_good
from .expiry import finish_expiring
from .file_claims import drop_stale_claims
from .purge import PURGES, finish_purging
from .run_data import delete, select_console, select_metrics, uid_of
from .tombstones import TOMBSTONES, UNFINISHED
from .trash import finish_moving, finish_restoring

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

RECENT_TOMBSTONES = 200


def is_anything_unfinished(database: Database[dict[str, Any]]) -> bool:
    """Whether there is anything to end, without writing anything."""
    if database[TOMBSTONES].find_one({"state": {"$in": list(UNFINISHED)}}, {"_id": 1}) is not None:
        return True
    return database[PURGES].find_one({"state": "open"}, {"_id": 1}) is not None


def finish_all(database: Database[dict[str, Any]]) -> int:
    """End what was begun and not ended; returns how many deletes, restores and purges that were.

    Several may do this at once: each step can be repeated, and the last one succeeds once.
    """
    drop_stale_claims(database)
    ended = 0
    for tombstone in list(database[TOMBSTONES].find({"state": {"$in": list(UNFINISHED)}})):
        try:
            _finish(database, tombstone)
            ended += 1
        except CloisterError as error:  # held meanwhile, or somebody else was faster
            logger.warning("What was begun with run %s is left: %s", tombstone.get("run_id"), error)
    expiring = list(database[PURGES].find({"state": "open", "kind": {"$ne": "runs"}}))
    finish_expiring(database, expiring)
    ended += len(expiring)
    _sweep_strays(database)
    return ended


def _finish(database: Database[dict[str, Any]], tombstone: dict[str, Any]) -> None:
    key, run_id = tombstone["_id"], tombstone["run_id"]
    if tombstone["state"] == "moving":
        finish_moving(database, key, run_id)
    elif tombstone["state"] == "restoring":
        finish_restoring(database, key, run_id)
    else:
        finish_purging(database, tombstone)


def _sweep_strays(database: Database[dict[str, Any]]) -> None:
    """What couriers have stored of purged runs while these were purged, and might not delete themselves."""
    for tombstone in database[TOMBSTONES].find({"state": "purged"}).sort("at", -1).limit(RECENT_TOMBSTONES):
        document = {"_id": tombstone["run_id"], "cloister": {"uid": tombstone["_id"]}}
        if uid_of(document) is not None:
            selections = [*select_console(document), *select_metrics(database, document, is_deleted=True)]
            delete(stored_for_good(database), selections)
