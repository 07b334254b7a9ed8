"""What waits in journals: the runs under a folder, and whether their segments are whole."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .errors import CloisterError
from .journal_places import used_bytes
from .journal_records import RECORD_LIMIT_BYTES, JournalRecord, decode_records
from .journal_segments import SUFFIX, is_held, read_header, segments_in
from .run_losses import KINDS
from .shippable_segment import DAMAGED_SUFFIX

READ_BYTES = 32 * 1024 * 1024  # twice the largest record, so that every read reaches beyond one
LAST_WORDS_BYTES = 4 * 1024 * 1024  # there is a beat every five seconds
_DEPTH = 4  # <data folder>/journal/<destination>/<run>/
_RUN_FOLDER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class NoJournal(CloisterError, LookupError):
    """There is no journal where somebody said that there is one."""

    def __init__(self, name: object) -> None:
        super().__init__(
            f"{str(name)!r} is neither a folder with journals nor the beginning of the uid of a run that has one. "
            "'cloister journal ls' lists the runs whose journals wait on this machine."
        )


class AmbiguousRun(CloisterError, LookupError):
    """The beginning of a uid fits several runs."""

    def __init__(self, beginning: str, uids: list[str]) -> None:
        super().__init__(f"{beginning!r} fits {len(uids)} runs: {', '.join(uids[:5])}. Give more of the uid.")


@dataclass(frozen=True)
class JournaledRun:
    """One run that has a journal: all its folders, and what its header says.

    Attributes:
        uid: the run's identity; the folder's name where no header can be read.
        header: the run as its first readable record describes it, empty without one.
        folders: where its segments lie; usually one.
    """

    uid: str
    header: dict[str, Any] = field(hash=False)
    folders: tuple[Path, ...]

    @property
    def segments(self) -> list[Path]:
        return sorted((path for folder in self.folders for path in segments_in(folder)), key=lambda path: path.name)

    @property
    def damaged(self) -> list[Path]:
        return sorted(path for folder in self.folders for path in folder.glob(f"*{DAMAGED_SUFFIX}"))

    @property
    def size_bytes(self) -> int:
        return sum(map(used_bytes, self.folders))

    @property
    def is_alive(self) -> bool:
        """Whether a process on this machine still writes it."""
        return any(is_held(path) for path in self.segments)

    @property
    def is_foreign(self) -> bool:
        """Whether it belongs to another account: then only root, or a copy, can ship it."""
        # One that is gone was shipped meanwhile.
        return any(folder.exists() and folder.stat().st_uid != os.getuid() for folder in self.folders)

    @property
    def started(self) -> datetime | None:
        started = self.header.get("start_time")
        return started if isinstance(started, datetime) else None

    def text(self, name: str) -> str:
        return str(self.header.get(name) or "")

    def lost(self) -> dict[str, int]:
        """What its processes say that they could not record, by their newest words."""
        # A process counts on from segment to segment: its newest word holds the earlier ones.
        newest = {pid: lost for pid, lost in map(_last_lost, self.segments) if lost}
        return {kind: sum(int(lost.get(kind) or 0) for lost in newest.values()) for kind in KINDS}


@dataclass
class SegmentReport:
    """What reading a segment from its first to its last byte found."""

    path: Path
    size_bytes: int = 0
    records: Counter[str] = field(default_factory=Counter)
    damaged_bytes: int = 0
    missing_records: int = 0
    has_header: bool = False
    has_end: bool = False

    @property
    def is_whole(self) -> bool:
        return self.has_header and not self.damaged_bytes and not self.missing_records


def find_journals(places: tuple[Path, ...]) -> list[JournaledRun]:
    """The runs that have a journal in or somewhere below `places`, oldest first; none where there is no such folder."""
    folders: dict[str, list[Path]] = {}
    for place in places:
        for folder in _run_folders(place, _DEPTH):
            folders.setdefault(folder.name, []).append(folder)
    runs = [_survey(name, tuple(dict.fromkeys(found))) for name, found in sorted(folders.items())]
    return [run for run in runs if run.segments or run.damaged]


def find_journal(name: str, places: tuple[Path, ...]) -> JournaledRun:
    """One run by the path of its folder, or by the beginning of its uid.

    Raises:
        NoJournal, AmbiguousRun: none or several fit.
    """
    path = Path(name)
    found = find_journals((path,)) if path.is_dir() else []
    if not found:
        found = [run for run in find_journals(places) if run.uid.startswith(name.lower()) and name]
    if not found:
        raise NoJournal(name)
    if len(found) > 1:
        raise AmbiguousRun(name, [run.uid for run in found])
    return found[0]


def iter_records(path: Path) -> Iterator[JournalRecord]:
    """Every whole record of a segment, however large the segment is."""
    position = 0
    with path.open("rb") as file:
        while True:
            file.seek(position)
            data = file.read(READ_BYTES)
            last = position
            for record in decode_records(data, position):
                last = record.end
                yield record
            if len(data) < READ_BYTES:
                return
            # Where a whole stretch holds no record, no record begins in its first half that would not have ended in it.
            position = last if last > position else position + READ_BYTES // 2


def verify_segment(path: Path) -> SegmentReport:
    """Read a segment to its end and count what is whole and what is not."""
    report = SegmentReport(path)
    position, sequence = 0, 0
    for record in iter_records(path):
        report.records[record.kind] += 1
        report.damaged_bytes += record.end - record.size - position
        report.missing_records += max(0, record.sequence - sequence - 1)
        report.has_header = report.has_header or record.kind == "header"
        report.has_end = record.kind == "end"
        position, sequence = record.end, max(sequence, record.sequence)
    report.size_bytes = _size(path)
    report.damaged_bytes += max(0, report.size_bytes - position)
    return report


def _survey(name: str, folders: tuple[Path, ...]) -> JournaledRun:
    for folder in folders:
        for path in segments_in(folder):
            header = read_header(path)
            if header:
                return JournaledRun(str(header.get("uid") or name), header, folders)
    return JournaledRun(name, {}, folders)


def _last_lost(segment: Path) -> tuple[object, dict[str, int]]:
    """The process that wrote a segment, and what it last said that it lost."""
    try:
        with segment.open("rb") as file:
            header = next(decode_records(file.read(RECORD_LIMIT_BYTES)), None)
            file.seek(max(0, _size(segment) - LAST_WORDS_BYTES))
            told = [record.fields["lost"] for record in decode_records(file.read()) if "lost" in record.fields]
    except FileNotFoundError:  # shipped meanwhile: the run in the database says it
        return None, {}
    return header.fields.get("pid") if header else None, told[-1] if told else {}


def _run_folders(place: Path, depth: int) -> Iterator[Path]:
    """Folders of runs at or below `place`; links are not followed."""
    if not place.is_dir():
        return
    if _RUN_FOLDER.fullmatch(place.name) or any(place.glob(f"*{SUFFIX}")):
        yield place
        return
    if depth:
        for inner in sorted(place.iterdir()):
            if inner.is_dir() and not inner.is_symlink():
                yield from _run_folders(inner, depth - 1)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # shipped meanwhile
        return 0
