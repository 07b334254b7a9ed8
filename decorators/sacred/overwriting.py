"""The run that another one is to take the place of, as Sacred's `overwrite=` names it."""

from __future__ import annotations

import logging
from typing import Any

from ...observer.database_faults import in_words
from ...observer.errors import CloisterError
from .target import Target

logger = logging.getLogger("cloister")


class NoRunToOverwrite(CloisterError, RuntimeError):
    """`overwrite=` names a run that is not there."""

    def __init__(self, run_id: object, target: Target) -> None:
        super().__init__(
            f"Couldn't find run to overwrite with _id='{run_id}' in {target}. Pass the id of a run that is there, or "
            "leave overwrite= out for a new one."
        )


def find_overwritten(target: Target, overwrite: Any) -> dict[str, Any]:
    """The document of that run; only its id where the database is out of reach, which is not held against it.

    Raises:
        NoRunToOverwrite: there is none.
    """
    from bson.errors import BSONError
    from pymongo.errors import PyMongoError

    run_id = _as_id(overwrite)
    try:
        document = target.runs.find_one({"_id": {"$eq": run_id}})  # never an operator, whatever it is
    except (BSONError, OverflowError):  # no id of MongoDB's, so of no run
        raise NoRunToOverwrite(overwrite, target) from None
    except PyMongoError as error:
        logger.warning(
            "Run %r will be overwritten once the database answers: %s", run_id, in_words(error, target.settings.uri)
        )
        return {"_id": run_id}
    if document is None:
        raise NoRunToOverwrite(overwrite, target)
    return document


def _as_id(overwrite: Any) -> Any:
    """Sacred takes numbers only, from its command line as text; any other id is taken as it is."""
    if isinstance(overwrite, str):
        digits = overwrite.strip()
        return int(digits) if digits.isascii() and digits.isdecimal() else overwrite
    return overwrite
