"""Making queued runs, one after another: what a worker does between its start and its end."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from ...observer.blobs import BlobNotFound, UnreadableBlob
from ...observer.process_facts import this_process
from ...observer.queue_list import read_listed
from ...observer.run_queue import end_unbegun, give_back, renew_lease, status_of_taken, take_next
from ...observer.settings import Settings
from ..queued_job import EXIT_NOT_BEGUN
from .job_file import BadEntry
from .job_process import how_it_ended, last_lines, signal_job, start_job, words_for
from .workplace import UnusableSources, Workplace, workplace

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

LOOK_SECONDS = 1.0  # between two looks into an empty queue
POLL_SECONDS = 0.05
RENEWALS = 4  # of a lease, before it would run out
LAST_WORD_SECONDS = 30.0  # for a run that was told to end
RETRY_SECONDS = 1.0
_UNUSABLE = (UnusableSources, BadEntry, BlobNotFound, UnreadableBlob)


@dataclass(frozen=True)
class WorkerPlan:
    """What a worker is to do.

    Attributes:
        owner: whose runs; None for everybody's.
        python: the interpreter that makes the runs.
        once: end when the queue is empty.
        most_runs: end after so many.
        keep: leave the folders of the runs.
        sacreds: whether runs that Sacred has queued are made too, behind our own.
    """

    owner: str | None
    python: str
    project: str | None = None
    once: bool = False
    most_runs: int | None = None
    keep: bool = False
    sacreds: bool = False
    lease_seconds: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """What became of a run that was taken. `status` is the stored one, "given back", or "given up": another has it."""

    id: Any
    name: str
    status: str
    seconds: float
    note: str = ""


@dataclass
class StopWish:
    """How much somebody wants the worker to end: set by signal handlers, so only looked at here.

    Attributes:
        level: 0 go on; 1 finish the run, take no other; 2 interrupt the run; 3 kill it.
        number: the signal to interrupt it with.
    """

    level: int = 0
    number: int = signal.SIGINT
    event: threading.Event = field(default_factory=threading.Event)

    def rise(self, to: int | None = None, number: int = signal.SIGINT) -> None:
        self.level = min(3, max(self.level + 1, to or 0))
        self.number = number
        self.event.set()


class Worker:
    """Takes runs from one database and makes them. Used by one thread."""

    def __init__(
        self,
        database: Database[dict[str, Any]],
        plan: WorkerPlan,
        settings: Settings,
        stop: StopWish,
        on_taken: Callable[[Mapping[str, Any]], None] = lambda document: None,
        on_done: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        """
        Args:
            stop: says when to end.
            on_taken, on_done: told of each run.
        """
        self._database = database
        self._plan = plan
        self._settings = settings
        self._stop = stop
        self._on_taken = on_taken
        self._on_done = on_done
        self._me = {**this_process(), "owner": plan.owner}

    def work(self) -> int:
        """Make runs until the plan or somebody says that it is enough; how many were made."""
        made = 0
        while not self._stop.level and (self._plan.most_runs is None or made < self._plan.most_runs):
            document = self._ask(self._take, until=1)
            if document is None:
                if self._plan.once:
                    break
                self._stop.event.wait(LOOK_SECONDS)
                continue
            made += 1
            self._on_done(self._make(document))
        return made

    def _take(self) -> dict[str, Any] | None:
        plan = self._plan
        take = partial(take_next, self._database, self._me, project=plan.project, lease_seconds=plan.lease_seconds)
        taken = take(owner=plan.owner)
        if taken is None and plan.sacreds:
            taken = take(sacreds=True)
        return taken

    def _make(self, document: dict[str, Any]) -> Outcome:
        started = time.monotonic()
        try:
            self._on_taken(document)
            with workplace(self._database, document, self._settings, keep=self._plan.keep) as place:
                status, note = self._make_in(place, document)
        except _UNUSABLE as error:
            status, note = "FAILED", str(error)
            self._ask(lambda: end_unbegun(self._database, document, [f"{note}\n"], {}))
        except PyMongoError as error:
            status, note = "given back", f"the database failed while its code was read: {error}"
            self._ask(lambda: give_back(self._database, document, was_tried=True))
        except OSError as error:  # this machine has no room, or no folder: another one may
            self._ask(lambda: give_back(self._database, document))
            self._stop.rise(to=1)
            status, note = "given back", f"this machine cannot make runs: {error}"
        except Exception as error:
            # Wide on purpose: the document is whatever somebody has written, and the runs behind it are to be made.
            logger.warning("Run %s cannot be made.", document["_id"], exc_info=error)
            status, note = "FAILED", f"the run is stored in a way that no worker can read: {error!r}"
            self._ask(lambda: end_unbegun(self._database, document, [f"{note}\n"], {}))
        return Outcome(document["_id"], read_listed(document).name, status, time.monotonic() - started, note)

    def _make_in(self, place: Workplace, document: dict[str, Any]) -> tuple[str, str]:
        asked = document["cloister"]["queue"].get("settings") or {}
        process = start_job(place, self._plan.python, self._settings, asked)
        try:
            _Attendance(self._database, document, process, self._plan.lease_seconds, self._stop).attend()
        except BaseException:  # whatever ends the worker here must not leave a run that nobody attends
            signal_job(process, signal.SIGTERM)
            raise
        return self._settle(place, document, process)

    def _settle(self, place: Workplace, document: dict[str, Any], process: subprocess.Popen[bytes]) -> tuple[str, str]:
        """What the run is after its process has ended. One that was not begun is failed, or given back."""
        exit_as = how_it_ended(process)
        if self._stop.level and self._ask(lambda: give_back(self._database, document)):
            return "given back", "the worker was ended before the run began"
        lines = last_lines(place)
        if process.returncode == EXIT_NOT_BEGUN and self._ask(
            lambda: give_back(self._database, document, was_tried=True)
        ):
            self._stop.event.wait(RETRY_SECONDS)
            return "given back", "".join(lines[-1:]).strip()
        reason = [*lines, f"The run did not begin: its process ended {words_for(exit_as)}.\n"]
        if self._ask(lambda: end_unbegun(self._database, document, reason, exit_as)):
            return "FAILED", f"it did not begin: {''.join(lines[-1:]).strip() or words_for(exit_as)}"
        status, is_ours = self._ask(lambda: status_of_taken(self._database, document)) or ("not known", True)
        if not is_ours:
            return "given up", "another worker has it, or it was cancelled or deleted meanwhile"
        if status == "RUNNING":
            return status, f"its process has gone ({words_for(exit_as)}); what it recorded is on its way, or it is lost"
        said = "".join(lines[-1:]).strip()
        return status, "" if process.returncode == 0 else f"{words_for(exit_as)}{': ' if said else ''}{said}"

    def _ask(self, question: Callable[[], Any], *, until: int = 2) -> Any:
        """Put a question to the database until it answers: what a worker has begun, it has to bring to an end.

        Args:
            until: the level of the wish to end from which on nobody waits for it; None is the answer then.
        """
        told = False
        while True:
            try:
                return question()
            except PyMongoError as error:
                if self._stop.level >= until:
                    logger.warning("The database does not answer (%s); the lease runs out by itself.", error)
                    return None
                if not told:
                    told = True
                    logger.warning("The database does not answer; the worker waits for it. %s", error)
                self._stop.event.wait(RETRY_SECONDS)
                if self._stop.event.is_set():
                    time.sleep(RETRY_SECONDS)


@dataclass
class _Attendance:
    """Waits for the process of one run: renews the lease until the run has begun, and passes on the wish to end."""

    database: Database[dict[str, Any]]
    document: dict[str, Any]
    process: subprocess.Popen[bytes]
    lease_seconds: float
    stop: StopWish
    _begun: bool = False
    _told: int = 0  # the level that the process knows of
    _since: float = 0.0

    def attend(self) -> None:
        renewed = time.monotonic()
        self._renew()  # reading the code may have taken a while
        while self.process.poll() is None:
            time.sleep(POLL_SECONDS)
            if not self._begun and time.monotonic() - renewed >= self.lease_seconds / RENEWALS:
                renewed = time.monotonic()
                self._renew()
            if self.stop.level:
                self._pass_on()

    def _renew(self) -> None:
        try:
            if not renew_lease(self.database, self.document, self.lease_seconds):
                self._begun = True
                _, is_ours = status_of_taken(self.database, self.document)
                if not is_ours:  # cancelled, or taken by another worker: its process would be refused
                    signal_job(self.process, signal.SIGTERM)
        except PyMongoError as error:
            logger.debug("The lease of run %s is not renewed: %s", self.document["_id"], error)

    def _pass_on(self) -> None:
        level = self.stop.level
        if level == 1 and self._told < 1:
            self._told = 1
            self._renew()
            if not self._begun:  # nothing is lost by giving it back
                signal_job(self.process, signal.SIGTERM)
        if level == 2 and self._told < 2:
            self._told, self._since = 2, time.monotonic()
            signal_job(self.process, self.stop.number)
        waited_enough = self._told == 2 and time.monotonic() - self._since > LAST_WORD_SECONDS
        if (level == 3 or waited_enough) and self._told < 3:
            self._told = 3
            signal_job(self.process, signal.SIGKILL)
