"""The recorder of a Sacred experiment: waits a moment for what was recorded to be stored, ships by a lent client."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .courier_launch import read_state, wake_courier
from .direct_shipping import DirectShipping
from .field_names import encode_field_name
from .journal_columns import pack_column
from .journal_memory import JournalMemory
from .lent_client import LentClient
from .recorder import Recorder
from .settings import Settings
from .shipping_note import read_note

LOOK_SECONDS = 0.002


class SacredRecorder(Recorder):
    """As `Recorder`, for the events that Sacred sends."""

    _waits = "suspicion"  # Sacred's readers are to see what a beat brought

    def __init__(self, header: Mapping[str, Any], settings: Settings, lent: LentClient | None = None) -> None:
        """
        Args:
            lent: ships through this client, in threads of this process; a courier process could not log in.
        """
        self._lent = lent
        self._asked = 0
        self._given_up_at: int | None = None  # the question after which nobody waits until it is answered
        self._signature = os.urandom(6).hex()
        super().__init__(header, settings)

    # ---- recording

    def record_added(self, fields: Mapping[str, Sequence[Any]]) -> None:
        """Add values to lists of the run's document, by field path."""
        fields = self._redaction.fields(fields)
        self._journal.record(
            "add", {"fields": {encode_field_name(path): list(values) for path, values in fields.items()}}
        )

    def record_gone(self, fields: Sequence[str]) -> None:
        """Take fields out of the run's document, by path."""
        self._journal.record("unset", {"fields": [encode_field_name(path) for path in fields]})

    def record_column(
        self, encoded: str, steps: Sequence[int], values: Sequence[float], wall_times: Sequence[float]
    ) -> None:
        """Record many points of one metric.

        Raises:
            OverflowError, TypeError: a step is beyond 64 bits, or something is no number.
        """
        for fields in pack_column(encoded, steps, values, wall_times):
            self._journal.record("column", fields)

    def record_unusual(self, encoded: str, points: Sequence[Sequence[Any]]) -> None:
        """Record what points of a metric really were; see `unusual_values.py`."""
        self._journal.record("values", {"n": encoded, "p": self._redaction.stored_value("metrics", list(points))})

    def record_source_file(self, path: str, filename: str, content: bytes) -> None:
        """Record a file of the experiment's code, in GridFS under `filename`, as Sacred has it."""
        redacted = self._redaction.source(path, content)
        known = None if redacted is None else self._keep(redacted, path)
        if known is not None:
            self._journal.record("source", {**known, "path": path, "name": filename})

    def release(self) -> None:
        """Let go of the journal of a run that has not begun: it was only queued."""
        self._stopped.set()
        self._copies.force()
        self._journal.close()

    # ---- arriving

    def settle(self, timeout_seconds: float) -> bool:
        """Wait until all that was recorded so far is stored; returns whether it is.

        After one time-out nobody waits any more until that much has been stored: a database that is away holds up an
        experiment once.
        """
        self._asked += 1
        question = f"{self._signature}:{self._asked}"
        self._journal.record("ask", {"by": question})
        wake_courier(self._destination, self._settings, now=True)
        if self._given_up_at is not None and self._answered() < self._given_up_at:
            return False
        self._given_up_at = None
        deadline = time.monotonic() + timeout_seconds
        while self._answered() < self._asked:
            if time.monotonic() >= deadline or self._stopped.is_set() or self._is_away():
                self._given_up_at = self._asked
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def known_id(self) -> Any:
        """The run's id, None while the database has not given it."""
        self._learn_number()
        return self._number

    def _is_away(self) -> bool:
        """Whether a courier that lives says that the database does not answer; an earlier one may have said so."""
        state = read_state(self._destination)
        if state is None or state.reachable:
            return False
        try:
            os.kill(state.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:  # another account's: it lives
            return True
        return True

    def _answered(self) -> int:
        note = read_note(self._folders)
        if note is None or not note.answered:
            return 0
        signature, _, number = note.answered.partition(":")
        return int(number) if signature == self._signature and number.isdecimal() else 0

    def _revive_courier(self) -> None:
        if self._lent is None:
            super()._revive_courier()
            return
        from .courier_process import ensure_courier_thread

        ensure_courier_thread(self._destination, self._settings, lent=self._lent)

    def _ship_from_memory(self, memory: JournalMemory) -> None:
        if self._direct is None:
            self._direct = DirectShipping(self._settings, self._folders, self._lent)
        self._direct.ensure(memory)
