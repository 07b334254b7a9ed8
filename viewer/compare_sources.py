"""The files of two runs beside each other: what they ran, and what git had not committed of the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from ..observer.blobs import BlobLocked, BlobNotFound, UnreadableBlob
from .artifact_preview import read_exactly
from .diff_view import LINES_LIMIT, DiffFile, parse_diff
from .run_source_page import load_diff_text
from .source_view import SOURCE_LIMIT_BYTES, looks_binary
from .text_difference import compare_texts

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord, SourceEntry
    from ..observer.runs import RunStore

FILES_LIMIT = 100
FILE_LINES = 2_000
SECONDS = 3.0  # for all files together; the others are named and open on the runs' own pages
Where = Literal["first", "second", "both", "differing"]


@dataclass(frozen=True)
class UncommittedFile:
    """A file that git had changes of and that is not among the files the runs ran.

    Attributes:
        where: which of the two runs has changes of it; "both" where they are the same ones.
    """

    path: str
    where: Where
    first: DiffFile | None
    second: DiffFile | None


@dataclass(frozen=True)
class SourceComparison:
    """Attributes:
    files: those that differ, with what differs.
    same: how many files are the same.
    hidden: paths of files that differ and are not shown.
    """

    files: tuple[DiffFile, ...]
    same: int
    hidden: tuple[str, ...]
    uncommitted: tuple[UncommittedFile, ...]
    commits: tuple[str, str]

    @property
    def added(self) -> int:
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files)

    @property
    def same_commit(self) -> bool:
        return bool(self.commits[0]) and self.commits[0] == self.commits[1]


def compare_sources(store: RunStore, first: RunRecord, second: RunRecord) -> SourceComparison:
    """The files that either run used, as they were, uncommitted changes in them included."""
    olds = {entry.path: entry for entry in first.sources}
    news = {entry.path: entry for entry in second.sources}
    paths = sorted({*olds, *news})
    differing = [path for path in paths if not _is_same(olds.get(path), news.get(path))]
    reader = _Reader(store, first, second)
    files: list[DiffFile] = []
    hidden: list[str] = []
    for path in differing:
        if len(files) >= FILES_LIMIT or not reader.has_time:
            hidden.append(path)
        else:
            files.append(reader.compare(path, olds.get(path), news.get(path)))
    return SourceComparison(
        tuple(file for file in files if file.blocks or file.notes or file.kind != "changed"),
        len(paths) - len(differing),
        tuple(hidden),
        _compare_uncommitted(store, first, second, {*olds} & {*news}),
        (str(first.git.get("commit") or ""), str(second.git.get("commit") or "")),
    )


def _is_same(old: SourceEntry | None, new: SourceEntry | None) -> bool:
    if old is None or new is None:
        return False
    if old.sha256 and new.sha256:
        return old.sha256 == new.sha256
    return bool(old.file_id is not None and old.file_id == new.file_id)


@dataclass
class _Reader:
    """Reads and compares files until the time or the room for lines is used up."""

    store: RunStore
    first: RunRecord
    second: RunRecord
    room: int = LINES_LIMIT
    deadline: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    @property
    def has_time(self) -> bool:
        return self.room > 0 and time.monotonic() < self.deadline

    def compare(self, path: str, old: SourceEntry | None, new: SourceEntry | None) -> DiffFile:
        texts: list[str] = []
        notes: list[str] = []
        for run, entry in ((self.first, old), (self.second, new)):
            text, note = self._read(run, entry)
            texts.append(text)
            notes += [note] if note and note not in notes else []
        if notes and not any(note.startswith("Only the first") for note in notes):
            texts = ["", ""]
        file = compare_texts(*texts, path=path, room=min(self.room, FILE_LINES))
        self.room -= FILE_LINES if file.hidden else file.added + file.removed
        kind = "added" if old is None else "removed" if new is None else "changed"
        return replace(file, kind=kind, notes=tuple(notes))  # type: ignore[arg-type]  # one of ChangeKind

    def _read(self, run: RunRecord, entry: SourceEntry | None) -> tuple[str, str]:
        """The text, and what is to be said of it."""
        if entry is None:
            return "", ""
        try:
            blob = self.store.open_blob(entry.file_id, run)
            head = read_exactly(blob, SOURCE_LIMIT_BYTES)
        except BlobLocked as error:
            return "", f"Encrypted: {error.reason}"
        except (BlobNotFound, UnreadableBlob):
            return "", f"What run {run.name!r} kept of it cannot be read."
        if looks_binary(head):
            return "", "Binary file, not shown"
        note = f"Only the first {SOURCE_LIMIT_BYTES // 1024} KiB are compared" if blob.size > len(head) else ""
        return head.decode("utf-8", "replace").replace("\r\n", "\n"), note


def _compare_uncommitted(
    store: RunStore, first: RunRecord, second: RunRecord, shown: set[str]
) -> tuple[UncommittedFile, ...]:
    """Changes of files that are not compared whole: configuration, data lists, whatever no import leads to."""
    olds, news = ({file.path: file for file in parse_diff(load_diff_text(store, run)).files} for run in (first, second))
    found = []
    for path in sorted({*olds, *news} - shown):
        old, new = olds.get(path), news.get(path)
        where: Where = "first" if new is None else "second" if old is None else "differing"
        if old and new and old.blocks == new.blocks:
            where = "both"
        found.append(UncommittedFile(path, where, old, new))
    return tuple(found[:FILES_LIMIT])
