"""Reading metrics: every point exactly whatever it is stored in, ranges with their neighbours, any name, any damage."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cloister
import numpy as np
import pymongo
import pytest
from cloister.observer.metric_chunks import CHUNK_POINTS, chunk_key, metric_id, pack_points
from cloister.observer.metric_tails import tail_keys_of
from cloister.observer.points import Points
from cloister.observer.runs import MetricNotFound, RunStore
from cloister.observer.thinning import thin
from cloister.viewer.app import create_app
from hypothesis import given, settings
from hypothesis import strategies as st
from long_metrics import store_segments, store_tails, uid_of
from pymongo.database import Database
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from running_viewer import insert_run

Documents = Database[dict[str, Any]]


@pytest.fixture
def run_id(database: Documents) -> int:
    insert_run(database, 1)
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.uid": uid_of(1)}})
    return 1


def a_line(count: int, *, first_step: int = 0) -> Points:
    steps = np.arange(first_step, first_step + count)
    return Points(steps, steps / 3, 1.7e9 + steps / 64)


def same(one: Points, other: Points) -> bool:
    return all(
        getattr(one, column).tobytes() == getattr(other, column).tobytes()
        for column in ("steps", "values", "wall_times")
    )


def test_a_million_points_of_several_segments_are_read_in_order_each_once(store: RunStore, run_id: int) -> None:
    whole = a_line(1_000_000)
    segments = [whole[:400_000], whole[400_000:400_001], whole[400_001:]]
    points = store_segments(store.database, run_id, "loss", segments, in_tails=5000)

    assert same(store.load_points(run_id, "loss"), points)


def test_points_that_are_in_chunks_and_in_tails_are_read_once(store: RunStore, run_id: int) -> None:
    points = store_segments(store.database, run_id, "loss", [a_line(10_000)], in_tails=1000)
    store_tails(store.database, run_id, "loss", 1, points, 4000)  # from a batch that was applied again

    assert same(store.load_points(run_id, "loss"), points)
    assert store.load_curve(run_id, "loss").total == 10_000


class Between(CommandListener):
    """Does something once, after the first question to a collection was answered."""

    def __init__(self, collection: str, act: Any) -> None:
        self._collection, self._act, self._asked = collection, act, -1

    def started(self, event: CommandStartedEvent) -> None:
        if event.command.get("find") == self._collection:
            self._asked = event.request_id

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.request_id == self._asked and self._act is not None:
            act, self._act = self._act, None
            act()

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing of it is expected."""


