"""Many points of one metric as one record: three columns of 8 bytes each, little-endian."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .points import Points

COLUMN_POINTS = 4096  # in one record, 96 KiB: as many as a full chunk
_WIDTH = 8


def pack_column(
    name: str, steps: Sequence[int], values: Sequence[float], wall_times: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """The fields of as many records as it takes.

    Args:
        name: the metric's encoded name.
        steps: of 64 bits.

    Raises:
        OverflowError: a step is beyond 64 bits.
        TypeError: something else than a number is among them.
    """
    for start in range(0, len(steps), COLUMN_POINTS):
        part = slice(start, start + COLUMN_POINTS)
        yield {
            "n": name,
            "s": _packed("q", steps[part]),
            "v": _packed("d", values[part]),
            "w": _packed("d", wall_times[part]),  # not "t", which is the record's own time
        }


def unpack_column(fields: Mapping[str, Any]) -> tuple[str, Points] | None:
    """The encoded name and the points of a record, None if it is not of our making."""
    import numpy as np

    from .points import Points

    name, columns = fields.get("n"), [fields.get(column) for column in "svw"]
    if not isinstance(name, str) or not all(isinstance(column, bytes) for column in columns):
        return None
    sizes = {len(column) for column in columns}  # type: ignore[arg-type]
    if len(sizes) != 1 or sizes.pop() % _WIDTH:
        return None
    steps, values, wall_times = columns
    return name, Points(
        np.frombuffer(steps or b"", "<i8").astype(np.int64),
        np.frombuffer(values or b"", "<f8").astype(np.float64),
        np.frombuffer(wall_times or b"", "<f8").astype(np.float64),
    )


def count_points(fields: Mapping[str, Any]) -> int:
    """How many points a record has."""
    return len(fields.get("s", b"")) // _WIDTH


def _packed(kind: str, numbers: Iterable[float]) -> bytes:
    column = array(kind, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()
