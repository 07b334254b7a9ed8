"""The journal: what a run has logged, on local disk, until MongoDB has it."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import threading
import time
import weakref
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import CloisterError

logger = logging.getLogger("cloister")

FORMAT = 1
SUFFIX = ".journal"
BLOBS_FOLDER = "blobs"
NUMBER_FILE = "run.json"  # left by the courier: the number that the database gave the run
RECORD_LIMIT_BYTES = 15 * 1024 * 1024  # MongoDB takes 16 MiB; the rest is for the keys that the courier adds
SEGMENT_LIMIT_BYTES = 64 * 1024 * 1024  # a shipped segment frees its disk space while the run goes on

Kind = Literal["header", "points", "console", "set", "beat", "artifact", "source", "attach", "end"]

_LENGTH = struct.Struct("<i")
# The last element of every record: type int64, name "c", the CRC-32 of all bytes between the length and this element.
_CRC_ELEMENT = b"\x12c\x00"
_CRC_TAIL = struct.Struct("<q")
_TAIL_BYTES = len(_CRC_ELEMENT) + _CRC_TAIL.size + 1
_FIRST_ELEMENT = b"\x02k\x00"  # every record starts with its kind: how the reader finds the next one after damage
_SMALLEST = 4 + len(_FIRST_ELEMENT) + _TAIL_BYTES


class RecordTooLarge(CloisterError, ValueError):
    """One thing to record is larger than a document of the database may be."""

    def __init__(self, kind: str, size_bytes: int) -> None:
        super().__init__(
            f"A record ({kind}) of {size_bytes} bytes does not fit into a document of the database, which takes "
            f"{RECORD_LIMIT_BYTES}. Save it as a file and record that with run.log_artifact."
        )


@dataclass(frozen=True)
class JournalRecord:
    """One record as read back, and where in its segment the next one starts."""

    kind: str
    sequence: int
    time: float
    fields: dict[str, Any]
    end: int


def encode_record(kind: Kind, sequence: int, wall_time: float, fields: Mapping[str, Any]) -> bytes:
    """A record's bytes: one BSON document whose last field is the CRC-32 of what stands before it."""
    from bson import encode  # spares `import cloister` the driver

    body = encode({"k": kind, "q": sequence, "t": wall_time, **fields})[4:-1]
    length = 4 + len(body) + _TAIL_BYTES
    if length > RECORD_LIMIT_BYTES:
        raise RecordTooLarge(kind, length)
    return b"".join((_LENGTH.pack(length), body, _CRC_ELEMENT, _CRC_TAIL.pack(zlib.crc32(body)), b"\x00"))


def decode_records(data: bytes, base: int = 0) -> Iterator[JournalRecord]:
    """The whole records in `data`; damaged bytes between them are skipped.

    Args:
        data: bytes of a segment from a record's start.
        base: where in the segment `data` starts; added to `JournalRecord.end`.
    """
    from bson import decode
    from bson.codec_options import CodecOptions
    from bson.errors import BSONError

    codec: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
    position = 0
    while position + 4 <= len(data):
        length = _whole_record_length(data, position)
        if length:
            try:
                document = decode(data[position : position + length], codec)
            except BSONError:
                length = 0  # the CRC holds but it is no document: not written by us
        if not length:
            following = data.find(_FIRST_ELEMENT, position + 5)
            if following < 0:
                return
            position = following - 4
            continue
        position += length
        kind, sequence, wall_time = document.pop("k"), document.pop("q"), document.pop("t")
        document.pop("c", None)
        yield JournalRecord(kind, sequence, wall_time, document, base + position)


def _whole_record_length(data: bytes, position: int) -> int:
    """The length of the record at `position`, 0 if it is cut off or damaged."""
    (length,) = _LENGTH.unpack_from(data, position)
    if not _SMALLEST <= length <= RECORD_LIMIT_BYTES or position + length > len(data):
        return 0
    tail = position + length - _TAIL_BYTES
    if data[tail : tail + 3] != _CRC_ELEMENT:
        return 0
    (crc,) = _CRC_TAIL.unpack_from(data, tail + 3)
    return length if zlib.crc32(memoryview(data)[position + 4 : tail]) == crc else 0


