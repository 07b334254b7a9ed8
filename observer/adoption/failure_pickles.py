"""Pickles that Sacred's MongoObserver leaves in its failure_dir: the last state of a run that it could not store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..foreign_runs import mapping, read_pair, sequence
from ..run_record import UID
from .folder_documents import storable
from .folder_files import Folder, RefusedPath
from .mongo_source import MongoSource
from .plain_pickle import SIZE_LIMIT_BYTES, RefusedPickle, load_plain_pickle
from .run_identity import adopted_uid
from .run_source import FileRef, RunHead, SourceFile, SourceRun, aware

if TYPE_CHECKING:
    from pymongo.database import Database

_NAME = re.compile(r"sacred_mongo_fail_.*\.pickle", re.DOTALL)
_ENDED = ("status", "stop_time", "heartbeat", "result", "fail_trace")  # what the last save would have brought


class NoRunInPickle(CloisterError, ValueError):
    """A pickle was read and holds something else than a run."""

    def __init__(self) -> None:
        super().__init__("It holds no run: a dict with _id, status and experiment.")


@dataclass
class FailedRun:
    """A run out of a pickle.

    Attributes:
        known_as: its id in the database where it is to be stored, if it is there.
        is_stored: that database has its end already.
        is_other: that database has another end of it, which stays.
    """

    file: str
    document: dict[str, Any]
    uid: str
    known_as: Any = None
    is_known: bool = False
    is_stored: bool = False
    is_other: bool = False


@dataclass
class Failures:
    """What a failure_dir holds: runs, the last state of each, and files that were refused, with the reason."""

    label: str
    runs: list[FailedRun] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def is_failure_pickle(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def read_failures(path: Path) -> Failures:
    """The runs in the pickles of a folder, or in one pickle. Nothing that they name is imported or called."""
    folder, names = (Folder(path), None) if path.is_dir() else (Folder(path.parent), [path.name])
    found = Failures(str(path))
    newest: dict[str, FailedRun] = {}
    for name in names or filter(is_failure_pickle, folder.names()):
        try:
            run = _read(folder, name)
        except (RefusedPickle, RefusedPath, NoRunInPickle) as error:
            found.refused[name] = str(error)
            continue
        earlier = newest.get(run.uid)
        if earlier is None or _stopped(run) >= _stopped(earlier):
            newest[run.uid] = run
    found.runs = sorted(newest.values(), key=_stopped)
    return found


def find_known(failures: Failures, database: Database[dict[str, Any]]) -> None:
    """Look which of the runs `database` has, and what of them."""
    for run in failures.runs:
        started = run.document.get("start_time")
        same = [{UID: run.uid}, {"_id": {"$eq": run.document["_id"]}, "start_time": {"$eq": started}}]
        known = database["runs"].find_one({"$or": same}, {"status": 1, "stop_time": 1})
        if known is None:
            continue
        run.is_known, run.known_as = True, known["_id"]
        if known.get("status") not in ("RUNNING", "QUEUED"):
            run.is_stored = aware(known.get("stop_time")) == _as_stored(aware(run.document.get("stop_time")))
            run.is_other = not run.is_stored


def complete_run(database: Database[dict[str, Any]], run: FailedRun) -> list[str]:
    """Store the end of a run that is there without it, as Sacred's last save would have; returns what is odd."""
    known = database["runs"].find_one({"_id": {"$eq": run.known_as}}, {"info": 1, "captured_out": 1, "artifacts": 1})
    if known is None:
        return ["it is gone by now"]
    changes = {name: run.document[name] for name in _ENDED if name in run.document}
    info, stored = mapping(run.document.get("info")), mapping(known.get("info"))
    # The metrics were stored one by one: the database knows best which there are.
    changes["info"] = {**info, **({"metrics": stored["metrics"]} if stored.get("metrics") else {})}
    captured, before = run.document.get("captured_out"), known.get("captured_out")
    if isinstance(captured, str) and len(captured) >= len(before if isinstance(before, str) else ""):
        changes["captured_out"] = captured
    artifacts, odd = _further_artifacts(database, run.document, known)
    if artifacts:
        changes["artifacts"] = [*sequence(known.get("artifacts")), *artifacts]
    database["runs"].update_one({"_id": {"$eq": run.known_as}}, {"$set": changes})
    return odd


def _further_artifacts(
    database: Database[dict[str, Any]], document: Mapping[str, Any], known: Mapping[str, Any]
) -> tuple[list[Any], list[str]]:
    """Artifacts that only the pickle names: their bytes were stored before the entry could be."""
    names = {pair[0] for entry in sequence(known.get("artifacts")) if (pair := read_pair(entry))}
    fresh = [(entry, pair) for entry in sequence(document.get("artifacts")) if (pair := read_pair(entry))]
    fresh = [(entry, pair) for entry, pair in fresh if pair[0] not in names]
    there = {
        str(file["_id"])
        for file in database["fs.files"].find({"_id": {"$in": [pair[1] for _, pair in fresh]}}, {"_id": 1})
    }
    odd = [f"the database has no file of artifact {pair[0]!r}" for _, pair in fresh if str(pair[1]) not in there]
    return [entry for entry, pair in fresh if str(pair[1]) in there], odd


class PickledRuns:
    """Runs out of pickles that a database does not have; their files are there if they are anywhere."""

    kind = "pickle"

    def __init__(self, failures: Failures, database: Database[dict[str, Any]]) -> None:
        self._failures = failures
        self._files = MongoSource(database, failures.label)

    @property
    def label(self) -> str:
        return self._failures.label

    def heads(self) -> list[RunHead]:
        return [
            RunHead(
                id=run.document["_id"],
                uid=run.uid,
                status=str(run.document.get("status")),
                start_time=aware(run.document.get("start_time")),
                heartbeat=aware(run.document.get("heartbeat")),
                seen={name: _as_stored(run.document.get(name)) for name in ("status", "stop_time")},
            )
            for run in self._failures.runs
            if not run.is_known
        ]

    def load(self, heads: Sequence[RunHead]) -> Iterator[tuple[RunHead, SourceRun | None]]:
        by_uid = {run.uid: run for run in self._failures.runs}
        for head in heads:
            yield head, SourceRun(by_uid[head.uid].document)

    def files(self, refs: Iterable[FileRef]) -> dict[FileRef, SourceFile | str]:
        return self._files.files(refs)

    def oddities(self) -> list[str]:
        return []


def _read(folder: Folder, name: str) -> FailedRun:
    value = load_plain_pickle(folder.read(name, SIZE_LIMIT_BYTES))
    if not isinstance(value, dict) or "_id" not in value or not isinstance(value.get("status"), str):
        raise NoRunInPickle
    document = storable(value)
    document.pop("cloister", None)
    return FailedRun(name, document, adopted_uid(document, folder.path.name))


def _stopped(run: FailedRun) -> float:
    moment = aware(run.document.get("stop_time")) or aware(run.document.get("heartbeat"))
    return 0.0 if moment is None else moment.timestamp()


def _as_stored(value: Any) -> Any:
    return value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value
