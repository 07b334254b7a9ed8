"""The queue: runs that are stored and not begun, and who takes them, one worker each.

A worker takes a run under a lease, which it renews as long as it prepares the run; a lease that runs out gives the run
to the next. The process that then executes it begins the run by the lease's token, in one update: however late a worker
wakes up, a run is begun once. From there on it is a run like any other, whose signs of life are its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .mongo import stored_for_good
from .run_record import EXPERIMENT_NAME, PROJECT, UID, UPDATED_AT, VERSION
from .run_sessions import SESSION

if TYPE_CHECKING:
    from pymongo.database import Database

# Field paths in a run's document, beside those in run_record.py.
QUEUE = "cloister.queue"  # {state, queued_at, priority, entry, python, settings, missing, lease, attempts}
STATE = f"{QUEUE}.state"  # "recording" until all that the run needs is stored, then "waiting", "begun" or "ended"
PRIORITY = f"{QUEUE}.priority"
QUEUED_AT = f"{QUEUE}.queued_at"
MISSING = f"{QUEUE}.missing"
LEASE = f"{QUEUE}.lease"  # {token, host, pid, owner, taken_at, until}
ATTEMPTS = f"{QUEUE}.attempts"
OWNER = "cloister.owner"

LEASE_SECONDS = 60.0
MOST_ATTEMPTS = 5  # to begin it: a run that ends every worker that takes it must not end all of them
LISTED_RUNS = 1_000

# The order in which runs are taken, behind what all questions name.
QUEUE_ORDER = [("status", 1), (PRIORITY, -1), (QUEUED_AT, 1)]
_FREE = {"$or": [{LEASE: None}, {"$expr": {"$lt": [f"${LEASE}.until", "$$NOW"]}}]}
_LEFT_OUT = {"captured_out": 0, "info": 0, "cloister.environment": 0, "cloister.git": 0}


class NotYours(CloisterError, RuntimeError):
    """A run that was taken under a lease is not held by it any more."""

    def __init__(self, run: object) -> None:
        super().__init__(
            f"Run {run} is not this worker's any more: its lease ran out and another worker has it, or it was begun, "
            "cancelled or deleted meanwhile."
        )


class NotQueued(CloisterError, LookupError):
    """A run is to be changed in the queue and does not wait there."""

    def __init__(self, run: object, status: str | None) -> None:
        state = f"is {status.lower()}" if status else "does not exist"
        super().__init__(f"Run {run} {state}, so it is not in the queue. 'cloister queue ls' shows what is.")


@dataclass(frozen=True)
class QueuedRun:
    """A run that waits, for lists.

    Attributes:
        state: "recording", "waiting", or "taken".
        taken_by: host and process of the worker that prepares it, empty while nobody does.
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
    missing: tuple[str, ...]
    is_ours: bool


def queue_fields(*, entry: Mapping[str, Any], priority: float, python: str, settings: Mapping[str, Any]) -> Any:
    """What a queued run's document holds under `cloister.queue` while its sources are being stored.

    Args:
        entry: how it is begun: {kind "script" | "call" | "plain", file, folder, words, module, attribute}.
        python: the version that it was queued under.
        settings: settings that were asked for it: {capture, beat_interval}.
    """
    return {
        "state": "recording",
        "queued_at": datetime.now(timezone.utc),
        "priority": float(priority),
        "entry": dict(entry),
        "python": python,
        "settings": {name: value for name, value in settings.items() if value is not None},
        "missing": [],
        "lease": None,
        "attempts": 0,
    }


def ready_fields(missing: Sequence[str]) -> dict[str, Any]:
    """What is recorded last: from then on the run may be taken."""
    return {STATE: "waiting", MISSING: list(missing)}


# ---- for workers


def take_next(
    database: Database[dict[str, Any]],
    worker: Mapping[str, Any],
    *,
    owner: str | None = None,
    project: str | None = None,
    lease_seconds: float = LEASE_SECONDS,
    sacreds: bool = False,
) -> dict[str, Any] | None:
    """Take the run that is first in the queue: the highest priority, of these the oldest. One worker gets it.

    Args:
        worker: who takes it: `this_process()`.
        owner: only runs that this account has queued; None for all.
        sacreds: of the runs that Sacred has queued, which say of no owner, instead of ours.

    Returns:
        The run's document with its lease, None if there is nothing to do.
    """
    from pymongo import ReturnDocument

    _give_up_hopeless(database)
    wanted: dict[str, Any] = {"status": "QUEUED", ATTEMPTS: {"$not": {"$gte": MOST_ATTEMPTS}}, **_FREE}
    if sacreds:
        filters: dict[str, Any] = {STATE: None, EXPERIMENT_NAME: project}
        order = [("meta.priority", -1), ("meta.queue_time", 1), ("_id", 1)]
    else:
        filters = {STATE: "waiting", OWNER: owner, PROJECT: project}
        order = [(PRIORITY, -1), (QUEUED_AT, 1), ("_id", 1)]
    wanted |= {name: value for name, value in filters.items() if value is not None or name == STATE}
    return stored_for_good(database)["runs"].find_one_and_update(
        wanted,
        [_leased(worker, lease_seconds)],
        sort=order,
        projection=_LEFT_OUT,
        return_document=ReturnDocument.AFTER,
    )