def new_segment_number() -> int:
    """A segment's name as a number: milliseconds since 1970 and 16 random bits, so that segments sort by creation."""
    return (time.time_ns() // 1_000_000) << 16 | int.from_bytes(os.urandom(2), "big")


class Journal:
    """Appends records to a segment of its own, which it holds locked while it lives.

    Thread-safe. A forked child goes on in a segment of its own. `record` never raises for a full or broken disk: what
    could not be written is counted in `lost`.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Open a first segment in `folder`, which is made if need be (0700).

        Args:
            folder: the run's own folder.
            header: what the first record of every segment says of the run.

        Raises:
            OSError: the folder or the segment cannot be made.
        """
        self.folder = folder
        self.lost = {"points": 0, "lines": 0, "bytes": 0}
        self._header = dict(header)
        # Reentrant: a SIGTERM that arrives inside `record` ends the run from the signal handler, in the same thread.
        self._lock = threading.RLock()
        self._descriptor = -1
        self._written = 0
        self._sequence = 0
        self._closed = False
        self._warned = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open_segment()
        _alive.add(self)

    def record(self, kind: Kind, fields: Mapping[str, Any], wall_time: float | None = None) -> None:
        """Append one record: when this returns, the kernel has it and a killed process loses nothing.

        Raises:
            RecordTooLarge, OverflowError, bson.errors.InvalidDocument: `fields` is no BSON that the database takes.
        """
        with self._lock:
            if self._closed:
                count_lost(self.lost, kind, fields)
                return
            try:
                if self._descriptor < 0 or self._written > SEGMENT_LIMIT_BYTES:
                    self._open_segment()
                self._sequence += 1
                data = encode_record(kind, self._sequence, time.time() if wall_time is None else wall_time, fields)
                self._append(data)
            except OSError as error:
                count_lost(self.lost, kind, fields)
                self._warn_once(error)

    def sync(self) -> None:
        """Have the disk keep what was recorded, also through a power cut."""
        descriptor = self._descriptor
        if descriptor >= 0:
            try:
                os.fdatasync(descriptor)
            except OSError as error:  # closed meanwhile, or a failing disk: the records are still with the kernel
                logger.debug("fdatasync of %s: %s", self.folder, error)

    def close(self) -> None:
        """Release the segment; the courier may ship the rest of it and delete it."""
        with self._lock:
            self._closed = True
            self._close_segment()

    def _append(self, data: bytes) -> None:
        written = os.write(self._descriptor, data)
        if written < len(data):  # the disk is full: a torn record would hide nothing, but it would waste space
            os.ftruncate(self._descriptor, self._written)
            raise OSError(28, "No space left on device")
        self._written += written

    def _open_segment(self) -> None:
        self._close_segment()
        path = self.folder / f"{new_segment_number():016x}{SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._written = 0
        self._sequence = 1
        header = {"format": FORMAT, "pid": os.getpid(), "run": self._header}
        self._append(encode_record("header", self._sequence, time.time(), header))

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _warn_once(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "The journal in %s cannot be written (%s). Training goes on; what it logs from now on is counted as "
                "lost until there is space again.",
                self.folder,
                error.strerror or error,
            )

    def _continue_after_fork(self) -> None:
        # The child shares the parent's descriptor: two writers would interleave sequences. Closing our copy keeps the
        # parent's lock, which belongs to the open file; the next record opens a segment of the child's own.
        self._lock = threading.RLock()
        self._close_segment()
        self.lost = {"points": 0, "lines": 0, "bytes": 0}


class NowhereJournal:
    """Takes the place of a journal where nothing can be written: counts what is lost, so that the training goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost = {"points": 0, "lines": 0, "bytes": 0}

    def record(self, kind: Kind, fields: Mapping[str, Any], wall_time: float | None = None) -> None:
        count_lost(self.lost, kind, fields)

    def sync(self) -> None:
        """There is nothing to sync."""

    def close(self) -> None:
        """There is nothing to close."""


def count_lost(lost: dict[str, int], kind: Kind, fields: Mapping[str, Any]) -> None:
    """Add to `lost` what a record that cannot be written would have held."""
    if kind == "points":
        lost["points"] += len(fields.get("v", ()))
    elif kind == "console":
        lost["lines"] += str(fields.get("text", "")).count("\n")
        lost["bytes"] += len(str(fields.get("text", "")))


_alive: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for journal in list(_alive):
        journal._continue_after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)


def segments_in(folder: Path) -> list[Path]:
    """A run's journal segments, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def segment_number(path: Path) -> int:
    return int(path.stem, 16)


def is_held(path: Path) -> bool:
    """Whether the process that writes this segment still lives."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_header(path: Path) -> dict[str, Any] | None:
    """The run that a segment belongs to, None if its first record is not whole (yet)."""
    with path.open("rb") as file:
        for record in decode_records(file.read(RECORD_LIMIT_BYTES)):
            run = record.fields.get("run")
            return run if record.kind == "header" and isinstance(run, dict) else None
    return None
