"""Taking over a run that exists: finding it, making sure that nobody writes it, and what it was, for who goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .metric_summary import read_summaries
from .process_facts import is_alive, is_this_process
from .run_record import NAME, PROJECT, UID
from .run_sessions import (
    PAUSED_SECONDS,
    RESUMED,
    SESSION,
    paused_between,
    resumption,
)
from .run_status import LOST_AFTER_SECONDS
from .session_names import as_uid

if TYPE_CHECKING:
    from pymongo.database import Database

CLAIM_ATTEMPTS = 20
_SHOWN_NUMBERS = 8


class RunIsAlive(CloisterError, RuntimeError):
    """A process that was told to write a run found another one at it.

    Attributes:
        process: that other one, as `this_process` describes it, where it is on this host.
    """

    process: Mapping[str, Any] | None = None

    def __init__(self, run: str, where: str, seconds: float | None, *, rank: int = 0) -> None:
        part = f"Rank {rank} of run {run}" if rank else f"Run {run}"
        seen = "" if seconds is None else f", last heard of {max(0.0, seconds):.0f} s ago"
        wait = "" if seconds is None else f", or wait {max(1.0, LOST_AFTER_SECONDS - seconds):.0f} s if it is dead"
        super().__init__(f"{part} is being recorded {where}{seen}. Two processes cannot write it: end that one{wait}.")


class RunHasEnded(CloisterError, RuntimeError):
    """A process joins a run that is over."""

    def __init__(self, run: str, status: str, ended: datetime | None) -> None:
        when = f" at {ended:%Y-%m-%d %H:%M:%S} UTC" if ended else ""
        super().__init__(
            f"Run {run} has ended ({status}{when}), so no process can join it. Resume it (CLOISTER_RESUME=auto, or "
            "resume='auto' in rank 0), or give the new run another CLOISTER_RUN."
        )


class NoRunToResume(CloisterError, LookupError):
    """There is no run to go on with under that number, uid or name."""

    def __init__(self, which: object, where: str, others: list[Any] | None = None, *, is_foreign: bool = False) -> None:
        if is_foreign:
            super().__init__(
                f"Run {which!r} in {where} was recorded by another tool. Only Cloister's own can be resumed."
            )
        elif others:
            shown = ", ".join(map(str, others[:_SHOWN_NUMBERS]))
            super().__init__(f"{len(others)} runs in {where} are named {which!r}: {shown}. Resume one by its number.")
        else:
            super().__init__(
                f"There is no run {which!r} in {where}. Pass the number, the uid or the name of a run, as its page "
                "shows them."
            )


@dataclass(frozen=True)
class KnownRun:
    """What is known of a run that somebody goes on with.

    Attributes:
        id: its number, None where only its journal on this machine is known.
        config: as stored, keys encoded; None where nothing is known of it.
        next_step: one more than the largest step of its metrics, hardware excepted.
        next_sample: the same of its hardware metrics.
        stopped: when it was last heard of.
        fields: further fields of a header: project, name, experiment, tags, ...; those that are known.
    """

    uid: str
    id: Any = None
    status: str = ""
    config: dict[str, Any] | None = None
    next_step: int = 0
    next_sample: int = 0
    stopped: datetime | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def find_run(database: Database[dict[str, Any]], which: int | str, project: str | None = None) -> dict[str, Any] | None:
    """The document of the run with this number, uid or name (of `project`, if that is given); None without one.

    Raises:
        NoRunToResume: several runs have the name.
    """
    if isinstance(which, int):
        return database["runs"].find_one({"_id": which}, _FIELDS)
    if as_uid(which) is not None:
        return database["runs"].find_one({UID: as_uid(which)}, _FIELDS)
    query = {NAME: which, **({PROJECT: project} if project else {})}
    named = [document["_id"] for document in database["runs"].find(query, {"_id": 1}).limit(100)]
    if len(named) > 1:
        raise NoRunToResume(which, f"project {project!r}" if project else f"database {database.name!r}", named)
    return database["runs"].find_one({"_id": named[0]}, _FIELDS) if named else None


_FIELDS = {"captured_out": 0, "info": 0, "artifacts": 0, "experiment.sources": 0, "cloister.environment": 0}


def read_known(document: Mapping[str, Any]) -> KnownRun:
    ours = document.get("cloister") or {}
    experiment = document.get("experiment") or {}
    fields = {
        **{name: ours[name] for name in ("project", "name", "group", "job_type", "tags", "notes") if name in ours},
        "experiment": experiment.get("name") or "unnamed",
        "start_time": document.get("start_time"),
        "config_defaults": ours.get("config_defaults") or {},
    }
    return KnownRun(
        uid=ours.get("uid") or "",
        id=document["_id"],
        status=str(document.get("status") or "").lower(),
        config=document.get("config") or {},
        next_step=_largest_step(ours.get("summary")) + 1,
        next_sample=_largest_step(ours.get("system")) + 1,
        stopped=document.get("stop_time") or document.get("heartbeat"),
        fields=fields,
    )


def _largest_step(summaries: Any) -> int:
    found = read_summaries(summaries or {}).values()
    return max((max(summary.last_step, summary.max_step or -1) for summary in found), default=-1)


def refuse_if_alive(document: Mapping[str, Any]) -> None:
    """Raises RunIsAlive if a process that still lives, or may, records the run."""
    session = (document.get("cloister") or {}).get("session") or {}
    _refuse_session(str(document["_id"]), document.get("status"), document.get("heartbeat"), session, rank=0)


def refuse_joiner(document: Mapping[str, Any], rank: int, *, grace_seconds: float) -> None:
    """Raises RunHasEnded for a run that is over, RunIsAlive where another process is this rank of it.

    Args:
        grace_seconds: a rank that starts so soon after the end of rank 0 is late, not stale.
    """
    ours = document.get("cloister") or {}
    name, ended = str(document["_id"]), document.get("stop_time")
    if document.get("status") not in ("RUNNING", "QUEUED"):
        late = rank > 0 and ended is not None and (datetime.now(timezone.utc) - ended).total_seconds() < grace_seconds
        if not late:
            raise RunHasEnded(name, str(document.get("status")).lower(), ended)
    if rank == 0 and ours.get("session"):
        refuse_if_alive(document)
        raise RunHasEnded(name, "lost", document.get("heartbeat"))
    state = (ours.get("ranks") or {}).get(str(rank)) or {}
    if rank > 0 and state:
        _refuse_session(name, state.get("status"), state.get("heartbeat"), state, rank=rank)


def claim_run(
    database: Database[dict[str, Any]], document: dict[str, Any], session: dict[str, Any], config: Any
) -> Any:
    """Make `session` the one that writes the run: of several that try at once, one gets it.

    Args:
        document: as `find_run` gave it.
        session: `this_process()` with its `time`.
        config: how the new config differs from the kept one.

    Returns:
        The note of the resume as it is stored.

    Raises:
        RunIsAlive: another process has it.
    """
    for _ in range(CLAIM_ATTEMPTS):
        refuse_if_alive(document)
        ours = document.get("cloister") or {}
        stopped = document.get("stop_time") or document.get("heartbeat")
        note = resumption(session, session["time"], stopped=stopped, config=config)
        paused = float(ours.get("paused_seconds") or 0.0) + paused_between(stopped, session["time"])
        changes = {"status": "RUNNING", "stop_time": None, "heartbeat": session["time"], "fail_trace": []}
        taken = database["runs"].update_one(
            {"_id": document["_id"], SESSION: ours.get("session"), "status": document.get("status")},
            {
                "$set": {**changes, SESSION: session, PAUSED_SECONDS: paused, "cloister.exit": {}},
                "$push": {RESUMED: note},
                "$inc": {"cloister.version": 1},  # whoever ships the last session's end must look at the run again
                "$currentDate": {"cloister.updated_at": True},
            },
        )
        if taken.matched_count:
            return note
        found = database["runs"].find_one({"_id": document["_id"]}, _FIELDS)
        if found is None:
            raise NoRunToResume(document["_id"], f"database {database.name!r}")
        document = found
    raise RunIsAlive(str(document["_id"]), "elsewhere", 0.0)


def _refuse_session(name: str, status: Any, heartbeat: Any, session: Mapping[str, Any], *, rank: int) -> None:
    if status not in ("RUNNING", "QUEUED"):
        return
    alive = is_alive(session)
    if alive is False:
        return
    silent = (datetime.now(timezone.utc) - heartbeat).total_seconds() if isinstance(heartbeat, datetime) else None
    if alive is None and (silent is None or silent > LOST_AFTER_SECONDS):
        return
    if is_this_process(session):
        raise RunIsAlive(name, "by this very process (finish() it first)", None, rank=rank)
    where = f"on {session.get('host') or 'another host'} by process {session.get('pid')}"
    raise RunIsAlive(name, where, silent, rank=rank)
