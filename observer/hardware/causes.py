"""What keeps hardware values from being read: said once per cause, however often it happens."""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("cloister")


class Causes:
    """Remembers which causes were already logged. Used by one sampler's thread alone."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def report(
        self, cause: str, message: str, *, level: int = logging.INFO, error: BaseException | None = None
    ) -> None:
        """Log `message` unless `cause` was reported before. Expected refusals are INFO, what users can mend WARNING."""
        if cause in self._seen:
            return
        self._seen.add(cause)
        LOGGER.log(level, "%s", message, exc_info=error)
