"""How often somebody may ask the API: a bucket for each token, session or address, refilled all the time."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from flask import Response, request

from .accounts.current import current_identity
from .errors_page import Problem, render_problem

if TYPE_CHECKING:
    from flask import Flask

REQUESTS_PER_SECOND = 100.0  # for good; a page asks once in two seconds, a script that reads one by one about 50 times
REQUESTS_AT_ONCE = 1000  # a page with hundreds of charts, or a script that catches up
KNOWN_ASKERS = 10_000  # of more, those who asked longest ago begin anew


@dataclass
class Bucket:
    """What somebody may still ask for."""

    left: float
    at: float


class RateLimit:
    """Buckets by who asks. Thread-safe, of one process: behind several, each allows as much."""

    def __init__(self, per_second: float = REQUESTS_PER_SECOND, at_once: float = REQUESTS_AT_ONCE) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, who: str, now: float | None = None) -> float:
        """Take one request out of the bucket: 0.0, or the seconds until there is one again."""
        moment = monotonic() if now is None else now
        with self._lock:
            bucket = self._buckets.setdefault(who, Bucket(self._at_once, moment))
            self._buckets.move_to_end(who)
            while len(self._buckets) > KNOWN_ASKERS:
                self._buckets.popitem(last=False)
            bucket.left = min(self._at_once, bucket.left + (moment - bucket.at) * self._per_second)
            bucket.at = moment
            if bucket.left < 1:
                return (1 - bucket.left) / self._per_second
            bucket.left -= 1
            return 0.0


def limit_rate(app: Flask, limit: RateLimit) -> None:
    """Have each request under /api/ of `app` counted, before anything is looked up for it."""

    @app.before_request
    def refuse_too_many() -> Response | None:
        if not request.path.startswith("/api/"):
            return None
        seconds = limit.take(_asker())
        if not seconds:
            return None
        wait = max(1, math.ceil(seconds))
        sentence = (
            f"More than {REQUESTS_PER_SECOND:g} requests a second for long. Ask again in {wait} s, and less often."
        )
        return render_problem(Problem(429, "Too many requests", sentence, retry_seconds=wait))


def _asker() -> str:
    """Whose bucket it is: of a token or a session; of all that nobody signed in for, the address's."""
    identity = current_identity()
    if identity.token is not None:
        return f"token {identity.token.key}"
    if identity.session is not None:
        return f"session {identity.session.key}"
    return f"address {request.remote_addr}"
