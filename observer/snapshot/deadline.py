"""A moment after which work that nobody waits for is given up."""

from __future__ import annotations

import time


class Deadline:
    """`seconds` from now, by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def is_over(self) -> bool:
        return time.monotonic() >= self._end
