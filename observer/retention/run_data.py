"""What the database holds of a run beside its document and its files: points and console, counted and deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..console_store import piece_key
from ..field_names import decode_field_name
from ..foreign_runs import mapping, sequence
from ..metric_chunks import DamagedChunk, chunk_keys_of, metric_id, object_id
from ..metric_summary import SYSTEM_PREFIX
from ..metric_tails import METRIC_TAILS, frames_in, tail_keys_of, unpack_clocks, unpack_ends
from ..pyramid_levels import COARSE, FINE, span_key
from ..run_collections import METRICS, collections_of
from ..unusual_values import value_keys_of
from .purge_progress import Tell, tell_nobody
from .tombstones import TRASH

if TYPE_CHECKING:
    from pymongo.database import Database

_AT_ONCE = 200  # conditions of one query
_LAST = 2**64 - 1
_LAST_PLACE = (_LAST, 2**32 - 1)


@dataclass(frozen=True)
class Selection:
    """Documents of one collection, by conditions of which each has an index."""

    collection: str
    conditions: tuple[Mapping[str, Any], ...]

    def parts(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self.conditions), _AT_ONCE):
            yield {"$or": list(self.conditions[start : start + _AT_ONCE])}


def select_console(document: Mapping[str, Any]) -> list[Selection]:
    """The pieces of a run's console; what Sacred's readers have of it lies in its document."""
    uid = uid_of(document)
    if uid is None:
        return []
    return [Selection("console", ({"_id": {"$gte": piece_key(uid, 0, 0), "$lte": piece_key(uid, _LAST, _LAST)}},))]


def select_metrics(
    database: Database[dict[str, Any]], document: Mapping[str, Any], further: Iterable[str] = (), *, is_deleted: bool
) -> list[Selection]:
    """All that is stored of a run's points.

    Args:
        is_deleted: the run is in the trash or gone, so one of this id in `runs` is another.
        further: names of metrics that its document does not know, since it never learned of their first points.
    """
    uid, metrics = uid_of(document), _documents_of(database, document, is_deleted)
    if uid is None:
        return [Selection(METRICS, tuple({"_id": each} for each in metrics))] if metrics else []
    named = {metric_id(uid, name) for name in (*_names_in(document), *further)}
    known = sorted({*named, *_ids_in_tails(database, uid), *(each for each in metrics if _is_object_id(each))})
    spans = [
        {"_id": {"$gte": span_key(metric, level, (0, 0)), "$lte": span_key(metric, level, _LAST_PLACE)}}
        for metric in known
        for level in (FINE, COARSE)
    ]
    selections = [
        Selection("metric_chunks", tuple({"_id": chunk_keys_of(metric)} for metric in known)),
        Selection("metric_pyramid", tuple(spans)),
        Selection(METRICS, tuple({"_id": each} for each in {*metrics, *known})),
        Selection("metric_values", ({"_id": value_keys_of(uid)},)),
        # Last: they tell which chunks there are, to whoever has to go on with this.
        Selection(METRIC_TAILS, ({"_id": tail_keys_of(uid)},)),
    ]
    return [selection for selection in selections if selection.conditions]


def count(database: Database[dict[str, Any]], selections: Sequence[Selection]) -> dict[str, int]:
    """How many documents there are, by collection."""
    found: Counter[str] = Counter()
    for selection in selections:
        found[selection.collection] += 0
        for part in selection.parts():
            found[selection.collection] += database[selection.collection].count_documents(part)
    return dict(found)


def delete(
    database: Database[dict[str, Any]], selections: Sequence[Selection], *, total: int = 0, tell: Tell = tell_nobody
) -> dict[str, int]:
    """Delete them; returns how many there were, by collection. `tell` hears how many of `total` are gone."""
    gone: Counter[str] = Counter()
    for selection in selections:
        for part in selection.parts():
            gone[selection.collection] += database[selection.collection].delete_many(part).deleted_count
            tell(min(sum(gone.values()), total), total)
    return dict(gone)


def uid_of(document: Mapping[str, Any]) -> str | None:
    """The uid under which our records of a run lie; None for a run that nobody of ours has recorded or adopted."""
    from uuid import UUID

    uid = mapping(document.get("cloister")).get("uid")
    try:
        return str(UUID(uid)) if isinstance(uid, str) else None
    except ValueError:
        return None


def _names_in(document: Mapping[str, Any]) -> list[str]:
    ours = mapping(document.get("cloister"))
    names = [*mapping(ours.get("summary")), *(f"{SYSTEM_PREFIX}{name}" for name in mapping(ours.get("system")))]
    return [decode_field_name(name) for name in names]


def _documents_of(database: Database[dict[str, Any]], document: Mapping[str, Any], is_deleted: bool) -> list[Any]:
    """The ids of its documents in `metrics`: Sacred's, and those that we show to Sacred's readers."""
    run_id = document["_id"]
    named = [mapping(entry).get("id") for entry in sequence(mapping(document.get("info")).get("metrics"))]
    own = {str(each) for each in named if each is not None}
    uid = uid_of(document)
    found = list(database[METRICS].find({"run_id": run_id}, {"_id": 1, "name": 1}))
    # Another run may have this id: one of another runs collection, or a later one of Sacred's own.
    others = database["runs" if is_deleted else TRASH].find_one({"_id": {"$eq": run_id}}, {"_id": 1})
    is_alone = others is None and not collections_of(database).has_shared_metrics
    return [
        each["_id"]
        for each in found
        if is_alone or str(each["_id"]) in own or (uid and each["_id"] == metric_id(uid, str(each.get("name"))))
    ]


def _ids_in_tails(database: Database[dict[str, Any]], uid: str) -> set[Any]:
    """Metrics that a killed shipper has stored and no document names yet."""
    found: set[bytes] = set()
    for tail in database[METRIC_TAILS].find({"_id": tail_keys_of(uid)}):
        try:
            if isinstance(tail.get("ends"), bytes):
                found.update(unpack_ends(tail["ends"]))
            clocks = unpack_clocks(tail)
            for block in mapping(tail.get("b")).values():
                for frame in frames_in(bytes(block), clocks):
                    found.update(frame.metrics)
        except (DamagedChunk, ValueError, TypeError):  # what it names cannot be read, by nobody
            continue
    return {object_id(metric) for metric in found}


def _is_object_id(value: Any) -> bool:
    from bson import ObjectId

    return isinstance(value, ObjectId)
