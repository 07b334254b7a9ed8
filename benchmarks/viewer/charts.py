"""Charts as the viewer answers them: python benchmarks/viewer/charts.py

A chart of 100 runs of a million points each, cold and warm, on each axis, zoomed, grouped; of one metric of a million
and of a hundred million points; of 200 runs of 1,000 points. Times are those of the Flask app with its answer as bytes,
over an embedded database that was filled just before (minutes and 2 GB; `--quick`: a fiftieth). "cold" is the first
answer of a viewer that has just started, "new" one that it has not been asked for before, "warm" the same once more.
"spikes" says whether the one point of each run that stands far out is among what is drawn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from bson import Binary
from cloister.observer.indexes import ensure_indexes
from cloister.observer.metric_chunks import CHUNK_POINTS, METRIC_CHUNKS, chunk_key, metric_id, pack_points
from cloister.observer.metric_pyramid import PyramidBuilder
from cloister.observer.metric_summary import empty_summary
from cloister.observer.points import Points
from cloister.observer.pyramid_levels import PYRAMID
from cloister.observer.run_record import new_run_document, summary_path
from cloister.observer.runs import RunStore
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from pymongo.database import Database
from rich.table import Table

PROJECT = "charts"
START = datetime(2026, 3, 2, 14, 2, tzinfo=timezone.utc)
SEGMENT_POINTS = 800_000  # what 64 MB of journal hold of a metric that is logged alone
SECONDS_APART = 0.01
SPIKE = 5000.0
PIXELS = 600
TIMES = 20
ADDRESS = "/api/v1/curves"
TARGETS = "Targets: 100 runs x 1 M points p95 below 700 ms cold and 150 ms warm; one metric of any length below 50 ms."
PATTERNS = 4  # different noise; further runs have the same points under keys of their own

Documents = Database[dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """One question, how long its answers took, how large they are, and whether they show each run's spike."""

    what: str
    milliseconds: tuple[float, ...]
    megabytes: float
    spikes: str

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.milliseconds, share))


def main() -> None:
    options = read_options(__doc__ or "", peers=False, add=add_options)
    many, long = (20_000, 2_000_000) if options.quick else (1_000_000, 100_000_000)
    machine = look_at_machine()
    table = Table("asked", "p50", "p95", "worst", "MB", "spikes", title="Charts, ms at the server")
    with private_database() as private, RunStore.connect(private.uri) as store:
        ensure_indexes(store.database)
        fill_runs(store.database, range(1, 101), "loss", many)
        fill_runs(store.database, range(201, 401), "loss", 1000)
        if not options.without_long:
            fill_runs(store.database, [900], "long", long)
        private.checkpoint()
        for answer in measure(store, many, 0 if options.without_long else long):
            figures = (answer.percentile(50), answer.percentile(95), max(answer.milliseconds))
            table.add_row(
                answer.what, *(f"{figure:.1f}" for figure in figures), f"{answer.megabytes:.2f}", answer.spikes
            )
    print_figures(table, machine, TARGETS)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--without-long", action="store_true", help="not the metric of a hundred million points")


def measure(store: RunStore, many: int, long: int) -> Iterator[Answer]:
    hundred = {"metric": "loss", "runs": _listed(range(1, 101)), "pixels": PIXELS}
    yield from _ask_of(store, f"100 x {many:,}", hundred)
    relative = {**hundred, "axis": "relative"}
    yield ask(store, "the same by time, warm", [relative] * (TIMES + 1), skip=1)
    yield ask(store, "zoomed to a tenth, new", _zooms(hundred, many, 20))
    grouped = {**hundred, "group": "config.lr"}
    yield ask(store, "in 5 groups, new", [{**grouped, "pixels": PIXELS + 20 * turn} for turn in range(TIMES)])
    yield from _ask_of(store, "200 x 1,000", {**hundred, "runs": _listed(range(201, 401))})
    yield from _ask_of(store, f"1 x {many:,}", {**hundred, "runs": "7"})
    if long:
        one = {"metric": "long", "runs": "900", "pixels": PIXELS}
        yield from _ask_of(store, f"1 x {long:,}", one)
        for parts in (20, 200, 2000):
            yield ask(store, f"a {parts // 2}th of it, new", _zooms(one, long, parts))


def _ask_of(store: RunStore, what: str, question: dict[str, Any]) -> Iterator[Answer]:
    yield ask(store, f"{what}, cold", [question] * TIMES, fresh=True)
    yield ask(store, f"{what}, warm", [question] * (TIMES + 1), skip=1)


