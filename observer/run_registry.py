"""Giving a run its number and its document, once however often it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .run_record import (
    CONSOLE_COUNTS,
    JOURNAL,
    LOSSES,
    SUMMARY,
    SYSTEM_SUMMARY,
    UID,
    UPLOADS,
    VERSION,
    new_run_document,
)
from .run_sessions import KEPT_FIELDS

if TYPE_CHECKING:
    from pymongo.database import Database

_KEPT = dict.fromkeys(
    (UID, VERSION, JOURNAL, LOSSES, UPLOADS, SUMMARY, SYSTEM_SUMMARY, CONSOLE_COUNTS, *KEPT_FIELDS), 1
)


def register_run(database: Database[dict[str, Any]], header: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The run that `header` announces, made if it is not there yet.

    Returns:
        The parts of its document that shipping needs, and whether this call made it.
    """
    from pymongo.errors import DuplicateKeyError

    while True:
        known = database["runs"].find_one({UID: header["uid"]}, _KEPT)
        if known is not None:
            return known, False
        document = new_run_document(header, _next_number(database))
        try:
            database["runs"].insert_one(document)
        except DuplicateKeyError:
            # Either somebody registered the run in this moment, or a Sacred observer, which takes the highest number
            # plus one and knows no counter, took this number.
            _skip_taken_numbers(database)
            continue
        database["projects"].update_one(
            {"_id": header["project"]}, {"$setOnInsert": {"created_at": datetime.now(timezone.utc)}}, upsert=True
        )
        return document, True


def _next_number(database: Database[dict[str, Any]]) -> int:
    from pymongo import ReturnDocument

    counter = database["counters"].find_one_and_update(
        {"_id": "runs"}, {"$inc": {"last": 1}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    return int(counter["last"]) if counter else 1


def _skip_taken_numbers(database: Database[dict[str, Any]]) -> None:
    highest = database["runs"].find_one({"_id": {"$type": "number"}}, {"_id": 1}, sort=[("_id", -1)])
    if highest is not None:
        database["counters"].update_one({"_id": "runs"}, {"$max": {"last": int(highest["_id"])}}, upsert=True)
