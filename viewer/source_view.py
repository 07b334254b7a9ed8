"""Source text as lines of coloured words: what a page shows of a recorded file, bounded in size and time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType
from pygments.util import ClassNotFound

SOURCE_LIMIT_BYTES = 512 * 1024  # a screen of a thousand pages; whoever needs more downloads the file
LINES_LIMIT = 10_000
LINE_LIMIT_CHARS = 2_000  # longer ones are minified or data: cut, and said so
HIGHLIGHT_SECONDS = 1.0  # a lexer's regular expression meets text that somebody else chose
HIGHLIGHT_LINE_LIMIT_CHARS = 5_000

# Which language a file is in, by its ending or whole name. A table and not Pygments' own guess: that guess runs
# patterns of 500 lexers over text that somebody else chose, and takes `.m` for Objective-C.
LANGUAGE_OF_ENDING = {
    "bash": "bash", "bib": "bibtex", "c": "c", "cc": "cpp", "cfg": "ini", "cmake": "cmake", "conf": "ini",
    "cpp": "cpp", "css": "css", "cu": "cuda", "cuh": "cuda", "diff": "diff", "dockerfile": "docker", "go": "go",
    "h": "c", "hpp": "cpp", "htm": "html", "html": "html", "ini": "ini", "ipynb": "json", "java": "java",
    "jl": "julia", "js": "javascript", "json": "json", "jsonl": "json", "lua": "lua", "m": "matlab", "md": "markdown",
    "mjs": "javascript", "patch": "diff", "proto": "protobuf", "py": "python", "pyi": "python", "pyx": "cython",
    "r": "r", "rs": "rust", "rst": "rst", "sh": "bash", "sql": "sql", "tex": "tex", "toml": "toml",
    "ts": "typescript", "xml": "xml", "yaml": "yaml", "yml": "yaml", "zsh": "bash",
}  # fmt: skip
UNCOLOURED = frozenset({"n", "p", "w"})  # names, punctuation, blanks: half of all words, drawn as plain text
LANGUAGE_OF_NAME = {"dockerfile": "docker", "makefile": "make", "gnumakefile": "make", "cmakelists.txt": "cmake"}


@dataclass(frozen=True)
class Word:
    """A stretch of text in one colour. `css_class` is Pygments' short class (`k`, `s1`, ...) or empty."""

    text: str
    css_class: str


@dataclass(frozen=True)
class SourceLine:
    number: int
    words: tuple[Word, ...]
    cut_chars: int  # left out at the end of the line


@dataclass(frozen=True)
class SourceView:
    """What is shown of one file.

    Attributes:
        language: Pygments' name of the language, empty for plain text.
        binary: the bytes are not text; there are no lines then.
        shown_bytes, total_bytes: they differ where the file is longer than what a page shows.
    """

    lines: tuple[SourceLine, ...]
    language: str
    binary: bool
    shown_bytes: int
    total_bytes: int

    @property
    def cut(self) -> bool:
        return self.shown_bytes < self.total_bytes


def view_source(head: bytes, *, path: str, total_bytes: int) -> SourceView:
    """The lines to show of a file that starts with `head`.

    Args:
        head: the first bytes, at most `SOURCE_LIMIT_BYTES` of them are used.
        path: decides the language; never opened.
        total_bytes: how long the whole file is.
    """
    head = head[:SOURCE_LIMIT_BYTES]
    if looks_binary(head):
        return SourceView((), "", binary=True, shown_bytes=0, total_bytes=total_bytes)
    if len(head) < total_bytes:
        head = head[: head.rfind(b"\n") + 1] or head
    text = head.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    language = language_of(path)
    lines = tuple(_numbered(highlighted_lines(text, language)))
    shown = len(head) if len(lines) < LINES_LIMIT else min(len(head), _bytes_of_lines(head, LINES_LIMIT))
    return SourceView(lines, language, binary=False, shown_bytes=shown, total_bytes=total_bytes)


def view_text(text: str, *, language: str, lines_limit: int = LINES_LIMIT) -> SourceView:
    """The lines of a text that is no file of its own. `language` is Pygments' name, unknown ones are plain text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = tuple(itertools.islice(_numbered(highlighted_lines(text, language)), lines_limit))
    size = len(text.encode("utf-8", "replace"))
    cut = text.count("\n") >= lines_limit
    shown = len("\n".join(text.split("\n", lines_limit)[:lines_limit]).encode("utf-8", "replace")) if cut else size
    return SourceView(lines, language, binary=False, shown_bytes=shown, total_bytes=size)


def looks_binary(head: bytes) -> bool:
    """As git decides it: a NUL byte near the start."""
    return b"\0" in head[:8192]


def language_of(path: str) -> str:
    """Pygments' short name of a path's language, or empty for plain text."""
    name = PurePosixPath(path.replace("\\", "/")).name.lower()
    return LANGUAGE_OF_NAME.get(name) or LANGUAGE_OF_ENDING.get(name.rpartition(".")[2] if "." in name else "", "")


def highlighted_lines(text: str, language: str) -> Iterator[list[Word]]:
    """The words of each line, coloured until the time is up and plain from there on."""
    lexer = _lexer(language)
    if lexer is None or any(len(line) > HIGHLIGHT_LINE_LIMIT_CHARS for line in text.splitlines()):
        yield from _split_lines([("", text)])
        return
    yield from _split_lines(_tokens_in_time(lexer, text))


def _lexer(language: str) -> Lexer | None:
    if not language:
        return None
    try:
        # ensurenl and stripnl would add and remove lines, and the numbers beside them would be wrong.
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:  # an older Pygments
        return None


def _tokens_in_time(lexer: Lexer, text: str) -> Iterator[tuple[str, str]]:
    deadline = time.monotonic() + HIGHLIGHT_SECONDS
    done = 0
    for start, kind, value in lexer.get_tokens_unprocessed(text):
        if time.monotonic() > deadline:
            break
        yield _css_class(kind), value
        done = start + len(value)
    yield "", text[done:]


def _css_class(kind: _TokenType) -> str:
    nearest: _TokenType | None = kind
    while nearest is not None and nearest not in STANDARD_TYPES:
        nearest = nearest.parent
    css_class = STANDARD_TYPES[nearest] if nearest is not None else ""
    return "" if css_class in UNCOLOURED else css_class


def _split_lines(tokens: Iterable[tuple[str, str]]) -> Iterator[list[Word]]:
    line: list[Word] = []
    for css_class, value in tokens:
        first, *more = value.split("\n")
        _append(line, first, css_class)
        for part in more:
            yield line
            line = []
            _append(line, part, css_class)
    if line:
        yield line


def _append(line: list[Word], text: str, css_class: str) -> None:
    if text and line and line[-1].css_class == css_class:
        line[-1] = Word(line[-1].text + text, css_class)
    elif text:
        line.append(Word(text, css_class))


def _numbered(lines: Iterable[list[Word]]) -> Iterator[SourceLine]:
    for number, words in enumerate(lines, start=1):
        if number > LINES_LIMIT:
            return
        yield _shortened(number, words)


def _shortened(number: int, words: list[Word]) -> SourceLine:
    room = LINE_LIMIT_CHARS
    kept: list[Word] = []
    for word in words:
        if room > 0:
            kept.append(word if len(word.text) <= room else Word(word.text[:room], word.css_class))
        room -= len(word.text)
    return SourceLine(number, tuple(kept), max(0, -room))


def _bytes_of_lines(head: bytes, count: int) -> int:
    return sum(len(line) for line in head.splitlines(keepends=True)[:count])
