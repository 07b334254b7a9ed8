"""Documents that only ever grow: each is replaced by one of as many points or more, whoever writes last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.collection import Collection

_DUPLICATE_KEY = 11000


def replace_unless_fuller(collection: Collection[dict[str, Any]], documents: Iterable[dict[str, Any]]) -> None:
    """Store `documents`, whose `n` is how many points they hold, except over one that holds more.

    Another shipper of the same run may have written that one meanwhile.
    """
    from pymongo import ReplaceOne
    from pymongo.errors import BulkWriteError

    # Where no document matches, an upsert tries to insert: beside one that holds more, that is refused.
    writes = [
        ReplaceOne({"_id": document["_id"], "n": {"$not": {"$gt": document["n"]}}}, document, upsert=True)
        for document in documents
    ]
    if not writes:
        return
    try:
        collection.bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        refused = {found["code"] for found in error.details["writeErrors"]}
        if refused != {_DUPLICATE_KEY} or error.details.get("writeConcernErrors"):
            raise
