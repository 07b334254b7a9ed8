"""Console pieces: what one stream printed, cut into the pieces that are recorded, and when each of them is due."""

from __future__ import annotations

import math
import re

from .console_text import fold_carriage_returns

PIECE_LIMIT_BYTES = 64 * 1024
UNFINISHED_SECONDS = 0.5  # an unfinished line is recorded this long after it began
PROGRESS_SECONDS = 1.0  # states of a progress bar are recorded at most this often
# tqdm draws its second bar by a newline, the bar and a cursor-up, in three writes. So the newline that ends a progress
# line is only believed when no cursor-up has followed it for this long; or nested bars were ten lines a second.
STEP_DOWN_SECONDS = 0.05

# A line is recorded before print returns, so that kill -9 loses none. One record is 4 us in the journal and a document
# in MongoDB, though, so only the first 1,000 pieces of a second (0.4 % of a core) are; what comes faster is gathered
# for 20 ms, which is then the most that kill -9 can take (benchmarks/console.py).
IMMEDIATE_PIECES_PER_SECOND = 1_000
GATHER_SECONDS = 0.02

NEVER = math.inf
_CHARACTER_BYTES = 4  # the most that UTF-8 needs
_OVERWRITE = re.compile(r"\r(?![\r\n])|\r\Z")  # a carriage return that is no part of a Windows line end
_STEP = re.compile(r"(\n|\x1b\[[0-9]{0,4}A)")
_STEP_UP = re.compile(r"\x1b\[[0-9]{0,4}A")
_ENDS_WITH_STEP_UP = re.compile(r"\x1b\[[0-9]{0,4}A\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")  # what errors="surrogateescape" made of invalid bytes; has no UTF-8


class PieceMaker:
    """Gathers the text of one stream and gives it back in pieces to record. Not thread-safe; times are monotonic.

    A line that is being written over (a progress bar) is recorded as its states, each followed by a carriage return
    until a newline ends the line. Bars below it, reached by newlines and cursor-ups, are recorded as parts of the same
    line. Memory is bounded by twice the piece limit, whatever comes.
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
        if "\r" in text and _OVERWRITE.search(text):
            self._is_progress = True
        if self._length >= PIECE_LIMIT_BYTES:
            return self._take(now, with_unfinished=not self._is_progress)
        if self._has_line:
            if self._is_progress:
                if _ENDS_WITH_STEP_UP.search(text):
                    return self._take(now, with_unfinished=False)
                if not _is_plain_line(text):
                    # A text that was cut from a pipe may hold many bars and end in the middle of one.
                    believed = now + STEP_DOWN_SECONDS
                    self.due = believed if _STEP_UP.search(text) else min(self.due, believed)
                    return []
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
        if self._is_progress and _STEP_UP.search(text):
            lines, rest, lower_bars = _split_rows(text)
        else:
            lines, newline, rest = text.rpartition("\n")
            lines, lower_bars = lines + newline, []
        self._parts, self._length, self._has_line, self.due = [], 0, False, NEVER
        piece = self._end_lines(lines) if lines else ""
        if lines:
            self._is_progress = "\r" in rest or bool(lower_bars)
        if self._is_progress:
            piece += self._take_state(rest, lower_bars, now, due=with_unfinished)
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

    def _take_state(self, rest: str, lower_bars: list[str], now: float, *, due: bool) -> str:
        """Keep the last state of the line that is being written over; give it to be recorded when it is time."""
        over = "\r" if self._is_open and _is_written_over(rest) else ""
        trailing = "\r" if rest.endswith("\r") else ""
        bar = fold_carriage_returns(rest)
        state = "  ".join([bar, *filter(str.strip, lower_bars)])
        if len(state) > PIECE_LIMIT_BYTES // 2:  # no progress bar: let go of it like of any long line
            self._is_progress, self._is_open, self._is_new, self._recorded_state = False, True, False, None
            return over + state
        if not due:
            # The mark that the recorded part was written over has to stay until a state is recorded.
            self._keep(over + bar + trailing + _below(lower_bars))
            self.due = max(now, self._last_state_time + PROGRESS_SECONDS)
            return ""
        self._keep(bar + trailing + _below(lower_bars))
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


def _is_plain_line(text: str) -> bool:
    return text.endswith("\n") and bool(text.strip()) and "\r" not in text and "\x1b[" not in text


def _split_rows(text: str) -> tuple[str, str, list[str]]:
    """What a text with cursor-ups leaves: lines above the cursor, the cursor's own, and the bars below it, folded."""
    rows, row = [""], 0
    for part in _STEP.split(text):
        if part == "\n":
            row += 1
            if row == len(rows):
                rows.append("")
            else:
                rows[row] += "\r"  # what comes is written over what is there
        elif _STEP_UP.fullmatch(part):
            row = max(0, row - int(part[2:-1] or 1))
        else:
            rows[row] += part
    lower_bars = [fold_carriage_returns(bar) for bar in rows[row + 1 :]]
    while lower_bars and not lower_bars[-1].strip():
        lower_bars.pop()
    return "".join(line + "\n" for line in rows[:row]), rows[row], lower_bars


def _below(lower_bars: list[str]) -> str:
    """Text that `_split_rows` reads as these bars below the cursor."""
    return "".join("\n\r" + bar for bar in lower_bars) + "\x1b[A" * len(lower_bars)


def _cut(text: str) -> list[str]:
    """`text` as pieces of at most 64 KiB of UTF-8 each."""
    if not text:
        return []
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    size = PIECE_LIMIT_BYTES if text.isascii() else PIECE_LIMIT_BYTES // _CHARACTER_BYTES
    return [text[begin : begin + size] for begin in range(0, len(text), size)]
