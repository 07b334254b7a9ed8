"""Tombstones: which runs were deleted, so that nothing of them comes back, from whatever journal.

`tombstones`: `_id` the run's uid, or "run <id>" where it has none; `run_id`, `state`, `at`, `by`; while the run can be
brought back also `project`, `purge_after` and `reason`; `purge` once it is gone: which report tells of it.

A tombstone is written before the run's document leaves `runs`, and is taken back after it has returned. So who finds a
run neither there nor here knows that there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from ..run_ids import format_run_id
from .errors import RunDeleted

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..run_record import RunId

TOMBSTONES = "tombstones"
TRASH = "trash"  # the documents of runs that can be brought back, as they were in `runs`

# "moving": on its way into the trash; "trash"; "restoring": on its way back; "purging": its records are being deleted;
# "purged". Whoever finds one of the three with -ing abandoned finishes it.
State = Literal["moving", "trash", "restoring", "purging", "purged"]
UNFINISHED: tuple[State, ...] = ("moving", "restoring", "purging")
DELETED: tuple[State, ...] = ("trash", "purging", "purged")


def tombstone_key(document: Mapping[str, Any]) -> str:
    """The `_id` of a run's tombstone, from its document."""
    ours = document.get("cloister")
    uid = ours.get("uid") if isinstance(ours, Mapping) else None
    return uid if isinstance(uid, str) and uid else f"run {format_run_id(document['_id'])}"


def refuse_deleted(database: Database[dict[str, Any]], uid: str) -> None:
    """Return if the run with this uid, which is not in `runs`, was not deleted.

    Raises:
        RunDeleted: it was.
    """
    found = database[TOMBSTONES].find_one({"_id": uid})
    if found is None:
        return
    by = found.get("by")
    raise RunDeleted(found.get("run_id"), by if isinstance(by, str) else "", aware(found.get("at")), found["state"])


def find_tombstone(database: Database[dict[str, Any]], run_id: RunId) -> dict[str, Any] | None:
    """The newest tombstone of a run with this id, None if none was deleted."""
    found = database[TOMBSTONES].find({"run_id": {"$eq": run_id}}).sort("at", -1).limit(1)
    return next(iter(found), None)


def now() -> datetime:
    """As exact as MongoDB keeps it."""
    moment = datetime.now(timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def aware(value: Any) -> datetime | None:
    """A stored time in UTC; None where there is none."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
