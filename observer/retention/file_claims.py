"""Claims: which stored files somebody is about to name in a run, so that no purge deletes them in that moment.

`file_claims`: `_id` "<run uid>:<a word for whoever ships it>", `at`, `digests` [SHA-256]. A claim is written before its
files are looked for and deleted once the run's document names them. One with `everything` claims all files: an import,
which learns what it wants file by file.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from .tombstones import now

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

CLAIMS = "file_claims"
PURGE_MARK = "cloister.purge"  # of a document in fs.files: {token, at}
STALE_AFTER = timedelta(days=1)  # whoever has not come back by then was killed, and will claim anew
_UNAUTHORISED = 13


class PurgeUnderWay(CloisterError, RuntimeError):
    """A file that a run wants to name is being deleted, and this account may not call that off."""

    def __init__(self, file_ids: Sequence[Any]) -> None:
        shown = ", ".join(str(each) for each in file_ids[:3])
        super().__init__(
            f"A purge is deciding over files that this run has too ({shown}); the run is tried again in a moment. "
            "If this goes on, 'cloister trash purge --unfinished' ends a purge that was cut off."
        )


def claim(database: Database[dict[str, Any]], key: str, digests: Iterable[str]) -> None:
    """Have no purge delete these files until `release`. What the key has claimed already stays claimed."""
    change = {"$addToSet": {"digests": {"$each": list(digests)}}, "$set": {"at": now()}}
    database[CLAIMS].update_one({"_id": key}, change, upsert=True)


def release(database: Database[dict[str, Any]], key: str) -> None:
    """Take a claim back: its files are named by a run's document now, or are not wanted any more."""
    database[CLAIMS].delete_one({"_id": key})


def new_key(uid: str) -> str:
    """A key for whoever ships this run now; of two that ship it at once, each has its own."""
    return f"{uid}:{uuid.uuid4().hex[:16]}"


@contextlib.contextmanager
def claimed_everything(database: Database[dict[str, Any]]) -> Iterator[None]:
    """Have no purge delete any file until the block ends, a day at most."""
    key = f"import {uuid.uuid4()}"
    database[CLAIMS].insert_one({"_id": key, "at": now(), "everything": True})
    try:
        yield
    finally:
        database[CLAIMS].delete_one({"_id": key})


def call_purge_off(database: Database[dict[str, Any]], file_ids: Sequence[Any]) -> None:
    """Take a purge's marks back from files that are claimed and were found marked.

    Raises:
        PurgeUnderWay: this account may not.
    """
    from pymongo.errors import OperationFailure

    try:
        database["fs.files"].update_many({"_id": {"$in": list(file_ids)}}, {"$unset": {PURGE_MARK: ""}})
    except OperationFailure as error:
        if error.code != _UNAUTHORISED:
            raise
        raise PurgeUnderWay(file_ids) from error


def claimed_digests(database: Database[dict[str, Any]], ignored: Sequence[str] = ()) -> set[str] | None:
    """The SHA-256 of all files that are claimed; None where an import claims everything.

    Args:
        ignored: uids of runs whose claims do not count.
    """
    found: set[str] = set()
    moment = now()
    for document in database[CLAIMS].find():
        at = document.get("at")
        if not isinstance(at, datetime) or str(document["_id"]).partition(":")[0] in ignored:
            continue
        age = moment.replace(tzinfo=None) - at.replace(tzinfo=None)
        if age >= STALE_AFTER:
            continue
        if document.get("everything"):
            return None
        found.update(document.get("digests") or ())
    return found


def drop_stale_claims(database: Database[dict[str, Any]]) -> int:
    """Delete claims that nobody has gone on with for a day."""
    return database[CLAIMS].delete_many({"at": {"$lt": now() - STALE_AFTER}}).deleted_count
