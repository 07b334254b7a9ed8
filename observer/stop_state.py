"""That a run is asked to stop: the shape of that, in a run's document and beside its journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

STOP = "cloister.stop_requested"  # {at, by, level, since, sessions, heard_at}
STOP_HEARD = f"{STOP}.heard_at"
GRACE_SECONDS = 10.0  # that a training has for its own clean end before a second request ends its process

Level = Literal["interrupt", "kill"]


@dataclass(frozen=True)
class StopRequest:
    """Somebody has asked a run to stop.

    Attributes:
        at, by: when, and who.
        level: "interrupt" as Ctrl-C does; "kill" ends the process once it has had its grace.
        since: when it was asked for the first time; a second request has it too.
        heard_at: when the training was interrupted; None while it has not been.
        sessions: the processes that are meant, by rank: "0" is the run's own.
    """

    at: datetime
    by: str
    level: Level
    since: datetime
    heard_at: datetime | None = None
    sessions: dict[str, str] = field(default_factory=dict)

    def is_meant_for(self, rank: int, session: Any) -> bool:
        """Whether it was asked of this session: whoever resumes a stopped run is not stopped by it again."""
        return self.sessions.get(str(rank), "") == session_key(session) != ""


def read_stop(ours: Mapping[str, Any]) -> StopRequest | None:
    """What `cloister` in a run's document says of being stopped; None where nobody asks the run as it goes on now."""
    stored = ours.get("stop_requested")
    if not isinstance(stored, Mapping) or not isinstance(stored.get("at"), datetime):
        return None
    sessions = stored.get("sessions")
    if not isinstance(sessions, Mapping) or sessions.get("0", "") != session_key(ours.get("session")):
        return None
    at = _aware(stored["at"])
    since, heard = stored.get("since"), stored.get("heard_at")
    return StopRequest(
        at,
        str(stored.get("by") or ""),
        "kill" if stored.get("level") == "kill" else "interrupt",
        _aware(since) if isinstance(since, datetime) else at,
        _aware(heard) if isinstance(heard, datetime) else None,
        {str(rank): str(key) for rank, key in sessions.items()},
    )


def session_keys(ours: Mapping[str, Any]) -> dict[str, str]:
    """The processes that record a run now, by rank."""
    ranks = ours.get("ranks")
    keys = {str(rank): session_key(state) for rank, state in ranks.items()} if isinstance(ranks, Mapping) else {}
    own = session_key(ours.get("session"))
    return {**keys, "0": own} if own else keys


def session_key(session: Any) -> str:
    """Which session of a run it is, whatever the clocks of its hosts say."""
    if not isinstance(session, Mapping) or not isinstance(session.get("time"), datetime):
        return ""
    since = _aware(session["time"]) - datetime.fromtimestamp(0, timezone.utc)
    return f"{since // timedelta(milliseconds=1)} {session.get('pid')}"  # what MongoDB keeps of a moment


def as_json(request: StopRequest) -> dict[str, Any]:
    """A request for the note beside a journal."""
    return {
        "at": request.at.isoformat(),
        "by": request.by,
        "level": request.level,
        "since": request.since.isoformat(),
        "sessions": request.sessions,
    }


def from_json(found: Any) -> StopRequest | None:
    if not isinstance(found, Mapping):
        return None
    try:
        at, since = (datetime.fromisoformat(found[name]) for name in ("at", "since"))
    except (KeyError, TypeError, ValueError):
        return None
    level: Level = "kill" if found.get("level") == "kill" else "interrupt"
    return StopRequest(at, str(found.get("by", "")), level, since, sessions=dict(found.get("sessions") or {}))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
