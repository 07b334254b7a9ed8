"""Which run a process records: a new one, one that it shares with other processes, or one that it goes on with."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.process_facts import this_process
from ..observer.session_names import as_uid, session_time, uid_of_text
from ..observer.settings import Settings
from .ranks import JobPlace, find_place, note_joined, shared_name

if TYPE_CHECKING:
    from ..observer.run_claim import KnownRun
    from ..observer.writer_lock import WriterLock

logger = logging.getLogger("cloister")

AUTO = "auto"  # resume the run if there is one, else start it


class BadResume(CloisterError, TypeError):
    """`resume=` is nothing by which a run can be found."""

    def __init__(self, which: object) -> None:
        super().__init__(f"resume={which!r} names no run. Pass a run's number, its uid, its name, or 'auto'.")


class BadFork(CloisterError, ValueError):
    """`fork_from=` is not a run and a step."""

    def __init__(self, given: object) -> None:
        super().__init__(
            f"fork_from={given!r} is not a run and a step. Pass a pair such as (12, 100), on a command line 12@100: "
            "the number or the uid of a run, and the last step to share with it."
        )


@dataclass
class Identity:
    """Who a run that begins now is.

    Attributes:
        place: of this process in its job; alone where it shares the run with nobody.
        session: this process and when it began, as the run's document keeps it.
        known: what is known of the run that goes on; None for one that starts.
        was_queued: it was stored before by somebody else, with its code; this process begins it.
        note: how the resume is noted in the run; None without one.
        lock: held while the run is open; None where nobody else could mean the same run.
    """

    uid: str
    place: JobPlace = field(default_factory=JobPlace)
    session: dict[str, Any] = field(default_factory=lambda: {"time": session_time(), **this_process()})
    known: KnownRun | None = None
    note: dict[str, Any] | None = None
    lock: WriterLock | None = None
    was_queued: bool = False

    @property
    def is_resumed(self) -> bool:
        return self.note is not None


def settle_identity(
    settings: Settings,
    *,
    config_beside: Callable[[dict[str, Any]], Mapping[str, Any]],
    resume: int | str | None = None,
    join: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    project: str | None = None,
) -> Identity:
    """Which run this process records from now on. Asks the database only about runs that may exist.

    Args:
        config_beside: gives this process' config, BSON-ready, from the one that a run that goes on keeps.
        resume, join, rank, world_size: as `start_run` takes them; else the settings `resume` and `run`, and the job.

    Raises:
        RunIsAlive, RunHasEnded, NoRunToResume, ResumeNeedsDatabase: this process may not, or cannot, record that run.
        BadResume, BadRank: an argument makes no sense.
    """
    which = _normal(settings.resume if resume is None else resume)
    name = join or shared_name(settings.run)
    if which is None and name is None:
        return Identity(new_uid())
    place = find_place(rank, world_size)
    if name is not None and place.restarts and which is None:
        which = AUTO  # the launcher has started the job anew: the same run goes on
    from .run_takeover import Takeover  # spares a run of its own, as most are, 20 ms

    asked = Takeover(settings, project or settings.project, config_beside, place)
    if which is not None and which != AUTO:
        identity = asked.resume(which)
    elif name is None:
        logger.warning(
            "resume='auto' cannot tell which run to go on with, so a new one is recorded. Set CLOISTER_RUN (or join=) "
            "to a name that stays the same when the job is started again, such as $SLURM_JOB_ID."
        )
        identity = Identity(new_uid())
    else:
        identity = asked.resume_or_start(uid_of_text(name)) if which == AUTO else asked.join(uid_of_text(name))
    if name is not None and join is None:
        note_joined()
    return identity


def read_fork(given: Any) -> dict[str, Any] | None:
    """`fork_from=` as a run's header has it: `{"id" or "uid", "step"}`.

    Raises:
        BadFork: it is something else.
    """
    if given is None:
        return None
    pair = given.rpartition("@")[::2] if isinstance(given, str) else given
    try:
        parent, step = pair
    except (TypeError, ValueError):
        raise BadFork(given) from None
    if isinstance(step, str) and step.strip().lstrip("-").isdecimal():
        step = int(step)
    if isinstance(step, bool) or not isinstance(step, int) or not -(2**63) <= step < 2**63 - 1:
        raise BadFork(given)
    for known in (getattr(parent, "uid", None), getattr(parent, "id", None)):
        if isinstance(known, (str, int)):  # a Run or a RunRecord
            parent = known
            break
    which = _normal(parent) if isinstance(parent, (int, str)) and not isinstance(parent, bool) else None
    if isinstance(which, int):
        return {"id": which, "step": step}
    if which is not None and as_uid(which) is not None:
        return {"uid": as_uid(which), "step": step}
    raise BadFork(given)


def new_uid() -> str:
    """A UUIDv7 as text: sorts by time of creation. Source: RFC 9562, section 5.7."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


def _normal(which: Any) -> int | str | None:
    """A run as it was named: digits are its number, a uid in its usual form, anything else text."""
    if which is None or which == "":
        return None
    if isinstance(which, bool) or not isinstance(which, (int, str)):
        uid = getattr(which, "uid", None)
        if isinstance(uid, str):
            return uid
        raise BadResume(which)
    if isinstance(which, int):
        return which
    text = which.strip()
    if text.isascii() and text.isdecimal() and len(text) < 19:
        return int(text)
    return as_uid(text) or text
