"""Upgrading a database of Sacred's where it is: everything of ours is added beside what Sacred has stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..database_faults import is_refused_document
from ..foreign_runs import mapping, sequence
from ..indexes import ensure_indexes
from ..mongo import stored_for_good
from ..run_record import UID
from .adopted_console import store_consoles
from .adopted_files import AdoptedFile, FilesInPlace
from .adopted_points import store_points
from .adoption import Earlier
from .after_runs import finish_database
from .mongo_source import readable
from .prepared_run import (
    DONE,
    PreparedRun,
    adopted_note,
    completed_artifacts,
    first_fields,
    packed_metrics,
    recorded_fields,
)
from .run_identity import UID_PATTERN, is_unchanged
from .run_source import FileRef, RunHead, RunSource

if TYPE_CHECKING:
    from pymongo import UpdateOne
    from pymongo.database import Database

CAPTURED_CHARACTERS = 256 * 1024  # what stays of `captured_out` in a document that is full


class InPlace:
    """The database that the runs are in. What Sacred's documents hold stays, so that Omniboard goes on working.

    A run is adopted by one update, once all else of it is stored: until then it is as Sacred left it. That update
    applies only to a run that nobody has changed since it was read.
    """

    def __init__(self, source: RunSource, database: Database[dict[str, Any]], on_bytes: Callable[[int], None]) -> None:
        self._source = source
        self._database = readable(stored_for_good(database))
        self._files = FilesInPlace(source, self._database, on_bytes)
        self._projects: dict[str, Any] = {}

    def earlier(self, heads: Sequence[RunHead]) -> dict[str, Earlier]:
        return {head.uid: Earlier(head.id, head.adopted) for head in heads if head.adopted is not None}

    def begin(self) -> None:
        ensure_indexes(self._database)

    def adopt(self, runs: Sequence[PreparedRun], earlier: Mapping[str, Earlier]) -> dict[str, Any]:
        files = self._files.adopt(runs)
        store_points(self._database, packed_metrics(runs))
        texts = {run.head.uid: (run.head.id, run.captured_out, run.record.start_time) for run in runs}
        store_consoles(self._database, texts)
        self._write([self._update(run, files, run.head.uid in earlier) for run in runs], runs)
        stored = self._stored(runs)
        for run in runs:
            if run.head.uid in stored:
                self._projects.setdefault(run.project, run.record.start_time)
        return stored

    def finish(self) -> None:
        finish_database(self._database, self._projects, omniboard=self._database)

    # ---- inside

    def _update(self, run: PreparedRun, files: Mapping[FileRef, AdoptedFile], is_known: bool) -> UpdateOne:
        from pymongo import UpdateOne

        fields = {
            **recorded_fields(run, files),
            "adopted": adopted_note(run, self._source.kind, self._source.label, DONE),
        }
        unchanged = {name: {"$eq": run.document.get(name)} for name in ("status", "heartbeat", "stop_time")}
        mark = run.head.uid if is_known else {"$not": UID_PATTERN}
        condition = {"_id": {"$eq": run.head.id}, **unchanged, UID: mark}
        if is_known:
            if run.has_new_tags(run.head.adopted):
                fields |= {"tags": list(run.record.tags), "notes": run.record.notes}
            changes: dict[str, Any] = {f"cloister.{name}": value for name, value in fields.items()}
        else:
            changes = {"cloister": {**first_fields(run), **fields}}
        artifacts = completed_artifacts(run, files)
        if artifacts and len(artifacts) == len(sequence(run.document.get("artifacts"))):
            changes["artifacts"] = artifacts  # the same entries, which also say now how large their files are
        return UpdateOne(condition, {"$set": changes})

    def _write(self, updates: Sequence[UpdateOne], runs: Sequence[PreparedRun]) -> None:
        from pymongo.errors import BulkWriteError

        try:
            self._database["runs"].bulk_write(list(updates), ordered=False)
        except BulkWriteError as error:
            if not is_refused_document(error) or len(runs) > 1:
                raise
            self._make_room(runs[0])
            self._database["runs"].bulk_write(list(updates))

    def _make_room(self, run: PreparedRun) -> None:
        """A document with 16 MB of output takes no more: the console has all of it, the document keeps the end."""
        kept = run.captured_out[-CAPTURED_CHARACTERS:]
        self._database["runs"].update_one({"_id": {"$eq": run.head.id}}, {"$set": {"captured_out": kept}})
        run.oddities.append(
            f"its document was full: captured_out keeps the last {len(kept):,} of its {len(run.captured_out):,} "
            "characters, the console has all"
        )

    def _stored(self, runs: Sequence[PreparedRun]) -> dict[str, Any]:
        seen = {run.head.uid: dict(run.head.seen) for run in runs}
        found = self._database["runs"].find({UID: {"$in": list(seen)}}, {UID: 1, "cloister.adopted.seen": 1})
        noted = {document["cloister"]["uid"]: document for document in found}
        return {
            uid: document["_id"]
            for uid, document in noted.items()
            if is_unchanged(seen[uid], mapping(document["cloister"].get("adopted")).get("seen"))
        }


__all__ = ["InPlace"]
