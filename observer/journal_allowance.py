"""How much of a disk the journals that wait may take, and what is done without as it runs out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from .journal_places import used_bytes

LARGEST_DEFAULT_BYTES = 10 * 1000**3
SMALLEST_DEFAULT_BYTES = 1000**3  # on a small disk rather the disk is full: that is told apart, and mended, more easily
DEFAULT_SHARE = 0.1  # of the disk

WARN_AT = 0.5
THIN_AT = 0.8  # from here on one sample of the hardware in ten
DROP_AT = 0.9  # from here on none
KEPT_SAMPLES = 10

LOOK_SECONDS = 1.0
# A look takes about 50 us for each run that waits. 200 trainings on a machine spend 10 % of one core on it at most.
LOOK_SHARE = 1 / 2000


class JournalAllowance:
    """What may wait in the folders of one destination, and how much of that is used.

    One process measures for itself: the figure is a little late, and others may use up the same rest.
    """

    def __init__(self, destinations: Sequence[Path], limit_bytes: int | None) -> None:
        self._destinations = tuple(destinations)
        self._limit_bytes = limit_bytes
        self._next_look = 0.0
        self.used_bytes = 0

    @property
    def limit_bytes(self) -> int:
        if self._limit_bytes is None:
            self._limit_bytes = _default_limit(self._destinations[0])
        return self._limit_bytes

    @property
    def used_share(self) -> float:
        """1.0 when nothing more may be written."""
        return self.used_bytes / max(1, self.limit_bytes)

    def look(self) -> None:
        """Measure, unless that was done a moment ago."""
        started = time.monotonic()
        if started >= self._next_look:
            self.used_bytes = sum(used_bytes(folder) for folder in self._destinations)
            took = time.monotonic() - started
            self._next_look = started + max(LOOK_SECONDS, took / LOOK_SHARE)

    def has_room_for(self, size_bytes: int) -> bool:
        return self.used_bytes + size_bytes <= self.limit_bytes


def _default_limit(folder: Path) -> int:
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    try:
        facts = os.statvfs(existing)
    except OSError:
        return SMALLEST_DEFAULT_BYTES
    share = int(facts.f_blocks * facts.f_frsize * DEFAULT_SHARE)
    return min(LARGEST_DEFAULT_BYTES, max(SMALLEST_DEFAULT_BYTES, share))
