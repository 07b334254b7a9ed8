"""Records of points that are alike, read together as rows of numbers instead of one by one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .journal_points import SEQUENCE_AT, STEP_AT, TIME_AT, PointsLayout, is_wide, pack_points, points_layout
from .journal_records import CRC_FROM_END, TAIL_BYTES, JournalRecord, decode_record
from .points import Float64s, Int64s

FEWEST_ALIKE = 16  # reading rows costs as much as about so many single records
SHAPES_TRIED = 4  # of one length that are alike in no such number: more are read one by one

Rows = npt.NDArray[np.void]


@dataclass(frozen=True)
class Stretch:
    """Records of points with the same names, in order.

    Attributes:
        positions: where they start.
        steps, sequences: int64, shape (n,).
        wall_times: float64, shape (n,).
        values: float64, shape (n,), by encoded metric name.
    """

    positions: Int64s
    steps: Int64s
    wall_times: Float64s
    sequences: Int64s
    values: dict[str, Float64s]


def read_stretches(data: bytes, length: int, positions: Int64s) -> tuple[list[Stretch], Int64s]:
    """Read the records of points of `length` bytes, the same for all, as far as many of them have the same names.

    Args:
        data: bytes of a segment.
        length: of each of the records.
        positions: where they start in `data`, ascending; their checksums hold.

    Returns:
        What was read, and where the other records start.
    """
    stretches: list[Stretch] = []
    left: list[Int64s] = []
    rows: Rows = np.ndarray((len(data) - length + 1,), f"V{length}", data, strides=(1,))[positions]
    while len(rows) >= FEWEST_ALIKE and len(left) < SHAPES_TRIED:
        layout = _layout_at(data, int(positions[0]), length)
        alike = np.arange(len(rows)) == 0 if layout is None else _alike(rows, layout)
        if layout is not None and np.count_nonzero(alike) >= FEWEST_ALIKE:
            stretches += _by_names(rows[alike], positions[alike], layout)
        else:
            left.append(positions[alike])
        rows, positions = rows[~alike], positions[~alike]
    return stretches, np.concatenate([*left, positions])


def is_whole(record: JournalRecord) -> bool:
    """Whether a record of points has what such a record must have."""
    step, values = record.fields.get("s"), record.fields.get("v")
    return (
        isinstance(step, int)
        and isinstance(values, dict)
        and all(isinstance(value, float) for value in values.values())
    )


def _layout_at(data: bytes, position: int, length: int) -> PointsLayout | None:
    """The layout of a record of points, None if it was not written by one."""
    record = decode_record(data, position, length)
    if record is None or not is_whole(record):
        return None
    step, values = record.fields["s"], record.fields["v"]
    if pack_points(record.sequence, record.time, step, values) != data[position + 4 : position + length - TAIL_BYTES]:
        return None
    return points_layout(tuple(values), is_wide(step))


def _alike(rows: Rows, layout: PointsLayout) -> npt.NDArray[np.bool_]:
    """Which rows have the first row's bytes wherever no number stands; with one metric, its name may be another."""
    length = rows.itemsize
    is_constant = np.ones(length, np.bool_)
    for offset, width in _numbers(layout):
        is_constant[offset : offset + width] = False
    is_constant[length - CRC_FROM_END : length - CRC_FROM_END + 4] = False
    spots = rows.view(np.uint8).reshape(len(rows), length)
    alike = np.ones(len(rows), np.bool_)
    if len(layout.names) == 1:
        name = _only_name(layout)
        is_constant[name] = False
        alike = (spots[:, name] != 0).all(axis=1)  # else it ends before, and a second metric follows
    constant = np.flatnonzero(is_constant)
    alike &= (spots[:, constant] == spots[0, constant]).all(axis=1)
    return alike


def _only_name(layout: PointsLayout) -> slice:
    """Where the name of the only metric stands."""
    end = layout.value_offsets[0] - 1
    return slice(end - len(layout.names[0].encode()), end)


def _numbers(layout: PointsLayout) -> Iterator[tuple[int, int]]:
    yield SEQUENCE_AT, 4
    yield TIME_AT, 8
    yield STEP_AT, 8 if layout.has_wide_step else 4
    for offset in layout.value_offsets:
        yield offset, 8


def _by_names(rows: Rows, positions: Int64s, layout: PointsLayout) -> Iterator[Stretch]:
    """The rows of each metric together, where each row has one metric: of thousands there are few rows each."""
    if len(layout.names) != 1 or not layout.names[0]:
        yield _read_rows(rows, positions, layout)
        return
    place = _only_name(layout)
    texts: npt.NDArray[np.bytes_] = np.ndarray(
        (len(rows),), f"S{place.stop - place.start}", rows, place.start, (rows.itemsize,)
    )
    if (texts == texts[0]).all():
        yield _read_rows(rows, positions, layout)
        return
    names, numbers = np.unique(texts, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    mixed = _read_rows(rows[order], positions[order], layout)
    [values] = mixed.values.values()
    end = 0
    for name, count in zip(names.tolist(), np.bincount(numbers).tolist(), strict=True):
        part = slice(end, end := end + count)
        with contextlib.suppress(UnicodeDecodeError):  # not of our making: BSON has no such name
            yield Stretch(
                mixed.positions[part],
                mixed.steps[part],
                mixed.wall_times[part],
                mixed.sequences[part],
                {name.decode(): values[part]},
            )


def _read_rows(rows: Rows, positions: Int64s, layout: PointsLayout) -> Stretch:
    def column(offset: int, kind: str, wanted: type[Any]) -> npt.NDArray[Any]:
        numbers: npt.NDArray[Any] = np.ndarray((len(rows),), kind, rows, offset, (rows.itemsize,))
        return numbers.astype(wanted)

    return Stretch(
        positions=positions,
        steps=column(STEP_AT, "<i8" if layout.has_wide_step else "<i4", np.int64),
        wall_times=column(TIME_AT, "<f8", np.float64),
        sequences=column(SEQUENCE_AT, "<i4", np.int64),
        values={
            name: column(offset, "<f8", np.float64)
            for name, offset in zip(layout.names, layout.value_offsets, strict=True)
        },
    )
