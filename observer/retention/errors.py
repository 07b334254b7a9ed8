"""Why something is not deleted, not brought back, or not taken by the database any more."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import CloisterError

if TYPE_CHECKING:
    from ..run_record import RunId


class RunHeld(CloisterError, ValueError):
    """A run is under legal hold, by itself or with its project."""

    status = 409

    def __init__(self, run_id: RunId, by: str, since: datetime | None, of: str) -> None:
        when = f" since {since:%Y-%m-%d}" if since else ""
        super().__init__(
            f"Run {run_id} is under legal hold{when}, set by {by or 'somebody unknown'} on the {of}: nothing of it is "
            f"deleted. Whoever manages the project can lift it: cloister hold lift."
        )


class RecordedElsewhere(CloisterError, ValueError):
    """A run that Sacred itself records goes on: nobody can tell its training that it was deleted."""

    status = 409

    def __init__(self, run_id: RunId) -> None:
        super().__init__(
            f"Run {run_id} is being recorded by another program, which would go on writing into what is left of it. "
            "End the training first, or wait until its heartbeat is a few minutes old."
        )


class NotInTrash(CloisterError, LookupError):
    """A run is to be brought back or purged and is not in the trash."""

    def __init__(self, run_id: RunId, state: str = "") -> None:
        known = f": it {state}" if state else ". 'cloister trash ls' shows what is"
        super().__init__(f"There is no run {run_id!r} in the trash{known}.")


class IdTaken(CloisterError, ValueError):
    """Another run has got the id of a run in the trash, as Sacred's own observer gives out ids anew."""

    status = 409

    def __init__(self, run_id: RunId) -> None:
        super().__init__(
            f"Run {run_id} cannot be brought back: another run has been given this id since. Delete that one, or "
            "adopt the database into another one first (cloister adopt)."
        )


class IdInTrash(CloisterError, ValueError):
    """Another run of the same id is in the trash already."""

    status = 409

    def __init__(self, run_id: RunId) -> None:
        super().__init__(
            f"Run {run_id} cannot be deleted yet: an earlier run with this id is in the trash. Purge that one first: "
            f"cloister trash purge {run_id}."
        )


class RunDeleted(CloisterError, RuntimeError):
    """What a journal brings is of a run that somebody has deleted.

    Attributes:
        state: of its tombstone.
    """

    def __init__(self, run_id: RunId, by: str, at: datetime | None, state: str) -> None:
        self.run_id, self.state = run_id, state
        when = f" on {at:%Y-%m-%d at %H:%M} UTC" if at else ""
        who = f" by {by}" if by else ""
        super().__init__(f"Run {run_id} was deleted{who}{when}; what its training records is not kept any more.")


class ClocksDisagree(CloisterError, ValueError):
    """This machine and the database's are of different days, so nobody knows what is old."""

    status = 409

    def __init__(self, here: datetime, there: datetime) -> None:
        super().__init__(
            f"By this machine's clock it is {here:%Y-%m-%d %H:%M} UTC, by the database's {there:%Y-%m-%d %H:%M}. "
            "Nothing is deleted by age until both agree within an hour. Set the wrong one right."
        )


class BadRetention(CloisterError, ValueError):
    """A time to live that cannot be understood."""

    def __init__(self, kind: str, value: object) -> None:
        super().__init__(
            f"{value!r} says not how long {kind} is kept. Give days (90, 90d), weeks (12w), years (2y), or never, "
            "from one hour (1h) to 100 years."
        )


class UnknownKind(CloisterError, LookupError):
    """Something is to be kept for a time that is no kind of records."""

    def __init__(self, kind: object, known: list[str]) -> None:
        super().__init__(f"There is no kind of records {str(kind)!r}. There are {', '.join(known)}.")
