"""Values of metrics that are no numbers, as Sacred takes them: text, lists, None, whole numbers beyond a float.

In a metric's columns such a point has the number that comes nearest, or NaN; here is what it really was. Sacred's
documents show that.

`metric_values`: `_id` = run uid, metric, journal segment, sequence; `run_id`; `p` a list of [step, microseconds,
the step as it was given, the value]: step and time as the point in the columns has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .field_names import decode_field_name
from .journal_records import JournalRecord
from .metric_chunks import metric_id

if TYPE_CHECKING:
    from bson import Binary
    from pymongo.database import Database

    from .points import Points

COLLECTION = "metric_values"
_DUPLICATE = 11000
_METRIC_BYTES, _PLACE_BYTES = 12, 16


class UnusualValues:
    """Stores those of one run, and puts them in their places in columns."""

    def __init__(self, database: Database[dict[str, Any]], run: Mapping[str, Any], *, is_new: bool) -> None:
        self._documents = database[COLLECTION]
        self._run_id = run["_id"]
        self._uid = run["cloister"]["uid"]
        self._fresh: list[dict[str, Any]] = []
        # By metric: step and microseconds of each, with the step and the value that were given.
        self._known: dict[bytes, dict[tuple[int, int], tuple[Any, Any]]] | None = {} if is_new else None

    def take(self, segment: int, record: JournalRecord) -> None:
        """Add those of a record; `store` stores them."""
        metric = metric_id(self._uid, decode_field_name(str(record.fields.get("n", "")))).binary
        points = record.fields.get("p")
        if isinstance(points, list):
            key = _key(self._uid, metric, segment, record.sequence)
            self._fresh.append({"_id": key, "run_id": self._run_id, "p": points})

    def store(self) -> None:
        """Insert what was taken: keys follow from the journal, so what is there already is the same."""
        from pymongo.errors import BulkWriteError

        fresh, self._fresh = self._fresh, []
        if not fresh:
            return
        try:
            self._documents.insert_many(fresh, ordered=False)
        except BulkWriteError as error:
            errors = error.details.get("writeErrors") or []
            if error.details.get("writeConcernErrors") or any(entry.get("code") != _DUPLICATE for entry in errors):
                raise
        if self._known is not None:
            for document in fresh:
                _learn(self._known, document)

    def put_in(self, metric: bytes, points: Points, columns: dict[str, Any]) -> dict[str, Any]:
        """Sacred's columns of `points` with the values, and the steps, that were really given."""
        if self._known is None:
            self._known = {}
            for document in self._documents.find({"_id": value_keys_of(self._uid)}):
                _learn(self._known, document)
        unusual = self._known.get(metric)
        if not unusual:
            return columns
        microseconds = (points.wall_times * 1e6).round().astype("int64").tolist()
        for place, key in enumerate(zip(columns["steps"], microseconds, strict=True)):
            if key in unusual:
                columns["steps"][place], columns["values"][place] = unusual[key]
        return columns


def value_keys_of(uid: str) -> dict[str, Binary]:
    """A MongoDB condition on `_id` that matches all of one run."""
    from bson import Binary

    rest = _METRIC_BYTES + _PLACE_BYTES
    prefix = _uid_bytes(uid)
    return {"$gte": Binary(prefix + b"\x00" * rest), "$lte": Binary(prefix + b"\xff" * rest)}


def _key(uid: str, metric: bytes, segment: int, sequence: int) -> Binary:
    from bson import Binary

    key: Binary = Binary(_uid_bytes(uid) + metric + segment.to_bytes(8, "big") + sequence.to_bytes(8, "big"))
    return key


def _uid_bytes(uid: str) -> bytes:
    return bytes.fromhex(uid.replace("-", ""))


def _learn(known: dict[bytes, dict[tuple[int, int], tuple[Any, Any]]], document: Mapping[str, Any]) -> None:
    metric = bytes(document["_id"])[16 : 16 + _METRIC_BYTES]
    for point in document["p"]:
        if isinstance(point, Sequence) and len(point) == 4:
            step, microseconds, given, value = point
            known.setdefault(metric, {})[(step, microseconds)] = (given, value)
