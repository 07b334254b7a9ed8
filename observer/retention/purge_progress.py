"""How far a purge is, in its report: for whoever waits for a large one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pymongo.database import Database

PROGRESS = "progress"  # in an open report: {step, done, total}
Step = Literal["files", "records"]
NOTED_SECONDS = 0.5

Tell = Callable[[int, int], None]  # done, of how many


@dataclass(frozen=True)
class PurgeProgress:
    """What an open purge does just now: files, or the run's points and console, one document after the other."""

    step: str
    done: int
    total: int

    def as_document(self) -> dict[str, Any]:
        return {"step": self.step, "done": self.done, "total": self.total}


def read_progress(stored: Any) -> PurgeProgress | None:
    """What a report says of it; None where it says nothing, or nothing that makes sense."""
    if not isinstance(stored, Mapping):
        return None
    done, total = stored.get("done"), stored.get("total")
    if not isinstance(done, int) or not isinstance(total, int) or not 0 <= done <= total:
        return None
    return PurgeProgress(str(stored.get("step") or ""), done, total)


def tell_nobody(done: int, total: int) -> None:
    """For purges that nobody waits for."""


def noting(database: Database[dict[str, Any]], collection: str, report_ids: Sequence[Any], step: Step) -> Tell:
    """Notes progress in reports, seldom enough to cost nothing."""
    noted = -NOTED_SECONDS

    def tell(done: int, total: int) -> None:
        nonlocal noted
        if done < total and monotonic() - noted < NOTED_SECONDS:
            return
        noted = monotonic()
        progress = PurgeProgress(step, min(done, total), total).as_document()
        database[collection].update_many({"_id": {"$in": list(report_ids)}}, {"$set": {PROGRESS: progress}})

    return tell
