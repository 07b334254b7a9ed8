"""Records of points, nearly all that a journal holds, as bytes at once: one layout for each set of metric names."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
LAYOUTS_KEPT = 1024  # of 2 to 4 KiB with a few names; a training has a handful of sets of names

# A record's fields in order: kind, sequence, time, step, and the values as a document of their own.
SEQUENCE_AT = 4 + len(b"\x02k\x00\x07\x00\x00\x00points\x00\x10q\x00")
TIME_AT = SEQUENCE_AT + 4 + len(b"\x01t\x00")
STEP_AT = TIME_AT + 8 + len(b"\x10s\x00")


@dataclass(frozen=True)
class PointsLayout:
    """Where the numbers stand in a record of points with these names; all other bytes are the same in all of them.

    Immutable, so any thread and any forked child may use one.

    Attributes:
        names: encoded field names.
        has_wide_step: whether the step takes 64 bits; BSON has two kinds of ints.
        value_offsets: where in the record, its length included, the values stand: float64, little-endian.
        pieces: the record from after its length up to before its CRC: constant bytes and zeros by turns.
        packer: puts the pieces together.
    """

    names: tuple[str, ...]
    has_wide_step: bool
    value_offsets: tuple[int, ...]
    pieces: list[bytes | float]
    packer: struct.Struct

    def pack(self, sequence: int, wall_time: float, step: int, values: Iterable[float]) -> bytes:
        """What `bson.encode` makes of a record of points, from after its length up to before its CRC."""
        pieces = self.pieces.copy()  # of this call alone: a signal handler may log in the middle of it
        pieces[1:6:2] = sequence, wall_time, step
        pieces[7::2] = values
        return self.packer.pack(*pieces)


def pack_points(sequence: int, wall_time: float, step: int, values: dict[str, float]) -> bytes | None:
    """A record of points from after its length up to before its CRC; None if its numbers have other widths."""
    if sequence > INT32_MAX:
        return None
    return points_layout(tuple(values), is_wide(step)).pack(sequence, wall_time, step, values.values())


def is_wide(number: int) -> bool:
    """Whether BSON holds an int in 64 bits."""
    return not INT32_MIN <= number <= INT32_MAX


@lru_cache(LAYOUTS_KEPT)
def points_layout(names: tuple[str, ...], has_wide_step: bool) -> PointsLayout:
    """The layout of records of points with these names, taken from what `bson.encode` makes of such a record.

    Raises:
        bson.errors.InvalidDocument: a name is none that BSON takes.
    """
    from bson import encode  # spares `import cloister` the driver

    step = INT32_MAX + 1 if has_wide_step else 0
    sample = encode({"k": "points", "q": 0, "t": 0.0, "s": step, "v": dict.fromkeys(names, 0.0)})
    names_at = STEP_AT + (8 if has_wide_step else 4) + len(b"\x03v\x00") + 4
    value_offsets = tuple(_value_offsets(names, names_at))
    numbers = [(SEQUENCE_AT, "i"), (TIME_AT, "d"), (STEP_AT, "q" if has_wide_step else "i")]
    numbers += [(offset, "d") for offset in value_offsets]
    pieces: list[bytes | float] = []
    form, at = "<", 4
    for offset, number in numbers:
        pieces += [sample[at:offset], 0]
        form += f"{offset - at}s{number}"
        at = offset + struct.calcsize(number)
    pieces.append(sample[at:-1])
    return PointsLayout(names, has_wide_step, value_offsets, pieces, struct.Struct(f"{form}{len(sample) - 1 - at}s"))


def _value_offsets(names: tuple[str, ...], names_at: int) -> Iterator[int]:
    lengths = (1 + len(name.encode()) + 1 for name in names)  # type, name, NUL; then 8 bytes of value
    for index, end_of_name in enumerate(itertools.accumulate(lengths, initial=names_at)):
        if index:
            yield end_of_name + 8 * (index - 1)
