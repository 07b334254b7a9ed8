"""What a worker tells the process that makes a queued run: a file in their private folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ...observer.errors import CloisterError
from ...observer.field_names import decode_field_names
from ...observer.redaction.marks import marked_paths
from ..queued_job import QueuedJob

JOB_FILE = "job.bson"
CODE_FOLDER = "code"
JOB_LIMIT_BYTES = 17 * 1024 * 1024  # a document of MongoDB has at most 16 MiB
_KINDS = ("script", "call", "plain")
MOST_WORDS = 10_000
LONGEST_PATH = 2_000  # bytes; systems take 4,096, and it stands below the run's own folder


class BadEntry(CloisterError, ValueError):
    """A queued run does not say in a way that is known how it is begun."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"How the run is begun cannot be told: {problem}. Queue it again with this version.")


@dataclass(frozen=True)
class JobEntry:
    """How the run is begun, checked: whoever can write into the database has written it.

    Attributes:
        file, folder, paths: relative to the rebuilt code: the script, the working folder, further import folders.
    """

    kind: str
    file: PurePosixPath
    folder: PurePosixPath
    paths: tuple[PurePosixPath, ...]
    words: tuple[str, ...]
    module: str
    attribute: str


def read_entry(stored: Any) -> JobEntry:
    """`cloister.queue.entry` of a run.

    Raises:
        BadEntry: it is not what `queue_run` stores.
    """
    entry = stored if isinstance(stored, Mapping) else {}
    if entry.get("kind") not in _KINDS:
        raise BadEntry(f"{entry.get('kind')!r} is no way to begin one")
    words, paths = _texts(entry, "words"), _texts(entry, "paths")
    for name in (entry.get("module", ""), entry.get("attribute", "")):
        if not isinstance(name, str) or (name and not all(part.isidentifier() for part in name.split("."))):
            raise BadEntry(f"{name!r} is no name")
    return JobEntry(
        kind=entry["kind"],
        file=relative_path(entry.get("file")),
        folder=relative_path(entry.get("folder")),
        paths=tuple(relative_path(path) for path in paths),
        words=tuple(words),
        module=entry.get("module", ""),
        attribute=entry.get("attribute", ""),
    )


def relative_path(text: Any) -> PurePosixPath:
    """A path that stays inside the folder that it is relative to.

    Raises:
        BadEntry: it leaves it, or is no path that every file system has.
    """
    if not isinstance(text, str) or not text or len(os.fsencode(text)) > LONGEST_PATH:
        raise BadEntry(f"{str(text)[:80]!r} is no path")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or any(ord(letter) < 32 for letter in text):
        raise BadEntry(f"the path {text!r} leaves the run's folder")
    if any(len(os.fsencode(part)) > 255 or part.casefold() == ".git" for part in path.parts):
        raise BadEntry(f"the path {text!r} cannot be used")
    return path


def _texts(entry: Mapping[str, Any], name: str) -> list[str]:
    found = entry.get(name, [])
    if not isinstance(found, list) or len(found) > MOST_WORDS or not all(isinstance(word, str) for word in found):
        raise BadEntry(f"its {name} are no list of texts")
    return found


@dataclass(frozen=True)
class SacredJob:
    """What is made of a run that Sacred has queued.

    Attributes:
        meta: of its `meta`, what its new start does not know: comment, priority, time of queueing.
    """

    run_id: Any
    token: str
    experiment: str
    command: str
    config: dict[str, Any]
    meta: dict[str, Any]


def entry_of_document(document: Mapping[str, Any]) -> JobEntry:
    """How a taken run is begun: as it was queued, or, of Sacred's own, by its main file.

    Raises:
        BadEntry: that cannot be told.
    """
    stored = ((document.get("cloister") or {}).get("queue") or {}).get("entry")
    if stored is not None:
        return read_entry(stored)
    main_file = (document.get("experiment") or {}).get("mainfile")
    if main_file is None:
        raise BadEntry("Sacred has stored no main file for it")
    return JobEntry("sacred", relative_path(main_file), PurePosixPath(), (), (), "__main__", "")


def write_job(folder: Path, document: Mapping[str, Any]) -> None:
    """Leave what `read_job` reads for the process that is started next."""
    from bson import encode

    ours = document["cloister"]
    meta = document.get("meta") or {}
    job = {
        "id": document["_id"],
        "uid": ours.get("uid"),
        "token": ours["queue"]["lease"]["token"],
        "main_file": (document.get("experiment") or {}).get("mainfile"),
        "meta": {name: meta[name] for name in ("comment", "priority", "queue_time") if name in meta},
        "experiment": (document.get("experiment") or {}).get("name"),
        "command": document.get("command"),
        "config": document.get("config") or {},
        "entry": ours["queue"].get("entry"),
    }
    descriptor = os.open(folder / JOB_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(encode(job))


def read_job(folder: Path) -> tuple[QueuedJob | SacredJob, JobEntry]:
    """What the worker has written."""
    from bson import decode

    path = folder / JOB_FILE
    if path.stat().st_size > JOB_LIMIT_BYTES:
        raise BadEntry(f"{path} is larger than any run")
    stored = decode(path.read_bytes())
    redacted = sorted(set(marked_paths(decode_field_names(stored["config"]))))
    if redacted:
        raise BadEntry(f"{', '.join(redacted[:5])} of its config was redacted when it was queued")
    if stored["entry"] is None:
        return _read_sacred_job(stored)
    job = QueuedJob(
        uid=stored["uid"],
        token=stored["token"],
        experiment=str(stored["experiment"]),
        command=str(stored["command"]),
        config=decode_field_names(stored["config"]),
    )
    return job, read_entry(stored["entry"])


def _read_sacred_job(stored: Mapping[str, Any]) -> tuple[SacredJob, JobEntry]:
    from .sacred_run import read_sacred_config

    job = SacredJob(
        run_id=stored["id"],
        token=stored["token"],
        experiment=str(stored["experiment"]),
        command=str(stored["command"]),
        config=read_sacred_config(stored["config"]),
        meta=stored["meta"],
    )
    return job, entry_of_document({"experiment": {"mainfile": stored["main_file"]}})
