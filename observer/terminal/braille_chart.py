"""Curves drawn with braille characters: each cell of the terminal has 2 x 4 dots, each line a colour of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from ..wording import MINUS, format_number

DOTS_ACROSS, DOTS_DOWN = 2, 4
BLANK = 0x2800
# The bit of each dot of a cell, by column and row; braille numbers them down the columns, the bottom row last.
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
LONG_NUMBER = 1e5  # from here on in scientific notation
_EIGHTHS = " ▁▂▃▄▅▆▇█"
# The runs' colours of the dark theme (VISUAL section 3): legible on light and dark terminals alike.
COLOURS = ("#4c87f8", "#c8741d", "#37a89c", "#d63a7f", "#9078ee", "#b58812", "#5d9fb8", "#d8584c", "#5ea84f", "#a98468")


@dataclass(frozen=True)
class Line:
    """One curve: `x` ascending, NaN in `y` is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str


def draw_chart(title: Text, lines: Sequence[Line], *, width: int, height: int, log: bool = False) -> list[Text]:
    """A chart as `height` rows of `width` cells: a title, the frame with its axis, the ends of x below it."""
    rows = max(1, height - 2)
    drawn = [_logarithmic(line) if log else line for line in lines]
    bounds = _bounds(drawn)
    title.truncate(width, overflow="ellipsis")
    if bounds is None:
        empty = Text("no points yet".center(width), "bright_black")
        return [title, *([Text()] * (rows // 2)), empty, *([Text()] * (height - rows // 2 - 2))]
    low_x, high_x, low_y, high_y = bounds
    labels = _y_labels(low_y, high_y, rows, log)
    gutter = max(map(len, labels.values()))
    canvas = Canvas(max(1, width - gutter - 2), rows)
    for line in drawn:
        canvas.draw(line, bounds)
    framed = []
    for row, cells in enumerate(canvas.rows()):
        framed.append(Text(labels.get(row, "").rjust(gutter) + " ", "bright_black") + Text("│", "bright_black") + cells)
    start, end = f"{low_x:,.0f}", f"step {high_x:,.0f}"
    axis = start + end.rjust(max(0, width - gutter - 2 - len(start)))
    return [title, *framed, Text(" " * (gutter + 2) + axis, "bright_black")]


def sparkline(values: Sequence[float], width: int) -> str:
    """One row of blocks. Of the values that fall into one cell the last one counts; a cell without any is blank."""
    cells = [math.nan] * width
    for place, value in enumerate(values):
        if math.isfinite(value):
            cells[min(width - 1, place * width // max(1, len(values)))] = value
    if len(values) < width:
        cells = [values[place * len(values) // width] if len(values) else math.nan for place in range(width)]
    finite = [cell for cell in cells if math.isfinite(cell)]
    if not finite:
        return " " * width
    low, span = min(finite), (max(finite) - min(finite)) or 1.0
    return "".join(_EIGHTHS[1 + int((cell - low) / span * 7)] if math.isfinite(cell) else " " for cell in cells)


class Canvas:
    """Dots that are set line by line; a cell has the colour of the line that set one there last."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._cells = [[0] * columns for _ in range(rows)]
        self._colours = [[""] * columns for _ in range(rows)]

    def draw(self, line: Line, bounds: tuple[float, float, float, float]) -> None:
        low_x, high_x, low_y, high_y = bounds
        across, down = self._columns * DOTS_ACROSS - 1, self._rows * DOTS_DOWN - 1
        before: tuple[int, int] | None = None
        for x, y in zip(line.x, line.y, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                before = None
                continue
            dot = (
                round((x - low_x) / ((high_x - low_x) or 1.0) * across),
                round((high_y - y) / ((high_y - low_y) or 1.0) * down),
            )
            self._join(before or dot, dot, line.colour)
            before = dot

    def rows(self) -> list[Text]:
        drawn = []
        for cells, colours in zip(self._cells, self._colours, strict=True):
            row = Text()
            for cell, colour in zip(cells, colours, strict=True):
                row.append(chr(BLANK + cell) if cell else " ", colour)
            drawn.append(row)
        return drawn

    def _join(self, begin: tuple[int, int], end: tuple[int, int], colour: str) -> None:
        """All dots between two, both with them; many steps of one column are one stroke, so a spike stays whole."""
        steps = max(abs(end[0] - begin[0]), abs(end[1] - begin[1]), 1)
        for step in range(steps + 1):
            across = round(begin[0] + (end[0] - begin[0]) * step / steps)
            down = round(begin[1] + (end[1] - begin[1]) * step / steps)
            row, column = down // DOTS_DOWN, across // DOTS_ACROSS
            self._cells[row][column] |= _BITS[across % DOTS_ACROSS][down % DOTS_DOWN]
            self._colours[row][column] = colour


def _bounds(lines: Sequence[Line]) -> tuple[float, float, float, float] | None:
    points = [
        (x, y) for line in lines for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x) and math.isfinite(y)
    ]
    if not points:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), max(xs), min(ys), max(ys)


def _logarithmic(line: Line) -> Line:
    return Line(line.name, line.x, [math.log10(y) if y > 0 else math.nan for y in line.y], line.colour)


def _y_labels(low: float, high: float, rows: int, log: bool) -> dict[int, str]:
    """The value at the top, in the middle and at the bottom, by row."""
    places = {0: high, rows - 1: low} if rows < 5 else {0: high, rows // 2: (low + high) / 2, rows - 1: low}
    return {row: _axis_label(10**value if log else value) for row, value in places.items()}


def _axis_label(value: float) -> str:
    """At most 8 characters: the curve needs the width more."""
    if abs(value) < LONG_NUMBER:
        return format_number(value, 3)
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS, 1)
