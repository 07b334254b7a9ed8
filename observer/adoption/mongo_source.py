"""A database that Sacred's MongoObserver writes, read while people go on recording into it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..blobs import CHUNK_BYTES, SHA256, Blob
from ..foreign_files import spellings
from ..foreign_runs import mapping
from ..run_collections import collections_of, with_collections
from ..run_ids import format_run_id
from .run_identity import UID_PATTERN, adopted_uid, goes_on_here
from .run_source import (
    FileRef,
    Readable,
    RunHead,
    SourceFile,
    SourceMetric,
    SourceResource,
    SourceRun,
    aware,
    beat_seconds,
)

if TYPE_CHECKING:
    from pymongo.database import Database

PREFETCHED_BYTES = 16 * 1024 * 1024  # of small files at once: Sacred stores each source anew with every run
DOCUMENTS_AT_ONCE = 4  # a run or a metric may have 16 MB
_SIZE = "_size"
_IS_TEXT = {"$eq": [{"$type": "$captured_out"}, "string"]}
_OUTPUT_BYTES = {"$cond": [_IS_TEXT, {"$strLenBytes": {"$cond": [_IS_TEXT, "$captured_out", ""]}}, 0]}
_HEAD: dict[str, Any] = dict.fromkeys(
    (
        *("status", "start_time", "heartbeat", "stop_time", "omniboard", "command"),
        *("experiment.name", "host.hostname", "meta.queue_time", "meta.options.--beat-interval"),
    ),
    1,
)


class MongoSource:
    """The runs of one set of collections."""

    kind = "database"

    def __init__(self, database: Database[dict[str, Any]], label: str, noted_in: str = "cloister") -> None:
        """
        Args:
            database: may be a `RunDatabase`.
            noted_in: the field of a run under which an adoption in place is noted.
        """
        self._database = readable(database)
        self._label = label
        self._ours = noted_in
        self._metrics: dict[str, list[tuple[Any, str, int]]] = {}  # by run: id, name and length of its documents
        self._oddities: list[str] = []

    @property
    def label(self) -> str:
        return self._label

    def heads(self) -> list[RunHead]:
        ours = {f"{self._ours}.{name}": 1 for name in ("uid", "adopted", "journal", "resumed")}
        fields = {**_HEAD, **ours, _SIZE: _OUTPUT_BYTES}
        documents = list(self._database["runs"].aggregate([{"$project": fields}]))
        # After the runs: one that has ended by now has all its metrics.
        self._survey_metrics()
        heads = [self._head(document) for document in documents]
        known = {format_run_id(head.id) for head in heads}
        self._oddities = self._orphans(known)
        return sorted(heads, key=_age)

    def load(self, heads: Sequence[RunHead]) -> Iterator[tuple[RunHead, SourceRun | None]]:
        runs = self._database["runs"]
        wanted = {format_run_id(head.id): head for head in heads}
        found = {}
        cursor = runs.find({"_id": {"$in": [head.id for head in heads]}}, {self._ours: 0})
        for document in cursor.batch_size(DOCUMENTS_AT_ONCE):
            found[format_run_id(document["_id"])] = document
        stored = self._stored_resources(found.values())
        for key, head in wanted.items():
            document = found.get(key)
            if document is None:
                yield head, None
                continue
            resources = [SourceResource(*pair, stored.get(pair)) for pair in _resource_pairs(document)]
            yield head, SourceRun(document, self._metrics_of(head.id), resources)

    def files(self, refs: Iterable[FileRef]) -> dict[FileRef, SourceFile | str]:
        wanted = {ref: spellings(ref) for ref in refs}
        ids = {"_id": {"$in": [each for spelled in wanted.values() for each in spelled]}}
        documents = {document["_id"]: document for document in self._database["fs.files"].find(ids)}
        small = [key for key, document in documents.items() if 0 < _length(document) <= CHUNK_BYTES]
        held = dict(self._prefetch(small))
        found: dict[FileRef, SourceFile | str] = {}
        for ref, spelled in wanted.items():
            keys = [each for each in spelled if each in documents]
            found[ref] = self._describe(documents[keys[0]], held.get(keys[0])) if keys else _missing(ref)
        return found

    def oddities(self) -> list[str]:
        return self._oddities

    # ---- runs

    def _head(self, document: Mapping[str, Any]) -> RunHead:
        ours = mapping(document.get(self._ours))
        uid = ours.get("uid")  # anybody may have written one
        known = isinstance(uid, str) and UID_PATTERN.match(uid) is not None
        adopted = ours.get("adopted") if known and isinstance(ours.get("adopted"), Mapping) else None
        seen = {name: document.get(name) for name in ("status", "start_time", "heartbeat", "stop_time", "omniboard")}
        return RunHead(
            id=document["_id"],
            uid=str(uid) if known else adopted_uid(document, self._database["runs"].full_name),
            status=str(document.get("status") or ""),
            start_time=aware(document.get("start_time")),
            heartbeat=aware(document.get("heartbeat")),
            seen=seen,
            beat_seconds=beat_seconds(document),
            adopted=adopted,
            is_ours=known and (adopted is None or goes_on_here(ours)),
            size_bytes=document[_SIZE],
            points=sum(length for _, _, length in self._metrics.get(format_run_id(document["_id"]), ())),
        )

    # ---- metrics

    def _survey_metrics(self) -> None:
        """One look at all metrics: without an index, which Sacred does not make, each further question is one more."""
        length = {"$cond": [{"$isArray": "$values"}, {"$size": "$values"}, 0]}
        stages: list[dict[str, Any]] = [{"$project": {"run_id": 1, "name": 1, "n": length}}]
        self._metrics = {}
        for document in self._database["metrics"].aggregate(stages):
            entry = document["_id"], str(document.get("name")), document["n"]
            self._metrics.setdefault(format_run_id(document.get("run_id")), []).append(entry)

    def _metrics_of(self, run_id: Any) -> list[SourceMetric]:
        names: dict[str, list[Any]] = {}
        for key, name, _ in sorted(self._metrics.get(format_run_id(run_id), ()), key=lambda entry: str(entry[0])):
            names.setdefault(name, []).append(key)
        keys = [key for found in names.values() for key in found]
        cursor = self._database["metrics"].find({"_id": {"$in": keys}}).batch_size(DOCUMENTS_AT_ONCE)
        by_key = {format_run_id(document["_id"]): document for document in cursor}
        return [
            SourceMetric(name, tuple(by_key[format_run_id(key)] for key in found if format_run_id(key) in by_key))
            for name, found in sorted(names.items())
        ]

    def _orphans(self, known: set[str]) -> list[str]:
        odd = []
        for key, entries in self._metrics.items():
            if key not in known:
                points = sum(length for _, _, length in entries)
                odd.append(
                    f"{len(entries)} metrics ({points:,} points) are of run {key}, which was deleted: they are left as "
                    "they are"
                )
        return odd

    # ---- files

    def _stored_resources(self, documents: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str | None], Any]:
        """Files that hold resources, by path and MD5: Sacred stored them until 0.8.2."""
        pairs = {pair for document in documents for pair in _resource_pairs(document)}
        if not pairs:
            return {}
        fields = {"filename": 1, "md5": 1}
        found = self._database["fs.files"].find({"filename": {"$in": [path for path, _ in pairs]}}, fields)
        stored = {
            (document["filename"], document["md5"]): document["_id"]
            for document in found
            if type(document["filename"]) is type(document.get("md5")) is str  # a list of texts is found too
        }
        return {pair: stored[pair] for pair in pairs if pair in stored}

    def _prefetch(self, keys: Sequence[Any]) -> Iterator[tuple[Any, bytes]]:
        left = PREFETCHED_BYTES
        for chunk in self._database["fs.chunks"].find({"files_id": {"$in": list(keys)}, "n": 0}):
            data = chunk.get("data")
            if isinstance(data, bytes) and len(data) <= left:
                left -= len(data)
                yield chunk["files_id"], bytes(data)

    def _describe(self, document: Mapping[str, Any], held: bytes | None) -> SourceFile:
        ours = mapping(document.get("cloister"))
        digest = ours.get("sha256") or ours.get("digest")
        kind = document.get("contentType")

        def open_file() -> AbstractContextManager[Readable]:
            if held is not None and len(held) == _length(document):
                return contextlib.nullcontext(io.BytesIO(held))
            return contextlib.nullcontext(Blob(self._database["fs.chunks"], document))

        return SourceFile(
            filename=str(document.get("filename") or ""),
            size=_length(document),
            content_type=kind if isinstance(kind, str) else None,
            stored_at=aware(document.get("uploadDate")),
            open=open_file,
            sha256=digest if isinstance(digest, str) else None,
        )


def _missing(ref: FileRef) -> str:
    return f"the database holds no file {ref!s:.100}"


def _resource_pairs(document: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    found = document.get("resources")
    return [
        (str(pair[0]), str(pair[1]) if isinstance(pair[1], str) else None)  # BSON's code is a str, and no key
        for pair in (found if isinstance(found, list) else [])
        if isinstance(pair, list) and len(pair) >= 2 and isinstance(pair[0], str)
    ]


def readable(database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """The same database, whose documents are read whatever dates and texts are in them."""
    from bson.codec_options import CodecOptions, DatetimeConversion

    options: CodecOptions[dict[str, Any]] = CodecOptions(
        tz_aware=True,
        unicode_decode_error_handler="replace",
        datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        uuid_representation=database.codec_options.uuid_representation,
    )
    return with_collections(database.with_options(codec_options=options), collections_of(database))


def _age(head: RunHead) -> tuple[datetime, str]:
    return head.start_time or datetime.max.replace(tzinfo=timezone.utc), format_run_id(head.id)


def _length(document: Mapping[str, Any]) -> int:
    length = document.get("length")
    return int(length) if isinstance(length, (int, float)) and 0 <= length < 2**53 else 0


__all__ = ["SHA256", "MongoSource", "readable"]
