"""Uploading a blob: chunks under an id that follows from the bytes, so that whoever goes on finds what is there."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .blobs import CHUNK_BYTES, READ_BYTES, SHA256, Digests, find_blob
from .errors import CloisterError
from .retention.file_claims import PURGE_MARK, call_purge_off

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database
    from pymongo.errors import BulkWriteError

logger = logging.getLogger("cloister")

BATCH_CHUNKS = 16  # 4 MiB: PyMongo's own writer gathers 100 MB before it sends
ORPHANED_AFTER = timedelta(days=2)  # a training that was killed on Friday evening is synced on Monday or starts over
UPLOADS = "uploads"  # {_id: file id, sha256, size, at, verified}: uploads that have begun and not ended
MARK_SECONDS = 60.0
CHUNKS_SWEPT_AT_ONCE = 1_000
_DUPLICATE = 11000


class DigestMismatch(CloisterError, OSError):
    """The copy of a file is not any more what was recorded."""

    def __init__(self, path: Path, filename: str) -> None:
        super().__init__(
            f"The journal's copy of {filename!r} ({path}) has changed since it was recorded, so its bytes are not "
            "stored. Something wrote into the data folder, or its disk is failing."
        )


@dataclass(frozen=True)
class BlobSource:
    """A file to be stored: a copy that nobody writes any more, and what it holds."""

    path: Path
    digests: Digests
    filename: str
    content_type: str | None
    metadata: Mapping[str, Any] | None = None  # as Sacred's readers find it beside the file
    encryption: Mapping[str, Any] | None = None  # by which key and how its bytes are encrypted, if they are

    @property
    def file_id(self) -> ObjectId:
        """The id under which these bytes are stored, whoever stores them."""
        from bson import ObjectId

        return ObjectId(self.digests.sha256[:24])

    def names(self) -> tuple[str, Path]:
        return self.filename, self.path


class BlobUpload:
    """Stores one file, in one go or in slices of time.

    All writers of the same bytes write the same chunks under the same id: each may die at any moment, and several may
    be at it at once. The chunks become a file by one insert at the end, when all of them are there.
    """

    def __init__(self, database: Database[dict[str, Any]], source: BlobSource) -> None:
        self._database = database
        self._source = source
        self._path, self.digests, self.filename = source.path, source.digests, source.filename
        self.file_id = source.file_id
        self.is_over = False
        self.stored_bytes = 0
        self._steps: Iterator[Any] = self._work()
        self._result: Any = None

    def advance(self, seconds: float | None = None) -> Any:
        """Go on, for about so long, or to the end.

        Returns:
            The stored file's id once `is_over`, None before.

        Raises:
            FileNotFoundError: there is no file to read.
            DigestMismatch: the file is not what it was.
            pymongo.errors.PyMongoError: the database fails; another upload of the same bytes goes on from there.
        """
        until = None if seconds is None else time.monotonic() + seconds
        for _ in self._steps:
            if until is not None and time.monotonic() >= until:
                return None
        self.is_over = True
        return self._result

    def _work(self) -> Iterator[None]:
        self._result = find_claimed_blob(self._database, self.digests.sha256)
        if self._result is not None:
            _unmark(self._database, [self._source])
            return
        facts = self._path.stat()
        seen = f"{os.uname().nodename} {facts.st_dev} {facts.st_ino} {facts.st_mtime_ns} {facts.st_size}"
        mark = self._database[UPLOADS].find_one({"_id": self.file_id}, {"verified": 1}) or {}
        if mark.get("verified") != seen:  # a courier that was killed has read this very copy
            yield from self._verify()
        _mark(self._database, [self._source])
        self._database[UPLOADS].update_one({"_id": self.file_id}, {"$set": {"verified": seen}})
        missing = self._first_missing()
        while missing is not None:
            yield from self._send_from(missing)
            missing = self._first_missing()
            if missing is not None and self._path.stat().st_size != self.digests.size:
                raise DigestMismatch(self._path, self.filename)  # cut since it was read
        self._result = self._become_a_file()

    def _verify(self) -> Iterator[None]:
        """Read the whole copy first: half of another file among the chunks would spoil them for all writers."""
        digest, size = hashlib.sha256(), 0
        with self._path.open("rb") as source:
            while piece := source.read(READ_BYTES):
                digest.update(piece)
                size += len(piece)
                yield
        if (digest.hexdigest(), size) != (self.digests.sha256, self.digests.size):
            raise DigestMismatch(self._path, self.filename)

    def _send_from(self, number: int) -> Iterator[None]:
        marked = time.monotonic()
        with self._path.open("rb") as source:
            source.seek(number * CHUNK_BYTES)
            while piece := source.read(CHUNK_BYTES * BATCH_CHUNKS):
                parts = [piece[start : start + CHUNK_BYTES] for start in range(0, len(piece), CHUNK_BYTES)]
                chunks = [{"files_id": self.file_id, "n": number + at, "data": part} for at, part in enumerate(parts)]
                _insert_new(self._database, "fs.chunks", chunks)
                number += len(chunks)
                self.stored_bytes = min(number * CHUNK_BYTES, self.digests.size)
                if time.monotonic() - marked > MARK_SECONDS:
                    marked = time.monotonic()
                    _mark(self._database, [self._source])
                yield

    def _first_missing(self) -> int | None:
        """The first chunk that is not stored, None if all are. Answered from the index alone."""
        total = -(-self.digests.size // CHUNK_BYTES)
        chunks, ours = self._database["fs.chunks"], {"files_id": self.file_id, "n": {"$lt": total}}
        if chunks.count_documents(ours) == total:
            return None
        expected = 0
        for chunk in chunks.find(ours, {"_id": 0, "n": 1}).sort("n", 1):
            if chunk["n"] != expected:
                break
            expected += 1
        self.stored_bytes = min(expected * CHUNK_BYTES, self.digests.size)
        return expected

    def _become_a_file(self) -> Any:
        from pymongo.errors import DuplicateKeyError

        try:
            self._database["fs.files"].insert_one(_file_document(self._source))
        except DuplicateKeyError:  # another writer of the same bytes was faster
            winner = find_blob(self._database, self._source.digests.sha256)
            if winner != self.file_id:
                self._database["fs.chunks"].delete_many({"files_id": self.file_id})
            _unmark(self._database, [self._source])
            return winner
        _unmark(self._database, [self._source])
        return self.file_id


def store_small_blobs(database: Database[dict[str, Any]], sources: Sequence[BlobSource]) -> dict[str, Any]:
    """Store files of a few chunks each, all of them in a handful of round trips: a snapshot has hundreds.

    Returns:
        The id of each stored file by its SHA-256. Those without a copy, or with a changed one, are left out.
    """
    wanted = {source.digests.sha256: source for source in sources}
    stored = _find_blobs(database, list(wanted))
    _unmark(database, [source for digest, source in wanted.items() if digest in stored])
    fresh = [source for digest, source in wanted.items() if digest not in stored]
    for group in _groups(fresh):
        _store_group(database, group)
    stored.update(_find_blobs(database, [source.digests.sha256 for source in fresh]))
    return stored


def _store_group(database: Database[dict[str, Any]], group: Sequence[BlobSource]) -> None:
    chunks, whole = [], []
    for source in group:
        try:
            data = source.path.read_bytes()
        except FileNotFoundError:  # somebody cleared the journal folder; the run still names the bytes by digest
            logger.warning("The journal's copy of %r (%s) is gone; its bytes are not stored.", *source.names())
            continue
        if hashlib.sha256(data).hexdigest() != source.digests.sha256:
            logger.warning("%s", DigestMismatch(source.path, source.filename))
            continue
        whole.append(source)
        chunks += [
            {"files_id": source.file_id, "n": number, "data": data[start : start + CHUNK_BYTES]}
            for number, start in enumerate(range(0, len(data), CHUNK_BYTES))
        ]
    _mark(database, whole)
    _insert_new(database, "fs.chunks", chunks)
    _insert_new(database, "fs.files", [_file_document(source) for source in whole])
    _unmark(database, whole)


def _mark(database: Database[dict[str, Any]], sources: Sequence[BlobSource]) -> None:
    """Note that these uploads are at work, so that no sweep takes their chunks. A sweep that has begun is finished."""
    from pymongo import UpdateOne
    from pymongo.errors import BulkWriteError

    now = datetime.now(timezone.utc)
    left = [
        UpdateOne(
            {"_id": source.file_id, "sweeping": {"$exists": False}},
            {"$set": {"at": now}, "$setOnInsert": {"sha256": source.digests.sha256, "size": source.digests.size}},
            upsert=True,
        )
        for source in sources
    ]
    while left:
        try:
            database[UPLOADS].bulk_write(left, ordered=False)
            return
        except BulkWriteError as error:
            refused = _refused_as_known(error)
            for entry in refused:
                _sweep(database, sources[entry["index"]].file_id)
            sources = [sources[entry["index"]] for entry in refused]
            left = [left[entry["index"]] for entry in refused]


def _unmark(database: Database[dict[str, Any]], sources: Sequence[BlobSource]) -> None:
    """Take back the marks of files that are whole: also of those whose last writer could not, or died before it did."""
    if sources:
        database[UPLOADS].delete_many({"_id": {"$in": [source.file_id for source in sources]}})


def _insert_new(database: Database[dict[str, Any]], collection: str, documents: list[dict[str, Any]]) -> None:
    """Insert those that are not there: what is there under the same key is the same."""
    from pymongo.errors import BulkWriteError

    if not documents:
        return
    try:
        database[collection].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        _refused_as_known(error)


def _refused_as_known(error: BulkWriteError) -> list[dict[str, Any]]:
    """What was refused because it is there already; raises `error` if anything else went wrong."""
    refused = error.details.get("writeErrors") or []
    if not refused or error.details.get("writeConcernErrors") or any(entry["code"] != _DUPLICATE for entry in refused):
        raise error
    return list(refused)


def find_claimed_blob(database: Database[dict[str, Any]], sha256: str) -> Any:
    """The id of the stored file with this digest, or None; for whoever has claimed it, so that no purge takes it."""
    return _find_blobs(database, [sha256]).get(sha256)


def _find_blobs(database: Database[dict[str, Any]], digests: list[str]) -> dict[str, Any]:
    """The ids of the stored files among these, which the caller has claimed: a purge that has marked one lets it go."""
    while digests:
        found = list(database["fs.files"].find({SHA256: {"$in": digests}}, {SHA256: 1, PURGE_MARK: 1}))
        marked = [document["_id"] for document in found if "purge" in document["cloister"]]
        if not marked:
            return {document["cloister"]["sha256"]: document["_id"] for document in found}
        call_purge_off(database, marked)
    return {}


def _groups(sources: Sequence[BlobSource]) -> Iterator[list[BlobSource]]:
    group: list[BlobSource] = []
    size = 0
    for source in sources:
        if group and size + source.digests.size > BATCH_CHUNKS * CHUNK_BYTES:
            yield group
            group, size = [], 0
        group.append(source)
        size += source.digests.size
    if group:
        yield group


def _file_document(source: BlobSource) -> dict[str, Any]:
    return {
        "_id": source.file_id,
        "filename": source.filename,
        "length": source.digests.size,
        "chunkSize": CHUNK_BYTES,
        "uploadDate": datetime.now(timezone.utc),
        "md5": source.digests.md5,
        "contentType": source.content_type,
        **({"metadata": dict(source.metadata)} if source.metadata else {}),
        "cloister": {
            "sha256": source.digests.sha256,
            **({"encryption": dict(source.encryption)} if source.encryption else {}),
        },
    }


def sweep_uploads(database: Database[dict[str, Any]], orphaned_after: timedelta = ORPHANED_AFTER) -> int:
    """Delete the chunks of uploads that nobody has gone on with for so long; files that are whole are never touched.

    Returns:
        How many uploads were swept.
    """
    swept = 0
    limit = datetime.now(timezone.utc) - orphaned_after
    for mark in list(database[UPLOADS].find({"at": {"$lt": limit}})):
        # Claimed under the time that was read: an upload that goes on in this moment keeps its chunks.
        claimed = database[UPLOADS].update_one({"_id": mark["_id"], "at": mark["at"]}, {"$set": {"sweeping": True}})
        if claimed.matched_count:
            _sweep(database, mark["_id"])
            swept += 1
    return swept


def _sweep(database: Database[dict[str, Any]], file_id: ObjectId) -> None:
    if database["fs.files"].find_one({"_id": file_id}, {"_id": 1}) is None:
        sweep_chunks(database, file_id)
    database[UPLOADS].delete_one({"_id": file_id, "sweeping": True})


def sweep_chunks(database: Database[dict[str, Any]], file_id: Any) -> list[Any]:
    """Delete the chunks of an upload that is marked as being swept, by their own ids; returns these.

    Who uploads the same bytes sweeps first, takes the mark away and then stores chunks of its own. While the mark
    stands, what was listed before is old; once it does not, somebody else has deleted it.
    """
    chunks = database["fs.chunks"]
    listed = [chunk["_id"] for chunk in chunks.find({"files_id": file_id}, {"_id": 1})]
    if database[UPLOADS].find_one({"_id": file_id, "sweeping": True}, {"_id": 1}) is None:
        return []
    for start in range(0, len(listed), CHUNKS_SWEPT_AT_ONCE):
        chunks.delete_many({"_id": {"$in": listed[start : start + CHUNKS_SWEPT_AT_ONCE]}})
    return listed
