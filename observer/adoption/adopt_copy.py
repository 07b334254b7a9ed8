"""Copying Sacred's runs into a database of ours: another database, another server, the embedded one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..indexes import ensure_indexes
from ..metric_chunks import metric_id
from ..mongo import stored_for_good
from ..retention.file_claims import claimed_everything
from ..run_record import UID
from ..run_registry import next_number, skip_taken_numbers
from .adopted_console import store_consoles
from .adopted_documents import metric_document, run_document
from .adopted_files import AdoptedFile, FilesCopied
from .adopted_points import store_points
from .adoption import Earlier
from .after_runs import finish_database
from .mongo_source import readable
from .prepared_run import BEGUN, DONE, PreparedRun, adopted_note, first_fields, packed_metrics, recorded_fields
from .run_identity import goes_on_here
from .run_source import FileRef, RunHead, RunSource

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

UIDS_AT_ONCE = 1000
METRICS_AT_ONCE = 100
_DUPLICATE = 11000


class CopyInto:
    """A database that the runs are copied into; their source is only read.

    A run's document is there first, marked as begun: it holds the run's number against everybody else. All else has
    keys that follow from the run's uid, so a copy that was cut off anywhere is gone on with.
    """

    def __init__(
        self,
        source: RunSource,
        database: Database[dict[str, Any]],
        on_bytes: Callable[[int], None],
        omniboard: Database[dict[str, Any]] | None = None,
    ) -> None:
        self._source = source
        self._database = readable(stored_for_good(database))
        self._files = FilesCopied(source, self._database, on_bytes)
        self._omniboard = omniboard
        self._projects: dict[str, Any] = {}

    def earlier(self, heads: Sequence[RunHead]) -> dict[str, Earlier]:
        found: dict[str, Earlier] = {}
        uids = [head.uid for head in heads]
        for start in range(0, len(uids), UIDS_AT_ONCE):
            known = {UID: {"$in": uids[start : start + UIDS_AT_ONCE]}}
            asked = {f"cloister.{name}": 1 for name in ("uid", "adopted", "journal", "resumed")}
            for document in self._database["runs"].find(known, asked):
                ours = document["cloister"]
                noted = None if goes_on_here(ours) else ours.get("adopted")
                found[ours["uid"]] = Earlier(document["_id"], noted)
        return found

    def begin(self) -> None:
        ensure_indexes(self._database)
        skip_taken_numbers(self._database)

    def adopt(self, runs: Sequence[PreparedRun], earlier: Mapping[str, Earlier]) -> dict[str, Any]:
        # Files are stored before the runs' documents name them: no purge may delete one in between.
        with claimed_everything(self._database):
            return self._adopt(runs, earlier)

    def _adopt(self, runs: Sequence[PreparedRun], earlier: Mapping[str, Earlier]) -> dict[str, Any]:
        from pymongo import UpdateOne

        ids = self._reserve(runs, earlier)
        files = self._files.adopt(runs)
        store_points(self._database, packed_metrics(runs))
        self._store_sacred_metrics(runs, ids)
        texts = {run.head.uid: (ids[run.head.uid], run.captured_out, run.record.start_time) for run in runs}
        store_consoles(self._database, texts)
        updates = [UpdateOne({UID: run.head.uid}, {"$set": self._changes(run, files, earlier)}) for run in runs]
        self._database["runs"].bulk_write(updates, ordered=False)
        for run in runs:
            self._projects.setdefault(run.project, run.record.start_time)
        return ids

    def finish(self) -> None:
        finish_database(self._database, self._projects, self._omniboard)

    # ---- inside

    def _changes(
        self, run: PreparedRun, files: Mapping[FileRef, AdoptedFile], earlier: Mapping[str, Earlier]
    ) -> dict[str, Any]:
        """What makes the document of a run that has begun whole; names and tags that people gave it here stay."""
        fields = recorded_fields(run, files)
        fields["adopted"] = adopted_note(run, self._source.kind, self._source.label, DONE)
        if lost := run.lost_artifacts(files):
            fields["lost_artifacts"] = lost
        if run.head.uid in earlier and run.has_new_tags(earlier[run.head.uid].adopted):
            fields |= {"tags": list(run.record.tags), "notes": run.record.notes}
        ours = {f"cloister.{name}": value for name, value in fields.items()}
        return {**run_document(run, files), **ours}

    def _reserve(self, runs: Sequence[PreparedRun], earlier: Mapping[str, Earlier]) -> dict[str, Any]:
        """The ids that the runs have here: their own where those are free, else new numbers."""
        from pymongo.errors import BulkWriteError

        ids = {run.head.uid: earlier[run.head.uid].id for run in runs if run.head.uid in earlier}
        fresh = [run for run in runs if run.head.uid not in ids]
        ids.update({run.head.uid: run.head.id for run in fresh})
        if fresh:
            try:
                documents = [self._first_document(run, run.head.id) for run in fresh]
                self._database["runs"].insert_many(documents, ordered=False)
            except BulkWriteError as error:
                refused = error.details.get("writeErrors") or []
                if {entry.get("code") for entry in refused} != {_DUPLICATE}:
                    raise
                taken = [fresh[entry["index"]] for entry in refused]
                ids.update({run.head.uid: self._reserve_number(run) for run in taken})
        return ids

    def _reserve_number(self, run: PreparedRun) -> Any:
        from pymongo.errors import DuplicateKeyError

        while True:
            there = self._database["runs"].find_one({UID: run.head.uid}, {"_id": 1})
            if there is not None:  # another adoption of the same source was faster
                return there["_id"]
            number = next_number(self._database)
            try:
                self._database["runs"].insert_one(self._first_document(run, number))
            except DuplicateKeyError:
                continue
            return number

    def _first_document(self, run: PreparedRun, run_id: Any) -> dict[str, Any]:
        note = adopted_note(run, self._source.kind, self._source.label, BEGUN)
        ours = {**first_fields(run), "name": run.name_as(run_id), "adopted": note}
        return {**run_document(run, {}), "_id": run_id, "cloister": ours}

    def _store_sacred_metrics(self, runs: Sequence[PreparedRun], ids: Mapping[str, Any]) -> None:
        """The documents that Sacred's readers look for, under the ids that our own have."""
        from pymongo import ReplaceOne

        writes: list[ReplaceOne[dict[str, Any]]] = []
        for run in runs:
            for metric in run.metrics:
                key = metric_id(run.head.uid, metric.name)
                writes.append(ReplaceOne({"_id": key}, metric_document(ids[run.head.uid], metric), upsert=True))
                if len(writes) == METRICS_AT_ONCE:
                    self._database["metrics"].bulk_write(writes, ordered=False)
                    writes = []
        if writes:
            self._database["metrics"].bulk_write(writes, ordered=False)
