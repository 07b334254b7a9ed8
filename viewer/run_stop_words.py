"""What a run's page says of stopping it: whether it can be, who asked, and how far that has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..observer.stop_state import GRACE_SECONDS
from .run_start_words import recorder_of
from .wording import format_ago

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord

Press = Literal["none", "cancel", "stop", "end", "wait"]


@dataclass(frozen=True)
class StopState:
    """Attributes:
    press: what pressing would do next: "none" where nothing can be done, "wait" where all is asked for.
    sentence: who has asked and what came of it; "" while nobody has.
    """

    press: Press
    sentence: str = ""


def describe_stop(run: RunRecord) -> StopState:
    """How a run can be stopped, for whoever may change it."""
    if run.status == "queued":
        return StopState("cancel")
    if run.status not in ("running", "lost") or recorder_of(run):
        return StopState("none")
    if run.stop is None:
        return StopState("stop")
    asked = f"{run.stop.by or 'Somebody'} asked it to stop {format_ago(run.stop.since)}"
    if run.stop.heard_at is None:
        where = "when it is heard from again" if run.status == "lost" else "with its next sign of life"
        came = f"its training is interrupted {where}"
    else:
        came = f"its training was interrupted {format_ago(run.stop.heard_at)} and is ending"
    if run.stop.level == "kill":
        return StopState("wait", f"{asked}; its process is ended {GRACE_SECONDS:g} s after it was interrupted.")
    return StopState("end", f"{asked}; {came}.")
