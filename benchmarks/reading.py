"""Reading curves back: python benchmarks/reading.py

A metric of a million points exactly and thinned, and one of a hundred million (`--quick`: three million) zoomed out and
in, by `RunStore` in this process from an embedded database that was just filled, which takes half a minute and 1.2 GB.
"one spike" says whether a single point that stands far out was drawn. Beside it the same million rows out of SQLite,
where several trackers keep theirs: no more than the reading of the rows as columns.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from cloister.observer.indexes import ensure_indexes
from cloister.observer.metric_chunks import CHUNK_POINTS, METRIC_CHUNKS, chunk_key, metric_id, pack_points
from cloister.observer.metric_pyramid import PyramidBuilder
from cloister.observer.metric_summary import empty_summary
from cloister.observer.points import Points
from cloister.observer.run_record import new_run_document, summary_path
from cloister.observer.runs import RunStore
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from rich.table import Table

RUN_ID = 1
UID = "01a1fd6d-8b44-7339-9421-000000000001"
START = datetime(2026, 3, 2, 14, 2, tzinfo=timezone.utc)
SEGMENT_POINTS = 800_000  # what 64 MB of journal hold of a metric that is logged alone
SECONDS_APART = 0.01
PIXELS = 1000
TIMES = 7
TARGETS = "Targets: exactly below 40 ms, thinned below 60 ms, the long one zoomed anywhere below 120 ms."


@dataclass(frozen=True)
class Reading:
    """One question, how long its answers took, and whether it showed the spike."""

    what: str
    seconds: tuple[float, ...]
    points: int
    drawn: int
    shows_spike: bool | None = None


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    short, long = (30_000, 3_000_000) if options.quick else (1_000_000, 100_000_000)
    machine = look_at_machine()
    table = Table("read", "points in range", "drawn", "p50", "best", "one spike", title="Reading, ms")
    with private_database() as private, RunStore.connect(private.uri) as store:
        ensure_indexes(store.database)
        document = new_run_document(
            {"experiment": "read", "project": "read", "name": "read", "uid": UID, "start_time": START}, RUN_ID
        )
        store.database["runs"].insert_one({**document, "status": "COMPLETED"})
        readings = [*read_short(store, short), *read_long(store, long), read_rows(short)]
    for reading in readings:
        milliseconds = sorted(1000 * seconds for seconds in reading.seconds)
        spike = {None: "", True: "drawn", False: "MISSING"}[reading.shows_spike]
        table.add_row(
            reading.what,
            f"{reading.points:,}",
            f"{reading.drawn:,}",
            f"{milliseconds[len(milliseconds) // 2]:.1f}",
            f"{milliseconds[0]:.1f}",
            spike,
        )
    print_figures(table, machine, TARGETS)


def read_short(store: RunStore, count: int) -> list[Reading]:
    fill(store, "short", count)
    whole = read(f"{count:,}, exactly", lambda: store.load_points(RUN_ID, "short"), None)
    thinned = read(f"{count:,}, thinned", lambda: curve_of(store, "short"), True)
    return [whole, thinned]


def read_long(store: RunStore, count: int) -> list[Reading]:
    fill(store, "long", count)
    spike = spike_of(count)
    readings = [read(f"{count:,}, whole", lambda: curve_of(store, "long"), True)]
    for axis in ("relative", "wall"):
        readings.append(read(f"the same by {axis} time", lambda axis=axis: curve_of(store, "long", axis=axis), True))
    for share in (0.6, 0.3, 0.1, 0.03, 0.01, 0.001, 0.0001):
        width = int(count * share)
        low = spike - width // 2
        readings.append(
            read(
                f"its {width:,} around the spike",
                lambda low=low, width=width: curve_of(store, "long", low=low, high=low + width),
                True,
            )
        )
    return readings


def curve_of(store: RunStore, name: str, **options: Any) -> Any:
    return store.load_curve(RUN_ID, name, pixels=PIXELS, **options)


def read(what: str, ask: Callable[[], Any], looks_for_spike: bool | None) -> Reading:
    seconds = []
    for _ in range(TIMES):
        started = time.perf_counter()
        answer = ask()
        seconds.append(time.perf_counter() - started)
    shows = None if looks_for_spike is None else bool(answer.values.max() > 1000)
    return Reading(what, tuple(seconds), getattr(answer, "total", len(answer.steps)), len(answer.steps), shows)


def read_rows(count: int) -> Reading:
    """The same points out of SQLite."""
    with tempfile.TemporaryDirectory(prefix="cloister-benchmark-") as folder:
        points = stretch(0, count, count)
        with closing(sqlite3.connect(Path(folder) / "points.db")) as database:
            database.execute("create table points (metric integer, step integer, value real, time real)")
            rows = zip(points.steps.tolist(), points.values.tolist(), points.wall_times.tolist(), strict=True)
            database.executemany("insert into points values (1, ?, ?, ?)", rows)
            database.execute("create index by_metric on points (metric, step)")
            database.commit()

            def ask() -> Points:
                query = "select step, value, time from points where metric = 1 order by step"
                columns = np.array(database.execute(query).fetchall())
                return Points(columns[:, 0].astype(np.int64), columns[:, 1], columns[:, 2])

            return read(f"SQLite: {count:,} rows, exactly", ask, None)


# ---- filling


def fill(store: RunStore, name: str, count: int) -> None:
    """Chunks and pyramid as a courier leaves them once the run has ended."""
    metric = metric_id(UID, name)
    store.database["metrics"].insert_one({"_id": metric, "run_id": RUN_ID, "name": name})
    builder = PyramidBuilder(store.database)
    summary = empty_summary(name)
    for number, start in enumerate(range(0, count, SEGMENT_POINTS), 1):
        points = stretch(start, min(SEGMENT_POINTS, count - start), count)
        summary = summary.extended(points)
        parts = [
            (offset, points[slice(offset, offset + CHUNK_POINTS)]) for offset in range(0, len(points), CHUNK_POINTS)
        ]
        store.database[METRIC_CHUNKS].insert_many(
            {"_id": chunk_key(metric, number, offset), "n": len(part), "c": pack_points(part)} for offset, part in parts
        )
        for offset, part in parts:
            builder.add_chunk(metric, number, offset, part)
        builder.finish_segment(metric, number, len(points))
    builder.flush()
    journal = {f"{segment:016x}": {"offset": 1, "sequence": 1} for segment in range(1, number + 1)}
    change = {summary_path(name): summary.as_document(), "cloister.journal": journal}
    store.database["runs"].update_one({"_id": RUN_ID}, {"$set": change})


def stretch(start: int, count: int, total: int) -> Points:
    """A noisy curve with a clock that jitters, and one point far above all others."""
    random = np.random.default_rng(start)
    steps = np.arange(start, start + count, dtype=np.int64)
    values = np.sin(steps / total * 20) + random.normal(size=count) / 10
    if start <= spike_of(total) < start + count:
        values[spike_of(total) - start] = 5000.0
    wall_times = START.timestamp() + steps * SECONDS_APART + random.random(count) * SECONDS_APART / 2
    return Points(steps, values, wall_times)


def spike_of(total: int) -> int:
    return int(total * 0.61803)


if __name__ == "__main__":
    main()