@pytest.mark.parametrize("count", [9000, 400_000])
def test_a_compaction_between_two_questions_hides_and_doubles_nothing(
    store: RunStore, run_id: int, database_uri: str, count: int
) -> None:
    points = store_segments(store.database, run_id, "loss", [a_line(count)], in_tails=3000, is_open=True)
    start = count - 3000

    def compact() -> None:
        metric = metric_id(uid_of(run_id), "loss")
        for offset in range(start // CHUNK_POINTS * CHUNK_POINTS, count, CHUNK_POINTS):
            part = points[slice(offset, offset + CHUNK_POINTS)]
            chunk = {"_id": chunk_key(metric, 1, offset), "n": len(part), "c": pack_points(part)}
            store.database["metric_chunks"].replace_one({"_id": chunk["_id"]}, chunk, upsert=True)
        store.database["metric_tails"].delete_many({"_id": tail_keys_of(uid_of(run_id))})

    for read in ("load_points", "load_curve"):
        store.database["metric_chunks"].delete_many({"n": {"$lt": CHUNK_POINTS}})
        store_tails(store.database, run_id, "loss", 1, points, start // CHUNK_POINTS * CHUNK_POINTS)
        listener = Between("metric_tails", compact)
        with pymongo.MongoClient(database_uri, tz_aware=True, event_listeners=[listener]) as client:
            other = RunStore(client.get_default_database())
            if read == "load_points":
                assert same(other.load_points(run_id, "loss"), points)
            else:
                assert other.load_curve(run_id, "loss", pixels=50).total == count
        assert store.database["metric_tails"].count_documents({}) == 0


def test_a_range_has_the_nearest_point_on_each_side_and_columns_of_its_own(store: RunStore, run_id: int) -> None:
    # A pause: the neighbours of the range are far away, and must not make its columns wider.
    steps = np.concatenate(([0], np.arange(1_000_000, 1_020_000), [9_000_000]))
    values = np.sin(steps / 50.0)
    store_segments(store.database, run_id, "loss", [Points(steps, values, 1.7e9 + steps / 64)])

    curve = store.load_curve(run_id, "loss", pixels=200, low=1_000_000, high=1_019_999)

    assert curve.total == 20_000
    assert curve.steps[[0, -1]].tolist() == [0, 9_000_000]
    assert len(curve.x) >= 300
    nothing = store.load_curve(run_id, "loss", low=10, high=20)
    assert nothing.total == 0
    assert nothing.steps.tolist() == [0, 1_000_000]  # the line crosses the window


NAMES = [
    "a.b$c",
    "$where",
    "__proto__",
    "../x",
    "<script>",
    "é\u202e",
    "a,b",
    "x%2ey",
    "\U0001f600",
    "val/acc by class",
    "'",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_any_name_is_drawn(store: RunStore, run_id: int, name: str) -> None:
    store_segments(store.database, run_id, name, [a_line(70_000)])

    client = create_app(store).test_client()
    answer = client.get(f"/api/v1/curves?metric={quote(name, safe='')}&runs={run_id}&pixels=10")

    assert answer.status_code == 200, answer.text
    [curve] = answer.json["curves"]
    assert curve["metric"] == name
    assert curve["total"] == 70_000
    assert curve["last"]["count"] == 70_000


@pytest.mark.parametrize("name", ["", "\x00", "\ud800", "n" * 5000])
def test_a_name_that_no_chart_can_ask_for_is_read_by_a_script(store: RunStore, run_id: int, name: str) -> None:
    stored = name.encode("utf-8", "backslashreplace").decode()  # as run.log spells it
    points = store_segments(store.database, run_id, stored, [a_line(10)])

    assert same(store.load_points(run_id, name), points)
    with pytest.raises(MetricNotFound):
        store.load_points(run_id, f"{name}\ud800?")


def test_a_metric_whose_chunks_are_all_damaged_is_read_from_its_copy(
    store: RunStore, run_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    store_segments(store.database, run_id, "loss", [a_line(10)])
    copy = {"$set": {"steps": [0, 1, "?", 3], "values": [1.0, 2.0, 3.0], "timestamps": "none"}}
    store.database["metrics"].update_one({"name": "loss"}, copy)
    store.database["metric_chunks"].update_many({}, {"$set": {"c": b"\x02"}})

    with caplog.at_level(logging.WARNING, "cloister"):
        points = store.load_points(run_id, "loss")

    assert points.values.tolist() == [1.0, 2.0, 3.0]
    assert points.steps.tolist() == [0, 1, 2]  # a step that is none follows the one before it
    assert f"Run {run_id}, metric 'loss': A metric chunk is damaged" in caplog.text


COLUMNS = st.lists(st.tuples(st.floats(-1e300, 1e300) | st.integers(-3, 3), st.floats()), max_size=300)


@settings(deadline=None)
@given(rows=COLUMNS, pixels=st.integers(2, 60))
def test_thinning_keeps_the_extremes_of_any_columns(rows: list[tuple[float, float]], pixels: int) -> None:
    x = np.sort(np.array([place for place, _ in rows], np.float64))
    values = np.array([value for _, value in rows], np.float64)

    chosen = thin(x, values, pixels)

    assert np.all(np.diff(chosen) > 0)
    assert len(chosen) <= 3 * pixels + 2
    if len(rows):
        assert {0, len(rows) - 1} <= set(chosen.tolist())
    finite = values[np.isfinite(values)]
    if len(finite):
        kept = values[chosen]
        kept = kept[np.isfinite(kept)]
        assert kept.min() == finite.min()
        assert kept.max() == finite.max()
    elif len(rows):
        assert not math.isfinite(values[chosen[0]])


def test_a_recorded_run_of_many_points_has_its_pyramid(
    store: RunStore, database_uri: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_COURIER", "thread")
    with cloister.start_run(uri=database_uri, capture="none", hardware=False) as run:
        for step in range(100_000):
            run.log({"loss": 77.0 if step == 61_803 else 1.0 / (step + 1)}, step)
    assert run.wait_until_stored(60)

    levels = [bytes(document["_id"])[12] for document in store.database["metric_pyramid"].find().sort("_id", 1)]
    assert levels == [1, 1, 2]
    curve = store.load_curve(run.id, "loss", pixels=20)
    exact = store.load_points(run.id, "loss")
    assert curve.total == len(exact) == 100_000
    assert curve.steps[curve.values.argmax()] == 61_803
    assert curve.values.min() == exact.values.min()
