"""The queued run that this process was started for by a `cloister worker`, until a run of the process takes it."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.settings import Settings

if TYPE_CHECKING:
    from .run_identity import Identity

PATIENCE_MS = 10_000  # the worker has just talked to the database
EXIT_NOT_BEGUN = 75  # EX_TEMPFAIL: nothing was begun, and another worker, or another time, may do it


@dataclass(frozen=True)
class QueuedJob:
    """What the worker says of it.

    Attributes:
        token: of the worker's lease; the run begins only as long as that holds it.
        experiment, command: which of the script's runs it is.
        config: as it was queued, plain values under their real names.
    """

    uid: str
    token: str
    experiment: str
    command: str
    config: dict[str, Any]

    def begin(self, settings: Settings) -> Identity:
        """Have this process record the run from now on.

        Raises:
            SystemExit: the database cannot be asked, or the lease does not hold the run any more. The script must not
                go on: what it did would be the work of a run that is not this process's.
        """
        from pymongo.errors import PyMongoError

        try:
            return self._begin(settings)
        except (CloisterError, PyMongoError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(EXIT_NOT_BEGUN) from error

    def _begin(self, settings: Settings) -> Identity:
        from ..observer.mongo import check, client_for, database_name, resolve_uri
        from ..observer.run_claim import read_known
        from ..observer.run_queue import begin_queued
        from .run_identity import Identity

        uri = resolve_uri(settings)
        identity = Identity(self.uid, was_queued=True)
        with closing(client_for(uri, timeout_ms=PATIENCE_MS)) as client:
            check(client)
            database = client[database_name(uri, settings)]
            document = begin_queued(database, self.uid, self.token, identity.session)
        known = read_known(document)
        identity.known = replace(known, next_step=0, next_sample=0)
        return identity


_job: tuple[QueuedJob, int] | None = None  # with the process that was started for it: a forked child is not


def set_job(job: QueuedJob) -> None:
    """This process was started for `job`."""
    global _job
    _job = (job, os.getpid())


def pending_job(experiment: str, command: str) -> QueuedJob | None:
    """The job, if it is a run of this experiment that has not begun."""
    if _job is None or _job[1] != os.getpid():
        return None
    job = _job[0]
    return job if (job.experiment, job.command) == (experiment, command) else None


def take_job(experiment: str, command: str) -> QueuedJob | None:
    """The job, for the one run that begins it."""
    global _job
    job = pending_job(experiment, command)
    if job is not None:
        _job = None
    return job


def is_pending() -> bool:
    """Whether no run has taken the job that this process was started for."""
    return _job is not None and _job[1] == os.getpid()
