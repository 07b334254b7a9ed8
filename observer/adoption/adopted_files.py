"""The files of adopted runs: known by their SHA-256 where they lie, or copied, each once however often it is stored."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..blob_upload import BlobSource, BlobUpload, find_claimed_blob, store_small_blobs
from ..blobs import SHA256, DamagedBlob, Digests, digest_stream
from ..foreign_files import spellings
from .folder_files import RefusedPath
from .run_source import FileRef, RunSource, SourceFile

if TYPE_CHECKING:
    from pymongo.database import Database

    from .prepared_run import PreparedRun

AT_ONCE_BYTES = 4 * 1024 * 1024  # larger files are uploaded by themselves
HELD_BYTES = 32 * 1024 * 1024  # of small ones in the temporary folder
DIGEST = "cloister.digest"  # of a file whose bytes are stored once more: only one can have `cloister.sha256`
SAME_AS = "cloister.same_as"


@dataclass(frozen=True)
class AdoptedFile:
    """A file as a run's document is to name it. `sha256` is None where its bytes cannot be read."""

    file_id: Any
    sha256: str | None
    size: int
    content_type: str | None
    stored_at: datetime | None


class FileAdopter(ABC):
    """Gives each file that runs name its digest, and a place. Remembers what it has seen: runs share sources."""

    def __init__(self, source: RunSource, database: Database[dict[str, Any]], on_bytes: Callable[[int], None]) -> None:
        """
        Args:
            on_bytes: is told how much was read.
        """
        self._source = source
        self._database = database
        self._on_bytes = on_bytes
        self._known: dict[FileRef, AdoptedFile] = {}

    def adopt(self, runs: Iterable[PreparedRun]) -> dict[FileRef, AdoptedFile]:
        """Adopt the files that runs name; a run is told of each of its own that cannot be had."""
        wanted = [(ref, run) for run in runs for ref in run.file_refs()]
        fresh = list(dict.fromkeys(ref for ref, _ in wanted if ref not in self._known))
        described = self._source.files(fresh) if fresh else {}
        found = {ref: file for ref, file in described.items() if not isinstance(file, str)}
        reasons = {ref: reason for ref, reason in described.items() if isinstance(reason, str)}
        adopted, damaged = self._store(found)
        self._known.update(adopted)
        reasons |= damaged
        for ref, run in wanted:
            if ref in reasons:
                run.oddities.append(reasons[ref])
        return {ref: self._known[ref] for ref, _ in wanted if ref in self._known}

    @abstractmethod
    def _store(self, files: Mapping[FileRef, SourceFile]) -> tuple[dict[FileRef, AdoptedFile], dict[FileRef, str]]:
        """Give each file its digest and a place; also what is wrong with those that have none."""

    def _digests(self, file: SourceFile, copy_to: BinaryIO | None = None) -> Digests:
        """
        Raises:
            DamagedBlob, RefusedPath: its bytes cannot be read.
        """
        with file.open() as stream:
            digests = digest_stream(cast("BinaryIO", stream), copy_to)
        self._on_bytes(digests.size)
        return digests


class FilesInPlace(FileAdopter):
    """For an upgrade in place: the files stay where Sacred put them, and learn their SHA-256."""

    def _store(self, files: Mapping[FileRef, SourceFile]) -> tuple[dict[FileRef, AdoptedFile], dict[FileRef, str]]:
        adopted: dict[FileRef, AdoptedFile] = {}
        damaged: dict[FileRef, str] = {}
        learned: dict[FileRef, Digests] = {}
        for ref, file in files.items():
            digest = file.sha256
            if digest is None:
                try:
                    learned[ref] = self._digests(file)
                    digest = learned[ref].sha256
                except (DamagedBlob, OSError) as error:
                    damaged[ref] = str(error)
            adopted[ref] = AdoptedFile(ref, digest, file.size, file.content_type, file.stored_at)
        self._note(learned)
        return adopted, damaged

    def _note(self, learned: Mapping[FileRef, Digests]) -> None:
        """Note digests in `fs.files`: of equal files the first is the blob, the others say so."""
        from pymongo import UpdateOne
        from pymongo.errors import BulkWriteError

        if not learned:
            return
        files = self._database["fs.files"]
        digests = list({digests.sha256 for digests in learned.values()})
        first = {
            entry["cloister"]["sha256"]: entry["_id"] for entry in files.find({SHA256: {"$in": digests}}, {SHA256: 1})
        }
        writes = []
        for ref, known in learned.items():
            fields: dict[str, Any] = {SHA256: known.sha256}
            if first.setdefault(known.sha256, ref) != ref:
                fields = {DIGEST: known.sha256, SAME_AS: first[known.sha256]}
            named = {"_id": {"$in": spellings(ref)}}
            writes.append(UpdateOne(named, {"$set": fields}))
            # With it Sacred finds the file again, and stores it no more with every run.
            writes.append(UpdateOne({**named, "md5": {"$exists": False}}, {"$set": {"md5": known.md5}}))
        try:
            files.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            if {entry.get("code") for entry in error.details.get("writeErrors") or []} != {_DUPLICATE}:
                raise
            self._note(learned)  # somebody has stored the same bytes in this moment: now it is found


class FilesCopied(FileAdopter):
    """For a copy: bytes that the destination does not have yet are stored there."""

    def _store(self, files: Mapping[FileRef, SourceFile]) -> tuple[dict[FileRef, AdoptedFile], dict[FileRef, str]]:
        adopted: dict[FileRef, AdoptedFile] = {}
        damaged: dict[FileRef, str] = {}
        left = dict(files)
        while left:
            group: dict[FileRef, SourceFile] = {}
            while left and sum(file.size for file in group.values()) < HELD_BYTES:
                ref = next(iter(left))
                group[ref] = left.pop(ref)
            with tempfile.TemporaryDirectory(prefix="cloister-adopt-") as folder:
                self._store_group(Path(folder), group, adopted, damaged)
        return adopted, damaged

    def _store_group(
        self,
        folder: Path,
        group: Mapping[FileRef, SourceFile],
        adopted: dict[FileRef, AdoptedFile],
        damaged: dict[FileRef, str],
    ) -> None:
        sources: dict[FileRef, BlobSource] = {}
        stored: dict[str, Any] = {}
        for number, (ref, file) in enumerate(group.items()):
            if file.sha256 is not None and (blob := find_claimed_blob(self._database, file.sha256)) is not None:
                stored[file.sha256] = blob
                adopted[ref] = AdoptedFile(blob, file.sha256, file.size, file.content_type, file.stored_at)
                continue
            try:
                with (folder / str(number)).open("wb") as copy:
                    digests = self._digests(file, copy)
            except (DamagedBlob, RefusedPath) as error:
                damaged[ref] = str(error)
                continue
            sources[ref] = BlobSource(folder / str(number), digests, file.filename, file.content_type)
        stored.update(self._upload(list(sources.values())))
        for ref, source in sources.items():
            file, digests = group[ref], source.digests
            blob = stored.get(digests.sha256)
            adopted[ref] = AdoptedFile(blob, digests.sha256, digests.size, file.content_type, file.stored_at)

    def _upload(self, sources: Sequence[BlobSource]) -> dict[str, Any]:
        small = [source for source in sources if source.digests.size <= AT_ONCE_BYTES]
        stored = store_small_blobs(self._database, small)
        for source in sources:
            if source.digests.sha256 not in stored:
                stored[source.digests.sha256] = BlobUpload(self._database, source).advance()
        return stored


_DUPLICATE = 11000
