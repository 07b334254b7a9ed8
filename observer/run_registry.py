"""Giving a run its number and its document, once however often it is asked for."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .project_aliases import follow_alias
from .retention.tombstones import refuse_deleted
from .run_overwriting import overwrite_run
from .run_record import (
    CONSOLE_COUNTS,
    EDITED,
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
from .sacred_documents import is_from_sacred, new_sacred_document
from .stop_state import STOP

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

LARGEST_NUMBER = 2**53  # Omniboard's numbers are floats
_KEPT = dict.fromkeys(
    (UID, VERSION, EDITED, STOP, JOURNAL, LOSSES, UPLOADS, SUMMARY, SYSTEM_SUMMARY, CONSOLE_COUNTS, *KEPT_FIELDS), 1
)


def register_run(database: Database[dict[str, Any]], header: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The run that `header` announces, made if it is not there yet.

    Returns:
        The parts of its document that shipping needs, and whether this call made it.

    Raises:
        RunDeleted: it was there, and somebody has deleted it.
    """
    from pymongo.errors import DuplicateKeyError

    given = header.get("id")  # by Sacred's user, or by another observer of the same experiment
    while True:
        known = database["runs"].find_one({UID: header["uid"]}, _KEPT)
        if known is not None:
            return known, False
        refuse_deleted(database, header["uid"])
        document = _new_document(database, header, given)
        try:
            if given is not None and header.get("overwrite") and overwrite_run(database, given, document):
                continue
            database["runs"].insert_one(document)
        except DuplicateKeyError:
            # Either somebody registered the run in this moment, or a Sacred observer, which takes the highest number
            # plus one and knows no counter, took this number. Or an id that was asked for is another run's.
            given = None
            skip_taken_numbers(database)
            continue
        _add_project(database, header["project"])
        follow_alias(database, document)
        return document, True


def _add_project(database: Database[dict[str, Any]], name: str) -> None:
    """By inserting alone: a database user who may update projects may say who sees them, and recorders may not."""
    from pymongo.errors import DuplicateKeyError

    with contextlib.suppress(DuplicateKeyError):
        database["projects"].insert_one({"_id": name, "created_at": datetime.now(timezone.utc)})


def _new_document(database: Database[dict[str, Any]], header: Mapping[str, Any], given: Any) -> dict[str, Any]:
    number = next_number(database) if given is None else given
    if not is_from_sacred(header):
        return new_run_document(header, number)
    document = new_sacred_document(header, number)
    wanted = header.get("id")
    if wanted is not None and given is None:
        logger.warning("The id %r is another run's already; this one is run %r.", wanted, number)
        text = f"The id {wanted!r} that was asked for was another run's already."
        notes = [{"time": datetime.now(timezone.utc), "text": text}]
        document["cloister"]["observer"] = {"notes": notes, "wanted_id": wanted}
    return document


def next_number(database: Database[dict[str, Any]]) -> int:
    """A number that nobody else is given."""
    from pymongo import ReturnDocument

    counter = database["counters"].find_one_and_update(
        {"_id": "runs"}, {"$inc": {"last": 1}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    number = int(counter["last"]) if counter else 1
    # The first number that we give here: runs of Sacred's may have any, and those that were deleted are not used again.
    return next_number(database) if number == 1 and skip_taken_numbers(database) else number


def skip_taken_numbers(database: Database[dict[str, Any]]) -> bool:
    """Count on from the highest number that a run has; returns whether there is one."""
    # Any other id may be there too: text, ObjectId, dates, floats and decimals that are none to count on from.
    numbers = {"$type": ["int", "long", "double"], "$lt": LARGEST_NUMBER}
    highest = database["runs"].find_one({"_id": numbers}, {"_id": 1}, sort=[("_id", -1)])
    if highest is None or highest["_id"] < 1:
        return False
    database["counters"].update_one({"_id": "runs"}, {"$max": {"last": int(highest["_id"])}}, upsert=True)
    return True
