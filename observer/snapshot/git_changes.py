"""What a work tree holds that its commit does not: the changed files, the untracked ones, and all of it as one diff."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from .git_process import GitFailed, GitOutput
from .git_reader import GitReader
from .lfs_pointers import MAX_POINTER_BYTES, is_file_of_pointer
from .plain_files import FILE_LIMIT_BYTES, read_plain_file
from .secret_files import holds_secrets

DIFF_LIMIT_BYTES = 4_000_000  # of all files together: the run's document has to stay far below MongoDB's 16 MiB
LISTED_FILES = 1_000  # of changed and of left-out files, each; the rest is counted
LOOKED_AT_FILES = 20_000  # changed or untracked ones; a data folder that nobody ignored has a million
STRANGE_FILES = 50  # tracked files that are now pipes or devices: git is asked once more for each
LIST_LIMIT_BYTES = 4_000_000
BATCH_FILES = 200  # names on one command line
BATCH_BYTES = 400_000  # old and new contents in one diff; a diff is at most about twice as large

_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--submodule=short")
# "dirty" matters: to know whether a submodule's files changed, git would run itself under the submodule's own config.
_DIFF_FLAGS = (*_DIFF, "--ignore-submodules=dirty", "--src-prefix=a/", "--dst-prefix=b/")
_LINK, _SUBMODULE = "120000", "160000"
_STATUS = {"A": "added", "D": "deleted", "M": "modified", "T": "modified", "U": "unmerged"}
_UNSUPPORTED = re.compile(r"error: (.*): unsupported file type")
_UNQUOTED = re.compile(r'[^"\\\x00-\x1f\x7f]*')


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
        self.left_out.append(LeftOutFile(_shown(path), reason, size_bytes))

    def note_cut(self, output: GitOutput, doing: str) -> None:
        if output.cut_by == "time":
            self.notes.append(f"Time ran out while {doing}: the rest is missing.")
        elif output.cut_by:
            self.notes.append(f"There was too much while {doing}: the rest is missing.")


@dataclass(frozen=True)
class _Entry:
    """A line of `git diff --raw`."""

    path: str
    status: str
    old_mode: str
    new_mode: str
    old_blob: str
    size_bytes: int = 0


def read_changes(reader: GitReader, commit: str | None) -> Changes:
    """Compare the work tree with `commit` (None: with nothing), untracked files included."""
    changes = Changes()
    try:
        _read_tracked(reader, commit or reader.empty_tree, changes)
    except GitFailed as error:
        changes.notes.append(f"The files could not be compared with the commit. {error}")
    try:
        _read_untracked(reader, changes)
    except GitFailed as error:
        changes.notes.append(f"The untracked files could not be listed. {error}")
    return changes


def _read_tracked(reader: GitReader, base: str, changes: Changes) -> None:
    output = _compare(reader, base, changes)
    changes.note_cut(output, "comparing the files with the commit")
    entries = list(islice(_parse_raw(output.records()), LOOKED_AT_FILES))
    _read_diffs(reader, base, entries, changes)
    unfinished = output.cut_by is not None or (entries and reader.deadline.is_over())
    changes.dirty = True if changes.files else (None if unfinished else False)


def _read_diffs(reader: GitReader, base: str, entries: list[_Entry], changes: Changes) -> None:
    readable = list(_sort_out(reader, entries, changes))
    for batch in _batches(readable):
        if reader.deadline.is_over():
            changes.notes.append("Time ran out while reading the diff: the rest is missing.")
            return
        try:
            _diff_batch(reader, base, batch, changes)
        except GitFailed:
            _diff_one_by_one(reader, base, batch, changes)


def _compare(reader: GitReader, base: str, changes: Changes) -> GitOutput:
    """`git diff --raw`, however damaged the repository is."""
    listing = (*_DIFF_FLAGS, "--raw", "-z", "--no-abbrev", base, "--")
    for _ in range(STRANGE_FILES):
        try:
            return reader.ask(*listing, limit_bytes=LIST_LIMIT_BYTES)
        except GitFailed as error:
            if not (match := _UNSUPPORTED.search(error.message)):
                break
            # A tracked file that is now a pipe made git give up: it is hidden from git, in our copy of the index.
            changes.leave_out(match[1], "not a plain file")
            changes.files.append(ChangedFile(_shown(match[1]), "modified", None, None))
            reader.ask("update-index", "--skip-worktree", "--", match[1])
    # An object is missing or damaged. By times and sizes alone git can still list; the contents are compared later.
    return reader.ask("-c", "diff.autorefreshindex=false", *listing, limit_bytes=LIST_LIMIT_BYTES)


def _parse_raw(records: list[str]) -> Iterator[_Entry]:
    """Pairs of `:oldmode newmode oldblob newblob status` and path; of an unmerged path only its first pair."""
    seen: set[str] = set()
    for description, path in zip(records[::2], records[1::2], strict=False):
        old_mode, new_mode, old_blob, _, status = description.lstrip(":").split(" ")
        if path not in seen:
            seen.add(path)
            yield _Entry(path, status[:1], old_mode, new_mode, old_blob)


def _sort_out(reader: GitReader, entries: list[_Entry], changes: Changes) -> Iterator[_Entry]:
    """The entries whose lines may be looked at, with their sizes; the others are noted as changed and left out."""
    old_sizes = _blob_sizes(
        reader, [entry.old_blob for entry in entries if entry.old_mode not in ("000000", _SUBMODULE)]
    )
    entries = _without_same_lfs_files(reader, entries, old_sizes)
    parents = {str(parent) for entry in entries for parent in Path(entry.path).parents}
    for entry in entries:
        new_size = _size_on_disk(reader.repository.top / entry.path)
        size = max(new_size or 0, old_sizes.get(entry.old_blob, 0))
        if reason := _reason_to_leave_out(reader, entry, size, is_folder_too=entry.path in parents):
            changes.leave_out(entry.path, reason, new_size if new_size is not None else size)
            changes.files.append(ChangedFile(_shown(entry.path), _STATUS.get(entry.status, "modified"), None, None))
        else:
            both = (new_size or 0) + old_sizes.get(entry.old_blob, 0)
            yield _Entry(entry.path, entry.status, entry.old_mode, entry.new_mode, entry.old_blob, both)


def _without_same_lfs_files(reader: GitReader, entries: list[_Entry], old_sizes: dict[str, int]) -> list[_Entry]:
    """Leaves out files of Git LFS that were only touched: their commits hold pointers, and LFS' filter does not run."""
    if not (reader.repository.common_directory / "lfs").is_dir():
        return entries
    return [
        entry
        for entry in entries
        if not (
            entry.status == "M"
            and 0 < old_sizes.get(entry.old_blob, 0) <= MAX_POINTER_BYTES
            and is_file_of_pointer(
                reader.repository.top / entry.path, reader.ask("cat-file", "blob", entry.old_blob).data, reader.deadline
            )
        )
    ]


