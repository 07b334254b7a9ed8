"""The queue: runs that are stored and not begun, and who takes them, one worker each.

A worker takes a run under a lease, which it renews as long as it prepares the run; a lease that runs out gives the run
to the next. The process that then executes it begins the run by the lease's token, in one update: however late a worker
wakes up, a run is begun once. From there on it is a run like any other, whose signs of life are its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .foreign_runs import mapping, text
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

# The order in which runs are taken, behind what all questions name.
QUEUE_ORDER = [("status", 1), (PRIORITY, -1), (QUEUED_AT, 1)]
_FREE = {"$or": [{LEASE: None}, {"$expr": {"$lt": [f"${LEASE}.until", "$$NOW"]}}]}
LEFT_OUT = {"captured_out": 0, "info": 0, "cloister.environment": 0, "cloister.git": 0}


class NotYours(CloisterError, RuntimeError):
    """A run that was taken under a lease is not held by it any more."""

    def __init__(self, run: object) -> None:
        super().__init__(
            f"Run {run} is not this worker's any more: its lease ran out and another worker has it, or it was begun, "
            "cancelled or deleted meanwhile."
        )


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
        projection=LEFT_OUT,
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


def status_of_taken(database: Database[dict[str, Any]], document: Mapping[str, Any]) -> tuple[str, bool]:
    """The stored status of a run that was taken ("DELETED" without one), and whether nobody else has it or ended it."""
    found = database["runs"].find_one({"_id": document["_id"]}, {"status": 1, LEASE: 1})
    if found is None:
        return "DELETED", False
    lease = mapping(mapping(mapping(found.get("cloister")).get("queue")).get("lease"))
    status = text(found.get("status"))
    if not lease:  # given back or cancelled; else its process has begun it, and as Sacred's observer replaced it whole
        return status, status not in ("QUEUED", "CANCELLED")
    return status, lease.get("token") == document["cloister"]["queue"]["lease"]["token"]


def end_unbegun(
    database: Database[dict[str, Any]], document: Mapping[str, Any], reason: Sequence[str], exit_as: Mapping[str, Any]
) -> bool:
    """Mark a taken run as failed that could not be begun; whether it was still ours."""
    changes = ended_fields("FAILED", reason, exit_as)
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
        projection=LEFT_OUT,
        return_document=ReturnDocument.AFTER,
    )
    if document is None:
        raise NotYours(run)
    return document


def _held(document: Mapping[str, Any]) -> dict[str, Any]:
    token = document["cloister"]["queue"]["lease"]["token"]
    return {"_id": document["_id"], "status": "QUEUED", f"{LEASE}.token": token}


def ended_fields(status: str, reason: Sequence[str], exit_as: Mapping[str, Any]) -> dict[str, Any]:
    """The update of a queued run that will not be made."""
    fields = {"status": status, "stop_time": datetime.now(timezone.utc), "fail_trace": list(reason)}
    fields |= {"cloister.exit": dict(exit_as), STATE: "ended", LEASE: None}
    return {"$set": fields, "$inc": {VERSION: 1}, "$currentDate": {UPDATED_AT: True}}


def _give_up_hopeless(database: Database[dict[str, Any]]) -> None:
    """Runs whose every worker has died with them; Sacred's, which have no state, among them."""
    reason = f"It was taken {MOST_ATTEMPTS} times, and each time the worker died, or failed, before the run began.\n"
    database["runs"].update_many(
        {"status": "QUEUED", STATE: {"$in": ["waiting", None]}, ATTEMPTS: {"$gte": MOST_ATTEMPTS}, **_FREE},
        ended_fields("FAILED", [reason], {}),
    )
