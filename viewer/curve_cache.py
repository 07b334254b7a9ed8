"""Curves that were just drawn, as JSON: a page that is opened again, or by somebody else, asks the database little."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from flask import current_app

LARGEST_BYTES = 32 * 1024 * 1024  # of the 300 MB that a viewer may take
_EXTENSION = "cloister_curve_cache"


class CurveCache:
    """The newest answers by what was asked, each with the state of the run that it was made of. Thread-safe.

    Whoever asks has found the run in that state just before, as somebody who sees it: the cache knows no rights.
    """

    def __init__(self, largest_bytes: int = LARGEST_BYTES) -> None:
        self._largest = largest_bytes
        self._held = 0
        self._answers: OrderedDict[Hashable, tuple[Hashable, str]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, state: Hashable) -> str | None:
        """What was answered when the run was in this state."""
        with self._lock:
            known = self._answers.get(key)
            if known is None or known[0] != state:
                return None
            self._answers.move_to_end(key)
            return known[1]

    def put(self, key: Hashable, state: Hashable, answer: str) -> None:
        with self._lock:
            self._forget(key)
            if len(answer) > self._largest // 4:
                return
            self._answers[key] = (state, answer)
            self._held += len(answer)
            while self._held > self._largest:
                self._forget(next(iter(self._answers)))

    @property
    def held_bytes(self) -> int:
        return self._held

    def _forget(self, key: Hashable) -> None:
        known = self._answers.pop(key, None)
        if known is not None:
            self._held -= len(known[1])


def current_cache() -> CurveCache:
    """The cache of the viewer that answers this request."""
    cache: CurveCache = current_app.extensions.setdefault(_EXTENSION, CurveCache())
    return cache
