"""A stretch of a journal as the courier ships it: points as columns, everything else as records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .journal_columns import unpack_column
from .journal_records import JournalRecord, decode_record, find_records
from .journal_stretches import Stretch, is_whole, read_stretches
from .points import Float64s, Int64s

_POINTS_HEAD = b"\x02k\x00\x07\x00\x00\x00points\x00"


@dataclass(frozen=True)
class PointColumns:
    """The points of one metric in a stretch of a journal segment, in the order in which they were logged.

    Attributes:
        steps, sequences: int64, shape (n,); a sequence is the record's number in its segment, of one point or several.
        values, wall_times: float64, shape (n,).
    """

    steps: Int64s
    values: Float64s
    wall_times: Float64s
    sequences: Int64s


@dataclass(frozen=True)
class JournalBatch:
    """A stretch of a journal segment.

    Attributes:
        points: columns by encoded metric name.
        records: all that are no points, in order.
        end: where in the segment the last whole record ends; where the stretch began if it holds none.
        last_sequence: of the last whole record, 0 without one.
        skipped_bytes: damaged bytes before the last whole record.
    """

    points: dict[str, PointColumns]
    records: list[JournalRecord]
    end: int
    last_sequence: int
    skipped_bytes: int

    def __bool__(self) -> bool:
        return self.last_sequence > 0


def decode_batch(data: bytes, base: int = 0, *, goes_on: bool = False) -> JournalBatch:
    """The whole records in `data`, points as columns; damaged bytes between them are skipped and counted.

    Args:
        data: bytes of a segment from a record's start.
        base: where in the segment `data` starts.
        goes_on: more may follow `data`: a record that reaches beyond it is left for the next batch, and not searched.
    """
    points_by_length, rest = _sorted_out(data, goes_on=goes_on)
    columns = _Columns()
    whole_bytes = 0
    last = (0, 0)  # end and sequence of the record that ends last
    for length, positions in points_by_length.items():
        stretches, others = read_stretches(data, length, np.array(positions, np.int64))
        rest += [(position, length) for position in others.tolist()]
        for stretch in stretches:
            columns.add_stretch(stretch)
            whole_bytes += length * len(stretch.positions)
            last = max(last, (int(stretch.positions[-1]) + length, int(stretch.sequences[-1])))
    records = []
    for position, length in sorted(rest):
        record = decode_record(data, position, length, base)
        if record is None or (record.kind == "points" and not is_whole(record)):
            continue  # its checksum holds, but it is not of our making
        whole_bytes += length
        last = max(last, (position + length, record.sequence))
        if record.kind == "points":
            columns.add_record(position, record)
        elif record.kind == "column":
            columns.add_column(position, record)
        else:
            records.append(record)
    end, last_sequence = last
    return JournalBatch(columns.in_order(), records, base + end, last_sequence, end - whole_bytes)


def _sorted_out(data: bytes, *, goes_on: bool) -> tuple[dict[int, list[int]], list[tuple[int, int]]]:
    """Where records of points start, by their length; start and length of all others."""
    points: dict[int, list[int]] = {}
    others = []
    for position, length in find_records(data, goes_on=goes_on):
        if not data.startswith(_POINTS_HEAD, position + 4):
            others.append((position, length))
        elif length in points:
            points[length].append(position)
        else:
            points[length] = [position]
    return points, others


class _Columns:
    """Puts the points of each metric together and in the order of their records, however they were read."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[Int64s, PointColumns]]] = {}  # with the positions of their records
        self._singles: dict[str, list[tuple[int, int, float, float, int]]] = {}

    def add_stretch(self, stretch: Stretch) -> None:
        for name, values in stretch.values.items():
            columns = PointColumns(stretch.steps, values, stretch.wall_times, stretch.sequences)
            self._parts.setdefault(name, []).append((stretch.positions, columns))

    def add_record(self, position: int, record: JournalRecord) -> None:
        step = record.fields["s"]
        for name, value in record.fields["v"].items():
            self._singles.setdefault(name, []).append((position, step, value, record.time, record.sequence))

    def add_column(self, position: int, record: JournalRecord) -> None:
        unpacked = unpack_column(record.fields)
        if unpacked is not None:
            name, points = unpacked
            sequences = np.full(len(points), record.sequence, np.int64)
            columns = PointColumns(points.steps, points.values, points.wall_times, sequences)
            self._parts.setdefault(name, []).append((np.full(len(points), position, np.int64), columns))

    def in_order(self) -> dict[str, PointColumns]:
        for name, singles in self._singles.items():
            positions, steps, values, wall_times, sequences = zip(*singles, strict=True)
            columns = PointColumns(
                np.array(steps, np.int64),
                np.array(values, np.float64),
                np.array(wall_times, np.float64),
                np.array(sequences, np.int64),
            )
            self._parts.setdefault(name, []).append((np.array(positions, np.int64), columns))
        return {name: _joined(parts) for name, parts in self._parts.items()}


def _joined(parts: list[tuple[Int64s, PointColumns]]) -> PointColumns:
    if len(parts) == 1:
        return parts[0][1]
    # Stable: the points of a column all have the position of its record.
    order = np.argsort(np.concatenate([positions for positions, _ in parts]), kind="stable")
    return PointColumns(
        np.concatenate([columns.steps for _, columns in parts])[order],
        np.concatenate([columns.values for _, columns in parts])[order],
        np.concatenate([columns.wall_times for _, columns in parts])[order],
        np.concatenate([columns.sequences for _, columns in parts])[order],
    )