def _zooms(question: dict[str, Any], count: int, parts: int) -> list[dict[str, Any]]:
    """Around the spike, each a little other than the last, so that none was answered before."""
    spike = spike_of(count)
    ends = [(spike - count // parts - turn, spike + count // parts) for turn in range(TIMES)]
    return [{**question, "from": low, "to": high} for low, high in ends]


def _listed(run_ids: Sequence[int]) -> str:
    return ",".join(map(str, run_ids))


def ask(store: RunStore, what: str, questions: list[dict[str, Any]], *, fresh: bool = False, skip: int = 0) -> Answer:
    """
    Args:
        fresh: each question goes to a viewer that has answered none before.
        skip: so many answers at the beginning are not counted.
    """
    client = new_viewer(store)
    seconds, size = [], 0
    for question in questions:
        client = new_viewer(store) if fresh else client
        took, answer = timed(partial(client.get, ADDRESS, query_string={**question, "encoding": "compact"}))
        assert answer.status_code == 200, answer.text
        seconds.append(took)
        size = len(answer.data)
    drawn = client.get(ADDRESS, query_string=questions[-1]).json["curves"]
    highest = [max(value for value in curve.get("y") or curve["max"] if value is not None) for curve in drawn]
    spikes = f"{sum(value == SPIKE for value in highest)} of {len(highest)}"
    return Answer(what, tuple(1000 * one for one in seconds[skip:]), size / 1e6, spikes)


def new_viewer(store: RunStore) -> Any:
    from cloister.viewer.app import create_app

    client = create_app(store).test_client()
    client.get(ADDRESS, query_string={"metric": "nothing", "runs": "1"})  # imports are not what is measured
    return client


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    done = act()
    return time.perf_counter() - started, done


# ---- filling


def fill_runs(database: Documents, run_ids: Sequence[int], name: str, count: int) -> None:
    """Ended runs with `count` points of a metric each, as a courier leaves them."""
    for place, run_id in enumerate(run_ids):
        uid = f"01a1fd6d-8b44-7339-9421-{run_id:012d}"
        header = {
            "experiment": PROJECT,
            "project": PROJECT,
            "name": f"run-{run_id}",
            "uid": uid,
            "start_time": START,
            "config": {"lr": 10.0 ** -(place % 5), "seed": run_id},
        }
        document = {**new_run_document(header, run_id), "status": "COMPLETED", "stop_time": START}
        document["cloister"]["updated_at"] = START
        database["runs"].insert_one(document)
        if count <= 2 * CHUNK_POINTS or place < PATTERNS:
            fill(database, run_id, uid, name, count)
        else:
            _copy(database, run_ids[place % PATTERNS], run_id, uid, name)


def fill(database: Documents, run_id: int, uid: str, name: str, count: int) -> None:
    """Chunks and pyramid as a courier leaves them once the run has ended."""
    metric = metric_id(uid, name)
    database["metrics"].insert_one({"_id": metric, "run_id": run_id, "name": name})
    builder = PyramidBuilder(database)
    summary = empty_summary(name)
    for number, start in enumerate(range(0, count, SEGMENT_POINTS), 1):
        points = stretch(run_id, start, min(SEGMENT_POINTS, count - start), count)
        summary = summary.extended(points)
        parts = [
            (offset, points[slice(offset, offset + CHUNK_POINTS)]) for offset in range(0, len(points), CHUNK_POINTS)
        ]
        database[METRIC_CHUNKS].insert_many(
            {"_id": chunk_key(metric, number, offset), "n": len(part), "c": pack_points(part)} for offset, part in parts
        )
        for offset, part in parts:
            builder.add_chunk(metric, number, offset, part)
        builder.finish_segment(metric, number, len(points))
    builder.flush()
    journal = {f"{segment:016x}": {"offset": 1, "sequence": 1} for segment in range(1, number + 1)}
    change = {summary_path(name): summary.as_document(), "cloister.journal": journal}
    database["runs"].update_one({"_id": run_id}, {"$set": change})


def _copy(database: Documents, source: int, run_id: int, uid: str, name: str) -> None:
    """The points of `source` once more: packing a hundred million would take minutes."""
    known = database["runs"].find_one({"_id": source})
    assert known is not None
    old, new = metric_id(known["cloister"]["uid"], name), metric_id(uid, name)
    database["metrics"].insert_one({"_id": new, "run_id": run_id, "name": name})
    for collection in (METRIC_CHUNKS, PYRAMID):
        # The binary order puts shorter keys first, so both kinds are asked for by their own length.
        length = 24 if collection == METRIC_CHUNKS else 25
        found = database[collection].find(
            {
                "_id": {
                    "$gte": Binary(old.binary + b"\0" * (length - 12)),
                    "$lte": Binary(old.binary + b"\xff" * (length - 12)),
                }
            }
        )
        database[collection].insert_many({**each, "_id": Binary(new.binary + each["_id"][12:])} for each in found)
    fields = {path: _at(known, path) for path in (summary_path(name), "cloister.journal")}
    database["runs"].update_one({"_id": run_id}, {"$set": fields})


def _at(document: Any, path: str) -> Any:
    for field in path.split("."):
        document = document[field]
    return document


def stretch(seed: int, start: int, count: int, total: int) -> Points:
    """A noisy curve with a clock that jitters, and one point far above all others."""
    random = np.random.default_rng((seed, start))
    steps = np.arange(start, start + count, dtype=np.int64)
    values = np.sin(steps / total * 20) + random.normal(size=count) / 10
    if start <= spike_of(total) < start + count:
        values[spike_of(total) - start] = SPIKE
    wall_times = START.timestamp() + steps * SECONDS_APART + random.random(count) * SECONDS_APART / 2
    return Points(steps, values, wall_times)


def spike_of(total: int) -> int:
    return int(total * 0.61803)


if __name__ == "__main__":
    main()
