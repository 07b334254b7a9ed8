"""Shipping the files of one run: small ones at once, large ones beside everything else, a little at a time."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .blob_upload import BlobSource, BlobUpload, DigestMismatch, store_small_blobs
from .blobs import Digests, find_blob
from .content_types import content_type_of
from .encryption.run_sealing import SEALED
from .journal_records import JournalRecord
from .journal_segments import BLOBS_FOLDER
from .retention.file_claims import claim, new_key, release
from .run_losses import RunLosses
from .run_record import LOST_ARTIFACTS, UPLOADS
from .run_update import RunUpdate, as_date

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

AT_ONCE_BYTES = 4 * 1024 * 1024  # a larger file would hold up the points and signs of life of every run here
SLICE_SECONDS = 0.25


class FileShipper:
    """Stores the files that a run's journal names, from the copies beside the journal.

    A large file is first noted in the run, under `cloister.uploads`, so that its record counts as applied; its bytes
    follow in slices, and then the note becomes an artifact. Its segment and its copy stay until then.
    """

    def __init__(
        self, database: Database[dict[str, Any]], run: dict[str, Any], folders: Sequence[Path], losses: RunLosses
    ) -> None:
        """
        Args:
            losses: where files are counted whose copies are gone or spoilt.
        """
        self._database = database
        self._runs, self._run_id = database["runs"].name, run["_id"]
        self._folders = folders
        self._losses = losses
        self._waiting: dict[str, dict[str, Any]] = {
            note["from"]: dict(note) for note in run["cloister"].get("uploads") or []
        }
        self._small: list[dict[str, Any]] = []
        self._claim, self._has_claimed = new_key(str(run["cloister"].get("uid"))), False
        self._current: tuple[str, BlobUpload] | None = None

    def take(self, segment: int, record: JournalRecord, update: RunUpdate) -> None:
        """Add a file to those that `store` stores; of a large one, only have `update` note it."""
        fields = record.fields
        note: dict[str, Any] = {
            # The same name and bytes may be logged twice; each has its own place in the journal, a replay the same.
            "from": f"{segment:016x}:{record.sequence}",
            "kind": record.kind,
            "fields": {name: value for name, value in fields.items() if value is not None},
            "logged_at": as_date(record.time),
        }
        if fields.get("kept") is False:  # counted as lost when it was recorded; its digests are known all the same
            _enter(update, note, None)
        elif fields["size"] > AT_ONCE_BYTES:
            self._waiting[note["from"]] = note
            update.append(UPLOADS, note)
        else:
            self._small.append(note)

    def store(self, update: RunUpdate) -> None:
        """Store the small files that were taken, and have `update` name them."""
        notes, self._small = self._small, []
        if notes:
            # Others may have stored them before: no purge may delete them until this run names them.
            self._has_claimed = True
            claim(self._database, self._claim, [note["fields"]["sha256"] for note in notes])
            stored = store_small_blobs(self._database, [self._source(note) for note in notes])
            for note in notes:
                self._enter(update, note, stored.get(note["fields"]["sha256"]))

    def release_claim(self) -> None:
        """What was claimed is named by the run's document now, or is looked for once more."""
        if self._has_claimed:
            release(self._database, self._claim)
            self._has_claimed = False

    def is_waiting(self, segment: int) -> bool:
        """Whether files of this segment are still to be stored."""
        return any(key.startswith(f"{segment:016x}:") for key in self._waiting)

    def left_bytes(self, segments: Sequence[int]) -> int:
        """How much of the files of these segments is not stored yet."""
        ours = tuple(f"{segment:016x}:" for segment in segments)
        left: int = sum(note["fields"]["size"] for key, note in self._waiting.items() if key.startswith(ours))
        return left - (self._current[1].stored_bytes if self._current is not None else 0)

    def advance(self, segments: Sequence[int], seconds: float) -> RunUpdate | None:
        """Go on with the oldest waiting file of `segments` for a moment.

        Args:
            segments: those that are at hand; the files of others lie on another machine.
            seconds: how long about.

        Returns:
            What the run has once a file is stored; None while there is nothing to say.
        """
        ours = tuple(f"{segment:016x}:" for segment in segments)
        keys = sorted(key for key in self._waiting if key.startswith(ours))
        if not keys:
            return None
        key = keys[0]
        note = self._waiting[key]
        if self._current is None or self._current[0] != key:
            self._current = (key, BlobUpload(self._database, self._source(note)))
        upload = self._current[1]
        file_id = self._go_on(upload, seconds)
        if not upload.is_over:
            return None
        self._current = None
        del self._waiting[key]
        update = RunUpdate()
        self._enter(update, note, file_id)
        update.remove(UPLOADS, {"from": key})
        return update

    def remove_copies(self, stored_digests: Iterable[str]) -> None:
        """Remove the copies of stored files, those excepted that wait under another name."""
        waiting = {note["fields"]["sha256"] for note in self._waiting.values()}
        for digest in set(stored_digests) - waiting:
            for folder in self._folders:
                with contextlib.suppress(OSError):  # gone already, or on a stick that cannot be written
                    (folder / BLOBS_FOLDER / digest).unlink()

    def _source(self, note: Mapping[str, Any]) -> BlobSource:
        fields = note["fields"]
        digests = Digests(fields["sha256"], fields["md5"], fields["size"])
        filename = fields.get("name") or fields.get("path") or ""
        if note["kind"] == "artifact":  # as Sacred calls it: Incense saves it under the last two parts
            filename = f"artifact://{self._runs}/{self._run_id}/{filename}"
        copy, metadata = self._copy(digests.sha256), fields.get("metadata")
        # A file of the code may be an artifact as well, and is stored once: Incense goes by the type that it finds.
        content_type = fields.get("content_type") or content_type_of(filename)
        return BlobSource(copy, digests, filename, content_type, metadata, fields.get("encryption"))

    def _go_on(self, upload: BlobUpload, seconds: float) -> Any:
        try:
            return upload.advance(seconds)
        except FileNotFoundError:
            upload.is_over = True
            stored = find_blob(self._database, upload.digests.sha256)
            if stored is not None:  # by another shipper of this run, who has cleared the copy since we looked
                return stored
            # Somebody cleared the journal folder; the entry still names the bytes by digest.
            logger.warning("The journal's copy of %r is gone; its bytes are not stored.", upload.filename)
        except DigestMismatch as error:
            logger.warning("%s", error)
        upload.is_over = True
        return None

    def _enter(self, update: RunUpdate, note: Mapping[str, Any], file_id: Any) -> None:
        if file_id is None:
            self._losses.note_missing_file(note["fields"]["size"])
        _enter(update, note, file_id)

    def _copy(self, sha256: str) -> Path:
        paths = [folder / BLOBS_FOLDER / sha256 for folder in self._folders]
        return next((path for path in paths if path.exists()), Path(BLOBS_FOLDER) / sha256)