def _leased(worker: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    # By the database's clock: the machines of several workers disagree.
    known = {"token": secrets.token_hex(16), **worker}
    lease: dict[str, Any] = {name: {"$literal": value} for name, value in known.items()}
    lease |= {"taken_at": "$$NOW", "until": {"$add": ["$$NOW", int(seconds * 1000)]}}
    attempts = {"$add": [{"$ifNull": [f"${ATTEMPTS}", 0]}, 1]}
    return {"$set": {LEASE: lease, ATTEMPTS: attempts, UPDATED_AT: "$$NOW"}}


def renew_lease(
    database: Database[dict[str, Any]], document: Mapping[str, Any], lease_seconds: float = LEASE_SECONDS
) -> bool:
    """Keep a taken run; whether it is still ours and not begun."""
    until = {"$set": {f"{LEASE}.until": {"$add": ["$$NOW", int(lease_seconds * 1000)]}}}
    return bool(database["runs"].update_one(_held(document), [until]).matched_count)


def give_back(database: Database[dict[str, Any]], document: Mapping[str, Any], *, was_tried: bool = False) -> bool:
    """Let the next worker have a taken run that was not begun; whether it was still ours.

    Args:
        was_tried: it could not be begun, and is given up after a few such attempts.
    """
    changes: dict[str, Any] = {"$set": {LEASE: None}, "$currentDate": {UPDATED_AT: True}}
    if not was_tried:
        changes["$inc"] = {ATTEMPTS: -1}
    return bool(stored_for_good(database)["runs"].update_one(_held(document), changes).matched_count)


def end_unbegun(
    database: Database[dict[str, Any]], document: Mapping[str, Any], reason: Sequence[str], exit_as: Mapping[str, Any]
) -> bool:
    """Mark a taken run as failed that could not be begun; whether it was still ours."""
    changes = _ended("FAILED", reason, exit_as)
    return bool(stored_for_good(database)["runs"].update_one(_held(document), changes).matched_count)


def begin_queued(
    database: Database[dict[str, Any]], run: Any, token: str, session: Mapping[str, Any], *, by: str = UID
) -> dict[str, Any]:
    """Begin a taken run: from now on `session` records it.

    Args:
        run: its uid, or what else the field `by` has.

    Raises:
        NotYours: the lease does not hold it any more. Nothing is changed.
    """
    from pymongo import ReturnDocument

    when = session["time"]
    begun = {"status": "RUNNING", "start_time": when, "heartbeat": when, SESSION: dict(session), STATE: "begun"}
    document = stored_for_good(database)["runs"].find_one_and_update(
        {by: run, "status": "QUEUED", f"{LEASE}.token": token},
        {"$set": begun, "$inc": {VERSION: 1}, "$currentDate": {UPDATED_AT: True}},
        projection=_LEFT_OUT,
        return_document=ReturnDocument.AFTER,
    )
    if document is None:
        raise NotYours(run)
    return document


def _held(document: Mapping[str, Any]) -> dict[str, Any]:
    token = document["cloister"]["queue"]["lease"]["token"]
    return {"_id": document["_id"], "status": "QUEUED", f"{LEASE}.token": token}


def _ended(status: str, reason: Sequence[str], exit_as: Mapping[str, Any]) -> dict[str, Any]:
    fields = {"status": status, "stop_time": datetime.now(timezone.utc), "fail_trace": list(reason)}
    fields |= {"cloister.exit": dict(exit_as), STATE: "ended", LEASE: None}
    return {"$set": fields, "$inc": {VERSION: 1}, "$currentDate": {UPDATED_AT: True}}


def _give_up_hopeless(database: Database[dict[str, Any]]) -> None:
    """Runs whose every worker has died with them."""
    reason = f"It was taken {MOST_ATTEMPTS} times, and each time the worker died, or failed, before the run began.\n"
    database["runs"].update_many(
        {"status": "QUEUED", STATE: "waiting", ATTEMPTS: {"$gte": MOST_ATTEMPTS}, **_FREE},
        _ended("FAILED", [reason], {}),
    )


# ---- for people


def list_queue(database: Database[dict[str, Any]], project: str | None = None) -> list[QueuedRun]:
    """What waits, in the order in which it is taken; Sacred's queued runs too, which have no priority of ours."""
    query = {"status": "QUEUED", **({PROJECT: project} if project else {})}
    order = [(PRIORITY, -1), (QUEUED_AT, 1), ("_id", 1)]
    found = list(database["runs"].find(query, _LEFT_OUT).sort(order).limit(LISTED_RUNS))
    now = datetime.now(timezone.utc)
    return [_read(document, now) for document in found]


def cancel(database: Database[dict[str, Any]], run_id: Any) -> None:
    """Take a run out of the queue: it stays as a run that was cancelled.

    Raises:
        NotQueued: it does not wait there.
    """
    _change(database, run_id, _ended("CANCELLED", [], {}))


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


def _read(document: Mapping[str, Any], now: datetime) -> QueuedRun:
    ours = document.get("cloister") or {}
    queue = ours.get("queue") or {}
    meta = document.get("meta") or {}
    lease = queue.get("lease") or {}
    until = _aware(lease.get("until"))
    is_taken = until is not None and until > now
    experiment = str((document.get("experiment") or {}).get("name") or "unnamed")
    priority = queue.get("priority", meta.get("priority"))
    return QueuedRun(
        id=document["_id"],
        name=str(ours.get("name") or f"{experiment}-{document['_id']}"),
        project=str(ours.get("project") or experiment),
        owner=str(ours.get("owner") or ""),
        host=str((document.get("host") or {}).get("hostname") or ""),
        priority=float(priority) if isinstance(priority, (int, float)) else 0.0,
        queued_at=_aware(queue.get("queued_at") or meta.get("queue_time")),
        state="taken" if is_taken else str(queue.get("state") or "waiting"),
        taken_by=f"{lease.get('host')} process {lease.get('pid')}" if is_taken else "",
        missing=tuple(map(str, queue.get("missing") or ())),
        is_ours="uid" in ours,
    )


def _aware(moment: Any) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
