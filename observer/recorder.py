"""The recorder: one run's way from the training process into the journal, and the knowledge of whether it arrives."""

from __future__ import annotations

import io
import logging
import mimetypes
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .blobs import Digests, digest_stream
from .courier_launch import LOG_FILE, CourierState, ensure_courier, read_state, wake_courier
from .encryption.chosen import ARTIFACTS, SOURCES
from .encryption.recording_key import begin_sealing
from .encryption.run_sealing import ENCRYPTION
from .field_names import encode_field_name
from .journal import TEND_SECONDS, Journal
from .journal_allowance import JournalAllowance
from .journal_places import writing_places
from .journal_segments import has_segments
from .private_copies import CopyNotKept, PrivateCopies, open_to_copy
from .redaction.console_redaction import Waits
from .redaction.run_redaction import begin_redaction
from .run_events import SESSION_LIMIT
from .run_status import StoredStatus
from .settings import Settings
from .shipping_note import read_note
from .stop_state import StopRequest

if TYPE_CHECKING:
    from .direct_shipping import DirectShipping
    from .journal_memory import JournalMemory
    from .live_points import LiveRun
    from .runs import RunStore

logger = logging.getLogger("cloister")

NO_ROOM = "<not recorded: it does not fit into a document of the database, or into what was left of the disk>"
SHORT_LINE_CHARACTERS = 2000
SHORT_SEALED_BYTES = 16 * 1024
TELL_SECONDS = 0.25  # between two figures for somebody who waits
FIRST_TEND_SECONDS = 0.2  # space for the run's end is set aside then: a disk may be nearly full at the start
PATIENCE_SECONDS = 3.0  # an election of a new primary takes less, and nobody needs to hear of it