def _enter(update: RunUpdate, note: Mapping[str, Any], file_id: Any) -> None:
    """What the run's document says of a file, by the kind of its record."""
    fields = note["fields"]
    update.stored_digests.append(fields["sha256"])
    known = {"sha256": fields["sha256"], "size": fields["size"], "file_id": file_id}
    known.update({name: fields[name] for name in ("encryption", SEALED) if name in fields})
    if note["kind"] == "attach":
        update.set(fields["field"], file_id)
    elif note["kind"] == "resource":
        update.append("cloister.resources", {"path": fields["path"], **known, "md5": fields["md5"]})
        update.append("resources", [fields["path"], fields["md5"]])
    elif note["kind"] == "source":
        update.append("cloister.sources", {"path": fields["path"], **known})
        if file_id is not None:
            update.append("experiment.sources", [fields["path"], file_id])
    else:
        entry = {
            "name": fields["name"],
            **known,
            "content_type": fields.get("content_type"),
            "logged_at": note["logged_at"],
            "from": note["from"],
        }
        if fields.get("metadata"):
            entry["metadata"] = fields["metadata"]
        # Sacred's readers open every file that is named: over one that is not there Omniboard's server ends.
        update.append("artifacts" if file_id is not None else LOST_ARTIFACTS, entry)
