"""What only GridFS knows of files that Sacred's runs name: size, content type, when they were stored, by which MD5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .run_files import ArtifactEntry, ResourceEntry, SourceEntry

if TYPE_CHECKING:
    from pymongo.database import Database

    from .run_record import RunRecord

FILES_LIMIT = 5_000  # of one run
_FIELDS = {"length": 1, "contentType": 1, "uploadDate": 1, "md5": 1, "filename": 1, "cloister.sha256": 1}


def fill_files(database: Database[dict[str, Any]], run: RunRecord) -> RunRecord:
    """The run with what GridFS knows of its files, where its own document says less."""
    named: list[ArtifactEntry | SourceEntry] = [*run.artifacts, *run.sources]
    files = _find(database, [each.file_id for each in named if each.size is None and each.file_id is not None])
    return replace(
        run,
        artifacts=tuple(_with_artifact_facts(each, files.get(_key(each.file_id))) for each in run.artifacts),
        sources=tuple(_with_source_facts(each, files.get(_key(each.file_id))) for each in run.sources),
        resources=_with_bytes(database, run.resources),
    )


def _find(database: Database[dict[str, Any]], ids: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    wanted = [given for each in ids[:FILES_LIMIT] for given in spellings(each)]
    if not wanted:
        return {}
    return {_key(each["_id"]): each for each in database["fs.files"].find({"_id": {"$in": wanted}}, _FIELDS)}


def spellings(file_id: Any) -> list[Any]:
    """The ids that a run may mean: some writers keep an ObjectId as its text."""
    from bson import ObjectId

    if isinstance(file_id, str) and len(file_id) == 24 and ObjectId.is_valid(file_id):
        return [file_id, ObjectId(file_id)]
    return [] if isinstance(file_id, (dict, list)) else [file_id]


def _key(file_id: Any) -> str:
    return str(file_id)


def _with_artifact_facts(entry: ArtifactEntry, stored: Mapping[str, Any] | None) -> ArtifactEntry:
    if stored is None:
        return entry
    kind = stored.get("contentType")
    return replace(
        entry,
        sha256=entry.sha256 or _digest(stored),
        size=_size(stored) if entry.size is None else entry.size,
        content_type=entry.content_type or (kind if isinstance(kind, str) and kind else None),
        logged_at=entry.logged_at or _time(stored.get("uploadDate")),
    )


def _with_source_facts(entry: SourceEntry, stored: Mapping[str, Any] | None) -> SourceEntry:
    if stored is None:
        return entry
    return replace(
        entry, sha256=entry.sha256 or _digest(stored), size=_size(stored) if entry.size is None else entry.size
    )


def _with_bytes(database: Database[dict[str, Any]], resources: tuple[ResourceEntry, ...]) -> tuple[ResourceEntry, ...]:
    """Sacred until 0.8.2 stored resources under their path; one with the same MD5 is the file that the run read."""
    paths = [each.path for each in resources if each.file_id is None and each.md5][:FILES_LIMIT]
    if not paths:
        return resources
    stored = {
        (each["filename"], each["md5"]): each
        for each in database["fs.files"].find({"filename": {"$in": paths}, "md5": {"$type": "string"}}, _FIELDS)
        if type(each["filename"]) is type(each["md5"]) is str  # a list of texts is found too
    }
    found = [stored.get((each.path, each.md5 or "")) if each.file_id is None else None for each in resources]
    return tuple(
        entry if file is None else replace(entry, file_id=file["_id"], size=_size(file))
        for entry, file in zip(resources, found, strict=True)
    )


def _digest(stored: Mapping[str, Any]) -> str | None:
    ours = stored.get("cloister")
    digest = ours.get("sha256") if isinstance(ours, Mapping) else None
    return digest if isinstance(digest, str) else None


def _size(stored: Mapping[str, Any]) -> int | None:
    length = stored.get("length")
    return int(length) if isinstance(length, (int, float)) and 0 <= length < 2**63 else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
