"""Reading back what a run has logged, while it is recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..observer.recorder import Recorder

if TYPE_CHECKING:
    from ..observer.points import Points
    from ..observer.runs import RunStore

logger = logging.getLogger("cloister")


class RunReading:
    """Reads one run, from the database and, for what that does not have yet, from the journal."""

    def __init__(self, recorder: Recorder, uid: str, name: str, open_store: Callable[[], RunStore]) -> None:
        self._recorder = recorder
        self._uid = uid
        self._name = name
        self._open_store = open_store

    def load(self, metrics: str | Sequence[str] | None) -> dict[str, Points]:
        """Points of these metrics in this order, of all but hardware metrics by name.

        Raises:
            MetricNotFound: nothing was logged under one of these names.
        """
        from ..observer.live_points import load_live
        from ..observer.metric_reader import spelled
        from ..observer.runs import MetricNotFound

        live = self._recorder.as_live_run(self._uid, self._open_store)
        chosen = [metrics] if isinstance(metrics, str) else metrics  # one name is not a list of letters
        names = None if chosen is None else list(dict.fromkeys(map(spelled, chosen)))
        found = load_live(live, names)
        for name in names or ():
            if name not in found:
                raise MetricNotFound(self._name, name, sorted(load_live(live, None)))
        return {name: found[name] for name in (sorted(found) if names is None else names)}

    def look_up_number(self) -> int | None:
        """The run's number from the database; None where that cannot be asked."""
        try:
            with self._open_store() as store:
                record = store.find_run_by_uid(self._uid)
        except Exception as error:
            # Wide on purpose: asking for a number must not fail a script because the database is away.
            logger.debug("The number of run %s cannot be looked up: %s", self._uid, error)
            return None
        return None if record is None else int(record.id)
