"""The journal: what a run has logged, on local disk, until MongoDB has it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .journal_allowance import DROP_AT, KEPT_SAMPLES, THIN_AT, JournalAllowance
from .journal_chain import JournalChain
from .journal_columns import count_points
from .journal_forks import guard_forks
from .journal_memory import JournalMemory
from .journal_news import JournalNews, JournalState
from .journal_places import Place
from .journal_records import Kind, RecordTooLarge, encode_record
from .journal_reserve import get_ready
from .segment_files import cut_back
from .settings import Durability

logger = logging.getLogger("cloister")

TEND_SECONDS = 1.0  # what a power cut may cost


class Journal:
    """Appends records to a segment of its own, which it holds locked while it lives.

    Thread-safe; a forked child goes on in a segment of its own. No call raises or waits for a full or broken disk: the
    record goes to the next place, then into memory, and what even that does not take is counted in `lost`. It goes
    back to the first place that takes it again.

    Nothing is logged while the lock is held, because the console that would show it may be recorded into this journal.
    What there is to say is said by `tend` and `close`.

    Attributes:
        lost: what this process could not record, by count.
        on_memory: called every second while anything is in memory only.
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
        tried = (Place(places, places, places),) if isinstance(places, Path) else tuple(places)
        self._header = dict(header)
        self._forces_each = durability == "fsync"
        self._allowance = allowance
        self._news = JournalNews([place.folder for place in tried])
        self.on_memory: Callable[[JournalMemory], None] | None = None
        # Reentrant: a SIGTERM that arrives inside `record` ends the run from the signal handler, in the same thread.
        self.lock = threading.RLock()
        self._chain = JournalChain(tried, self._header)
        self._closed = False
        self._child_pulse: threading.Thread | None = None
        self._is_child = False
        self._count_afresh()
        with self.lock:
            self._chain.find_place()
            self._set_threshold()
        guard_forks(self)

    def _count_afresh(self) -> None:
        self.lost = {"points": 0, "lines": 0, "bytes": 0}
        self._told_lost = dict(self.lost)
        self._samples = 0
        self._threshold = -1  # above so many bytes `record` looks closer: at a segment's end, or while all is not well

    # ---- recording

    def record(self, kind: Kind, fields: Mapping[str, Any], wall_time: float | None = None) -> bool:
        """Append one record: when this returns, the kernel has it and a killed process loses nothing.

        Returns:
            Whether it is kept; what is not is counted in `lost`.

        Raises:
            RecordTooLarge, OverflowError, bson.errors.InvalidDocument: `fields` is no BSON that the database takes.
        """
        when = time.time() if wall_time is None else wall_time
        with self.lock:
            chain = self._chain
            if chain.written > self._threshold:
                return self._record_with_care(kind, fields, when)
            # As `append_here` does it, spelled out again: a call less in what every `run.log` goes through.
            # Counted first: a signal handler that records in between must not take the same number.
            chain.sequence = sequence = chain.sequence + 1
            try:
                data = encode_record(kind, sequence, when, fields)
            except BaseException:  # Ctrl-C here must not leave a hole in the numbers either
                chain.take_back(sequence)
                raise
            try:
                written = os.write(chain.descriptor, data)
                if written < len(data):
                    cut_back(chain.descriptor, written)
            except OSError as error:
                self._chain.leave(error)
                return self._record_with_care(kind, fields, when)
            chain.written += written
            if self._forces_each:
                self.sync()
            return True

    def record_hardware(self, fields: Mapping[str, Any], wall_time: float) -> bool:
        """Append a sample of the hardware: the first to be done without as the journal nears its limit."""
        share = self._allowance.used_share if self._allowance is not None else 0.0
        self._samples += 1
        if share >= DROP_AT or (share >= THIN_AT and self._samples % KEPT_SAMPLES):
            with self.lock:
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
            with self.lock:
                lost = self._told_lost = dict(self.lost)
                short = {**short, "lost": lost}
                try:
                    return self._chain.append_end({**fields, "lost": lost}, short)
                except RecordTooLarge:  # the end itself must not be lost over what it carries
                    self._chain.append_end(short, short)
                    raise
        finally:
            self.close()

    def beat(self) -> None:
        """Append a sign of life, with what this process has lost so far."""
        with self.lock:
            lost = dict(self.lost)
            if self.record("beat", {"lost": lost}):
                self._told_lost = lost

    def count_lost_file(self, size_bytes: int) -> None:
        """Count a file that could not be kept."""
        with self.lock:
            self.lost["bytes"] += size_bytes

    # ---- what is due once a second

    def tend(self) -> None:
        """Force records to the disk, go back to a better place, keep within the limit, say what there is to say.

        Called once a second by some thread. Without it records are kept all the same; a power cut may cost more.
        """
        self.sync()
        get_ready()  # not while others wait for the lock
        if self._allowance is not None:
            self._allowance.look()
        with self.lock:
            if self._closed:
                self._chain.empty_memory()
            else:
                self._tend_segment()
        if self.memory and self.on_memory is not None:
            self.on_memory(self.memory)
        self.say()

    def sync(self) -> None:
        """Have the disk keep what was recorded, also through a power cut."""
        with self.lock:
            unforced = self._chain.take_unforced()
        unforced.force()

    def say(self) -> None:
        """Log what has happened to the journal, each thing once."""
        used, limit = (0, 1) if self._allowance is None else (self._allowance.used_bytes, self._allowance.limit_bytes)
        with self.lock:
            chain, ended = self._chain, self._closed
            lost, in_memory = dict(self.lost), bool(chain.memory)
            state = JournalState(chain.place, dict(chain.reasons), lost, in_memory, used, limit, ended)
        self._news.say(state)

    def close(self) -> None:
        """Release the segment: the courier may ship the rest of it and delete it. What is in memory stays there."""
        with self.lock:
            self._closed = True
            self._threshold = -1
            self._chain.is_tended = False  # from here on, what is released is released at once
        self.sync()
        with self.lock:
            self._chain.memory.close()
            self._chain.give_reserve_back()
            self._chain.empty_memory()
        self.sync()
        self.say()

    def give_up_memory(self) -> None:
        """At the very end: count what is in memory only as lost, because it is, and let go of everything."""
        with self.lock:
            for segment in self.memory.segments():
                segment.count_unshipped(self._count)
            self.memory.clear()
            if self._chain.is_open and self.lost != self._told_lost:
                self._chain.append_here("beat", {"lost": dict(self.lost)}, time.time())
                self.sync()
            self._chain.close_segment()
        self.say()

    # ---- where it is

    @property
    def folder(self) -> Path:
        """The run's folder in the place that is written to; in the first one while that is memory."""
        return self._chain.folder

    @property
    def places(self) -> tuple[Place, ...]:
        """The run's folders in the order in which they are tried: parts of the journal may lie in each."""
        return self._chain.places

    @property
    def memory(self) -> JournalMemory:
        """What is in no folder."""
        return self._chain.memory

    # ---- when something is amiss; the lock is held

    def _record_with_care(self, kind: Kind, fields: Mapping[str, Any], when: float) -> bool:
        refused = self._closed or (self._is_at_limit() and kind in ("points", "column", "console"))
        kept = not refused and self._chain.append(kind, fields, when)
        if not kept:
            self._count(kind, fields)
        elif self._forces_each:
            self.sync()
        self._set_threshold()
        if self._is_child:
            self._have_child_tended()
        return kept

    def _tend_segment(self) -> None:
        self._chain.is_tended = True
        self._chain.check_segment()
        self._chain.find_place()
        self._set_threshold()
        if not self._is_child:
            self._chain.set_aside_for_end()
        if self._chain.is_open and self.lost != self._told_lost:
            self.beat()

    def _set_threshold(self) -> None:
        is_well = self._chain.is_open and self._chain.place == 0 and not self._is_at_limit() and not self._closed
        self._threshold = self._chain.limit_bytes if is_well else -1

    def _is_at_limit(self) -> bool:
        return self._allowance is not None and self._allowance.used_share >= 1.0

    def _count(self, kind: str, fields: Mapping[str, Any]) -> None:
        if kind == "points":
            self.lost["points"] += len(fields.get("v", ()))
        elif kind == "column":
            self.lost["points"] += count_points(fields)
        elif kind == "console":
            text = str(fields.get("text", ""))
            self.lost["lines"] += text.count("\n")
            self.lost["bytes"] += len(text.encode("utf-8", "replace"))

    # ---- forks

    def continue_after_fork(self) -> None:
        """In a forked child: leave the parent's segment to it; the next record opens one of the child's own."""
        self.lock = threading.RLock()
        self._chain.let_go_after_fork()
        self._chain = JournalChain(self._chain.places, self._header, last_number=self._chain.last_number)
        self._is_child, self._child_pulse = True, None
        self._count_afresh()

    def _have_child_tended(self) -> None:
        """A forked child has no threads: have one that keeps a power cut from costing it more than a second."""
        if self._child_pulse is None:
            self._child_pulse = threading.Thread(target=self._tend_for_ever, name="cloister-pulse", daemon=True)
            try:
                self._child_pulse.start()
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
