"""Searching a whole console, however long: from a place towards its start or its end, for a moment at a time."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..observer.console_store import ConsolePage, ConsolePiece, Stream
from ..observer.errors import CloisterError

if TYPE_CHECKING:
    from ..observer.run_record import RunId
    from ..observer.runs import RunStore

QUERY_LIMIT = 500
BUDGET_SECONDS = 1.0  # of one answer; who asks goes on from where it ended
PIECES_AT_ONCE = 500
LINE_LIMIT = 4_000  # as the page cuts lines
MEMORY_BYTES = 8 << 20  # of a pattern

Direction = Literal["before", "after"]

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class BadPattern(CloisterError, ValueError):
    """What somebody looks for in a console is no pattern."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            f"{text[:80]!r} is no regular expression that can be searched for: {reason}. Look-around and references "
            "to groups are not among them, so that a search always ends."
        )


@dataclass(frozen=True)
class ConsoleFind:
    """What a stretch of a search came to.

    Attributes:
        cursor: of the nearest piece with a match; None where there is none in what was looked through.
        skipped_lines: that end between the place where the search began and that piece, or as far as it came.
        next: where to go on; None when all was looked through, or something was found.
        scanned_bytes: characters that were looked through.
    """

    cursor: str | None
    skipped_lines: int
    next: str | None
    scanned_bytes: int


def compile_search(text: str, *, is_pattern: bool) -> Any:
    """What to look for, whatever its case. In linear time: the pattern is a person's, the text may be a gigabyte.

    Raises:
        BadPattern: it is none.
    """
    import re2  # type: ignore[import-untyped]  # with the first search: most pages need it never

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.max_mem = MEMORY_BYTES
    options.never_nl = True  # a match lies in one line, as it is shown
    try:
        return re2.compile(f"(?m){text if is_pattern else re2.escape(text)}", options=options)
    except re2.error as error:
        said = error.args[0] if error.args else "it cannot be read"
        raise BadPattern(text, said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from error


def search_console(
    store: RunStore,
    run_id: RunId,
    pattern: Any,
    *,
    direction: Direction,
    cursor: str | None,
    stream: Stream | None = None,
    budget_seconds: float = BUDGET_SECONDS,
) -> ConsoleFind:
    """The nearest piece with a line that matches, going from `cursor` (None: the end) in `direction`."""
    deadline = time.monotonic() + budget_seconds
    joined: dict[Stream, str] = {}  # by stream: what the piece before has of a line that goes on in this one
    lines = scanned = 0
    while True:
        page = _load(store, run_id, direction, cursor)
        for piece in page.pieces if direction == "after" else reversed(page.pieces):
            scanned += len(piece.text)
            if stream in (None, piece.stream) and _matches(pattern, piece, joined, direction):
                return ConsoleFind(piece.cursor, lines, None, scanned)
            lines += piece.text.count("\n")
        if not page.pieces or not page.more:
            return ConsoleFind(None, lines, None, scanned)
        cursor = page.last if direction == "after" else page.first
        if time.monotonic() >= deadline:
            return ConsoleFind(None, lines, cursor, scanned)


def _load(store: RunStore, run_id: RunId, direction: Direction, cursor: str | None) -> ConsolePage:
    if direction == "after":
        return store.load_console(run_id, after=cursor or "", limit=PIECES_AT_ONCE)
    return store.load_console(run_id, before=cursor, limit=PIECES_AT_ONCE)


def _matches(pattern: Any, piece: ConsolePiece, joined: dict[Stream, str], direction: Direction) -> bool:
    """Whether a line of the piece matches, the one too that it shares with its neighbour."""
    text = _ESCAPES.sub("", piece.text) if "\x1b" in piece.text else piece.text
    beside = joined.get(piece.stream, "")
    whole = beside + text if direction == "after" else text + beside
    if direction == "after":
        rest = text.rpartition("\n")[2] if "\n" in text else whole
        joined[piece.stream] = rest[-LINE_LIMIT:]
    else:
        rest = text.partition("\n")[0] if "\n" in text else whole
        joined[piece.stream] = rest[:LINE_LIMIT]
    return pattern.search(whole) is not None
