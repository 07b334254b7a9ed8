"""Verifying the audit log beside the requests: one at a time, its last result kept for the page."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from ..observer.audit.sightings import evidence_folder
from ..observer.audit.verifying import Report, verify
from ..observer.errors import CloisterError

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")


@dataclass(frozen=True)
class Outcome:
    """What the last verification found, or why it could not be done."""

    at: datetime
    report: Report | None = None
    failure: str = ""


class Verifier:
    """Reads the whole log in a thread of its own: a request may not wait that long for the database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.outcome: Outcome | None = None

    @property
    def is_at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, database: Database[dict[str, Any]]) -> None:
        """Begin, unless one is at work."""
        with self._lock:
            if not self.is_at_work:
                self._thread = threading.Thread(target=self._work, args=(database,), daemon=True)
                self._thread.start()

    def _work(self, database: Database[dict[str, Any]]) -> None:
        now = datetime.now(timezone.utc)
        try:
            self.outcome = Outcome(now, verify(database, folder=evidence_folder()))
        except (CloisterError, PyMongoError, OSError) as error:
            logger.error("The audit log could not be verified: %s", error)
            self.outcome = Outcome(now, failure=str(error))
