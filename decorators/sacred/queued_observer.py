"""Sacred's observers with a queue in between: under ours every event survives an outage, so they are the same."""

from __future__ import annotations

from typing import Any

from .mongo_observer import MongoObserver


class QueuedMongoObserver(MongoObserver):
    """The same: what Sacred's class of this name is for, every event goes through a queue that survives an outage."""

    def __init__(self, interval: float = 20.0, retry_interval: float = 10.0, *arguments: Any, **named: Any) -> None:
        """
        Args:
            interval, retry_interval: taken for Sacred's sake; the courier has its own pace.
            arguments, named: as `MongoObserver` takes them, in Sacred's order for this class.
        """
        names = ("url", "db_name", "collection", "overwrite", "priority", "client")
        super().__init__(**dict(zip(names, arguments, strict=False)), **named)


class QueueCompatibleMongoObserver(MongoObserver):
    """Sacred's name for an observer under its `QueueObserver`, which sends one metric at a time."""

    def log_metrics(self, metric_name: Any, metrics_values: Any, info: Any) -> None:  # type: ignore[override]
        super().log_metrics({metric_name: metrics_values}, info)