def _reason_to_leave_out(reader: GitReader, entry: _Entry, size_bytes: int, *, is_folder_too: bool) -> str | None:
    if holds_secrets(entry.path):
        return "its name says that it holds secrets"
    if is_folder_too:
        return "a folder has taken its place"  # naming it would name all that is in the folder
    if _LINK in (entry.old_mode, entry.new_mode):
        return "a link"
    if _is_strange(reader.repository.top / entry.path):
        return "not a plain file"
    if size_bytes > FILE_LIMIT_BYTES:
        return f"larger than {FILE_LIMIT_BYTES / 1e6:g} MB"
    return None


def _blob_sizes(reader: GitReader, blobs: list[str]) -> dict[str, int]:
    if not blobs:
        return {}
    output = reader.ask("cat-file", "--batch-check=%(objectname) %(objectsize)", lines=sorted(set(blobs)))
    pairs = (line.split(" ") for line in output.data.decode("ascii", "replace").splitlines())
    return {name: int(size) for name, size in (pair for pair in pairs if len(pair) == 2) if size.isdigit()}


def _is_strange(path: Path) -> bool:
    """Whether something is there that git cannot hold, such as a pipe, a socket or a device."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode))


def _size_on_disk(path: Path) -> int | None:
    try:
        return path.lstat().st_size
    except OSError:
        return None  # deleted


def _batches(entries: Iterable[_Entry]) -> Iterator[list[_Entry]]:
    batch: list[_Entry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == BATCH_FILES or size + entry.size_bytes > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size_bytes
    if batch:
        yield batch


def _diff_batch(reader: GitReader, base: str, batch: list[_Entry], changes: Changes) -> None:
    paths = [entry.path for entry in batch]
    counts = _count_lines(reader.ask(*_DIFF_FLAGS, "--numstat", "-z", base, "--", *paths))
    texts = [entry for entry in batch if counts.get(entry.path) != (None, None)]
    # Without a path git would show everything.
    asked = ["--patch", base, "--", *(entry.path for entry in texts)]
    output = reader.ask(*_DIFF_FLAGS, *asked) if texts else GitOutput(b"")
    text, damaged = _as_text(output.data)
    for entry in batch:
        if entry.path not in counts and entry.status == "M" and entry.old_mode == entry.new_mode:
            continue  # only touched
        added, removed = counts.get(entry.path, (0, 0))
        changes.files.append(ChangedFile(_shown(entry.path), _STATUS.get(entry.status, "modified"), added, removed))
        if added is None:
            changes.leave_out(entry.path, "not text", entry.size_bytes)
    if output.cut_by or (len(texts) == 1 and len(text) > FILE_LIMIT_BYTES) or not changes.add_to_diff(text):
        reason = "no room: the diff is larger than it may be" if output.cut_by != "time" else "time ran out"
        for entry in texts:
            changes.leave_out(entry.path, reason, entry.size_bytes)
    elif damaged:
        names = ", ".join(_shown(entry.path) for entry in texts[:5])
        changes.notes.append(f"Bytes that are not UTF-8 are replaced in the diff of {names}.")


def _diff_one_by_one(reader: GitReader, base: str, batch: list[_Entry], changes: Changes) -> None:
    """One file that git cannot read (an object is missing or damaged) costs that file alone."""
    for entry in batch:
        try:
            _diff_batch(reader, base, [entry], changes)
        except GitFailed as error:
            changes.files.append(ChangedFile(_shown(entry.path), _STATUS.get(entry.status, "modified"), None, None))
            changes.leave_out(entry.path, f"git cannot read it: {error.message.splitlines()[0]}", entry.size_bytes)


def _count_lines(output: GitOutput) -> dict[str, tuple[int | None, int | None]]:
    counts: dict[str, tuple[int | None, int | None]] = {}
    for record in output.records():
        added, removed, path = record.split("\t", 2)
        counts[path] = (None, None) if added == "-" else (int(added), int(removed))
    return counts


def _read_untracked(reader: GitReader, changes: Changes) -> None:
    output = reader.ask("ls-files", "--others", "--exclude-standard", "-z", limit_bytes=LIST_LIMIT_BYTES)
    changes.note_cut(output, "listing the untracked files")
    paths = output.records()
    changes.untracked_count = len(paths)
    for number, path in enumerate(paths):
        if number == LOOKED_AT_FILES or reader.deadline.is_over():
            why = "Time ran out" if reader.deadline.is_over() else "There are very many"
            changes.notes.append(
                f"{why}: {len(paths) - number:,} of {len(paths):,} untracked files were not looked at."
            )
            return
        _read_untracked_file(reader.repository.top, path, changes)


def _read_untracked_file(top: Path, path: str, changes: Changes) -> None:
    if path.endswith("/"):
        changes.leave_out(path, "a repository of its own")
        return
    if holds_secrets(path):
        changes.leave_out(path, "its name says that it holds secrets", _size_on_disk(top / path))
        return
    room = DIFF_LIMIT_BYTES - changes.diff_bytes
    file = read_plain_file(top / path, limit_bytes=FILE_LIMIT_BYTES) if room > 0 else None
    if file is None:
        changes.leave_out(path, "no room: the diff is larger than it may be", _size_on_disk(top / path))
    elif file.content is None:
        changes.leave_out(path, file.reason or "unreadable", file.size_bytes)
    elif (text := _text_of(file.content)) is None:
        changes.leave_out(path, "not text", file.size_bytes)
    elif not changes.add_to_diff(_addition(path, text, executable=_is_executable(top / path))):
        changes.leave_out(path, "no room: the diff is larger than it may be", file.size_bytes)
    else:
        changes.files.append(ChangedFile(_shown(path), "untracked", len(_lines(text)), 0))


def _text_of(content: bytes) -> str | None:
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_executable(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o100)
    except OSError:
        return False


def _addition(path: str, text: str, *, executable: bool) -> str:
    """The diff that adds a file, as `git apply` reads it."""
    old, new = _quoted("a/" + _shown(path)), _quoted("b/" + _shown(path))
    head = f"diff --git {old} {new}\nnew file mode {'100755' if executable else '100644'}\n"
    lines = _lines(text)
    if not lines:
        return head
    tail = "" if text.endswith("\n") else "\n\\ No newline at end of file\n"
    body = "".join("+" + line for line in lines)
    end_of_name = "\t" if " " in path else ""  # as git does: else patch would end the name at the blank
    return f"{head}--- /dev/null\n+++ {new}{end_of_name}\n@@ -0,0 +1,{len(lines)} @@\n{body}{tail}"


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a newline ends one (`str.splitlines` also cuts at form feeds and U+2028)."""
    pieces = text.split("\n")
    last = pieces.pop()
    return [piece + "\n" for piece in pieces] + ([last] if last else [])


def _quoted(name: str) -> str:
    if _UNQUOTED.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\{ord(match[0]):03o}", escaped) + '"'


def _shown(path: str) -> str:
    """A path from the file system as text that MongoDB takes: bytes that are not UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _as_text(data: bytes) -> tuple[str, bool]:
    try:
        return data.decode("utf-8"), False
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), True
