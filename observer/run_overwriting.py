"""A run that takes the place of another under its id, as Sacred's `overwrite` has it: nothing old is mixed into it.

What the database knows of the old run and nobody writes any more (its metrics, its console) goes first; then its
document becomes the new run's in one update. Who dies in between leaves a run without points, which the next one takes
over; who comes late finds the new run's uid and touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .console_store import piece_key
from .field_names import decode_field_name
from .metric_chunks import chunk_keys_of, metric_id
from .metric_summary import SYSTEM_PREFIX
from .metric_tails import tail_keys_of
from .pyramid_levels import COARSE, FINE, span_key
from .run_collections import METRICS, collections_of
from .run_record import UID
from .sacred_documents import STALE_FIELDS
from .unusual_values import value_keys_of

if TYPE_CHECKING:
    from pymongo.database import Database

# Of ours: what people have given it.
KEPT = ("tags", "notes", "group", "job_type", "visibility", "shared_with", "project", "name")
_AT_ONCE = 500
_LAST = 2**64 - 1
_LAST_PLACE = (_LAST, 2**32 - 1)


def overwrite_run(database: Database[dict[str, Any]], run_id: Any, document: Mapping[str, Any]) -> bool:
    """Have `document` take the place of the run with this id.

    Fields that neither has are kept: they are somebody else's, such as seml's or Omniboard's.

    Returns:
        Whether it did; False where there is no such run (any more).
    """
    runs = database["runs"]
    while True:
        # Read in this order: what is listed before the run is seen as the old one, is the old one's.
        metrics = [found["_id"] for found in database[METRICS].find({"run_id": run_id}, {"_id": 1})]
        old = runs.find_one({"_id": run_id}, {"cloister": 1, "info.metrics": 1})
        if old is None:
            return False
        uid = (old.get("cloister") or {}).get("uid")
        if uid == document["cloister"]["uid"]:
            return True
        _remove_records(database, old, uid, metrics)
        known = {"_id": run_id, UID: uid} if uid is not None else {"_id": run_id, UID: {"$exists": False}}
        if runs.update_one(known, _change(old, document)).matched_count:
            return True


def _change(old: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    ours = dict(document["cloister"])
    ours.update({name: value for name in KEPT if (value := (old.get("cloister") or {}).get(name))})
    fields = {name: value for name, value in document.items() if name not in ("_id", "cloister")}
    return {"$set": {**fields, "cloister": ours}, "$unset": dict.fromkeys(STALE_FIELDS, "")}


def _remove_records(
    database: Database[dict[str, Any]], old: Mapping[str, Any], uid: str | None, metrics: list[Any]
) -> None:
    """Delete the old run's points and console; its files stay, other runs may name them."""
    if collections_of(database).has_shared_metrics:
        # Run 1 of another runs collection has its metrics here too: only those that the run itself names are its own.
        named = (old.get("info") or {}).get("metrics") or []
        own = {str(entry.get("id")) for entry in named if isinstance(entry, Mapping)}
        metrics = [metric for metric in metrics if str(metric) in own]
    if uid is not None:
        for name in _metric_names(old):
            metric = metric_id(uid, name)
            metrics.append(metric)
            database["metric_chunks"].delete_many({"_id": chunk_keys_of(metric)})
            for level in (FINE, COARSE):
                keys = {"$gte": span_key(metric, level, (0, 0)), "$lte": span_key(metric, level, _LAST_PLACE)}
                database["metric_pyramid"].delete_many({"_id": keys})
        database["metric_values"].delete_many({"_id": value_keys_of(uid)})
        database["metric_tails"].delete_many({"_id": tail_keys_of(uid)})
        pieces = {"$gte": piece_key(uid, 0, 0), "$lte": piece_key(uid, _LAST, _LAST)}
        database["console"].delete_many({"_id": pieces})
    for start in range(0, len(metrics), _AT_ONCE):
        database[METRICS].delete_many({"_id": {"$in": metrics[start : start + _AT_ONCE]}})


def _metric_names(old: Mapping[str, Any]) -> list[str]:
    ours = old["cloister"]
    names = [*(ours.get("summary") or {}), *(f"{SYSTEM_PREFIX}{name}" for name in ours.get("system") or {})]
    return [decode_field_name(name) for name in names]
