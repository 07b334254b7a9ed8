"""The folder of Sacred's TinyDbObserver: metadata.json with all runs, and a store of files named by their MD5."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..foreign_runs import mapping, sequence
from .file_storage import describe_file
from .folder_documents import run_document
from .folder_files import Folder
from .json_files import UnreadableJson, load_json, load_json_file
from .run_identity import adopted_uid
from .run_source import FileRef, RunHead, SourceFile, SourceResource, SourceRun, beat_seconds, parse_moment

METADATA = "metadata.json"
STORE = "hashfs"
LIMIT_BYTES = 512 * 1024 * 1024
DEPTH_LIMIT = 90
_SERIALISED = re.compile(r"\{(Tiny(?:Date|File|Array|DataFrame|Series))\}:(.*)", re.DOTALL)
_DIGEST = re.compile(r"[0-9a-f]{32}")


def is_tiny_db(folder: Folder) -> bool:
    """Whether it has a metadata.json with a table of runs."""
    if not folder.has(METADATA):
        return False
    with folder.open(METADATA) as file:
        beginning = file.read(4096)
    return b'"runs"' in beginning or folder.is_folder(STORE)


class TinyDb:
    """The runs of a TinyDbObserver, which keeps no metrics."""

    kind = "tinydb"

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)
        self._runs: dict[str, dict[str, Any]] = {}  # by uid
        self._oddities: list[str] = []

    @property
    def label(self) -> str:
        return str(self._folder.path)

    def heads(self) -> list[RunHead]:
        """
        Raises:
            UnreadableJson, RefusedPath: metadata.json cannot be read.
        """
        self._runs, self._oddities = {}, []
        tables, note = load_json_file(self._folder, METADATA, LIMIT_BYTES)
        if note:
            self._oddities.append(note)
        table = mapping(tables).get("runs")
        if not isinstance(table, dict):
            raise UnreadableJson(f"{METADATA} has no runs")
        heads = []
        for number, entry in table.items():
            if not isinstance(entry, dict):
                self._oddities.append(f"Entry {number!r} of {METADATA} is left out: it is no run")
                continue
            whole = {**restored(entry, 0), "_id": entry.get("_id", number)}
            if adopted_uid(whole, self.label) in self._runs:
                self._oddities.append(f"Entry {number!r} of {METADATA} is left out: it has the id of another one")
                continue
            heads.append(self._head(whole))
        return sorted(heads, key=lambda head: head.start_time or datetime.max.replace(tzinfo=timezone.utc))

    def load(self, heads: Sequence[RunHead]) -> Iterator[tuple[RunHead, SourceRun | None]]:
        for head in heads:
            entry = self._runs.get(head.uid)
            yield head, None if entry is None else _source_run(head.id, entry)

    def files(self, refs: Iterable[FileRef]) -> dict[FileRef, SourceFile | str]:
        return {ref: describe_file(self._folder, str(ref)) for ref in refs}

    def oddities(self) -> list[str]:
        return self._oddities

    def _head(self, entry: dict[str, Any]) -> RunHead:
        uid = adopted_uid(entry, self.label)
        self._runs[uid] = entry
        seen = {name: entry.get(name) for name in ("status", "start_time", "heartbeat", "stop_time")}
        return RunHead(
            id=entry["_id"],
            uid=uid,
            status=str(entry.get("status") or ""),
            start_time=_moment(entry.get("start_time")),
            heartbeat=_moment(entry.get("heartbeat")),
            seen={name: _milliseconds(value) for name, value in seen.items()},
            beat_seconds=beat_seconds(entry),
        )


def restored(value: Any, depth: int) -> Any:
    """JSON in which tinydb's serialisers have put their texts: dates as dates, files as their MD5, tables as JSON."""
    if depth > DEPTH_LIMIT:
        return "<nested too deeply>"
    if isinstance(value, dict):
        return {key: restored(child, depth + 1) for key, child in value.items()}
    if isinstance(value, list):
        return [restored(child, depth + 1) for child in value]
    found = _SERIALISED.fullmatch(value) if isinstance(value, str) and value.startswith("{Tiny") else None
    if found is None:
        return value
    kind, text = found.groups()
    if kind == "TinyDate":
        return parse_moment(text) or text
    try:
        return load_json(text)
    except (ValueError, RecursionError):
        return text


def _source_run(run_id: Any, entry: Mapping[str, Any]) -> SourceRun:
    odd: list[str] = []
    captured = entry.get("captured_out")
    document = run_document(
        run_id, entry, entry.get("config"), entry.get("info"), captured if isinstance(captured, str) else ""
    )
    experiment = document["experiment"]
    experiment["sources"] = [
        [str(parts[0]), path] for parts in _tuples(experiment.get("sources"), 2) if (path := _stored(parts[1]))
    ]
    for parts in _tuples(entry.get("artifacts"), 3):  # name, path, MD5
        if path := _stored(parts[2]):
            document["artifacts"].append({"name": str(parts[0]), "file_id": path})
        else:
            odd.append(f"the artifact {str(parts[0])[:100]!r} names no file")
    resources = [
        SourceResource(str(parts[0]), parts[1] if _stored(parts[1]) else None, _stored(parts[1]))
        for parts in _tuples(entry.get("resources"), 2)
    ]
    document["resources"] = [[resource.path, resource.md5] for resource in resources]
    return SourceRun(document, [], resources, odd)


def _stored(digest: Any) -> str | None:
    """Where the store has the file of this MD5: three folders of two digits each."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return None
    return f"{STORE}/{digest[:2]}/{digest[2:4]}/{digest[4:6]}/{digest[6:]}"


def _tuples(value: Any, least: int) -> list[list[Any]]:
    return [entry for entry in sequence(value) if isinstance(entry, list) and len(entry) >= least]


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _milliseconds(value: Any) -> Any:
    """A date as MongoDB gives it back."""
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value if isinstance(value, str) else None
