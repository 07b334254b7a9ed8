"""The folder of Sacred's FileStorageObserver: a folder for each run, and the sources and resources that they share."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from ..foreign_runs import sequence
from .folder_documents import clean_text, run_document
from .folder_files import Folder, RefusedPath
from .json_files import METRICS_LIMIT_BYTES, UnreadableJson, load_json_file
from .run_identity import adopted_uid
from .run_source import (
    FileRef,
    RunHead,
    SourceFile,
    SourceMetric,
    SourceResource,
    SourceRun,
    beat_seconds,
    parse_moment,
)

RUN_FILE = "run.json"
_NUMBER = re.compile("0|[1-9][0-9]{0,17}", re.ASCII)
SOURCES, RESOURCES = "_sources", "_resources"
_MD5 = re.compile(r"_([0-9a-f]{32})(?:\.[^.]*)?$")
SOURCE_LIMIT_BYTES = 16 * 1024 * 1024
CONSOLE_LIMIT_BYTES = 256 * 1024 * 1024


def is_file_storage(folder: Folder) -> bool:
    """Whether it has the folder of at least one run, or is one."""
    return folder.has(RUN_FILE) or any(folder.child(name).has(RUN_FILE) for name in folder.names())


class FileStorage:
    """The runs of a FileStorageObserver. The folder of a single run may be given too."""

    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)
        self._alone: str | None = None
        if self._folder.has(RUN_FILE):
            path = Path(os.path.abspath(path))  # noqa: PTH100 a link in it is the user's own, and stays
            self._folder, self._alone = Folder(path.parent), path.name
        self._oddities: list[str] = []

    kind = "folder"

    @property
    def label(self) -> str:
        return str(self._folder.path / self._alone if self._alone else self._folder.path)

    def heads(self) -> list[RunHead]:
        self._oddities = []
        found = []
        for name in [self._alone] if self._alone else self._folder.names():
            if not self._folder.is_folder(name) or not self._folder.child(name).has(RUN_FILE):
                self._note_left_out(name)
                continue
            if clean_text(name) != name:
                self._oddities.append(f"The run in folder {name!r} is left out: that is no UTF-8. Rename the folder.")
                continue
            try:
                entry, _ = load_json_file(self._folder.child(name), RUN_FILE)
                found.append(self._head(name, entry if isinstance(entry, dict) else {}))
            except (UnreadableJson, RefusedPath) as error:
                self._oddities.append(f"The run in folder {name!r} is left out: {error}")
        return sorted(
            found, key=lambda head: (head.start_time or datetime.max.replace(tzinfo=timezone.utc), str(head.id))
        )

    def load(self, heads: Sequence[RunHead]) -> Iterator[tuple[RunHead, SourceRun | None]]:
        for head in heads:
            try:
                yield head, self._load(str(head.id))
            except (UnreadableJson, RefusedPath, FileNotFoundError):
                yield head, None

    def files(self, refs: Iterable[FileRef]) -> dict[FileRef, SourceFile | str]:
        return {ref: self._describe(str(ref)) for ref in refs}

    def oddities(self) -> list[str]:
        return self._oddities

    # ---- inside

    def _describe(self, relative: str) -> SourceFile | str:
        if self._alone and PurePosixPath(relative).parts[:1] not in ((self._alone,), (SOURCES,), (RESOURCES,)):
            # Only the run's folder was given: what else lies beside it is nobody's business.
            return str(RefusedPath(relative, "it leads out of the run's folder"))
        return describe_file(self._folder, relative)

    def _head(self, name: str, entry: Mapping[str, Any]) -> RunHead:
        seen = {field: entry.get(field) for field in ("status", "start_time", "heartbeat", "stop_time")}
        run_id = int(name) if _NUMBER.fullmatch(name) else name  # "007" is a name: there may be a 7 beside it
        facts = {**entry, "_id": run_id, "start_time": parse_moment(entry.get("start_time"))}
        return RunHead(
            id=run_id,
            uid=adopted_uid(facts, self._folder.path.name),
            status=str(entry.get("status") or ""),
            start_time=parse_moment(entry.get("start_time")),
            heartbeat=parse_moment(entry.get("heartbeat")),
            seen={field: value if isinstance(value, str) else None for field, value in seen.items()},
            beat_seconds=beat_seconds(entry),
        )

    def _load(self, name: str) -> SourceRun:
        folder = self._folder.child(name)
        odd: list[str] = []
        parts: dict[str, Any] = {}
        for part in (RUN_FILE, "config.json", "info.json", "metrics.json"):
            parts[part] = self._part(folder, part, odd)
        entry = parts[RUN_FILE]
        if not isinstance(entry, dict):
            raise UnreadableJson(f"{RUN_FILE} holds no run")
        run_id = self._head(name, entry).id
        document = run_document(run_id, entry, parts["config.json"], parts["info.json"], self._console(folder, odd))
        self._name_files(document, name, entry, odd)
        metrics = _metrics(parts["metrics.json"], odd)
        return SourceRun(document, metrics, _take_resources(document, entry), odd)

    def _part(self, folder: Folder, name: str, odd: list[str]) -> Any:
        if not folder.has(name) and not (folder.path / name).is_symlink():
            if name == "config.json":
                odd.append("it has no config.json")
            return {}
        try:
            limit = METRICS_LIMIT_BYTES if name == "metrics.json" else None
            value, note = load_json_file(folder, name, limit) if limit else load_json_file(folder, name)
        except (UnreadableJson, RefusedPath) as error:
            if name == RUN_FILE:
                raise
            odd.append(str(error))
            return {}
        if note:
            odd.append(note)
        return value

    def _console(self, folder: Folder, odd: list[str]) -> str:
        if not folder.has("cout.txt"):
            return ""
        try:
            data = folder.read("cout.txt", CONSOLE_LIMIT_BYTES)
        except RefusedPath as error:
            odd.append(str(error))
            return ""
        return data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")

    def _name_files(self, document: dict[str, Any], name: str, entry: Mapping[str, Any], odd: list[str]) -> None:
        """Sources, resources and artifacts as the documents of MongoObserver name them, with paths for file ids."""
        experiment = document["experiment"]
        is_queued = entry.get("status") == "QUEUED"
        experiment["sources"] = [
            [str(pair[0]), source]
            for pair in _pairs(experiment.get("sources"))
            if (source := self._of_queued(name, pair, odd) if is_queued else _shared(pair[1], SOURCES)) is not None
        ]
        for artifact in sequence(entry.get("artifacts")):
            if isinstance(artifact, str):
                document["artifacts"].append({"name": artifact, "file_id": f"{name}/{artifact}"})
            else:
                odd.append(f"an artifact without a name ({str(artifact)[:100]})")

    def _of_queued(self, name: str, pair: list[Any], odd: list[str]) -> str | None:
        """Where a source of a queued run lies: in the folder of the run, by its last name. The later of two has it."""
        file = PurePosixPath(str(pair[0]).replace("\\", "/")).name
        try:
            content = self._folder.read(f"{name}/{file}", SOURCE_LIMIT_BYTES)
        except RefusedPath as error:
            odd.append(str(error))
            return None
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != pair[1]:
            odd.append(f"its source {str(pair[0])[:100]!r} is not the file that lies there under this name")
            return None
        return f"{name}/{file}"

    def _note_left_out(self, name: str) -> None:
        if name in (SOURCES, RESOURCES) or not self._folder.is_folder(name):
            return
        if any(self._folder.child(name).has(part) for part in ("config.json", "cout.txt", "metrics.json")):
            self._oddities.append(f"The run in folder {name!r} is left out: it has no {RUN_FILE}")


def describe_file(folder: Folder, relative: str, filename: str | None = None) -> SourceFile | str:
    """A file of a folder as adoption takes it, or why it cannot be had."""
    filename = filename or PurePosixPath(relative).name
    try:
        with folder.open(relative) as file:
            facts = os.fstat(file.fileno())
    except RefusedPath as error:
        return str(error)
    stored = datetime.fromtimestamp(facts.st_mtime, timezone.utc)
    return SourceFile(filename, facts.st_size, mimetypes.guess_type(filename)[0], stored, lambda: folder.open(relative))


def _metrics(stored: Any, odd: list[str]) -> list[SourceMetric]:
    if not isinstance(stored, dict):
        odd.append("its metrics.json holds no metrics")
        return []
    metrics = []
    for name, columns in stored.items():
        if not isinstance(columns, dict):
            odd.append(f"metric {name!r} has no values")
            continue
        times = columns.get("timestamps")
        moments = [parse_moment(time) for time in times] if isinstance(times, list) else []
        metrics.append(SourceMetric(name, ({**columns, "timestamps": moments},)))
    return metrics


def _take_resources(document: dict[str, Any], entry: Mapping[str, Any]) -> list[SourceResource]:
    """The resources. The document gets them as MongoObserver has them: path and MD5, which ends their stored name."""
    resources = []
    for pair in _pairs(entry.get("resources")):
        ref = _shared(pair[1], RESOURCES)
        digest = _MD5.search(PurePosixPath(ref).name)
        resources.append(SourceResource(str(pair[0]), digest.group(1) if digest else None, ref))
    document["resources"] = [[resource.path, resource.md5] for resource in resources]
    return resources


def _pairs(value: Any) -> list[list[Any]]:
    pairs = [_untupled(pair) for pair in value] if isinstance(value, list) else []
    return [pair for pair in pairs if isinstance(pair, list) and len(pair) >= 2]


def _untupled(pair: Any) -> Any:
    return pair.get("py/tuple") if isinstance(pair, dict) else pair


def _shared(stored: Any, folder: str) -> str:
    """Where a source or resource lies: the observer wrote an absolute path, or one from where it ran."""
    path = PurePosixPath(str(stored).replace("\\", "/"))
    return f"{folder}/{path.name}" if path.parent.name == folder or path.is_absolute() else str(path)
