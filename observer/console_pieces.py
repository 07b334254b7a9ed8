"""Console pieces: what one stream printed, cut into the pieces that are recorded, and when each of them is due."""

from __future__ import annotations

import math
import re

from .console_text import fold_carriage_returns

PIECE_LIMIT_BYTES = 64 * 1024
UNFINISHED_SECONDS = 0.5  # an unfinished line is recorded this long after it began
PROGRESS_SECONDS = 1.0  # states of a progress bar are recorded at most this often

# A line is recorded before print returns, so that kill -9 loses none. One record is 4 us in the journal and a document
# in MongoDB, though, so only the first 1,000 pieces of a second (0.4 % of a core) are; what comes faster is gathered
# for 20 ms, which is then the most that kill -9 can take (benchmarks/console.py).
IMMEDIATE_PIECES_PER_SECOND = 1_000
GATHER_SECONDS = 0.02

NEVER = math.inf
_CHARACTER_BYTES = 4  # the most that UTF-8 needs
_SURROGATE = re.compile("[\ud800-\udfff]")  # what errors="surrogateescape" made of invalid bytes; has no UTF-8


class PieceMaker:
    """Gathers the text of one stream and gives it back in pieces to record. Not thread-safe; times are monotonic.

    A line that is being written over (a progress bar) is recorded as its states, each followed by a carriage return
    until a newline ends the line. Memory is bounded by twice the piece limit, whatever comes.
    """

    def __init__(self) -> None:
        self.due = NEVER  # when `take_due` has something, if nothing is added before
        self._parts: list[str] = []
        self._length = 0
        self._has_line = False  # a newline is among the parts
        self._is_progress = False  # the unfinished line has a carriage return, so parts hold its whole last state
        self._is_new = False  # something came since the last state was recorded
        self._is_open = False  # the unfinished line was recorded in part, without a carriage return behind it
        self._recorded_state: str | None = None  # of the unfinished line, as last recorded
        self._last_state_time = -NEVER
        self._second = -NEVER
        self._pieces_this_second = 0

    def add(self, text: str, now: float) -> list[str]:
        """Take what was printed and give the pieces that are to be recorded at once; mostly one, or none."""
        if len(text) > PIECE_LIMIT_BYTES:
            pieces = []
            for begin in range(0, len(text), PIECE_LIMIT_BYTES):
                pieces += self.add(text[begin : begin + PIECE_LIMIT_BYTES], now)
            return pieces
        self._parts.append(text)
        self._length += len(text)
        self._is_new = True
        if "\n" in text:
            self._has_line = True
        if "\r" in text:
            self._is_progress = True
        if self._length >= PIECE_LIMIT_BYTES:
            return self._take(now, with_unfinished=not self._is_progress)
        if self._has_line:
            if self._may_be_immediate(now):
                return self._take(now, with_unfinished=False)
            self.due = min(self.due, now + GATHER_SECONDS)
        elif self._is_progress:
            self.due = max(now, self._last_state_time + PROGRESS_SECONDS)
            return self.take_due(now)
        elif self.due == NEVER:
            self.due = now + UNFINISHED_SECONDS
        return []

    def take_due(self, now: float) -> list[str]:
        """The pieces whose time has come."""
        if now < self.due:
            return []
        return self._take(now, with_unfinished=not self._has_line)

    def take_lines(self, now: float) -> list[str]:
        """Gathered lines before their time: the other stream is about to record, and order is to be kept."""
        return self._take(now, with_unfinished=False) if self._has_line else []

    def take_all(self, now: float) -> list[str]:
        """Everything that was not recorded yet, unfinished lines included."""
        return self._take(now, with_unfinished=True) if self._is_new else []

    def _may_be_immediate(self, now: float) -> bool:
        if now - self._second >= 1.0:
            self._second, self._pieces_this_second = now, 0
        self._pieces_this_second += 1
        return self._pieces_this_second <= IMMEDIATE_PIECES_PER_SECOND

    def _take(self, now: float, *, with_unfinished: bool) -> list[str]:
        text = "".join(self._parts)
        lines, newline, rest = text.rpartition("\n")
        self._parts, self._length, self._has_line, self.due = [], 0, False, NEVER
        piece = self._end_lines(lines + newline) if newline else ""
        if newline:
            self._is_progress = "\r" in rest
        if self._is_progress:
            piece += self._take_state(rest, now, due=with_unfinished)
        elif with_unfinished and rest:
            piece += rest
            self._is_open = True
            self._is_new = False
        elif rest:
            self._keep(rest)
            self.due = now + UNFINISHED_SECONDS
        else:
            self._is_new = False
        return _cut(piece)

    def _end_lines(self, text: str) -> str:
        first, newline, others = text.partition("\n")
        if self._recorded_state is not None and first.rstrip("\r") == self._recorded_state:
            first = ""
        elif self._is_open and _is_written_over(first):
            first = "\r" + fold_carriage_returns(first)
        else:
            first = fold_carriage_returns(first)
        self._is_open, self._recorded_state = False, None
        return first + newline + fold_carriage_returns(others)

    def _take_state(self, rest: str, now: float, *, due: bool) -> str:
        """Keep the last state of the line that is being written over; give it to be recorded when it is time."""
        over = "\r" if self._is_open and _is_written_over(rest) else ""
        trailing = "\r" if rest.endswith("\r") else ""
        state = fold_carriage_returns(rest)
        if len(state) > PIECE_LIMIT_BYTES // 2:  # no progress bar: let go of it like of any long line
            self._is_progress, self._is_open, self._is_new, self._recorded_state = False, True, False, None
            return over + state
        if not due:
            # The mark that the recorded part was written over has to stay until a state is recorded.
            self._keep(over + state + trailing)
            self.due = max(now, self._last_state_time + PROGRESS_SECONDS)
            return ""
        self._keep(state + trailing)
        if state == self._recorded_state and not _is_written_over(rest):  # one more carriage return behind it
            self._is_new = False
            return ""
        self._last_state_time, self._is_open, self._is_new, self._recorded_state = now, False, False, state
        return f"{over}{state}\r"

    def _keep(self, rest: str) -> None:
        self._parts, self._length = ([rest], len(rest)) if rest else ([], 0)


def _is_written_over(line: str) -> bool:
    """Whether something follows a carriage return; one at the very end has not overwritten anything yet."""
    return "\r" in line.rstrip("\r")


def _cut(text: str) -> list[str]:
    """`text` as pieces of at most 64 KiB of UTF-8 each."""
    if not text:
        return []
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    size = PIECE_LIMIT_BYTES if text.isascii() else PIECE_LIMIT_BYTES // _CHARACTER_BYTES
    return [text[begin : begin + size] for begin in range(0, len(text), size)]
