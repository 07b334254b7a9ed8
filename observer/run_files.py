"""Files that a run's document names: artifacts, sources, resources. Ours with all that is known, Sacred's as pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .foreign_runs import mapping, read_pair, sequence, text

if TYPE_CHECKING:
    from .run_record import RunRecord


@dataclass(frozen=True)
class ArtifactEntry:
    """A file that the run made. `file_id` opens its bytes; the other fields are None where another tool wrote it."""

    name: str
    file_id: Any
    sha256: str | None
    size: int | None
    content_type: str | None
    logged_at: datetime | None


@dataclass(frozen=True)
class SourceEntry:
    """A file of the run's code, by its path relative to the project's root."""

    path: str
    file_id: Any
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class ResourceEntry:
    """A file that the run read. `file_id` opens its bytes; None where they were not stored, as Sacred since 0.8.3."""

    path: str
    md5: str | None
    file_id: Any
    size: int | None


def read_artifact(entry: Any) -> ArtifactEntry:
    name, file_id = read_pair(entry) or ("", None if isinstance(entry, (Mapping, list)) else entry)
    fields = mapping(entry)
    return ArtifactEntry(
        name=name,
        file_id=file_id,
        sha256=text(fields.get("sha256")) or None,
        size=_int(fields.get("size")) if "size" in fields else None,
        content_type=text(fields.get("content_type")) or None,
        logged_at=_time(fields.get("logged_at")),
    )


def read_sources(ours: Mapping[str, Any], experiment: Mapping[str, Any]) -> tuple[SourceEntry, ...]:
    entries = [mapping(entry) for entry in sequence(ours.get("sources"))]
    if entries:
        return tuple(
            SourceEntry(
                text(entry.get("path")), entry.get("file_id"), text(entry.get("sha256")), _int(entry.get("size"))
            )
            for entry in entries
        )
    pairs = (read_pair(entry) for entry in sequence(experiment.get("sources")))
    return tuple(SourceEntry(pair[0], pair[1], None, None) for pair in pairs if pair)


def read_resources(ours: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[ResourceEntry]:
    """Ours with their bytes, then those that only Sacred's list has."""
    known: set[tuple[str, str]] = set()
    for entry in map(mapping, sequence(ours.get("resources"))):
        path, md5 = text(entry.get("path")), text(entry.get("md5"))
        known.add((path, md5))
        yield ResourceEntry(path, md5 or None, entry.get("file_id"), _int(entry.get("size")) or None)
    for entry in sequence(document.get("resources")):
        pair = (text(entry), None) if isinstance(entry, str) else read_pair(entry)
        if pair and (pair[0], text(pair[1])) not in known:
            known.add((pair[0], text(pair[1])))
            yield ResourceEntry(pair[0], text(pair[1]) or None, None, None)


def named_files(run: RunRecord) -> Iterator[Any]:
    """The ids of all files that a run names."""
    named: tuple[ArtifactEntry | SourceEntry | ResourceEntry, ...] = (*run.artifacts, *run.sources, *run.resources)
    for entry in named:
        if entry.file_id is not None:
            yield entry.file_id
    if run.git.get("diff_file") is not None:
        yield run.git["diff_file"]


def _int(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and value == value and abs(value) < 2**63 else 0


def _time(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
