"""Records of many points of one metric: packed, read in order beside other records, shipped once whatever fails."""

from __future__ import annotations

import math
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pymongo
import pytest
from cloister.decorators.run_identity import new_uid
from cloister.observer.courier import Courier
from cloister.observer.journal_batches import decode_batch
from cloister.observer.journal_columns import COLUMN_POINTS, count_points, pack_column, unpack_column
from cloister.observer.journal_places import journal_places
from cloister.observer.journal_records import encode_record
from cloister.observer.runs import RunStore
from cloister.observer.sacred_recorder import SacredRecorder
from cloister.observer.settings import load_settings
from hypothesis import given
from pymongo.errors import PyMongoError

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(INT64, st.floats(), st.floats(0, 4e9)), max_size=20))
def test_a_column_comes_back_bit_for_bit(points: list[tuple[int, float, float]]) -> None:
    steps, values, times = ([point[place] for point in points] for place in range(3))
    records = list(pack_column("loss", steps, values, times))
    assert sum(map(count_points, records)) == len(points)
    for fields in records:
        unpacked = unpack_column(fields)
        assert unpacked is not None
        name, read = unpacked
        assert (name, read.steps.tolist(), read.wall_times.tolist()) == ("loss", steps, times)
        assert read.values.tobytes() == bytes(fields["v"])


@pytest.mark.parametrize(
    "fields",
    [{}, {"n": "a", "s": b"1", "v": b"1", "t": b"1"}, {"n": 1, "s": b"", "v": b"", "t": b""}, {"n": "a", "s": 1}],
)
def test_a_column_that_is_not_of_our_making_is_left_alone(fields: dict[str, Any]) -> None:
    assert unpack_column(fields) is None


def test_columns_and_single_points_of_a_metric_are_read_in_the_order_of_their_records() -> None:
    data = b""
    for sequence in range(1, 60):
        if sequence % 3:
            data += encode_record("points", sequence, float(sequence), {"s": sequence, "v": {"loss": float(sequence)}})
        else:
            times = [float(sequence)] * 3
            [fields] = pack_column("loss", [sequence] * 3, [sequence, sequence + 0.1, sequence + 0.2], times)
            data += encode_record("column", sequence, 0.0, fields)
    columns = decode_batch(data).points["loss"]
    assert columns.values.tolist() == sorted(columns.values.tolist())
    assert columns.sequences.tolist() == sorted(columns.sequences.tolist())
    assert len(columns.values) == 40 + 19 * 3


@pytest.mark.parametrize(("failing", "skipped"), [("update", 2), ("insert", 0), ("findAndModify", 0)])
def test_columns_are_stored_once_although_the_database_fails_in_between(
    home: Path, database_uri: str, store: RunStore, failing: str, skipped: int
) -> None:
    settings = load_settings(uri=database_uri)
    uid = new_uid()
    described = {"uid": uid, "project": "columns", "name": "c", "experiment": "c", "command": "c"}
    recorder = SacredRecorder({**described, "start_time": datetime.now(timezone.utc)}, settings)
    count = 3 * COLUMN_POINTS + 100
    failures = 0
    values = [math.sqrt(step) for step in range(count)]
    for start in range(0, count, 1000):
        part = slice(start, start + 1000)
        recorder.record_column("loss", range(count)[part], values[part], [time.time()] * len(values[part]))
        if start % 4000 == 0:
            failures += ship_with_failures(database_uri, journal_places(settings), failing, skipped)
    recorder.record_end("COMPLETED", exit_as={"code": 0})
    failures += ship_with_failures(database_uri, journal_places(settings), failing, skipped)

    assert failures > 0
    run = store.find_run_by_uid(uid)
    assert run is not None
    points = store.load_points(run.id, "loss")
    assert (points.steps.tolist(), points.values.tolist()) == (list(range(count)), values)
    assert run.summary["loss"].count == count


def ship_with_failures(uri: str, places: tuple[Path, ...], failing: str, skipped: int) -> int:
    """Ship all there is; behind the first ones, the database refuses three of these commands. Says how many it did."""
    with pymongo.MongoClient(uri, tz_aware=True, appname="columns", retryWrites=False) as client:
        fault = {"failCommands": [failing], "errorCode": 262, "appName": "columns"}
        client.admin.command({"configureFailPoint": "failCommand", "mode": {"skip": skipped}, "data": fault})
        failures = 0
        while True:
            try:
                courier = Courier(client.get_default_database(), places)
                courier.ship()
            except PyMongoError:
                failures += 1
                if failures == 3:
                    client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
            else:
                break
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        return failures
