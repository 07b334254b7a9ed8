"""A unified diff as files, blocks and lines to draw: unified or side by side from the same markup.

The text comes out of a recorded run, so nothing in it is trusted: what cannot be read as a diff is kept as a note,
and files, lines and line lengths are bounded, with the rest counted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

FILES_LIMIT = 300
LINES_LIMIT = 6_000  # over all files; a person reads less, a browser draws it in half a second
LINE_LIMIT_CHARS = 2_000
WORD_LIMIT_CHARS = 400  # longer lines are not compared word by word: the comparison is quadratic

ChangeKind = Literal["changed", "added", "removed", "renamed"]

HUNK_HEADER = re.compile(r"^@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@ ?(.*)$")
WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True)
class DiffPiece:
    """A stretch of a line; `marked` where it differs from the line that it replaces or that replaced it."""

    text: str
    marked: bool = False


@dataclass(frozen=True)
class DiffLine:
    """One line; `old` and `new` are its numbers in the two files, None where it does not exist."""

    old: int | None
    new: int | None
    pieces: tuple[DiffPiece, ...]


@dataclass(frozen=True)
class Fold:
    """Unchanged lines that the diff leaves out."""

    count: int
    heading: str = ""  # git's guess of the function that the next lines are in


@dataclass(frozen=True)
class Unchanged:
    lines: tuple[DiffLine, ...]


@dataclass(frozen=True)
class Change:
    """Lines that went, and the lines that came in their place; either may be empty."""

    removed: tuple[DiffLine, ...]
    added: tuple[DiffLine, ...]


Block = Fold | Unchanged | Change


@dataclass(frozen=True)
class DiffFile:
    """One file of a diff.

    Attributes:
        added, removed: lines of the whole file, shown or not.
        hidden: lines left out because the page is full.
        notes: what the diff says about the file beside its lines: "binary", modes.
    """

    path: str
    old_path: str
    kind: ChangeKind
    added: int
    removed: int
    blocks: tuple[Block, ...]
    hidden: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diff:
    """Attributes: `hidden_files` counts the files that are not among `files` because there are too many."""

    files: tuple[DiffFile, ...]
    hidden_files: int = 0

    @property
    def added(self) -> int:
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files)


def parse_diff(text: str) -> Diff:
    """The files of a diff as `git diff` writes it (`diff --git`, `---`/`+++`, hunks)."""
    files: list[DiffFile] = []
    room = LINES_LIMIT
    hidden_files = 0
    for lines in _file_sections(text):
        if len(files) >= FILES_LIMIT:
            hidden_files += 1
            continue
        file = _FileReader(room).read(lines)
        room -= sum(_line_count(block) for block in file.blocks)
        files.append(file)
    return Diff(tuple(files), hidden_files)


def diff_texts(old: str, new: str, *, path: str, context: int = 3) -> Diff:
    """The difference of two texts under one name, in the same form as a recorded diff."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{path}", f"b/{path}", lineterm="", n=context)
    return parse_diff("\n".join(lines))


def _file_sections(text: str) -> Iterator[list[str]]:
    """The lines of each file. A section starts at `diff --git`, or at `---`/`+++` where there is no such line."""
    section: list[str] = []
    expected_old = expected_new = 0
    lines = text.split("\n")
    for index, line in enumerate(lines):
        inside = expected_old > 0 or expected_new > 0
        if inside:
            expected_old -= line[:1] in ("-", " ", "")
            expected_new -= line[:1] in ("+", " ", "")
        elif hunk := HUNK_HEADER.match(line):
            expected_old, expected_new = _count(hunk[2]), _count(hunk[4])
        elif _starts_file(line, lines[index + 1 : index + 2], section):
            if section:
                yield section
            section = []
        section.append(line)
    if any(line.strip() for line in section):
        yield section


