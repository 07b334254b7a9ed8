"""A stretch of a journal as the courier ships it: points as columns, everything else as records."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .journal_records import JournalRecord, decode_records
from .points import Float64s, Int64s


@dataclass(frozen=True)
class PointColumns:
    """The points of one metric in a stretch of a journal segment, in the order in which they were logged.

    Attributes:
        steps, sequences: int64, shape (n,); a sequence is the record's number in its segment.
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


@dataclass
class _OpenColumns:
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    wall_times: list[float] = field(default_factory=list)
    sequences: list[int] = field(default_factory=list)

    def closed(self) -> PointColumns:
        return PointColumns(
            np.array(self.steps, np.int64),
            np.array(self.values, np.float64),
            np.array(self.wall_times, np.float64),
            np.array(self.sequences, np.int64),
        )


def decode_batch(data: bytes, base: int = 0) -> JournalBatch:
    """The whole records in `data`, points as columns; damaged bytes between them are skipped and counted.

    Args:
        data: bytes of a segment from a record's start.
        base: where in the segment `data` starts.
    """
    columns: dict[str, _OpenColumns] = {}
    others: list[JournalRecord] = []
    end, last_sequence, whole_bytes = base, 0, 0
    for record in decode_records(data, base):
        whole_bytes += record.size
        end, last_sequence = record.end, record.sequence
        if record.kind != "points":
            others.append(record)
            continue
        step = record.fields["s"]
        for name, value in record.fields["v"].items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = _OpenColumns()
            column.steps.append(step)
            column.values.append(value)
            column.wall_times.append(record.time)
            column.sequences.append(record.sequence)
    points = {name: column.closed() for name, column in columns.items()}
    return JournalBatch(points, others, end, last_sequence, end - base - whole_bytes)
