"""The queue as people see it: what waits, in which order, and changing that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .foreign_runs import mapping, sequence, text
from .mongo import stored_for_good
from .run_queue import LEFT_OUT, PRIORITY, QUEUED_AT, STATE, ended_fields
from .run_record import PROJECT, UPDATED_AT, VERSION

if TYPE_CHECKING:
    from pymongo.database import Database

LISTED_RUNS = 1_000


class NotQueued(CloisterError, LookupError):
    """A run is to be changed in the queue and does not wait there."""

    def __init__(self, run: object, status: str | None) -> None:
        state = f"is {status.lower()}" if status else "does not exist"
        super().__init__(f"Run {run} {state}, so it is not in the queue. 'cloister queue ls' shows what is.")


@dataclass(frozen=True)
class ListedRun:
    """A run of the queue, for lists.

    Attributes:
        state: "recording", "waiting", or "taken".
        taken_by: host and process of the worker that prepares it, empty while nobody does.
        python: the version that it was queued under; empty where that is not known.
        missing: what of its code could not be stored, in words.
    """

    id: Any
    name: str
    project: str
    owner: str
    host: str
    priority: float
    queued_at: datetime | None
    state: str
    taken_by: str
    python: str
    missing: tuple[str, ...]
    is_ours: bool


def list_queue(database: Database[dict[str, Any]], project: str | None = None) -> list[ListedRun]:
    """What waits, in the order in which it is taken; Sacred's queued runs too, which have no priority of ours."""
    query = {"status": "QUEUED", **({PROJECT: project} if project else {})}
    order = [(PRIORITY, -1), (QUEUED_AT, 1), ("_id", 1)]
    found = list(database["runs"].find(query, LEFT_OUT).sort(order).limit(LISTED_RUNS))
    now = datetime.now(timezone.utc)
    return [read_listed(document, now) for document in found]


def count_sacreds(database: Database[dict[str, Any]]) -> int:
    """How many wait that Sacred has queued, and no worker takes that is not asked to."""
    return database["runs"].count_documents({"status": "QUEUED", STATE: None}, limit=LISTED_RUNS)


def cancel(database: Database[dict[str, Any]], run_id: Any) -> None:
    """Take a run out of the queue: it stays as a run that was cancelled.

    Raises:
        NotQueued: it does not wait there.
    """
    _change(database, run_id, ended_fields("CANCELLED", [], {}))


def set_priority(database: Database[dict[str, Any]], run_id: Any, priority: float) -> None:
    """Have a waiting run taken earlier or later.

    Raises:
        NotQueued: it does not wait there.
    """
    fields = {PRIORITY: float(priority), "meta.priority": float(priority)}
    _change(database, run_id, {"$set": fields, "$inc": {VERSION: 1}, "$currentDate": {UPDATED_AT: True}})


def _change(database: Database[dict[str, Any]], run_id: Any, changes: Mapping[str, Any]) -> None:
    runs = stored_for_good(database)["runs"]
    if not runs.update_one({"_id": run_id, "status": "QUEUED"}, changes).matched_count:
        found = runs.find_one({"_id": run_id}, {"status": 1})
        raise NotQueued(run_id, None if found is None else str(found.get("status")))


def read_listed(document: Mapping[str, Any], now: datetime | None = None) -> ListedRun:
    """What lists say of a queued run's document. Fields of any shape are read as far as they make sense."""
    ours, meta = mapping(document.get("cloister")), mapping(document.get("meta"))
    queue = mapping(ours.get("queue"))
    lease = mapping(queue.get("lease"))
    until = _aware(lease.get("until"))
    is_taken = until is not None and until > (now or datetime.now(timezone.utc))
    experiment = text(mapping(document.get("experiment")).get("name")) or "unnamed"
    priority = queue.get("priority", meta.get("priority"))
    return ListedRun(
        id=document["_id"],
        name=text(ours.get("name")) or f"{experiment}-{document['_id']}",
        project=text(ours.get("project")) or experiment,
        owner=text(ours.get("owner")),
        host=text(mapping(document.get("host")).get("hostname")),
        priority=float(priority) if isinstance(priority, (int, float)) else 0.0,
        queued_at=_aware(queue.get("queued_at") or meta.get("queue_time")),
        state="taken" if is_taken else text(queue.get("state")) or "waiting",
        taken_by=f"{lease.get('host')} process {lease.get('pid')}" if is_taken else "",
        python=text(queue.get("python")),
        missing=tuple(map(str, sequence(queue.get("missing")))),
        is_ours="state" in queue,  # adopted runs have a uid, and are Sacred's to make all the same
    )


def _aware(moment: Any) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
