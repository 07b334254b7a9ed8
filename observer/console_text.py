"""Console text for those who show it: pieces as lines, progress bars folded, colours as CSS classes, all else dropped.

Everything here is pure and linear in the length of its input: what a run printed is outside text, up to a hostile one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal, Protocol

StreamName = Literal["stdout", "stderr"]


class Piece(Protocol):
    """A recorded piece of console, as `RunStore.load_console` gives it. It need not begin or end at a line's end."""

    @property
    def stream(self) -> StreamName: ...
    @property
    def time(self) -> datetime: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class ConsoleLine:
    """One line of one stream: carriage returns folded, escapes kept, without the newline.

    Attributes:
        time: when the first piece of the line was recorded.
        finished: False while no newline has ended it, such as a progress bar under way.
    """

    stream: StreamName
    time: datetime
    text: str
    finished: bool


def fold_carriage_returns(text: str) -> str:
    """`text` with each line as a terminal leaves it: what follows the last carriage return.

    One or more carriage returns right before the end of a line hide nothing: the line was not written over yet.
    """
    if "\r" not in text:
        return text
    return "\n".join(map(_fold_line, text.split("\n")))


def _fold_line(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


def join_pieces(pieces: Iterable[Piece]) -> list[ConsoleLine]:
    """The lines that `pieces` make, in the order in which they began. Each stream is joined for itself.

    A line that began before the first piece or goes on after the last is given as far as it is known.
    """
    lines: list[ConsoleLine] = []
    unfinished: dict[str, tuple[int, list[str]]] = {}  # per stream: where its line stands in `lines`, and its parts
    for piece in pieces:
        *ended, rest = piece.text.split("\n")
        for text in ended:
            index, parts = unfinished.pop(piece.stream, (len(lines), []))
            if index == len(lines):
                lines.append(ConsoleLine(piece.stream, piece.time, "", finished=True))
            parts.append(text)
            lines[index] = replace(lines[index], text=_fold_line("".join(parts)), finished=True)
        if rest:
            if piece.stream not in unfinished:
                unfinished[piece.stream] = (len(lines), [])
                lines.append(ConsoleLine(piece.stream, piece.time, "", finished=False))
            unfinished[piece.stream][1].append(rest)
    for index, parts in unfinished.values():
        lines[index] = replace(lines[index], text=_fold_line("".join(parts)))
    return lines


def tail_text(pieces: Iterable[Piece], limit_bytes: int) -> str:
    """The end of what was printed, both streams as they came, folded, at most `limit_bytes` of UTF-8.

    It begins at a line where one begins within the limit. Memory stays near the limit however many pieces there are.
    """
    if limit_bytes <= 0:
        return ""
    kept: deque[str] = deque()
    size = 0
    for piece in pieces:
        # A character is at least one byte, so more characters than the limit are never needed.
        kept.append(piece.text[-limit_bytes:])
        size += len(kept[-1])
        while size - len(kept[0]) >= limit_bytes:
            size -= len(kept.popleft())
    raw = fold_carriage_returns("".join(kept)).encode("utf-8", "replace")
    if len(raw) <= limit_bytes:
        return raw.decode("utf-8")
    tail = raw[-limit_bytes:]
    if raw[-limit_bytes - 1 : -limit_bytes] != b"\n":
        _, newline, whole_lines = tail.partition(b"\n")
        tail = whole_lines if newline and whole_lines else tail
    return tail.decode("utf-8", "ignore")  # the limit may have cut the first character


# Colours ------------------------------------------------------------------------------------------------------------

COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
COLOUR_NAMES = COLOURS + tuple(f"bright-{name}" for name in COLOURS)

# xterm's default palette; the page maps the 16 names to its own tokens, these numbers only find the nearest name.
_PALETTE = (
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255)),
    (255, 255, 255),
)
_CUBE = (0, 95, 135, 175, 215, 255)

