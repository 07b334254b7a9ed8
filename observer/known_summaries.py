"""Summaries of Sacred's metrics, reckoned once for each sign of life: a list does not read all arrays for each look."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

KNOWN_LIMIT = 20_000  # about 10 MB; a list shows 50 runs with a few metrics each

_known: WeakKeyDictionary[MongoClient[dict[str, Any]], KnownSummaries] = WeakKeyDictionary()
_lock = Lock()


class KnownSummaries:
    """Rows by metric and by the heartbeat that its run had then. Those asked for last are kept. Thread-safe."""

    def __init__(self, limit: int = KNOWN_LIMIT) -> None:
        self._limit = limit
        self._rows: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()
        self._lock = Lock()

    def find(self, keys: Iterable[Hashable]) -> dict[Hashable, dict[str, Any]]:
        with self._lock:
            found = {key: self._rows[key] for key in keys if key in self._rows}
            for key in found:
                self._rows.move_to_end(key)
            return found

    def keep(self, rows: Mapping[Hashable, dict[str, Any]]) -> None:
        with self._lock:
            self._rows.update(rows)
            while len(self._rows) > self._limit:
                self._rows.popitem(last=False)


def known_summaries(client: MongoClient[dict[str, Any]]) -> KnownSummaries:
    """Those of what this client reads; they go with it."""
    with _lock:
        return _known.setdefault(client, KnownSummaries())


def summary_key(metrics: Collection[dict[str, Any]], metric_id: Any, run: Mapping[str, Any]) -> Hashable | None:
    """What a summary is known by: Sacred stores a run's new points just before its new heartbeat.

    None where there is no heartbeat that a change would move.
    """
    beat = run.get("heartbeat")
    return (metrics.full_name, metric_id, beat) if isinstance(beat, datetime) else None
