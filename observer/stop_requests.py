"""Asking a run to stop: written into its document, where its courier meets it with the next thing that it stores."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .run_events import new_event, pushing
from .run_record import UPDATED_AT, VERSION, RunId, RunRecord
from .stop_state import GRACE_SECONDS, STOP, Level, StopRequest, read_stop, session_keys

if TYPE_CHECKING:
    from .runs import RunStore

_NEEDED = {STOP: 1, "cloister.session": 1, "cloister.ranks": 1, "cloister.uid": 1, "status": 1}


class NotRunning(CloisterError, ValueError):
    """A run is to be stopped and has ended."""

    status = 409

    def __init__(self, run: RunRecord) -> None:
        super().__init__(f"Run {run.name!r} is {run.status} and has nothing left to stop.")


class StopNotHeard(CloisterError, ValueError):
    """A run is to be stopped that is recorded by something which hears nothing of it."""

    status = 409

    def __init__(self, run: RunRecord) -> None:
        super().__init__(
            f"Run {run.name!r} is not recorded by Cloister but by Sacred's own observer, which hears nothing from the "
            f"database. Stop its process on {run.host or 'its host'}."
        )


def request_stop(store: RunStore, run_id: RunId, *, by: str, level: Level = "interrupt") -> StopRequest:
    """Ask a run to stop; one that waits in the queue is cancelled.

    The courier of each process that records it learns of it when it next stores something of the run, with the next
    sign of life at the latest: this moves the document on by a version, and who does not know that reads it again.

    Args:
        level: "interrupt" is what Ctrl-C does. "kill" ends the processes `GRACE_SECONDS` after they were interrupted.

    Raises:
        RunNotFound: there is no such run for whoever reads through `store`.
        NotRunning: it has ended.
        StopNotHeard: nothing of Cloister is at work in it.
    """
    from .access.seen_database import unfiltered
    from .mongo import stored_for_good

    run = store.load_run(run_id)
    runs = stored_for_good(unfiltered(store.database))["runs"]
    document = runs.find_one({"_id": {"$eq": run_id}}, _NEEDED) or {}
    now = datetime.now(timezone.utc)
    if run.status == "queued":
        return _cancel(store, run_id, now, by)
    if run.status not in ("running", "lost"):
        raise NotRunning(run)
    ours = document.get("cloister") or {}
    if not ours.get("session") and not ours.get("ranks"):
        raise StopNotHeard(run)
    known = read_stop(ours)
    if known is not None and known.level == "kill":
        level = "kill"  # what was asked for is not taken back
    request = StopRequest(now, by, level, known.since if known else now, known.heard_at if known else None)
    words = "" if level == "interrupt" else f"The process is ended if it takes longer than {GRACE_SECONDS:g} s"
    found = runs.update_one(
        {"_id": {"$eq": run_id}, "status": "RUNNING"},
        {
            "$set": {STOP: _stored(request, ours), UPDATED_AT: now},
            "$inc": {VERSION: 1},
            **pushing(new_event("stop-requested", words, by, now)),
        },
    )
    if not found.matched_count:
        raise NotRunning(store.load_run(run_id))
    return request


def _stored(request: StopRequest, ours: dict[str, Any]) -> dict[str, Any]:
    fields = {"at": request.at, "by": request.by, "level": request.level, "since": request.since}
    heard = {"heard_at": request.heard_at} if request.heard_at else {}
    return {**fields, **heard, "sessions": session_keys(ours)}


def _cancel(store: RunStore, run_id: RunId, now: datetime, by: str) -> StopRequest:
    from .access.seen_database import unfiltered
    from .queue_list import cancel

    database = unfiltered(store.database)
    cancel(database, run_id)
    database["runs"].update_one({"_id": {"$eq": run_id}}, pushing(new_event("cancelled", "", by, now)))
    return StopRequest(now, by, "interrupt", now)


__all__ = ["GRACE_SECONDS", "Level", "NotRunning", "StopNotHeard", "StopRequest", "request_stop"]