def _starts_file(line: str, following: list[str], section: list[str]) -> bool:
    if line.startswith("diff --git "):
        return True
    headless = not any(earlier.startswith("diff --git ") for earlier in section[:1])
    return headless and line.startswith("--- ") and bool(following) and following[0].startswith("+++ ")


def _count(group: str | None) -> int:
    return 1 if group is None else int(group)


@dataclass
class _FileReader:
    """Reads one file's section; keeps at most `room` lines and counts the others."""

    room: int
    old_path: str = ""
    new_path: str = ""
    kind: ChangeKind = "changed"
    added: int = 0
    removed: int = 0
    hidden: int = 0
    notes: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    _old: int = 1
    _new: int = 1
    _left_old: int = 0
    _left_new: int = 0
    _kept: list[DiffLine] = field(default_factory=list)
    _minus: list[DiffLine] = field(default_factory=list)
    _plus: list[DiffLine] = field(default_factory=list)

    def read(self, lines: Iterable[str]) -> DiffFile:
        for line in lines:
            if self._left_old > 0 or self._left_new > 0:
                self._read_body(line)
            elif hunk := HUNK_HEADER.match(line):
                self._open_hunk(hunk)
            else:
                self._read_head(line)
        self._close_change()
        self._close_unchanged()
        path = self.old_path if self.kind == "removed" else self.new_path or self.old_path
        return DiffFile(
            path=path,
            old_path=self.old_path or path,
            kind=self.kind,
            added=self.added,
            removed=self.removed,
            blocks=tuple(self.blocks),
            hidden=self.hidden,
            notes=tuple(self.notes),
        )

    def _read_head(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if line.startswith("diff --git "):
            self.old_path, self.new_path = _paths_of_header(rest.removeprefix("--git "))
        elif line.startswith("--- "):
            self._set_old(rest)
        elif line.startswith("+++ "):
            self._set_new(rest)
        elif line.startswith("rename from "):
            self.kind, self.old_path = "renamed", unquoted(line.removeprefix("rename from "))
        elif line.startswith("rename to "):
            self.new_path = unquoted(line.removeprefix("rename to "))
        elif line.startswith("new file"):
            self.kind = "added"
        elif line.startswith("deleted file"):
            self.kind = "removed"
        elif line.startswith(("Binary files ", "GIT binary patch")):
            self.notes.append("Binary file, not shown")
        elif name in ("old", "new") and rest.startswith("mode "):
            self.notes.append(line)

    def _set_old(self, rest: str) -> None:
        if rest.split("\t")[0] == "/dev/null":
            self.kind = "added"
        else:
            self.old_path = _without_prefix(rest, "a/")

    def _set_new(self, rest: str) -> None:
        if rest.split("\t")[0] == "/dev/null":
            self.kind = "removed"
        else:
            self.new_path = _without_prefix(rest, "b/")

    def _open_hunk(self, hunk: re.Match[str]) -> None:
        self._close_change()
        self._close_unchanged()
        self._left_old, self._left_new = _count(hunk[2]), _count(hunk[4])
        # Where a side has no lines, git writes the number of the line before.
        old = int(hunk[1]) + (self._left_old == 0)
        new = int(hunk[3]) + (self._left_new == 0)
        if new > self._new and self.room > 0:
            self.blocks.append(Fold(new - self._new, hunk[5][:LINE_LIMIT_CHARS]))
        self._old, self._new = old, new

    def _read_body(self, line: str) -> None:
        sign, text = line[:1] or " ", line[1:].removesuffix("\r")
        if sign == "-":
            self.removed += 1
            self._left_old -= 1
            if self._plus:  # a "-" after a "+" begins another change
                self._close_change()
            self._keep(self._minus, self._old, None, text)
            self._old += 1
        elif sign == "+":
            self.added += 1
            self._left_new -= 1
            self._keep(self._plus, None, self._new, text)
            self._new += 1
        elif sign == " ":
            self._left_old -= 1
            self._left_new -= 1
            self._close_change()
            self._keep(self._kept, self._old, self._new, text)
            self._old += 1
            self._new += 1

    def _keep(self, lines: list[DiffLine], old: int | None, new: int | None, text: str) -> None:
        if self.room <= 0:
            self.hidden += 1
            return
        if lines is not self._kept:
            self._close_unchanged()
        self.room -= 1
        lines.append(DiffLine(old, new, (DiffPiece(_bounded(text)),)))

    def _close_change(self) -> None:
        if self._minus or self._plus:
            self.blocks.append(Change(*marked_pairs(self._minus, self._plus)))
            self._minus, self._plus = [], []

    def _close_unchanged(self) -> None:
        if self._kept:
            self.blocks.append(Unchanged(tuple(self._kept)))
            self._kept = []


def marked_pairs(
    removed: Sequence[DiffLine], added: Sequence[DiffLine]
) -> tuple[tuple[DiffLine, ...], tuple[DiffLine, ...]]:
    """The same lines, with the words marked in which the first pairs of them differ."""
    pairs = [_marked_pair(old, new) for old, new in zip(removed, added, strict=False)]
    olds = [old for old, _ in pairs] + list(removed[len(pairs) :])
    news = [new for _, new in pairs] + list(added[len(pairs) :])
    return tuple(olds), tuple(news)


def _marked_pair(old: DiffLine, new: DiffLine) -> tuple[DiffLine, DiffLine]:
    before, after = _text(old), _text(new)
    if max(len(before), len(after)) > WORD_LIMIT_CHARS:
        return old, new
    left, right = WORDS.findall(before), WORDS.findall(after)
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < 0.5:  # two different lines: marks all over say nothing
        return old, new
    left_pieces: list[DiffPiece] = []
    right_pieces: list[DiffPiece] = []
    for kind, a, b, c, d in matcher.get_opcodes():
        changed = kind != "equal"
        left_pieces += [DiffPiece("".join(left[a:b]), changed)] if b > a else []
        right_pieces += [DiffPiece("".join(right[c:d]), changed)] if d > c else []
    return (
        DiffLine(old.old, old.new, tuple(left_pieces) or old.pieces),
        DiffLine(new.old, new.new, tuple(right_pieces) or new.pieces),
    )


def _text(line: DiffLine) -> str:
    return "".join(piece.text for piece in line.pieces)


def _bounded(text: str) -> str:
    return text if len(text) <= LINE_LIMIT_CHARS else text[:LINE_LIMIT_CHARS] + "…"


def _line_count(block: Block) -> int:
    if isinstance(block, Change):
        return len(block.removed) + len(block.added)
    return len(block.lines) if isinstance(block, Unchanged) else 1


def _paths_of_header(rest: str) -> tuple[str, str]:
    """The two paths of `a/x b/x`. Names may hold blanks, so the two halves are taken as equal where they are."""
    if rest.startswith('"'):
        quoted = re.findall(r'"(?:[^"\\]|\\.)*"', rest)
        if len(quoted) == 2:
            return _without_prefix(quoted[0], "a/"), _without_prefix(quoted[1], "b/")
    half = (len(rest) - 1) // 2
    return rest[:half].removeprefix("a/"), rest[half + 1 :].removeprefix("b/")


def _without_prefix(quoted: str, prefix: str) -> str:
    return unquoted(quoted.split("\t")[0] if not quoted.startswith('"') else quoted).removeprefix(prefix)


def unquoted(path: str) -> str:
    """A path as git prints it: in quotes with C escapes (octal for UTF-8 bytes) where it has unusual characters."""
    if not (len(path) >= 2 and path.startswith('"') and path.endswith('"')):
        return path
    simple = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
    raw = bytearray()
    for octal, letter, char in re.findall(r"\\([0-7]{3})|\\(.)|([^\\])", path[1:-1]):
        raw += bytes([int(octal, 8) & 0xFF]) if octal else (simple.get(letter, letter) if letter else char).encode()
    return raw.decode("utf-8", "replace")
