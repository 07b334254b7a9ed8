"""The files that git does not know and does not ignore, as additions in the diff."""

from __future__ import annotations

import re
from pathlib import Path

from .git_changes import (
    DIFF_LIMIT_BYTES,
    HOLDS_SECRETS,
    LIST_LIMIT_BYTES,
    LOOKED_AT_FILES,
    NO_ROOM,
    ChangedFile,
    Changes,
    shown_path,
)
from .git_reader import GitReader
from .plain_files import FILE_LIMIT_BYTES, read_plain_file, size_on_disk
from .secret_files import holds_secrets

_UNQUOTED = re.compile(r'[^"\\\x00-\x1f\x7f]*')


def read_untracked(reader: GitReader, changes: Changes) -> None:
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
        changes.leave_out(path, HOLDS_SECRETS, size_on_disk(top / path))
        return
    room = DIFF_LIMIT_BYTES - changes.diff_bytes
    file = read_plain_file(top / path, limit_bytes=FILE_LIMIT_BYTES) if room > 0 else None
    if file is None:
        changes.leave_out(path, NO_ROOM, size_on_disk(top / path))
    elif file.content is None:
        changes.leave_out(path, file.reason or "unreadable", file.size_bytes)
    elif (text := _text_of(file.content)) is None:
        changes.leave_out(path, "not text", file.size_bytes)
    elif not changes.add_to_diff(_addition(path, text, executable=_is_executable(top / path))):
        changes.leave_out(path, NO_ROOM, file.size_bytes)
    else:
        changes.files.append(ChangedFile(shown_path(path), "untracked", len(_lines(text)), 0))


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
    old, new = _quoted("a/" + shown_path(path)), _quoted("b/" + shown_path(path))
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