class Recorder:
    """Owns a run's journal, keeps a courier at work for it, and gives signs of life.

    Thread-safe. In a forked child the records go on (into a segment of the child's own), the signs of life are the
    parent's. Nothing here raises for what happens outside: disk, database, helper processes.

    Attributes:
        observed: whether anything is recorded; see `SilentRecorder`.
        before_beat: called before each sign of life, to record what goes with it.
        on_stop: called about once a second while somebody asks the run to stop.
    """

    observed = True
    _waits: Waits = "line"  # which of what a run prints without an end of line is recorded a moment later

    def __init__(self, header: Mapping[str, Any], settings: Settings) -> None:
        """Open the journal; the courier is started by `start`.

        Args:
            header: what the first record says of the run, BSON-ready; see `run_record.new_run_document`.
            settings: where the run goes and where its journal lies.
        """
        self._settings = settings
        destinations = writing_places(settings)
        folders = [place.folder for place in destinations]
        self._redaction, policy = begin_redaction(settings, folders, _name_among_writers(header))
        header = self._redaction.header(header)
        self._sealing = begin_sealing(header, settings, policy.encrypt)
        if self._sealing is not None:  # of all runs but few nothing is encrypted
            header = self._sealing.header(header)
        places = [place.within(header["uid"]) for place in destinations]
        allowance = JournalAllowance([place.folder for place in destinations], settings.journal_limit)
        self._journal = Journal(places, header, durability=settings.durability, allowance=allowance)
        self._copies = PrivateCopies(places, allowance, forces_each=settings.durability == "fsync")
        self._folders = [place.folder for place in places]
        self._destination = self._journal.folder.parent  # where the courier is reached: the first that can be written
        self._direct: DirectShipping | None = None
        self._journal.on_memory = self._ship_from_memory
        self._journal.say()
        self._stopped = threading.Event()
        self._pulse: threading.Thread | None = None
        self._warned_unreachable = False
        self._warned_of_copies = False
        self._warned_of_deletion = False
        self._number: Any = None
        self._session = (int(header.get("rank") or 0), header.get("session"))
        self._events = 0
        self.on_stop: Callable[[StopRequest], None] | None = None
        self.before_beat: Callable[[], None] | None = None
        if self._sealing is not None:
            self.record_fields({ENCRYPTION: self._sealing.facts()})
        if facts := {**self._redaction.facts(), **self._redaction.news()}:
            self.record_fields(facts)

    # ---- recording

    def record_points(self, values: Mapping[str, float], step: int, wall_time: float | None = None) -> None:
        """Record one point of each metric in `values`, whose names are encoded field names."""
        self._journal.record("points", {"s": step, "v": values}, wall_time)

    def record_hardware(self, values: Mapping[str, float], sample: int, wall_time: float) -> None:
        """Record a sample of the hardware: the first thing to be done without where there is no room for all."""
        self._journal.record_hardware({"s": sample, "v": values}, wall_time)

    def record_console(self, stream: str, text: str, wall_time: float) -> None:
        """Record what the run wrote, without its secrets; an unfinished line waits a moment for its end."""
        text = self._redaction.console(stream, text, self._waits)
        if text:
            self._record_console(stream, text, wall_time)

    def _record_console(self, stream: str, text: str, wall_time: float) -> None:
        # Lone surrogates come from undecodable bytes; BSON takes UTF-8 only.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        if self._sealing is not None and self._sealing.has_console():
            for fields in self._sealing.console(stream, clean):
                self._journal.record("console", fields, wall_time)
            return
        self._journal.record("console", {"stream": stream, "text": clean}, wall_time)

    def record_fields(self, fields: Mapping[str, Any]) -> None:
        """Set fields of the run's document: BSON-ready values by field path."""
        fields = self._redaction.fields(fields)
        if not fields:  # the profile has none of them recorded
            return
        if self._sealing is not None:
            fields = self._sealing.fields(fields)
        self._journal.record("set", {"fields": {encode_field_name(path): value for path, value in fields.items()}})

    def record_event(self, kind: str, text: str) -> None:
        """Record something for the run's timeline, see `run_events.KINDS`; a process records the first 50 of them."""
        self._events += 1
        if self._events <= SESSION_LIMIT:
            self._journal.record("event", {"event": kind, **self._redaction.fields({"text": text})})

    def record_artifact(
        self, source: Path, name: str, content_type: str | None, metadata: Mapping[str, Any] | None
    ) -> None:
        """Keep a private copy of the file at `source` as it is now, and record it as an artifact.

        Raises:
            CopyNotKept: no folder takes the copy. It is counted as lost.
            OSError: the file cannot be read.
        """
        with open_to_copy(source) as stream:
            try:
                known = self._keep_file(self._redaction.artifact(name, stream, source.name), source, ARTIFACTS)
            except CopyNotKept as refusal:
                self._journal.count_lost_file(refusal.size_bytes)
                raise
        if known is not None:
            guessed = content_type or mimetypes.guess_type(name)[0]
            name = self._redaction.name(name, "artifact")
            said = self._redaction.metadata(name, metadata or {})
            said = said if self._sealing is None else self._sealing.metadata(ARTIFACTS, said)
            self._journal.record("artifact", {**known, "name": name, "content_type": guessed, "metadata": said})

    def record_resource(self, source: Path, path: str) -> None:
        """Keep a private copy of a file that the run reads, and record it under `path` as a resource.

        Raises:
            CopyNotKept: no folder takes the copy, which is counted as lost. The file's digests are recorded.
            OSError: the file cannot be read.
        """
        with open_to_copy(source) as stream:
            try:
                if not self._redaction.may_keep_resource(path, stream):
                    self._record_unkept(stream, path)
                    return
                known = self._keep_file(stream, source, ARTIFACTS)
                if known is not None:
                    self._journal.record("resource", {**known, "path": self._redaction.name(path, "resource")})
            except CopyNotKept as refusal:
                self._journal.count_lost_file(refusal.size_bytes)
                self._record_unkept(stream, path)
                raise

    def _record_unkept(self, stream: BinaryIO, path: str) -> None:
        """Record which file a resource was, without its bytes."""
        if self._sealing is None:  # a digest may tell which file it was
            stream.seek(0)
            known = {**_as_fields(digest_stream(stream)), "path": self._redaction.name(path, "resource")}
            self._journal.record("resource", {**known, "kept": False})

    def record_source(self, path: str, content: bytes) -> None:
        """Record a file of the run's code by its relative path."""
        redacted = self._redaction.source(path, content)
        known = None if redacted is None else self._keep(redacted, path)
        if known is not None:
            self._journal.record("source", {**known, "path": path})

    def record_attached(self, field: str, name: str, content: bytes, content_type: str) -> None:
        """Store `content` as a file and set `field` of the run's document to its id."""
        redacted = self._redaction.attached(field, name, content)
        known = None if redacted is None else self._keep(redacted, name)
        if known is not None:
            self._journal.record("attach", {**known, "field": field, "name": name, "content_type": content_type})

    def record_end(
        self,
        status: StoredStatus | str,
        *,
        result: Any = None,
        fail_trace: list[str] | None = None,
        exit_as: Mapping[str, Any],
        stop_time: datetime | None = None,
    ) -> None:
        """Record how the run ended, and release the journal. Only the process that made the recorder may."""
        self._stopped.set()
        stopped = stop_time or datetime.now(timezone.utc)
        fields: dict[str, Any] = {"status": status, "stop_time": stopped, "exit": dict(exit_as)}
        if fail_trace:
            fields["fail_trace"] = fail_trace
        if result is not None:
            fields["result"] = result
        fields = self._redaction.fields(fields)
        fail_trace = fields.get("fail_trace")
        self._record_waiting(all_of_it=True)
        if self._sealing is not None:
            fields = self._sealing.fields(fields)
            fail_trace = fields.get("fail_trace")  # one sealed entry, or as it was
        short = {**fields, "fail_trace": [_cut(line) for line in fail_trace or []][-1:]}
        if result is not None:
            short["result"] = NO_ROOM
        self._copies.force()
        self._journal.record_end(fields, short)

    def close(self) -> None:
        """Release the journal of a run that has not begun, and so does not end: it is queued."""
        self._record_waiting(all_of_it=True)
        self._stopped.set()
        self._copies.force()
        self._journal.close()

    @property
    def destination(self) -> Path:
        """The folder that all runs to one database share on this machine."""
        return self._destination

    @property
    def lost(self) -> dict[str, int]:
        """What this process could not record, by count; all zero unless the disk failed."""
        return dict(self._journal.lost)

    # ---- arriving

    def start(self) -> None:
        """Start the signs of life, and beside the script a courier if none is at work."""
        self._pulse = threading.Thread(target=self._beat, name="cloister-pulse", daemon=True)
        self._pulse.start()

    def run_id(self, timeout_seconds: float) -> Any:
        """The run's number, waiting for the database to give it; None if it has not within the time."""
        deadline = time.monotonic() + timeout_seconds
        while not self._learn_number():
            # An ended run's folder goes once it is stored, and the number with it: then only the database knows.
            if time.monotonic() >= deadline or self.is_unreachable() or (self._stopped.is_set() and self.is_stored()):
                return None
            time.sleep(0.01)
        return self._number

    def is_stored(self) -> bool:
        """Whether all that was recorded is in the database (only asked once the run has ended)."""
        return not self._journal.memory and not any(has_segments(folder) for folder in self._folders)

    def is_unreachable(self, for_seconds: float = 0.0) -> bool:
        """Whether the courier has said that the database does not answer, and has not for so long."""
        state = read_state(self._destination)
        return state is not None and not state.reachable and time.time() - state.since >= for_seconds

    def as_live_run(self, uid: str, open_store: Callable[[], RunStore]) -> LiveRun:
        """This run for `load_live`, which reads its points while it is recorded."""
        from .live_points import LiveRun  # imports numpy, which a training may not

        def wake() -> None:
            wake_courier(self._destination, self._settings, now=True)

        return LiveRun(uid, self._folders, self._journal.memory, open_store, wake, self.is_unreachable)

    def left_bytes(self) -> int:
        """How much was not in the database yet when the courier last said so; 0 while it has not."""
        note = read_note(self._folders)
        return 0 if note is None else note.left_bytes

    def wait_until_stored(self, timeout_seconds: float, *, on_wait: Callable[[int], None] | None = None) -> bool:
        """Wait until the ended run is in the database; give up early when the courier says that it is out of reach.

        Args:
            timeout_seconds: how long at most.
            on_wait: called about four times a second with how many bytes are left, 0 while that is not known.

        Returns:
            Whether all of it is stored.
        """
        started = time.monotonic()
        revived = told = -1.0
        while not self.is_stored():
            waited = time.monotonic() - started
            hopeless = waited > 0.5 and self.is_unreachable() and not self._journal.memory
            if waited >= timeout_seconds or hopeless:
                return False
            if waited - revived >= 1.0:  # there may be none: not yet started, or killed while we wait
                revived = waited
                self._revive_courier()
                wake_courier(self._destination, self._settings, now=True)
            self._learn_number()
            if on_wait is not None and waited - told >= TELL_SECONDS:
                told = waited
                on_wait(self.left_bytes())
            time.sleep(0.01)
        if self._direct is not None:
            self._direct.clear_folders()
        return True

    def give_up_memory(self) -> None:
        """The process ends, and what is only in its memory with it: count that, so that the run says so."""
        self._journal.give_up_memory()

    def warn_unless_stored(self) -> None:
        """Say, once for a run, where its record is and how it gets into the database."""
        if self._warned_unreachable or self.is_stored():
            return
        self._warned_unreachable = True
        state = read_state(self._destination)
        reason = state.error if state is not None and not state.reachable else _unsaid(state, self._destination)
        kept = " and ".join(str(folder) for folder in self._folders if has_segments(folder))
        logger.warning(
            "%s The run is kept in %s; the next run to the same database ships it, or 'cloister sync' does.",
            reason.rstrip() if reason.rstrip().endswith(".") else reason.rstrip() + ".",
            kept or "memory",
        )

    def _beat(self) -> None:
        self._revive_courier()
        beaten = time.monotonic()
        pause = FIRST_TEND_SECONDS
        while not self._stopped.wait(pause) or self._journal.memory:
            pause = TEND_SECONDS
            try:
                if self._stopped.is_set():
                    time.sleep(TEND_SECONDS)  # what is in memory is still to go somewhere
                self._tend()
                if self._stopped.is_set():
                    continue
                self._hear()
                if time.monotonic() - beaten >= self._settings.beat_interval:
                    beaten = time.monotonic()
                    if self.before_beat is not None:
                        self.before_beat()
                    self._journal.beat()
                    self._tell_of_deletion()
                self._revive_courier()
                if self.is_unreachable(for_seconds=PATIENCE_SECONDS):
                    self.warn_unless_stored()
            except Exception as error:
                # Wide on purpose: a sign of life that fails must not end the thread that gives the next one.
                logger.debug("The pulse of %s: %s", self._journal.folder, error)

    def _record_waiting(self, *, all_of_it: bool = False) -> None:
        """Record unfinished lines that have waited long enough, and what was redacted since the last time."""
        for stream, text in self._redaction.waiting(all_of_it=all_of_it):
            self._record_console(stream, text, time.time())
        if news := self._redaction.news():
            self.record_fields(news)

    def _tend(self) -> None:
        self._record_waiting()
        self._copies.force()  # before the records that name them
        self._journal.tend()

    def _tell_of_deletion(self) -> None:
        """Say, once, that somebody has deleted this run: the courier has left that beside the journal."""
        note = None if self._warned_of_deletion else read_note(self._folders)
        if note is not None and note.deleted:
            self._warned_of_deletion = True
            logger.warning("%s The training goes on.", note.deleted)

    def _ship_from_memory(self, memory: JournalMemory) -> None:
        if self._direct is None:
            from .direct_shipping import DirectShipping  # spares the start of a run what hardly any needs

            self._direct = DirectShipping(self._settings, self._folders)
        self._direct.ensure(memory)

    def _hear(self) -> None:
        """Learn the run's number, and whether somebody asks it to stop: the courier leaves both beside the journal."""
        self._learn_number()
        note = read_note(self._folders)
        stop = note.stop if note is not None else None
        if stop is None and self._direct is not None:
            stop = self._direct.stop
        if stop is not None and self.on_stop is not None and stop.is_meant_for(*self._session):
            self.on_stop(stop)

    def _learn_number(self) -> bool:
        """Look whether the courier has left the run's number beside the journal."""
        if self._number is None and (note := read_note(self._folders)) is not None:
            self._number = note.id
        if self._number is None and self._direct is not None:
            self._number = self._direct.run_id
        return self._number is not None

    def _revive_courier(self) -> None:
        try:
            if self._settings.courier == "thread":
                from .courier_process import ensure_courier_thread

                ensure_courier_thread(self._destination, self._settings)
            else:
                ensure_courier(self._destination, self._settings)
        except (OSError, subprocess.SubprocessError) as error:
            # No process can be started here (limits, a hardened site): the next run's courier or a sync ships it.
            logger.debug("No courier can be started: %s", error)

    def _keep(self, content: bytes, name: str) -> dict[str, Any] | None:
        """Keep a file of the run's code; None where that is impossible, or withheld."""
        try:
            return self._keep_file(io.BytesIO(content), name, SOURCES)
        except CopyNotKept as refusal:
            self._journal.count_lost_file(refusal.size_bytes)
            if not self._warned_of_copies:
                self._warned_of_copies = True
                logger.warning("%s", refusal)
            return None

    def _keep_file(self, stream: BinaryIO, name: object, part: str) -> dict[str, Any] | None:
        """Keep a copy, encrypted where its part of the run is; what is recorded of it. None where it is withheld."""
        if self._sealing is None:
            return _as_fields(self._copies.keep(stream, name))
        kept = self._sealing.keep(part, stream, lambda copied: self._copies.keep(copied, name))
        return None if kept is None else {**_as_fields(kept[0]), **kept[1]}


def _unsaid(state: CourierState | None, folder: Path) -> str:
    """Why a run is not stored although nobody says that the database is away."""
    if state is None:
        return f"The courier that ships runs has said nothing yet; its log is {folder / LOG_FILE}."
    return "The database is slower than the run."


def _name_among_writers(header: Mapping[str, Any]) -> str:
    """A name of this process among those that record the run: its rank, and when it began."""
    session = header.get("session") or {}
    began = session.get("time")
    return f"{header.get('rank') or 0}-{int(began.timestamp() * 1000) if isinstance(began, datetime) else 0:x}"


def _as_fields(digests: Digests) -> dict[str, Any]:
    return {"sha256": digests.sha256, "md5": digests.md5, "size": digests.size}


def _cut(line: str) -> str:
    if not isinstance(line, str):  # encrypted: whole, or nothing can be read of it
        return line if len(line) <= SHORT_SEALED_BYTES else NO_ROOM
    return line if len(line) <= SHORT_LINE_CHARACTERS else line[:SHORT_LINE_CHARACTERS] + "..."
