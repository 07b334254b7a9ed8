"""Shipping one run: its journal's records become documents, each under a name that a replay finds again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console_shipper import ConsoleShipper
from .encryption.data_keys import store_key_document
from .encryption.run_sealing import KEY_DOCUMENT
from .encryption.shipping_sealing import ShippingSealing, sealing_for
from .file_shipper import SLICE_SECONDS, FileShipper
from .history_copy import HistoryCopy
from .indexes import ensure_indexes
from .journal_batches import JournalBatch, decode_batch
from .journal_records import RECORD_LIMIT_BYTES, JournalRecord, check_format, decode_records
from .metric_shipper import MetricShipper
from .mongo import stored_for_good
from .redaction.shipping_redaction import ShippingRedaction, redaction_for
from .retention.deleted_shipping import LOOK_SECONDS, drop_journal
from .retention.errors import RunDeleted
from .run_collections import Collections, with_collections
from .run_commits import RunCommits
from .run_events import SESSION_LIMIT
from .run_losses import RunLosses
from .run_registry import register_run
from .run_sessions import beat_changes, end_changes, is_newest, rank_of, take_session
from .run_update import Overtaken, RunUpdate, as_date
from .run_warnings import warnings_in
from .sacred_documents import is_from_sacred
from .sacred_records import SacredRecords
from .shippable_segment import ShippableSegment
from .shipping_note import ShippingNote, write_note
from .stop_state import StopRequest, read_stop

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

BATCH_BYTES = 2 * 1024 * 1024
HEADER_BYTES = 64 * 1024  # of most first records; a long config makes them longer
NOTE_SECONDS = 0.5
OVERTAKEN_SECONDS = 0.05  # the longest pause before a batch is applied again, doubled by each further time
OVERTAKEN_LIMIT_SECONDS = 2.0
# Of our own: a training that seeds `random` must not get other numbers because we drew some.
_JITTER = random.Random()  # noqa: S311


class RunShipper:
    """Knows how far one run has been applied, and applies what comes after.

    Every write is either under an `_id` that follows from the journal, or part of the one update of the run's document
    that also moves the checkpoint; so a batch that was cut anywhere can be applied again from the checkpoint. Several
    shippers may be at work on one run (couriers of several hosts, a training that ships by itself, `cloister sync` from
    a stick): that update only succeeds for the one who knows the newest version of the document; the others read it
    again and start over from there.
    """

    def __init__(
        self,
        database: Database[dict[str, Any]],
        folders: Sequence[Path],
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            folders: where the run's files lie; the first one that can be written learns its number.
            on_stored: called after each batch that the database has for good.
        """
        self._database = stored_for_good(database)
        self._folders = folders
        self._on_stored = on_stored
        self._run: dict[str, Any] | None = None
        self._segments: Sequence[ShippableSegment] = ()
        self._told = -NOTE_SECONDS
        self._stop: StopRequest | None = None  # that the training was last told of
        self._warnings: set[str] = set()  # that the run's timeline has already
        self._looks_at = 0.0  # for whether a deleted run was brought back; on the monotonic clock
        self._headers: dict[int, Mapping[str, Any]] = {}  # by segment: what its first record says of the run
        self._headless: dict[int, int] = {}  # segments without one, and how long they were when that was seen
        self._is_certain = False  # whether all that `_run` says of the journal is known to be stored for good
        self._update = RunUpdate()
        self._kinds: dict[str, Callable[[int, JournalRecord], None]] = {
            "header": self._take_header,
            "console": self._take_console,
            "set": self._take_set,
            "beat": self._take_beat,
            "artifact": self._take_file,
            "resource": self._take_file,
            "source": self._take_file,
            "attach": self._take_file,
            "end": self._take_end,
            "event": self._take_event,
        }
        self._redaction: ShippingRedaction | None = None
        self._sealing: ShippingSealing | None = None
        self._indexed: Collections | None = None  # those whose indexes this shipper has seen to

    @property
    def run_id(self) -> Any:
        """The run's number, None as long as no segment has told which run it is."""
        return None if self._run is None else self._run["_id"]

    @property
    def stop(self) -> StopRequest | None:
        """That somebody asks the run to stop, as far as its document was read."""
        return None if self._run is None else read_stop(self._run["cloister"])

    def ship(self, segments: Sequence[ShippableSegment], *, file_seconds: float = SLICE_SECONDS) -> bool:
        """Apply what is new in `segments`, oldest first, and let go of those that are applied and held by nobody.

        Args:
            file_seconds: how long to go on with large files.

        Returns:
            Whether all there was is applied; False only while large files are on their way.

        Raises:
            pymongo.errors.PyMongoError: the database fails. This shipper is of no use then; a new one goes on.
        """
        self._segments = segments
        try:
            return self._ship_all(segments, file_seconds)
        except RunDeleted as deleted:
            self._drop(segments, deleted)
            return True

    def _ship_all(self, segments: Sequence[ShippableSegment], file_seconds: float) -> bool:
        complete = True
        for segment in segments:
            # Asked before reading: a segment that is free now has all its records.
            held = segment.is_held()
            try:
                if self._run is None and not self._load(segment):
                    continue  # a segment without a whole header yet, or a foreign file
                self._copy_history()
                self._ship_segment(segment)
            except FileNotFoundError:  # `cloister sync`, or `journal rm`, was faster
                continue
            if self._files.is_waiting(segment.number):
                complete = False
            elif not held:
                self._let_go(segment)
        if self._run is not None:
            self._ship_files([segment.number for segment in segments], file_seconds)
            self._metrics.tidy()
            self._console.refresh_captured_out(force=False)
        return complete

    def left_bytes(self, segments: Sequence[ShippableSegment]) -> int:
        """How much of the run is not in the database yet, as far as it lies here."""
        if self._run is None:
            return sum(segment.size() for segment in segments)
        records = sum(max(0, segment.size() - self._checkpoint(segment.number)["offset"]) for segment in segments)
        return records + self._files.left_bytes([segment.number for segment in segments])

    def has_news(self, segments: Sequence[ShippableSegment]) -> bool:
        """Whether `ship` would have anything to do; asks no database."""
        if time.monotonic() < self._looks_at:
            return False  # deleted; perhaps it is brought back
        if self._run is None:
            return any(segment.size() != self._headless.get(segment.number) for segment in segments)
        return self.left_bytes(segments) > 0 or self._history.is_due() or self._console.is_captured_out_late()

    def _drop(self, segments: Sequence[ShippableSegment], deleted: RunDeleted) -> None:
        """Somebody has deleted the run: whoever brings it back has it go on from its checkpoint."""
        header = next(iter(self._headers.values()))
        self._run = None
        self._looks_at = time.monotonic() + LOOK_SECONDS
        drop_journal(self._database, header["uid"], segments, self._folders, deleted)

    # ---- the run's state, from the database

    def _load(self, segment: ShippableSegment) -> bool:
        header = self._header_of(segment)
        if header is None:
            return False
        self._redaction = redaction_for(self._database, header)
        if self._redaction is not None:
            header = self._headers[segment.number] = self._redaction.header(header)
        self._sealing = sealing_for(self._database, header, self._folders)
        if self._sealing is not None:
            header = self._headers[segment.number] = self._sealing.header(header)
            store_key_document(self._database, header[KEY_DOCUMENT])
        self._load_state(header)
        self._tell_the_trainer()
        return True

    def _load_state(self, header: Mapping[str, Any]) -> None:
        self._choose_collections(Collections.of_header(header))
        run, is_new = register_run(self._database, header)
        self._run = run
        self._is_certain = is_new
        self._sacred = SacredRecords(self._database, run, is_new=is_new)
        unusual = self._sacred.values if is_from_sacred(header) else None
        self._metrics = MetricShipper(self._database, run, is_new=is_new, unusual=unusual)
        self._console = ConsoleShipper(self._database, run, is_new=is_new)
        self._losses = RunLosses(run)
        self._files = FileShipper(self._database, run, self._folders, self._losses)
        self._commits = RunCommits(self._database, run, self._losses, self._metrics.summary_fields)
        self._history = HistoryCopy(self._database, run)

    def _choose_collections(self, collections: Collections) -> None:
        if self._indexed is None and not collections.is_default:
            self._database = with_collections(self._database, collections)
            ensure_indexes(self._database)
            self._indexed = collections

    def _header_of(self, segment: ShippableSegment) -> Mapping[str, Any] | None:
        """What the first record of a segment says of the run and its process; None if there is no whole one (yet)."""
        number = segment.number
        if number in self._headers:
            return self._headers[number]
        size = segment.size()
        if self._headless.get(number) == size:
            return None
        for length in (HEADER_BYTES, RECORD_LIMIT_BYTES):
            record = next(decode_records(segment.read(0, length)), None)
            run = record.fields.get("run") if record is not None and record.kind == "header" else None
            if record is not None and isinstance(run, dict) and "uid" in run:
                check_format(record)
                if KEY_DOCUMENT in run:  # before anything that it encrypts
                    store_key_document(self._database, run[KEY_DOCUMENT])
                if self._redaction is not None:
                    run = self._redaction.header(run)
                if self._sealing is not None:
                    run = self._sealing.header(run)
                self._headers[number] = {**run, "pid": record.fields.get("pid")}
                return self._headers[number]
        self._headless[number] = size
        if not segment.is_held():
            logger.warning("%r is no journal of ours or has lost its header; it is kept as it is.", segment)
        return None

    def _header(self, segment: int) -> Mapping[str, Any]:
        # One that has lost its own lies in the run's folder, so it is the run's.
        return self._headers.get(segment) or next(iter(self._headers.values()))

    def _checkpoint(self, segment: int) -> dict[str, int]:
        assert self._run is not None
        return self._run["cloister"]["journal"].get(f"{segment:016x}") or {"offset": 0, "sequence": 0}

    def _tell_the_trainer(self) -> None:
        """Leave the run's number where `run.id` looks for it, how much is left for who waits at the end, and whether
        it is to stop."""
        stop = self.stop
        if time.monotonic() - self._told >= NOTE_SECONDS or stop != self._stop:
            self._told = time.monotonic()
            self._stop = stop
            left = self.left_bytes(self._segments)
            write_note(self._folders, ShippingNote(self.run_id, left, self._sacred.answered, stop=stop))

    # ---- applying

    def _ship_segment(self, segment: ShippableSegment) -> None:
        """Apply a segment from its checkpoint to its present end, in batches."""
        pause = OVERTAKEN_SECONDS
        end = segment.size()  # what comes meanwhile is for the next round, or a busy run would keep all others waiting
        while (offset := self._checkpoint(segment.number)["offset"]) < end:
            batch = _read_batch(segment, offset)
            if not batch:
                return
            try:
                self._apply(segment, batch)
            except Overtaken:
                logger.debug("Run %s was shipped by somebody else meanwhile; applied again.", self.run_id)
                time.sleep(_JITTER.uniform(0, pause))  # so that two do not run into each other for ever
                pause = min(2 * pause, OVERTAKEN_LIMIT_SECONDS)
                self._reload()
            else:
                pause = OVERTAKEN_SECONDS

    def _reload(self) -> None:
        self._files.release_claim()
        self._load_state(next(iter(self._headers.values())))

    def _apply(self, segment: ShippableSegment, batch: JournalBatch) -> None:
        self._update = RunUpdate()
        self._header_of(segment)
        self._metrics.take(segment.number, batch.points)
        self._losses.note_skipped(segment.number, batch.skipped_bytes)
        for record in map(self._redacted, batch.records):
            if record is None:
                continue
            take = self._kinds.get(record.kind)
            if take is not None:
                take(segment.number, record)
            elif record.kind in self._sacred.kinds:
                self._sacred.kinds[record.kind](segment.number, record, self._update)
        self._metrics.store()
        self._sacred.store()
        self._console.store()
        self._files.store(self._update)
        self._update.fields.update(self._metrics.summary_changes())
        self._update.append("info.metrics", *self._metrics.newly_named())
        self._update.count_console(self._console.count_changes())
        self._update.move_checkpoint(segment.number, {"offset": batch.end, "sequence": batch.last_sequence})
        self._update.set_all(self._metrics.summed_changes())
        if self._redaction is not None:
            self._update.set_all(self._redaction.news())
        if self._sealing is not None:
            self._update.set_all(self._sealing.facts())
        self._commit(self._update)
        if self._sacred.is_asked:
            self._answer()

    def _redacted(self, record: JournalRecord) -> JournalRecord | None:
        """A record as the database's policy lets it be stored, where the run was recorded without knowing that."""
        redacted = record if self._redaction is None else self._redaction.record(record)
        return redacted if redacted is None or self._sealing is None else self._sealing.record(redacted)

    def _answer(self) -> None:
        """Bring what Sacred's readers see up to date, and say so to the experiment that waits for it."""
        self._metrics.show_all()
        self._console.refresh_captured_out(force=True)
        self._sacred.answer()
        self._told = -NOTE_SECONDS
        self._tell_the_trainer()

    def _commit(self, update: RunUpdate) -> None:
        """Apply `update`, which moves the run's document on by one version.

        Raises:
            Overtaken: it is not the document any more that this shipper knows.
        """
        self._commits.apply(update, self._headers)
        self._is_certain = True
        self._warnings.update(event["text"] for event in update.events)
        self._files.remove_copies(update.stored_digests)
        self._files.release_claim()
        self._tell_the_trainer()
        self._on_stored()

    def _ship_files(self, segments: Sequence[int], seconds: float) -> None:
        """Go on with large files for a moment."""
        try:
            update = self._files.advance(segments, seconds)
            if update is not None:
                self._commit(update)
            elif self._files.left_bytes(segments):
                self._tell_the_trainer()
                self._on_stored()
        except Overtaken:
            self._reload()  # the bytes are stored: the next round finds them

    def _copy_history(self) -> None:
        """Give a forked run what it shares with its parent, as soon as that is known."""
        if self._history.is_due():
            update = RunUpdate()
            try:
                if self._history.copy(self._metrics, update):
                    update.set_all(self._metrics.summed_changes())
                    self._commit(update)
            except Overtaken:
                self._reload()

    def _let_go(self, segment: ShippableSegment) -> None:
        """Delete a segment that is applied and held by nobody, once that is stored for good."""
        summaries = self._metrics.final_changes(segment.number)
        if summaries:
            update = RunUpdate()
            update.fields.update(summaries)
            update.set_all(self._metrics.summed_changes())
            try:
                self._commit(update)
            except Overtaken:
                self._reload()
                return  # the next round finds it as it is then
        self._metrics.finish_segment(segment.number, is_last=segment is self._segments[-1])
        self._console.refresh_captured_out(force=True)
        torn = segment.size() - self._checkpoint(segment.number)["offset"]
        if torn > 0:  # a write that its process did not survive, or damage up to the end
            self._losses.note_skipped(segment.number, torn)
        if torn > 0 or not self._is_certain:
            # What was read from the database may have been written by somebody who died before its replica set had it.
            # What is confirmed now comes after it, in the same history.
            try:
                self._commit(RunUpdate())
            except Overtaken:
                self._reload()
                return  # the next round finds it as it is then
        if self._losses.is_damaged(segment.number):
            segment.set_aside()
        else:
            segment.remove()

    # ---- records

    def _take_header(self, segment: int, _record: JournalRecord) -> None:
        assert self._run is not None
        self._update.set_all(take_session(self._run, self._header(segment)))

    def _take_console(self, segment: int, record: JournalRecord) -> None:
        self._console.take(segment, record)
        if record.fields.get("stream") == "stderr":
            for words in warnings_in(str(record.fields.get("text", ""))):
                self._note_warning(words, record.time)

    def _take_event(self, _segment: int, record: JournalRecord) -> None:
        self._update.note_event(str(record.fields.get("event")), str(record.fields.get("text")), record.time)

    def _note_warning(self, words: str, when: float) -> None:
        """Once for each; a warning in a loop is one."""
        known = self._warnings | {event["text"] for event in self._update.events}
        if words not in known and len(known) < SESSION_LIMIT:
            self._update.note_event("warning", words, when)

    def _take_set(self, _segment: int, record: JournalRecord) -> None:
        self._update.take_set(record)
        self._console.note_fields(self._update.fields)

    def _take_file(self, segment: int, record: JournalRecord) -> None:
        self._files.take(segment, record, self._update)

    def _take_beat(self, segment: int, record: JournalRecord) -> None:
        header = self._header(segment)
        self._losses.note_said(header, record.fields.get("lost"))
        if rank_of(header):
            self._update.set_all(beat_changes(header, record.fields, as_date(record.time)))
        elif is_newest(self._run or {}, header):
            self._update.take_beat(record)

    def _take_end(self, segment: int, record: JournalRecord) -> None:
        header = self._header(segment)
        self._losses.note_said(header, record.fields.get("lost"))
        if rank_of(header):
            self._update.set_all(end_changes(header, record.fields, as_date(record.time)))
        elif is_newest(self._run or {}, header):
            self._update.take_end(record)


def _read_batch(segment: ShippableSegment, offset: int) -> JournalBatch:
    """What follows `offset`; about `BATCH_BYTES`, more only for one large record, or behind damage."""
    start = offset
    held = segment.is_held()  # asked first: one that is free now has all its records
    while True:
        for size in (BATCH_BYTES, RECORD_LIMIT_BYTES + BATCH_BYTES):
            data = segment.read(start, size)
            batch = decode_batch(data, start, goes_on=held or len(data) == size)
            if batch:
                return replace(batch, skipped_bytes=batch.skipped_bytes + start - offset)
            if len(data) < size:
                return batch
        start += BATCH_BYTES  # a record that began in there would have been whole
