"""How the files that git tracks differ from the commit, index and work tree together."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .git_changes import HOLDS_SECRETS, LIST_LIMIT_BYTES, LOOKED_AT_FILES, NO_ROOM, ChangedFile, Changes, shown_path
from .git_process import GitFailed, GitOutput
from .git_reader import GitReader
from .lfs_pointers import MAX_POINTER_BYTES, is_file_of_pointer
from .plain_files import FILE_LIMIT_BYTES, size_on_disk
from .secret_files import holds_secrets

STRANGE_FILES = 50  # tracked files that are now pipes or devices: git is asked once more for each
BATCH_FILES = 200  # names on one command line
BATCH_BYTES = 400_000  # old and new contents in one diff; a diff is at most about twice as large

_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--submodule=short")
# "dirty" matters: to know whether a submodule's files changed, git would run itself under the submodule's own config.
_DIFF_FLAGS = (*_DIFF, "--ignore-submodules=dirty", "--src-prefix=a/", "--dst-prefix=b/")
_LINK, _SUBMODULE = "120000", "160000"
_STATUS = {"A": "added", "D": "deleted", "M": "modified", "T": "modified", "U": "unmerged"}
_UNSUPPORTED = re.compile(r"error: (.*): unsupported file type")


@dataclass(frozen=True)
class _Entry:
    """A line of `git diff --raw`."""

    path: str
    status: str
    old_mode: str
    new_mode: str
    old_blob: str
    size_bytes: int = 0


def read_tracked(reader: GitReader, base: str, changes: Changes) -> None:
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
            changes.files.append(ChangedFile(shown_path(match[1]), "modified", None, None))
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
        new_size = size_on_disk(reader.repository.top / entry.path)
        size = max(new_size or 0, old_sizes.get(entry.old_blob, 0))
        if reason := _reason_to_leave_out(reader, entry, size, is_folder_too=entry.path in parents):
            changes.leave_out(entry.path, reason, new_size if new_size is not None else size)
            changes.files.append(ChangedFile(shown_path(entry.path), _STATUS.get(entry.status, "modified"), None, None))
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
        return HOLDS_SECRETS
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
        changes.files.append(ChangedFile(shown_path(entry.path), _STATUS.get(entry.status, "modified"), added, removed))
        if added is None:
            changes.leave_out(entry.path, "not text", entry.size_bytes)
    if output.cut_by or (len(texts) == 1 and len(text) > FILE_LIMIT_BYTES) or not changes.add_to_diff(text):
        reason = NO_ROOM if output.cut_by != "time" else "time ran out"
        for entry in texts:
            changes.leave_out(entry.path, reason, entry.size_bytes)
    elif damaged:
        names = ", ".join(shown_path(entry.path) for entry in texts[:5])
        changes.notes.append(f"Bytes that are not UTF-8 are replaced in the diff of {names}.")


def _diff_one_by_one(reader: GitReader, base: str, batch: list[_Entry], changes: Changes) -> None:
    """One file that git cannot read (an object is missing or damaged) costs that file alone."""
    for entry in batch:
        try:
            _diff_batch(reader, base, [entry], changes)
        except GitFailed as error:
            changes.files.append(ChangedFile(shown_path(entry.path), _STATUS.get(entry.status, "modified"), None, None))
            changes.leave_out(entry.path, f"git cannot read it: {error.message.splitlines()[0]}", entry.size_bytes)


def _count_lines(output: GitOutput) -> dict[str, tuple[int | None, int | None]]:
    counts: dict[str, tuple[int | None, int | None]] = {}
    for record in output.records():
        added, removed, path = record.split("\t", 2)
        counts[path] = (None, None) if added == "-" else (int(added), int(removed))
    return counts


def _as_text(data: bytes) -> tuple[str, bool]:
    try:
        return data.decode("utf-8"), False
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), True