# Every alternative matches from its first character on without ever failing back into a longer one, so the scan is
# linear. A cut sequence ends where a character comes that cannot belong to it; that character is text again.
_ESCAPE = re.compile(
    r"""
      (?:\x1b\[|\x9b) (?P<parameters>[0-?]*) (?P<between>[ -/]*) (?P<final>[@-~]?)     # CSI: colours, cursor moves
    | (?:\x1b[\]P^_X]|[\x90\x98\x9d-\x9f]) [^\x00-\x08\x0a-\x1f\x9c]* (?:\x07|\x1b\\|\x9c)?  # OSC, DCS, PM, APC, SOS
    | \x1b [ -/]* [0-~]?                                                               # all other escapes
    | [\x00-\x08\x0a-\x1f\x7f-\x9f]                                                    # single controls but tab
    | [\u202a-\u202e\u2066-\u2069]                                                     # direction overrides
    """,
    re.VERBOSE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")  # has no UTF-8: one of them would fail the whole page

_SWITCHES: dict[int, tuple[tuple[str, bool], ...]] = {
    1: (("bold", True),),
    2: (("dim", True),),
    3: (("italic", True),),
    4: (("underline", True),),
    7: (("inverse", True),),
    21: (("underline", True),),
    22: (("bold", False), ("dim", False)),
    23: (("italic", False),),
    24: (("underline", False),),
    27: (("inverse", False),),
}


@dataclass(frozen=True)
class _Style:
    foreground: str = ""
    background: str = ""
    switches: frozenset[str] = frozenset()

    def classes(self) -> str:
        """CSS classes, such as "ansi-red ansi-on-blue ansi-bold"; empty for plain text."""
        names = [self.foreground, self.background and f"on-{self.background}", *sorted(self.switches)]
        return " ".join(f"ansi-{name}" for name in names if name)


def ansi_to_spans(line: str) -> list[tuple[str, str]]:
    """A line as (text, CSS classes) spans, to be escaped and wrapped by the template.

    Classes are `ansi-<colour>` and `ansi-on-<colour>` with a colour of `COLOUR_NAMES`, and `ansi-bold`, `ansi-dim`,
    `ansi-italic`, `ansi-underline`, `ansi-inverse`. 256 and true colours become the nearest of the 16. Every other
    escape sequence and control character but tab is dropped. Fold carriage returns before.
    """
    spans: list[tuple[list[str], str]] = []
    style, classes, begin = _Style(), "", 0
    line = _SURROGATE.sub("\ufffd", line)

    def add(text: str) -> None:
        if text and spans and spans[-1][1] == classes:  # only a dropped escape stood between
            spans[-1][0].append(text)
        elif text:
            spans.append(([text], classes))

    for match in _ESCAPE.finditer(line):
        add(line[begin : match.start()])
        begin = match.end()
        if match["final"] == "m" and not match["between"]:
            style = _apply(style, match["parameters"])
            classes = style.classes()
    add(line[begin:])
    return [("".join(parts), names) for parts, names in spans]


def plain_text(line: str) -> str:
    """A line without escapes and control characters, for searching and downloading."""
    return "".join(text for text, _ in ansi_to_spans(line))


def _apply(style: _Style, parameters: str) -> _Style:
    if parameters[:1] in ("<", "=", ">", "?"):  # private: sets a keyboard or a mode, no colour
        return style
    groups = deque(parameters.split(";"))
    while groups:
        group = groups.popleft()
        code, _, details = group.partition(":")
        number = _parse_number(code)
        if number in (38, 48, 58):
            colour = _parse_colour(details.split(":")) if details else _take_colour(groups)
            if colour is not None and number != 58:
                style = replace(style, foreground=colour) if number == 38 else replace(style, background=colour)
        elif number == 4 and details:
            style = _switch(style, ((("underline"), details != "0"),))
        else:
            style = _apply_simple(style, number)
    return style


def _apply_simple(style: _Style, number: int) -> _Style:
    if number == 0:
        return _Style()
    if number in _SWITCHES:
        return _switch(style, _SWITCHES[number])
    if 30 <= number <= 37 or 90 <= number <= 97:
        return replace(style, foreground=COLOUR_NAMES[number - 30 if number < 90 else number - 82])
    if 40 <= number <= 47 or 100 <= number <= 107:
        return replace(style, background=COLOUR_NAMES[number - 40 if number < 100 else number - 92])
    if number == 39:
        return replace(style, foreground="")
    if number == 49:
        return replace(style, background="")
    return style


def _switch(style: _Style, switches: tuple[tuple[str, bool], ...]) -> _Style:
    names = set(style.switches)
    for name, on in switches:
        (names.add if on else names.discard)(name)
    return replace(style, switches=frozenset(names))


def _take_colour(groups: deque[str]) -> str | None:
    """The colour in the form 38;5;n or 38;2;r;g;b, its parameters taken off `groups`."""
    if not groups:
        return None
    wanted = {"5": 2, "2": 4}.get(groups[0], 1)
    return _parse_colour([groups.popleft() for _ in range(min(wanted, len(groups)))])


def _parse_colour(details: list[str]) -> str | None:
    """The nearest name for ["5", n], ["2", r, g, b] or, as ISO 8613-6 has it, ["2", space, r, g, b, ...]."""
    kind, *numbers = details
    if kind == "2" and len(numbers) > 3:
        numbers = numbers[1:]
    values = [_parse_number(number) for number in numbers[:3]]
    if not all(0 <= value <= 255 for value in values):
        return None
    if kind == "5" and values:
        return COLOUR_NAMES[values[0]] if values[0] < 16 else _nearest(*_rgb_of(values[0]))
    return _nearest(*values) if kind == "2" and len(values) == 3 else None


def _rgb_of(index: int) -> tuple[int, int, int]:
    if index >= 232:
        grey = 8 + 10 * (index - 232)
        return grey, grey, grey
    index -= 16
    return _CUBE[index // 36], _CUBE[index // 6 % 6], _CUBE[index % 6]


@lru_cache(maxsize=4096)
def _nearest(red: int, green: int, blue: int) -> str:
    def distance(index: int) -> int:
        r, g, b = _PALETTE[index]
        return (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2

    return COLOUR_NAMES[min(range(16), key=distance)]


def _parse_number(text: str) -> int:
    """An SGR parameter; nothing means 0. -1 for what no terminal knows: too long, or not a number."""
    if not text:
        return 0
    return int(text) if len(text) <= 4 and text.isascii() and text.isdigit() else -1
