"""What of a run is lost, as far as it is known: who counted it, and the sum, which is never left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .run_record import LOSSES, LOST
from .run_update import RunUpdate

KINDS = ("points", "lines", "bytes")


class RunLosses:
    """Keeps `cloister.losses`, by writer or segment, and `cloister.lost`, their sum.

    A process says in its signs of life what it could not write so far; the courier counts what it finds damaged, and
    what the database refuses.
    """

    def __init__(self, run: Mapping[str, Any]) -> None:
        stored = run["cloister"].get("losses") or {}
        self._losses: dict[str, dict[str, int]] = {writer: _counts(lost) for writer, lost in stored.items()}

    def note_said(self, header: Mapping[str, Any], lost: Any) -> None:
        """Take what a process says it has lost until now."""
        counts = _counts(lost)
        session = (header.get("session") or {}).get("time")
        started = f"{session.timestamp():.3f}".replace(".", "") if session is not None else "0"
        writer = f"process {header.get('pid')} {started}"
        if any(counts.values()) or writer in self._losses:
            self._losses[writer] = counts

    def note_skipped(self, segment: int, size: int) -> None:
        """Count damaged bytes of a segment."""
        if size > 0:
            self._add(f"damage {segment:016x}", size)

    def is_damaged(self, segment: int) -> bool:
        return f"damage {segment:016x}" in self._losses

    def note_refused(self, value: Any) -> int:
        """Count a value that the database does not take; returns its size in bytes."""
        size = _size(value)
        self._add("refused", size)
        return size

    def note_missing_file(self, size: int) -> None:
        """Count a file whose copy beside the journal is gone, or is not any more what was recorded."""
        self._add("files", size)

    def enter(self, update: RunUpdate) -> None:
        """Have `update` say it, unless there is nothing to say and never was."""
        if self._losses:
            total = {kind: sum(lost[kind] for lost in self._losses.values()) for kind in KINDS}
            update.fields[LOSSES] = {writer: dict(lost) for writer, lost in self._losses.items()}
            update.fields[LOST] = total

    def _add(self, writer: str, size: int) -> None:
        known = self._losses.setdefault(writer, dict.fromkeys(KINDS, 0))
        known["bytes"] += size


def _counts(lost: Any) -> dict[str, int]:
    given = lost if isinstance(lost, Mapping) else {}
    return {kind: int(given.get(kind) or 0) for kind in KINDS}


def _size(value: Any) -> int:
    from bson import encode
    from bson.errors import BSONError

    try:
        return len(encode({"": value}))
    except (BSONError, OverflowError):
        return len(str(value))
