"""Where a journal's records go: into a segment in the first place that takes one, else into memory."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .journal_memory import JournalMemory
from .journal_places import Place
from .journal_records import FORMAT, Kind, encode_record
from .journal_reserve import RESERVE_BYTES, EndReserve
from .journal_segments import SUFFIX, new_segment_number
from .segment_files import OpenSegment, create_segment, force_folder, rescue_segment, write_all, write_whole_segment

logger = logging.getLogger("cloister")

SEGMENT_LIMIT_BYTES = 64 * 1024 * 1024  # a shipped segment frees its disk space while the run goes on
BOUNDED_SEGMENT_BYTES = 4 * 1024 * 1024  # where there is little room, it is given back sooner
LEAST_ROOM_BYTES = 256 * 1024  # a place that was full is gone back to when it has so much again
FIRST_RECORDS = 2  # a header, and the record for which the segment was made
RETRY_SECONDS = 1.0


class JournalChain:
    """The places of one journal, the segment that is written, and the memory behind them. Its user holds a lock.

    Attributes:
        descriptor, written, sequence, limit_bytes: of the open segment; -1, 0, 0 without one. `Journal.record` writes
            there by itself while all is well.
        memory: what no place takes.
        is_tended: whether a thread calls `force` every second.
    """

    def __init__(self, places: Sequence[Place], header: Mapping[str, Any], *, last_number: int = 0) -> None:
        """Open nothing yet.

        Args:
            last_number: the largest number that this process, or the one that it was forked from, has given a segment.
        """
        self.places = tuple(places)
        self.last_number = last_number
        self.memory = JournalMemory(header, self._next_number)
        self.descriptor = -1
        self.written = 0
        self.sequence = 0
        self.limit_bytes = SEGMENT_LIMIT_BYTES
        self.is_tended = False
        self.reasons: dict[int, str] = {}  # why a place failed last, by its index
        self._header = header
        self._segment: OpenSegment | None = None
        self._place = len(self.places)  # index of the one written to; behind the last one is memory
        self._retry_at = [0.0] * len(self.places)
        self._reserve: EndReserve | None = None
        self._retired: list[OpenSegment] = []
        self._unforced: set[Path] = set()

    @property
    def place(self) -> int:
        """Index of the place that is written to; as many as there are places while that is memory."""
        return self._place

    @property
    def is_open(self) -> bool:
        return self._segment is not None

    @property
    def folder(self) -> Path:
        """The run's folder in the place that is written to; in the first one while that is memory."""
        return self.places[self._place if self._place < len(self.places) else 0].folder

    # ---- appending

    def append(self, kind: Kind, fields: Mapping[str, Any], when: float) -> bool:
        """Append a record where there is room for it; says whether there was any."""
        self.find_place()
        while self._segment is not None:
            if self.append_here(kind, fields, when):
                return True
            self.find_place()  # a place that failed is left alone for a second: this ends
        return self.memory.record(kind, fields, when)

    def append_here(self, kind: Kind, fields: Mapping[str, Any], when: float) -> bool:
        """Append a record to the open segment; leaves it, and its place, if that fails."""
        self.sequence = sequence = self.sequence + 1
        try:
            data = encode_record(kind, sequence, when, fields)
        except BaseException:  # Ctrl-C here must not leave a hole in the numbers either
            self.take_back(sequence)
            raise
        try:
            write_all(self.descriptor, data)
        except OSError as error:
            self.leave(error)
            return False
        self.written += len(data)
        return True

    def take_back(self, sequence: int) -> None:
        """A record that is refused takes no number: one that is missing would look like damage."""
        if self.sequence == sequence:  # else a signal handler has recorded meanwhile
            self.sequence -= 1

    def append_end(self, fields: Mapping[str, Any], short: Mapping[str, Any]) -> bool:
        """Append the run's end: where all places are full, into the space that was set aside for it."""
        self.find_place()
        while self._segment is not None:
            if self.append_here("end", fields, time.time()):
                return True
            self.find_place()
        if self._open_reserve():
            fits = len(encode_record("end", 1, 0.0, fields)) < RESERVE_BYTES // 2  # the rest is for a late count
            return self.append_here("end", fields if fits else short, time.time())
        return self.memory.record("end", fields, time.time()) or self.memory.record("end", short, time.time())

    # ---- segments and places

    def find_place(self) -> None:
        """Have a segment with room open in the first place that takes one; where none does, none is open."""
        if self._segment is not None and self.written > self.limit_bytes:
            self.close_segment()
        # With a segment open, only better places are of interest.
        for index in range(self._place if self._segment is not None else len(self.places)):
            if time.monotonic() >= self._retry_at[index] and self._move_to(index):
                return
        if self._segment is None:
            self._place = len(self.places)

    def leave(self, error: OSError) -> None:
        """Write no more to what has just failed: to the place for a second at least, to a lost descriptor never."""
        if self._segment is not None and not self._segment.is_ours():
            self._segment = None  # closed by somebody else: whatever has the number now is not ours to close
        elif self._place < len(self.places) and not self._takes_another_segment():
            self._note_failure(self._place, error)
        self.close_segment()

    def check_segment(self) -> None:
        """Notice a descriptor that somebody else has closed, and a file that somebody has removed."""
        if self._segment is None:
            return
        if not self._segment.is_ours():
            self._segment = None
            self.close_segment()
        elif self._segment.is_removed() and self._place < len(self.places):
            try:
                self.places[self._place].claim()
                self._segment = rescue_segment(self._segment)
                self.descriptor = self._segment.descriptor
            except OSError as error:  # tried again as long as the segment is open
                self._note_failure(self._place, error)

    def close_segment(self) -> None:
        """Release the open segment, if there is one."""
        segment, self._segment = self._segment, None
        self.descriptor, self.written, self.sequence = -1, 0, 0
        if segment is not None and self.is_tended:
            self._retired.append(segment)  # forced to the disk, then closed, by the thread that tends
        elif segment is not None:
            Unforced(-1, [segment], set()).force()

    def take_unforced(self) -> Unforced:
        """What the disk may not have yet; to be forced without the lock."""
        retired, self._retired = self._retired, []
        folders, self._unforced = self._unforced, set()
        return Unforced(self.descriptor, retired, folders)

    def let_go_after_fork(self) -> None:
        """Close the copies that a forked child has of its parent's descriptors: the locks stay the parent's."""
        for segment in (self._segment, *self._retired):
            if segment is not None:
                segment.close()
        if self._reserve is not None:
            self._reserve.forget()

    def _move_to(self, index: int) -> bool:
        place = self.places[index]
        try:
            place.claim()
            room = place.room_bytes()
            if room is not None and room < LEAST_ROOM_BYTES:
                raise OSError(errno.ENOSPC, "In memory, where too little is left for journals")
            if index in self.reasons and _free_bytes(place.folder) < LEAST_ROOM_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.write_memory_into(place.folder)
            segment = create_segment(place.folder, self._next_number)
            header = self._header_record()
            try:
                write_all(segment.descriptor, header)
            except BaseException:  # by Ctrl-C too: a segment without a header looks damaged
                segment.path.unlink(missing_ok=True)
                segment.close()
                raise
        except OSError as error:
            self._note_failure(index, error)
            return False
        self.close_segment()
        self._hold(segment, len(header))
        self.limit_bytes = SEGMENT_LIMIT_BYTES if room is None else min(room, BOUNDED_SEGMENT_BYTES)
        self._place = index
        self._unforced.update((place.folder, place.folder.parent))
        return True

    def _hold(self, segment: OpenSegment, written: int) -> None:
        self._segment, self.descriptor = segment, segment.descriptor
        self.written, self.sequence = written, 1

    def _header_record(self) -> bytes:
        header = encode_record("header", 1, time.time(), {"format": FORMAT, "pid": os.getpid(), "run": self._header})
        # Twice: a damaged byte costs the record that it is in, and without this one nobody knew whose the others are.
        return header + header

    def _takes_another_segment(self) -> bool:
        """Whether what failed may be this one segment: the process may write no larger files (`ulimit -f`)."""
        return self.sequence > FIRST_RECORDS and _free_bytes(self.folder) >= LEAST_ROOM_BYTES

    def _note_failure(self, index: int, error: OSError) -> None:
        self._retry_at[index] = time.monotonic() + RETRY_SECONDS
        self.reasons[index] = error.strerror or str(error)

    def _next_number(self) -> int:
        self.last_number = new_segment_number(after=self.last_number)
        return self.last_number

    # ---- memory, and the space for the end

    def write_memory_into(self, folder: Path) -> None:
        """Write what is in memory as segments.

        Raises:
            OSError: there is no room for all of it; the rest stays where it is.
        """
        # One of them may just be shipped from memory. The file has its number: what is applied twice is applied once.
        for segment in self.memory.segments():
            segment.close()
            write_whole_segment(folder / f"{segment.number:016x}{SUFFIX}", segment.content())
            segment.remove()
            self._unforced.add(folder)

    def empty_memory(self) -> None:
        """After the end: write what is in memory to the first place that takes it, then release the last segment."""
        for index, place in enumerate(self.places):
            if self.memory and time.monotonic() >= self._retry_at[index]:
                try:
                    place.claim()
                    self.write_memory_into(place.folder)
                except OSError as error:
                    self._note_failure(index, error)
        if not self.memory:
            self.close_segment()

    def set_aside_for_end(self) -> None:
        """Have a little disk space for the end of the run, where that can be had."""
        if self._reserve is not None or self._place == len(self.places):
            return
        size = RESERVE_BYTES + len(self._header_record())
        try:
            self._reserve = EndReserve.set_aside(self.folder, self._next_number(), size)
        except (OSError, AttributeError) as error:  # a full disk, or a file system or C library without `fallocate`
            logger.debug("No space can be set aside in %s: %s", self.folder, error)

    def give_reserve_back(self) -> None:
        if self._reserve is not None:
            self._reserve.give_back()
            self._reserve = None

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


class Unforced:
    """What was written and may still be in the kernel only."""

    def __init__(self, descriptor: int, retired: Sequence[OpenSegment], folders: set[Path]) -> None:
        self._descriptor = descriptor
        self._retired = retired
        self._folders = folders

    def force(self) -> None:
        """Have the disk keep it, and release the segments that are over."""
        for descriptor in (*(segment.descriptor for segment in self._retired), self._descriptor):
            try:
                if descriptor >= 0:
                    os.fdatasync(descriptor)
            except OSError as error:  # closed meanwhile, or a failing disk: the records are still with the kernel
                logger.debug("fdatasync: %s", error)
        for segment in self._retired:
            segment.close()
        for folder in self._folders:
            force_folder(folder)


def _free_bytes(folder: Path) -> int:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize
