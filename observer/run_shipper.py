"""Shipping one run: its journal's records become documents, each under a name that a replay finds again."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .blobs import Digests, store_blob
from .console_store import piece_key, read_piece
from .console_text import tail_text
from .field_names import decode_field_name
from .journal_batches import JournalBatch, decode_batch
from .journal_records import RECORD_LIMIT_BYTES, JournalRecord
from .journal_segments import BLOBS_FOLDER, NUMBER_FILE, read_header, segment_number, segments_in
from .metric_shipper import MetricShipper
from .run_record import CONSOLE_COUNTS, JOURNAL, LOST, UPDATED_AT
from .run_registry import register_run

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

BATCH_BYTES = 2 * 1024 * 1024
CAPTURED_OUT_BYTES = 1024 * 1024  # what Sacred's readers get of the console
CAPTURED_OUT_SECONDS = 10.0  # as often as Sacred rewrites it; rewriting 1 MiB more often would be most of our writes


class RunShipper:
    """Knows how far one run has been applied, and applies what comes after.

    Every write is either under a deterministic `_id`, or part of the one update of the run's document that also moves
    the checkpoint. So a batch that was cut anywhere can be applied again from the checkpoint.
    """

    def __init__(self, database: Database[dict[str, Any]], folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._run: dict[str, Any] | None = None
        self._metrics: MetricShipper | None = None
        self._lines_and_bytes = {"lines": 0, "bytes": 0}
        self._next_piece = 0
        self._console_changed = False
        self._console_rewritten = time.monotonic()
        self._changes: dict[str, Any] = {}
        self._appended: dict[str, list[Any]] = {}
        self._kinds: dict[str, Callable[[int, JournalRecord], None]] = {
            "console": self._take_console,
            "set": self._take_set,
            "beat": self._take_beat,
            "artifact": self._take_artifact,
            "source": self._take_source,
            "attach": self._take_attached,
            "end": self._take_end,
        }
        self._pieces: list[dict[str, Any]] = []

    def ship(self, free: list[Path]) -> bool:
        """Apply what is new in all segments, and delete those in `free` once they are applied whole.

        Args:
            free: segments whose writer is known to be gone.

        Returns:
            Whether every segment was read to its end.
        """
        complete = True
        for path in segments_in(self._folder):
            if self._run is None and not self._load(path):
                continue  # a segment without a whole header yet, or a foreign file
            done = self._ship_segment(path)
            if done and path in free:
                self._before_deleting(path)
                path.unlink(missing_ok=True)
            complete = complete and done
        if self._metrics is not None:
            self._metrics.refresh_sacred_documents(force=False)
            self._rewrite_captured_out(force=False)
        return complete

    # ---- the run's state, from the database

    def _load(self, path: Path) -> bool:
        header = read_header(path)
        if header is None or "uid" not in header:
            if not _is_recent(path):
                logger.warning("%s is no journal of ours or has lost its header; it is kept as it is.", path)
            return False
        run, is_new = register_run(self._database, header)
        self._run = run
        ours = run["cloister"]
        self._lines_and_bytes = dict(ours.get("console") or {"lines": 0, "bytes": 0})
        newest = self._database["console"].find_one({"run_id": run["_id"]}, {"n": 1}, sort=[("n", -1)])
        self._next_piece = (newest["n"] + 1) if newest else 0
        self._metrics = MetricShipper(self._database, run, is_new=is_new)
        _tell_the_trainer(self._folder, run["_id"])
        return True

    def _ship_segment(self, path: Path) -> bool:
        """Apply a segment from its checkpoint on, in batches.

        Returns:
            Whether its present end was reached.
        """
        assert self._run is not None
        segment = segment_number(path)
        checkpoint = self._run["cloister"]["journal"].get(f"{segment:016x}") or {"offset": 0, "sequence": 0}
        while True:
            batch = _read_batch(path, checkpoint["offset"])
            if not batch:
                return True
            checkpoint = {"offset": batch.end, "sequence": batch.last_sequence}
            self._apply(segment, batch, checkpoint)

    # ---- applying a batch

    def _apply(self, segment: int, batch: JournalBatch, checkpoint: dict[str, int]) -> None:
        assert self._run is not None
        assert self._metrics is not None
        self._changes, self._appended, self._pieces = {}, {}, []
        self._metrics.take(segment, batch.points)
        for record in batch.records:
            take = self._kinds.get(record.kind)
            if take is not None:
                take(segment, record)
        self._metrics.store()
        self._store_pieces()
        self._changes.update(self._metrics.summary_changes())
        self._changes[f"{JOURNAL}.{segment:016x}"] = checkpoint
        self._changes[UPDATED_AT] = datetime.now(timezone.utc)
        update: dict[str, Any] = {"$set": self._changes}
        self._appended.setdefault("info.metrics", []).extend(self._metrics.newly_named())
        appended = {field: {"$each": values} for field, values in self._appended.items() if values}
        if appended:
            update["$addToSet"] = appended
        self._database["runs"].update_one({"_id": self._run["_id"]}, update)
        self._run["cloister"]["journal"][f"{segment:016x}"] = checkpoint
        self._remove_copies(batch.records)

    def _remove_copies(self, records: list[JournalRecord]) -> None:
        """Remove the journal's copies of files that are stored. One logged again meanwhile is found by its digest."""
        for record in records:
            if "sha256" in record.fields:
                (self._folder / BLOBS_FOLDER / record.fields["sha256"]).unlink(missing_ok=True)

    def _take_console(self, segment: int, record: JournalRecord) -> None:
        assert self._run is not None
        text = str(record.fields.get("text", ""))
        self._pieces.append(
            {
                "_id": piece_key(self._run["cloister"]["uid"], segment, record.sequence),
                "run_id": self._run["_id"],
                "n": self._next_piece,
                "stream": record.fields.get("stream", "stdout"),
                "time": _date(record.time),
                "text": text,
            }
        )
        self._next_piece += 1
        self._lines_and_bytes["lines"] += text.count("\n")
        self._lines_and_bytes["bytes"] += len(text.encode("utf-8", "replace"))
        self._changes[CONSOLE_COUNTS] = dict(self._lines_and_bytes)
        self._console_changed = True

    def _store_pieces(self) -> None:
        """Insert pieces; one that a cut batch stored before keeps the number that readers may have seen."""
        from pymongo import UpdateOne

        if self._pieces:
            self._database["console"].bulk_write(
                [UpdateOne({"_id": piece["_id"]}, {"$setOnInsert": piece}, upsert=True) for piece in self._pieces],
                ordered=True,  # a page that follows the console asks for what comes after the last piece that it saw
            )

    def _take_set(self, _segment: int, record: JournalRecord) -> None:
        for field, value in record.fields["fields"].items():
            self._change(decode_field_name(field), value)

    def _change(self, field: str, value: Any) -> None:
        """Note `$set: {field: value}`. MongoDB refuses to set a document and a field in it at once: they become one."""
        for earlier in [path for path in self._changes if path.startswith(f"{field}.")]:
            del self._changes[earlier]
        for parent, document in self._changes.items():
            if field.startswith(f"{parent}.") and isinstance(document, dict):
                document[field[len(parent) + 1 :]] = value
                return
        self._changes[field] = value

    def _take_beat(self, _segment: int, record: JournalRecord) -> None:
        self._changes["heartbeat"] = _date(record.time)
        self._changes[LOST] = record.fields.get("lost", {})

    def _take_artifact(self, segment: int, record: JournalRecord) -> None:
        entry = {
            "name": record.fields["name"],
            "file_id": self._store_file(record.fields, record.fields["name"]),
            "sha256": record.fields["sha256"],
            "size": record.fields["size"],
            "content_type": record.fields.get("content_type"),
            "logged_at": _date(record.time),
            # The same name and bytes may be logged twice; each has its own place in the journal, a replay the same.
            "from": f"{segment:016x}:{record.sequence}",
        }
        if record.fields.get("metadata"):
            entry["metadata"] = record.fields["metadata"]
        self._appended.setdefault("artifacts", []).append(entry)

    def _take_source(self, _segment: int, record: JournalRecord) -> None:
        path = record.fields["path"]
        file_id = self._store_file(record.fields, path)
        entry = {"path": path, "sha256": record.fields["sha256"], "size": record.fields["size"], "file_id": file_id}
        self._appended.setdefault("cloister.sources", []).append(entry)
        self._appended.setdefault("experiment.sources", []).append([path, file_id])

    def _take_attached(self, _segment: int, record: JournalRecord) -> None:
        self._change(record.fields["field"], self._store_file(record.fields, record.fields["name"]))

    def _take_end(self, _segment: int, record: JournalRecord) -> None:
        for name in ("status", "stop_time", "result", "fail_trace"):
            if name in record.fields:
                self._changes[name] = record.fields[name]
        self._changes["cloister.exit"] = record.fields.get("exit", {})
        self._changes[LOST] = record.fields.get("lost", {})
        self._changes["heartbeat"] = _date(record.time)

    def _store_file(self, fields: Mapping[str, Any], filename: str) -> Any:
        path = self._folder / BLOBS_FOLDER / fields["sha256"]
        digests = Digests(fields["sha256"], fields["md5"], fields["size"])
        try:
            return store_blob(self._database, path, digests, filename, fields.get("content_type"))
        except FileNotFoundError:  # somebody cleared the journal folder; the entry still names the bytes by digest
            logger.warning("The journal's copy of %r (%s) is gone; its bytes are not stored.", filename, path)
            return None

    # ---- what Sacred's readers see, at a bounded price

    def _before_deleting(self, path: Path) -> None:
        """Bring the thinned copies up to date while the segment that holds the news still exists."""
        if self._metrics is not None:
            self._metrics.refresh_sacred_documents(force=True)
            self._rewrite_captured_out(force=True)
            self._metrics.forget_segment(segment_number(path))

    def _rewrite_captured_out(self, *, force: bool) -> None:
        if self._run is None or not self._console_changed:
            return
        if not force and time.monotonic() - self._console_rewritten < CAPTURED_OUT_SECONDS:
            return
        pieces, size = [], 0
        newest_first = self._database["console"].find({"run_id": self._run["_id"]}).sort("n", -1)
        for document in newest_first:
            pieces.append(read_piece(document))
            size += len(pieces[-1].text)
            if size > CAPTURED_OUT_BYTES:
                break
        text = tail_text(reversed(pieces), CAPTURED_OUT_BYTES)
        self._database["runs"].update_one({"_id": self._run["_id"]}, {"$set": {"captured_out": text}})
        self._console_changed = False
        self._console_rewritten = time.monotonic()


def _read_batch(path: Path, offset: int) -> JournalBatch:
    """What follows `offset`; about `BATCH_BYTES`, more only for one large record."""
    for size in (BATCH_BYTES, RECORD_LIMIT_BYTES + BATCH_BYTES):
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        batch = decode_batch(data, offset)
        if batch or len(data) < size:
            break
    return batch


def _tell_the_trainer(folder: Path, run_id: Any) -> None:
    """Leave the run's number where `run.id` looks for it."""
    fresh = folder / f"{NUMBER_FILE}.new"
    fresh.write_text(json.dumps({"id": run_id}), encoding="utf-8")
    fresh.replace(folder / NUMBER_FILE)


def _is_recent(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < 60
    except FileNotFoundError:
        return True


def _date(wall_time: float) -> datetime:
    return datetime.fromtimestamp(wall_time, timezone.utc)
