"""An axis that a figure draws from 0 to 1: numbers evenly or by their logarithm, words side by side; with its ticks.

Where several axes share one range, as in parallel coordinates, Bokeh's own scales do not help.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .wording import MISSING, format_number

ScaleKind = Literal["linear", "log", "words"]
Column = np.ndarray[Any, Any]
LOG_FROM, LOG_CROWDED = 20.0, 0.15  # numbers that differ by this factor, half of them in this part of the range
MOST_WORDS = 40
MISSING_PLACE = -0.12  # where runs without a value are drawn
TICKS = 5
_TEX = re.compile(r"\$\$|\\[\[\]()]")
LARGEST = 1e300  # beyond, differences are infinite


@dataclass(frozen=True)
class Scale:
    """From values to places between 0 and 1.

    Attributes:
        low, high: of numbers: the ends.
        words: of words: all of them, the first one lowest.
    """

    kind: ScaleKind
    low: float = 0.0
    high: float = 1.0
    words: tuple[str, ...] = ()

    def places(self, column: Column) -> Column:
        """Where each value is drawn; NaN for those that are missing, or have no logarithm."""
        if self.kind == "words":
            at = {word: (place + 0.5) / len(self.words) for place, word in enumerate(self.words)}
            return np.array([at.get(value, np.nan) for value in column], dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log10(column) if self.kind == "log" else column
        low, high = self._ends()
        found: Column = (values - low) / (high - low)
        return np.where(np.isfinite(found), found, np.nan)

    def value_at(self, place: float) -> float:
        low, high = self._ends()
        value = low + place * (high - low)
        return float(10**value) if self.kind == "log" else value

    def ticks(self) -> dict[float, str]:
        """Places with what stands there."""
        if self.kind == "words":
            return {(place + 0.5) / len(self.words): shortened(word) for place, word in enumerate(self.words)}
        values = _log_ticks(self.low, self.high) if self.kind == "log" else _even_ticks(self.low, self.high)
        low, high = self._ends()
        at = [math.log10(value) if self.kind == "log" else value for value in values]
        return {(place - low) / (high - low): format_number(value) for place, value in zip(at, values, strict=True)}

    def _ends(self) -> tuple[float, float]:
        return (math.log10(self.low), math.log10(self.high)) if self.kind == "log" else (self.low, self.high)


def scale_of(column: Column, *, log: bool | None = None) -> Scale:
    """The scale of a column; whether a logarithm is wanted is decided by the numbers where `log` is None."""
    if column.dtype != np.float64:
        counted: dict[str, int] = {}
        for word in column:
            if word is not None:
                counted[word] = counted.get(word, 0) + 1
        kept = sorted(counted, key=lambda word: -counted[word])[:MOST_WORDS]
        return Scale("words", words=tuple(sorted(kept)) or (MISSING,))
    finite = column[np.abs(column) < LARGEST]  # no NaN either
    if not len(finite):
        return Scale("linear")
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        room = abs(low) * 0.1 or 1.0
        return Scale("linear", low - room, high + room)
    is_crowded = low > 0 and high / low >= LOG_FROM and (float(np.median(finite)) - low) / (high - low) < LOG_CROWDED
    wants_log = is_crowded if log is None else log
    return Scale("log" if low > 0 and wants_log else "linear", low, high)


def shortened(word: str, most: int = 18) -> str:
    """A word with its end, which tells it from others, where it is too long."""
    return plain(word if len(word) <= most else f"{word[: most // 2 - 1]}…{word[-(most // 2) :]}")


def plain(text: str) -> str:
    """Text that BokehJS does not take for TeX, for which it would ask the server for another script."""
    return _TEX.sub(lambda found: "\u2060".join(found.group()), text)


def _even_ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors: Sequence[int] = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(1, (last - first) // 6)
    found = [factor * 10.0**power for power in range(first, last + 1, every) for factor in factors]
    inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
    return inside or [low, high]
