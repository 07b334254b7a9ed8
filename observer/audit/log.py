"""Appending to the audit log: one chain, however many processes write it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.write_concern import WriteConcern

from ..errors import CloisterError
from . import sightings
from .actions import find_action
from .entry import GENESIS, AuditEntry, Details, new_entry, to_document

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

logger = logging.getLogger("cloister")

COLLECTION = "audit"
_ATTEMPTS = 1_000  # each failed one means that another process has appended, so somebody always gets on
_CONFIRMED = WriteConcern(w="majority", j=True, wtimeout=5_000)
_INDEXES = ("actor", "action", "project", "at")  # what the audit page filters by

# Threads of one process take turns here rather than by refused inserts.
_turn = threading.Lock()


class AuditNotWritten(CloisterError, RuntimeError):
    """Other processes appended before us, again and again."""

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"The audit log could not be appended to in {attempts} attempts, because others always came first. "
            "Nothing was done. Try again."
        )


def record_entry(
    database: Database[dict[str, Any]],
    *,
    actor: str,
    action: str,
    target: str = "",
    project: str = "",
    details: Details | None = None,
    address: str = "",
) -> AuditEntry:
    """Append an entry; when this returns, a majority of the replica set has it on disk.

    Call it before what it tells of is answered. Whatever it raises means no: an act without its entry does not happen.
    The entry's number is its `_id`: of two processes that follow the same entry one is refused by the database, reads
    the new end and tries again, so that there is neither a gap nor a fork.

    Args:
        details: names and small values; text, numbers, lists, tables. Never a secret.

    Raises:
        UnknownAction: `action` is not in the table of actions.
        AuditNotWritten, PyMongoError: the entry is not in the log.
    """
    find_action(action)
    values = {"actor": actor, "action": action, "target": target, "project": project, "address": address}
    with _turn:
        watch = sightings.begin(database)
        entry = _append(_entries(database), details or {}, values)
        sightings.end(database, watch, entry)
    if entry.seq == 1:
        _make_indexes(database)
    return entry


def _append(entries: Collection[dict[str, Any]], details: Details, values: dict[str, str]) -> AuditEntry:
    for _ in range(_ATTEMPTS):
        last = entries.find_one({}, {"hash": 1}, sort=[("_id", -1)])
        seq, previous = (last["_id"] + 1, last["hash"]) if last else (1, GENESIS)
        entry = new_entry(seq=seq, previous=previous, details=details, **values)
        try:
            entries.insert_one(to_document(entry))
        except DuplicateKeyError:
            continue
        return entry
    raise AuditNotWritten(_ATTEMPTS)


def _entries(database: Database[dict[str, Any]]) -> Collection[dict[str, Any]]:
    return database.get_collection(COLLECTION, write_concern=_CONFIRMED)


def _make_indexes(database: Database[dict[str, Any]]) -> None:
    try:
        for field in _INDEXES:
            database[COLLECTION].create_index([(field, 1), ("_id", -1)])
    except OperationFailure as error:  # an account that may only insert: the log is right without them, and slower
        logger.debug("The audit log has no indexes: %s", error)
