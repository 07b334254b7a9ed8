"""Runs of a sweep whose metric depends on their config in a known way, for Explain and reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from cloister.observer.run_record import new_run_document
from pymongo.database import Database

STARTED = datetime(2026, 3, 1, tzinfo=timezone.utc)
OPTIMIZERS = ("adam", "sgd", "lion")


def accuracy(number: int) -> float:
    """Best in the middle of the learning rates, a little better with the first optimizer, the same for each depth."""
    return 0.9 - 0.05 * (math.log10(learning_rate(number)) + 3) ** 2 + (0.02 if number % 3 == 0 else 0.0)


def learning_rate(number: int) -> float:
    return float(10 ** (-5 + 4 * (number * 7 % 60) / 59))


def sweep_document(number: int, *, project: str = "digits", name: str = "", **config: Any) -> dict[str, Any]:
    started = STARTED + timedelta(minutes=number)
    header = {
        "experiment": project,
        "project": project,
        "name": name or f"cnn-{number}",
        "uid": f"{project}-{number}",
        "start_time": started,
        "config": {
            "lr": learning_rate(number),
            "optimizer": OPTIMIZERS[number % 3],
            "model": {"depth": 2 + number % 5, "width": 64},
            "seed": number,
            **config,
        },
    }
    document = new_run_document(header, number)
    document |= {"status": "COMPLETED", "heartbeat": started, "stop_time": started + timedelta(seconds=90)}
    document["cloister"]["updated_at"] = started
    value = accuracy(number)
    figures = {"last": value, "min": 0.1, "max": value + 0.01, "count": 3, "last_step": 2}
    document["cloister"]["summary"] = {"val/acc": figures}
    return document


def store_sweep(database: Database[dict[str, Any]], numbers: Sequence[int], **facts: Any) -> None:
    """One run for each number; `facts` go into their `cloister`."""
    documents = [sweep_document(number) for number in numbers]
    for document in documents:
        document["cloister"].update(facts)
    database["runs"].insert_many(documents)
