"""What a work tree holds that its commit does not: the changed files, those left out, and one diff, bounded in size."""

from __future__ import annotations

from dataclasses import dataclass, field

from .git_process import GitOutput

DIFF_LIMIT_BYTES = 4_000_000  # of all files together: the run's document has to stay far below MongoDB's 16 MiB
LISTED_FILES = 1_000  # of changed and of left-out files, each; the rest is counted
LOOKED_AT_FILES = 20_000  # changed or untracked ones; a data folder that nobody ignored has a million
LIST_LIMIT_BYTES = 4_000_000

NO_ROOM = "no room: the diff is larger than it may be"
HOLDS_SECRETS = "its name says that it holds secrets"


@dataclass(frozen=True)
class ChangedFile:
    """One file that differs from the commit. Counts are None where its lines were not looked at."""

    path: str
    status: str  # added, deleted, modified, unmerged, untracked
    added: int | None
    removed: int | None


@dataclass(frozen=True)
class LeftOutFile:
    """A file that is not in the diff, and why."""

    path: str
    reason: str
    size_bytes: int | None


@dataclass
class Changes:
    """What was found. `dirty` is about tracked files and None when it could not be told."""

    dirty: bool | None = None
    files: list[ChangedFile] = field(default_factory=list)
    left_out: list[LeftOutFile] = field(default_factory=list)
    untracked_count: int | None = None
    notes: list[str] = field(default_factory=list)
    diff_pieces: list[str] = field(default_factory=list)
    diff_bytes: int = 0

    def add_to_diff(self, text: str) -> bool:
        """Append a file's or batch's diff; False when it has no room."""
        size = len(text.encode("utf-8"))
        if self.diff_bytes + size > DIFF_LIMIT_BYTES:
            return False
        self.diff_pieces.append(text)
        self.diff_bytes += size
        return True

    def leave_out(self, path: str, reason: str, size_bytes: int | None = None) -> None:
        self.left_out.append(LeftOutFile(shown_path(path), reason, size_bytes))

    def note_cut(self, output: GitOutput, doing: str) -> None:
        if output.cut_by == "time":
            self.notes.append(f"Time ran out while {doing}: the rest is missing.")
        elif output.cut_by:
            self.notes.append(f"There was too much while {doing}: the rest is missing.")


def shown_path(path: str) -> str:
    """A path from the file system as text that MongoDB takes: bytes that are not UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
