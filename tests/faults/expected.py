"""What a training logs and prints at each step, so that it need not be kept to be compared."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

METRICS = ("loss", "val/accuracy")
_MULTIPLIER = 2_654_435_761  # Knuth's: spreads the steps over all bits of a float's fraction
_ODD = {101: math.nan, 103: -0.0, 107: math.inf, 109: -math.inf, 113: 5e-324}  # steps divisible by these


def values_of(step: int) -> dict[str, float]:
    """The values of a step by metric."""
    odd = next((value for divisor, value in _ODD.items() if step % divisor == divisor - 1), None)
    spread = step * _MULTIPLIER % 2**32 / 2**32
    return {"loss": spread if odd is None else odd, "val/accuracy": -spread}


def columns_of(steps: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
    """The values of many steps by metric."""
    import numpy as np  # spares the trainings

    spread = (steps.astype(np.uint64) * np.uint64(_MULTIPLIER) % np.uint64(2**32)).astype(np.float64) / 2**32
    loss = spread.copy()
    for divisor, value in reversed(_ODD.items()):
        loss[steps % divisor == divisor - 1] = value
    return {"loss": loss, "val/accuracy": -spread}


def line_of(number: int) -> str:
    """The text of a printed line: some beyond ASCII, some long, some empty but for the number."""
    tail = ("", " é√ \x1b[32mgrün\x1b[0m", " .", " " + "x" * (number % 400))[number % 4]
    return f"line {number}:{tail}"


def bytes_of(number: int, size: int) -> bytes:
    """The bytes of a file, other ones for each number."""
    block = bytes((number + place * 7) % 256 for place in range(4096 + number % 97))
    return (block * (size // len(block) + 1))[:size]
