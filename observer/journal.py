"""The journal: what a run has logged, on local disk, until MongoDB has it."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .journal_allowance import DROP_AT, KEPT_SAMPLES, THIN_AT, JournalAllowance
from .journal_memory import JournalMemory
from .journal_news import JournalNews, JournalState
from .journal_places import Place
from .journal_records import FORMAT, Kind, RecordTooLarge, encode_record
from .journal_reserve import RESERVE_BYTES, EndReserve
from .journal_segments import SUFFIX, new_segment_number
from .segment_files import (
    OpenSegment,
    create_segment,
    cut_back,
    force_folder,
    rescue_segment,
    write_all,
    write_whole_segment,
)
from .settings import Durability

logger = logging.getLogger("cloister")

SEGMENT_LIMIT_BYTES = 64 * 1024 * 1024  # a shipped segment frees its disk space while the run goes on
BOUNDED_SEGMENT_BYTES = 4 * 1024 * 1024  # where there is little room, it is given back sooner
LEAST_ROOM_BYTES = 256 * 1024  # a place that was full is gone back to when it has so much again
FIRST_RECORDS = 2  # a header, and the record for which the segment was made
RETRY_SECONDS = 1.0
TEND_SECONDS = 1.0  # what a power cut may cost
FORK_PATIENCE_SECONDS = 1.0


class Journal:
    """Appends records to a segment of its own, which it holds locked while it lives.

    Thread-safe; a forked child goes on in a segment of its own. No call raises or waits for a full or broken disk: the
    record goes to the next place, then into memory, and what even that does not take is counted in `lost`. It goes
    back to the first place that takes it again.

    Nothing is logged while the lock is held, because the console that would show it may be recorded into this journal.
    What there is to say is said by `tend` and `close`.
    """

    def __init__(
        self,
        places: Path | Sequence[Place],
        header: Mapping[str, Any],
        *,
        durability: Durability = "second",
        allowance: JournalAllowance | None = None,
    ) -> None:
        """Open a first segment in the first place that takes one.

        Args:
            places: the run's own folder, or its folders in the order in which they are tried.
            header: what the first record of every segment says of the run.
            durability: "fsync" has every record forced to the disk before `record` returns.
            allowance: what the journals of this destination may take.
        """
        self._places = (Place(places, places, places),) if isinstance(places, Path) else tuple(places)
        self._header = dict(header)
        self._forces_each = durability == "fsync"
        self._allowance = allowance
        # Reentrant: a SIGTERM that arrives inside `record` ends the run from the signal handler, in the same thread.
        self._lock = threading.RLock()
        self._number = 0
        self._news = JournalNews([place.folder for place in self._places])
        self._pulse: threading.Thread | None = None
        self.on_memory: Callable[[JournalMemory], None] | None = None  # told every second while anything is in memory
        self._is_child = False
        self._start_afresh()
        self._find_place()
        _alive.add(self)

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self.lost = {"points": 0, "lines": 0, "bytes": 0}
        self._told_lost = dict(self.lost)
        self.memory = JournalMemory(self._header, self._next_number)
        self._segment: OpenSegment | None = None
        self._descriptor = -1  # the segment's, at hand for `record`
        self._written = 0
        self._sequence = 0
        # Above so many bytes `record` looks closer: at the segment's end, or always while anything is amiss.
        self._threshold = -1
        self._segment_limit = SEGMENT_LIMIT_BYTES
        self._place = len(self._places)  # the one written to; behind the last one is memory
        self._retry_at = [0.0] * len(self._places)
        self._reasons: dict[int, str] = {}  # why a place failed last
        self._reserve: EndReserve | None = None
        self._retired: list[OpenSegment] = []
        self._unforced: set[Path] = set()
        self._samples = 0
        self._is_tended = False
        self._closed = False

    # ---- recording

    def record(self, kind: Kind, fields: Mapping[str, Any], wall_time: float | None = None) -> bool:
        """Append one record: when this returns, the kernel has it and a killed process loses nothing.

        Returns:
            Whether it is kept; what is not is counted in `lost`.

        Raises:
            RecordTooLarge, OverflowError, bson.errors.InvalidDocument: `fields` is no BSON that the database takes.
        """
        when = time.time() if wall_time is None else wall_time
        with self._lock:
            if self._written > self._threshold:
                return self._record_with_care(kind, fields, when)
            # Counted first: a signal handler that records in between must not take the same number.
            self._sequence = sequence = self._sequence + 1
            data = encode_record(kind, sequence, when, fields)
            try:
                written = os.write(self._descriptor, data)
                if written < len(data):
                    cut_back(self._descriptor, written)
                self._written += written
                if self._forces_each:
                    os.fdatasync(self._descriptor)
            except OSError as error:
                self._leave_place(error)
                return self._record_with_care(kind, fields, when)
            return True

    def record_hardware(self, fields: Mapping[str, Any], wall_time: float) -> bool:
        """Append a sample of the hardware: the first to be done without as the journal nears its limit."""
        share = self._allowance.used_share if self._allowance is not None else 0.0
        self._samples += 1
        if share >= DROP_AT or (share >= THIN_AT and self._samples % KEPT_SAMPLES):
            with self._lock:
                self._count("points", fields)
            return False
        return self.record("points", fields, wall_time)

    def record_end(self, fields: Mapping[str, Any], short: Mapping[str, Any]) -> bool:
        """Append the run's end, if need be into the disk space set aside for it, and release the journal.

        Args:
            short: what to append where `fields` do not fit.

        Raises:
            RecordTooLarge: `fields` are; `short` is recorded.
        """
        try:
            with self._lock:
                lost = self._told_lost = dict(self.lost)
                short = {**short, "lost": lost}
                try:
                    return self._append_end({**fields, "lost": lost}, short)
                except RecordTooLarge:  # the end itself must not be lost over what it carries
                    self._append_end(short, short)
                    raise
        finally:
            self.close()

    def beat(self) -> None:
        """Append a sign of life, with what this process has lost so far."""
        with self._lock:
            lost = dict(self.lost)
            if self.record("beat", {"lost": lost}):
                self._told_lost = lost

    def count_lost_file(self, size_bytes: int) -> None:
        """Count a file that could not be kept."""
        with self._lock:
            self.lost["bytes"] += size_bytes

    # ---- what is due once a second

    def tend(self) -> None:
        """Force records to the disk, go back to a better place, keep within the limit, say what there is to say.

        Called once a second by some thread. Without it records are kept all the same; a power cut may cost more.
        """
        self._is_tended = True
        self.sync()
        if self._allowance is not None:
            self._allowance.look()
        with self._lock:
            if self._closed:
                self._empty_memory()
            else:
                self._check_segment()
                self._find_place()
                self._set_aside_for_end()
                if self._segment is not None and self.lost != self._told_lost:
                    self.beat()
        if self.memory and self.on_memory is not None:
            self.on_memory(self.memory)
        self.say()

    def sync(self) -> None:
        """Have the disk keep what was recorded, also through a power cut."""
        with self._lock:
            retired, self._retired = self._retired, []
            unforced, self._unforced = self._unforced, set()
            descriptors = [segment.descriptor for segment in retired]
            if self._segment is not None:
                descriptors.append(self._segment.descriptor)
        for descriptor in descriptors:
            try:
                os.fdatasync(descriptor)
            except OSError as error:  # closed meanwhile, or a failing disk: the records are still with the kernel
                logger.debug("fdatasync of a segment of %s: %s", self.folder, error)
        for segment in retired:
            segment.close()
        for folder in unforced:
            force_folder(folder)

    def say(self) -> None:
        """Log what has happened to the journal, each thing once."""
        used, limit = (0, 1) if self._allowance is None else (self._allowance.used_bytes, self._allowance.limit_bytes)
        with self._lock:
            ended = self._closed
            lost, in_memory = dict(self.lost), bool(self.memory)
            state = JournalState(self._place, dict(self._reasons), lost, in_memory, used, limit, ended)
        self._news.say(state)

    def close(self) -> None:
        """Release the segment: the courier may ship the rest of it and delete it. What is in memory stays there."""
        with self._lock:
            self._closed = True
            self._set_threshold()
        self.sync()
        with self._lock:
            self.memory.close()
            if self._reserve is not None:
                self._reserve.give_back()
                self._reserve = None
            self._empty_memory()
        self.sync()
        self.say()

    def give_up_memory(self) -> None:
        """At the very end: count what is in memory only as lost, because it is, and let go of everything."""
        with self._lock:
            for segment in self.memory.segments():
                segment.count_unshipped(self._count)
            self.memory.clear()
            if self._segment is not None and self.lost != self._told_lost:
                self._append("beat", {"lost": dict(self.lost)}, time.time())
            self._close_segment()
        self.sync()
        self.say()

    # ---- where it is

    @property
    def folder(self) -> Path:
        """The run's folder in the place that is written to; in the first one while that is memory."""
        return self._places[self._place if self._place < len(self._places) else 0].folder

    @property
    def places(self) -> tuple[Place, ...]:
        """The run's folders in the order in which they are tried: parts of the journal may lie in each."""
        return self._places

    # ---- when something is amiss; the lock is held

    def _record_with_care(self, kind: Kind, fields: Mapping[str, Any], when: float) -> bool:
        if not self._closed and not (self._is_at_limit() and kind in ("points", "console")):
            self._find_place()
            while self._segment is not None:
                if self._append(kind, fields, when):
                    return True
                self._find_place()  # a place that failed is left alone for a second: this ends
            if self.memory.record(kind, fields, when):
                return True
        self._count(kind, fields)
        return False

    def _append(self, kind: Kind, fields: Mapping[str, Any], when: float) -> bool:
        self._sequence += 1
        data = encode_record(kind, self._sequence, when, fields)
        try:
            write_all(self._descriptor, data)
            self._written += len(data)
            if self._forces_each:
                os.fdatasync(self._descriptor)
        except OSError as error:
            self._leave_place(error)
            return False
        return True

    def _append_end(self, fields: Mapping[str, Any], short: Mapping[str, Any]) -> bool:
        self._find_place()
        while self._segment is not None:
            if self._append("end", fields, time.time()):
                return True
            self._find_place()
        if self._open_reserve():
            fits = len(encode_record("end", 1, 0.0, fields)) < RESERVE_BYTES // 2  # the rest is for a late count
            return self._append("end", fields if fits else short, time.time())
        return self.memory.record("end", fields, time.time()) or self.memory.record("end", short, time.time())

    def _is_at_limit(self) -> bool:
        return self._allowance is not None and self._allowance.used_share >= 1.0

    def _count(self, kind: str, fields: Mapping[str, Any]) -> None:
        count_lost(self.lost, kind, fields)

    # ---- segments and places; the lock is held

    def _find_place(self) -> None:
        """Have a segment with room open in the first place that takes one; where none does, none is open."""
        if self._segment is not None and self._written > self._segment_limit:
            self._close_segment()
        # With a segment open, only better places are of interest.
        for index in range(self._place if self._segment is not None else len(self._places)):
            if time.monotonic() >= self._retry_at[index] and self._move_to(index):
                break
        if self._segment is None:
            self._place = len(self._places)
        self._set_threshold()

    def _move_to(self, index: int) -> bool:
        place = self._places[index]
        try:
            place.claim()
            room = place.room_bytes()
            if room is not None and room < LEAST_ROOM_BYTES:
                raise OSError(errno.ENOSPC, "The share of memory that journals may take is used up")
            if index in self._reasons and _free_bytes(place.folder) < LEAST_ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._write_memory_into(place.folder)
            segment = create_segment(place.folder, self._next_number)
            header = self._header_record()
            try:
                write_all(segment.descriptor, header)
            except BaseException:
                segment.path.unlink(missing_ok=True)
                segment.close()
                raise
        except OSError as error:
            self._note_failure(index, error)
            return False
        self._close_segment()
        self._hold(segment, len(header))
        self._segment_limit = SEGMENT_LIMIT_BYTES if room is None else min(room, BOUNDED_SEGMENT_BYTES)
        self._place = index
        self._unforced.update((place.folder, place.folder.parent))
        if self._is_child:
            self._tend_in_child()
        return True

    def _hold(self, segment: OpenSegment, written: int) -> None:
        self._segment, self._descriptor = segment, segment.descriptor
        self._written, self._sequence = written, 1

    def _header_record(self) -> bytes:
        return encode_record("header", 1, time.time(), {"format": FORMAT, "pid": self._pid, "run": self._header})

    def _close_segment(self) -> None:
        segment, self._segment = self._segment, None
        self._descriptor = self._threshold = -1
        if segment is None:
            return
        if self._is_tended and not self._closed:
            self._retired.append(segment)  # forced to the disk, then closed, by the thread that tends
        else:
            segment.close()

    def _leave_place(self, error: OSError) -> None:
        """Write no more to what has just failed: to the place for a second at least, to a lost descriptor never."""
        if self._segment is not None and not self._segment.is_ours():
            self._segment = None  # closed by somebody else: whatever has the number now is not ours to close
        elif self._place < len(self._places) and not self._takes_another_segment():
            self._note_failure(self._place, error)
        self._close_segment()

    def _takes_another_segment(self) -> bool:
        """Whether what failed may be this one segment: the process may write no larger files (`ulimit -f`)."""
        return self._sequence > FIRST_RECORDS and _free_bytes(self.folder) >= LEAST_ROOM_BYTES

    def _note_failure(self, index: int, error: OSError) -> None:
        self._retry_at[index] = time.monotonic() + RETRY_SECONDS
        self._reasons[index] = error.strerror or str(error)

    def _check_segment(self) -> None:
        """Notice a descriptor that somebody else has closed, and a file that somebody has removed."""
        if self._segment is None:
            return
        if not self._segment.is_ours():
            self._segment = None
            self._close_segment()
        elif self._segment.is_removed() and self._place < len(self._places):
            try:
                self._places[self._place].claim()
                self._segment = rescue_segment(self._segment)
                self._descriptor = self._segment.descriptor
            except OSError as error:
                self._note_failure(self._place, error)  # tried again as long as the segment is open

    def _set_threshold(self) -> None:
        is_well = self._segment is not None and self._place == 0 and not self._is_at_limit() and not self._closed
        self._threshold = self._segment_limit if is_well else -1

    def _next_number(self) -> int:
        self._number = new_segment_number(after=self._number)
        return self._number

    # ---- memory, and the space for the end; the lock is held

    def _empty_memory(self) -> None:
        """After the end: write what is in memory to the first place that takes it, then release the last segment."""
        for index, place in enumerate(self._places):
            if self.memory and time.monotonic() >= self._retry_at[index]:
                try:
                    place.claim()
                    self._write_memory_into(place.folder)
                except OSError as error:
                    self._note_failure(index, error)
        if not self.memory:
            self._close_segment()

    def _write_memory_into(self, folder: Path) -> None:
        # One of them may just be shipped from memory. The file has its number: what is applied twice is applied once.
        for segment in self.memory.segments():
            segment.close()
            write_whole_segment(folder / f"{segment.number:016x}{SUFFIX}", segment.content())
            segment.remove()
            self._unforced.add(folder)

    def _set_aside_for_end(self) -> None:
        if self._reserve is not None or self._place == len(self._places) or self._is_child:
            return
        size = RESERVE_BYTES + len(self._header_record())
        try:
            self._reserve = EndReserve.set_aside(self.folder, self._next_number(), size)
        except (OSError, AttributeError) as error:  # a full disk, or a file system or C library without `fallocate`
            logger.debug("No space can be set aside in %s: %s", self.folder, error)

    def _open_reserve(self) -> bool:
        """Have the space that was set aside as the open segment."""
        reserve, self._reserve = self._reserve, None
        if reserve is None:
            return False
        header = self._header_record()
        try:
            segment = reserve.become_segment(f"{self._next_number():016x}{SUFFIX}")
            write_all(segment.descriptor, header)
        except OSError as error:
            logger.debug("The space set aside in %s is gone: %s", reserve.folder, error)
            return False
        self._hold(segment, len(header))
        return True

    # ---- forks

    def _continue_after_fork(self) -> None:
        # The child shares the parent's descriptor: two writers would interleave sequences. Closing our copy keeps the
        # parent's lock, which belongs to the open file; the next record opens a segment of the child's own.
        self._lock = threading.RLock()
        for segment in (self._segment, *self._retired):
            if segment is not None:
                segment.close()
        if self._reserve is not None:
            self._reserve.forget()
        closed = self._closed
        self._start_afresh()
        self._closed, self._is_child, self._pulse = closed, True, None

    def _tend_in_child(self) -> None:
        """A forked child has no threads: have one that keeps a power cut from costing it more than a second."""
        if self._pulse is None:
            self._pulse = threading.Thread(target=self._tend_for_ever, name="cloister-pulse", daemon=True)
            try:
                self._pulse.start()
            except RuntimeError as error:  # no more threads, or the interpreter is shutting down
                logger.debug("No pulse in a forked child: %s", error)

    def _tend_for_ever(self) -> None:
        while not self._closed:
            time.sleep(TEND_SECONDS)
            try:
                self.tend()
            except Exception as error:
                # Wide on purpose: a second that fails must not end the thread that has the next one.
                logger.debug("The pulse of a forked child: %s", error)


def count_lost(lost: dict[str, int], kind: str, fields: Mapping[str, Any]) -> None:
    """Add to `lost` what a record that is not kept would have held."""
    if kind == "points":
        lost["points"] += len(fields.get("v", ()))
    elif kind == "console":
        text = str(fields.get("text", ""))
        lost["lines"] += text.count("\n")
        lost["bytes"] += len(text.encode("utf-8", "replace"))


def _free_bytes(folder: Path) -> int:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize


_alive: weakref.WeakSet[Journal] = weakref.WeakSet()
_held_for_fork = threading.local()


def _before_fork() -> None:
    """Have no other thread inside a journal: the child would get it half-way, with the lock of nobody."""
    # A disk that hangs under another thread's record must not hang the fork: that journal is then taken as it is.
    _held_for_fork.journals = [
        journal for journal in list(_alive) if journal._lock.acquire(timeout=FORK_PATIENCE_SECONDS)
    ]


def _after_fork_in_parent() -> None:
    for journal in _held_for_fork.__dict__.pop("journals", []):
        journal._lock.release()


def _after_fork_in_child() -> None:
    _held_for_fork.__dict__.pop("journals", None)
    for journal in list(_alive):
        journal._continue_after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
