"""Curves drawn from the pyramid, held against all points: extremes of every pixel, gaps, ranges, axes, segments."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from cloister.observer.metric_bins import Bins, bin_points, merge_bins, pack_bins, read_shape, unpack_bins
from cloister.observer.metric_chunks import CHUNK_POINTS, metric_id
from cloister.observer.metric_pyramid import PyramidBuilder
from cloister.observer.metric_reader import Axis, Curve
from cloister.observer.points import Points
from cloister.observer.runs import RunStore
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from long_metrics import store_segments, uid_of
from pymongo.database import Database
from running_viewer import insert_run

Documents = Database[dict[str, Any]]
RUN_IDS = itertools.count(1)


def new_run(database: Documents, **fields: Any) -> int:
    run_id = next(RUN_IDS)
    insert_run(database, run_id, **fields)
    database["runs"].update_one({"_id": run_id}, {"$set": {"cloister.uid": uid_of(run_id)}})
    return run_id


def a_walk(count: int, *, first_step: int = 0, stride: int = 1, seed: int = 0, start: float = 1.7e9) -> Points:
    random = np.random.default_rng(seed)
    wall_times = start + np.cumsum(random.integers(500, 1500, count)) / 1e6
    return Points(first_step + stride * np.arange(count), np.cumsum(random.normal(size=count)), np.round(wall_times, 6))


def x_of(points: Points | Curve, axis: Axis, start: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    if axis == "step":
        return points.steps.astype(np.float64)
    return points.wall_times - (start if axis == "relative" else 0.0)


def hold_against(
    curve: Curve, points: Points, *, axis: Axis, start: float, pixels: int, low: float | None, high: float | None
) -> None:
    """Everything that a curve promises, checked by brute force."""
    x = x_of(points, axis, start)
    inside = (x >= (-np.inf if low is None else low)) & (x <= (np.inf if high is None else high))
    assert curve.total == np.count_nonzero(inside)
    assert np.all(np.diff(curve.x) >= 0)
    np.testing.assert_array_equal(curve.x, x_of(curve, axis, start))
    assert set(rows_of(curve)) <= set(rows_of(points)), "a point that was never logged is drawn"
    hold_neighbours(curve, x, low, high)
    x, values = x[inside], points.values[inside]
    drawn = (curve.x >= (-np.inf if low is None else low)) & (curve.x <= (np.inf if high is None else high))
    assert curve.thinned == (np.count_nonzero(drawn) < curve.total)
    if not len(x):
        return
    assert curve.x[drawn].min() == x.min()
    assert curve.x[drawn].max() == x.max()
    hold_extremes(curve.x[drawn], curve.values[drawn], x, values, pixels)
    hold_gaps(curve.x[drawn], curve.values[drawn], x, values, pixels)


def rows_of(points: Points | Curve) -> Iterator[tuple[int, float, int]]:
    bits = points.values.view(np.int64)
    return zip(points.steps.tolist(), points.wall_times.tolist(), bits.tolist(), strict=True)


def hold_neighbours(curve: Curve, x: Any, low: float | None, high: float | None) -> None:
    if low is not None and (x < low).any():
        assert curve.x[0] == x[x < low].max()
    if high is not None and (x > high).any():
        assert curve.x[-1] == x[x > high].min()


def hold_extremes(drawn_x: Any, drawn_values: Any, x: Any, values: Any, pixels: int) -> None:
    """Each column's lowest and highest are drawn; those within a quarter of a pixel of its edge may be next door."""
    low, width = x.min(), (x.max() - x.min()) / pixels
    finite, drawn_finite = np.isfinite(values), np.isfinite(drawn_values)
    x, values, drawn_x, drawn_values = x[finite], values[finite], drawn_x[drawn_finite], drawn_values[drawn_finite]
    if not len(x):
        assert not len(drawn_x)
        return
    assert drawn_values.min() == values.min()
    assert drawn_values.max() == values.max()
    if width == 0:
        return
    place = np.clip((x - low) / width, 0, pixels - 1e-9)
    drawn_place = np.clip((drawn_x - low) / width, 0, pixels - 1e-9)
    for sign in (1, -1):
        lowest = np.full(pixels + 2, np.inf)
        for shift in (-1e-4, 0, 1e-4):  # rounding may put a point on either side of an edge
            column = np.clip(np.floor(drawn_place + shift), 0, pixels - 1).astype(int) + 1
            np.minimum.at(lowest, column, sign * drawn_values)
        column = np.floor(place).astype(int) + 1
        nearby = np.minimum(np.minimum(lowest[column - 1], lowest[column]), lowest[np.minimum(column + 1, pixels + 1)])
        assert np.all(nearby <= sign * values), "an extreme is missing"
        within = np.abs(place - np.round(place)) > 0.26
        assert np.all(lowest[column][within] <= sign * values[within]), "an extreme is beside its column"


def hold_gaps(drawn_x: Any, drawn_values: Any, x: Any, values: Any, pixels: int) -> None:
    """Wherever values are not finite, one of them is drawn, unless there are more gaps than pixels."""
    order = np.argsort(x, kind="stable")
    x, bad = x[order], ~np.isfinite(values[order])
    starts = np.flatnonzero(bad & np.concatenate(([True], ~bad[:-1])))
    ends = np.flatnonzero(bad & np.concatenate((~bad[1:], [True])))
    if len(starts) > pixels:
        return
    drawn = np.sort(drawn_x[~np.isfinite(drawn_values)])
    reach = (x[-1] - x[0]) / pixels / 4
    for first, last in zip(x[starts], x[ends], strict=True):
        place = np.searchsorted(drawn, first - reach * 1.001)
        assert place < len(drawn), "a gap is missing"
        assert drawn[place] <= last + reach * 1.001, "a gap is missing"


NOT_SHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)  # an example of a few points would take minutes to find
SHARES = st.none() | st.floats(0, 1)
WINDOWS = st.tuples(st.sampled_from(["step", "relative", "wall"]), st.sampled_from([2, 7, 50, 1000]), SHARES, SHARES)
# A journal segment: points, stride of the steps, kind, seed, what the next one's steps and clock begin with.
SEGMENTS = st.tuples(
    st.sampled_from([1, 200, 4096, 5000, 16_384, 65_536, 70_001, 150_000]),
    st.sampled_from([1, 10, 1000]),
    st.sampled_from(["regular", "nan", "spike", "uneven", "shuffled", "constant"]),
    st.integers(0, 1000),
    st.sampled_from([1, 100_000, -20_000, -100]),
    st.sampled_from([0.001, 100.0, -30.0]),
)


def recorded(segments: list[tuple[int, int, str, int, int, float]], first_step: int) -> list[Points]:
    """Journal segments of one run: regular or not, going backwards, pausing, with values that are not finite."""
    recorded, step, clock = [], first_step, 1.7e9
    for count, stride, kind, seed, next_step, next_clock in segments:
        points = a_walk(count, first_step=step, stride=stride, seed=seed, start=clock)
        recorded.append(changed(points, kind, np.random.default_rng(seed)))
        step, clock = int(points.steps[-1]) + next_step, float(points.wall_times[-1]) + next_clock
    return recorded


def changed(points: Points, kind: str, random: np.random.Generator) -> Points:
    steps, values, count = points.steps.copy(), points.values.copy(), len(points)
    if kind == "nan":
        for start in random.integers(0, count, 5):
            values[start : start + int(random.integers(1, 3000))] = random.choice([np.nan, np.inf, -np.inf])
    elif kind == "spike":
        values[random.integers(0, count, 3)] = [1e6, -1e6, 5e5]
    elif kind == "uneven":
        steps = np.sort(steps[0] + (random.random(count) ** 4 * 1e6).astype(np.int64))
    elif kind == "shuffled":
        steps = random.permutation(steps)
    elif kind == "constant":
        values[:] = 0.25
    return Points(steps, values, points.wall_times)


@settings(
    max_examples=25, deadline=None, phases=NOT_SHRUNK, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    segments=st.lists(SEGMENTS, min_size=1, max_size=4),
    first_step=st.integers(-(10**6), 10**6),
    is_open=st.booleans(),
    in_tails=st.sampled_from([0, 1, 3000]),
    windows=st.lists(WINDOWS, min_size=4, max_size=4),
)
def test_a_curve_is_what_all_points_would_make_it(
    store: RunStore,
    segments: list[tuple[int, int, str, int, int, float]],
    first_step: int,
    is_open: bool,
    in_tails: int,
    windows: list[tuple[Axis, int, float | None, float | None]],
) -> None:
    run_id = new_run(store.database)
    parts = recorded(segments, first_step)
    in_tails = min(in_tails, len(parts[-1]))
    points = store_segments(store.database, run_id, "loss", parts, in_tails=in_tails, is_open=is_open)
    stored = store.load_points(run_id, "loss")
    assert stored.steps.tobytes() == points.steps.tobytes()
    assert stored.values.tobytes() == points.values.tobytes()

    started = store.load_run(run_id).start_time
    assert started is not None
    for axis, pixels, left, right in windows:
        x = np.sort(x_of(stored, axis, started.timestamp()))
        low, high = (None if share is None else float(x[int(share * (len(x) - 1))]) for share in (left, right))
        if low is not None and high is not None and low > high:
            low, high = high, low
        curve = store.load_curve(run_id, "loss", pixels=pixels, axis=axis, low=low, high=high)
        hold_against(curve, stored, axis=axis, start=started.timestamp(), pixels=pixels, low=low, high=high)


@pytest.fixture(scope="module")
def two_million() -> Points:
    return a_walk(2_000_000)


@pytest.fixture
def long_run(store: RunStore, two_million: Points) -> int:
    run_id = new_run(store.database)
    values = two_million.values.copy()
    values[1_234_567] = 1e9
    values[500_000:500_100] = np.nan
    points = Points(two_million.steps, values, two_million.wall_times)
    store_segments(store.database, run_id, "loss", [points[:900_000], points[900_000:]], in_tails=700, is_open=True)
    return run_id


class ReadDocuments:
    """Counts what the store reads from each collection."""

    def __init__(self, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
        import cloister.observer.metric_stretches as stretches

        self.chunks = 0
        original = stretches.unpack_points_into

        def counting(packed: bytes, points: Points) -> None:
            self.chunks += 1
            original(packed, points)

        monkeypatch.setattr(stretches, "unpack_points_into", counting)


def test_one_spike_in_two_million_points_is_drawn_from_a_few_chunks(
    store: RunStore, long_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ReadDocuments(store, monkeypatch)
    curve = store.load_curve(long_run, "loss", pixels=400)

    assert curve.total == 2_000_000
    assert curve.thinned
    assert curve.steps[np.nanargmax(curve.values)] == 1_234_567
    assert np.isnan(curve.values[np.searchsorted(curve.steps, 500_000)])
    assert curve.steps[[0, -1]].tolist() == [0, 1_999_999]
    assert len(curve.x) < 1600
    assert read.chunks < 40  # those of the open span, and where the line begins and ends


def test_a_range_reads_only_the_chunks_that_overlap_it(
    store: RunStore, long_run: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ReadDocuments(store, monkeypatch)
    curve = store.load_curve(long_run, "loss", low=300_000, high=303_000)

    assert curve.total == 3001
    assert curve.steps[[0, -1]].tolist() == [299_999, 303_001]
    in_open_span = (1_100_000 - 700) % 65_536 // CHUNK_POINTS + 1  # no bins tell what it holds
    assert read.chunks <= in_open_span + 2 + 4  # the range lies in two; the nearest points beside it
    everything = store.load_curve(long_run, "loss", low=300_000, high=300_900)
    assert everything.steps.tolist() == list(range(299_999, 300_902))
    assert not everything.thinned


def test_a_pyramid_that_speaks_of_other_points_than_the_chunks_is_not_used(
    store: RunStore, two_million: Points, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = new_run(store.database)
    points = two_million[:300_000]
    store_segments(store.database, run_id, "loss", [points])
    last = {"_id": {"$lte": store.database["metric_chunks"].find_one(sort=[("_id", -1)])["_id"]}}  # type: ignore[index]
    [longest] = store.database["metric_chunks"].find(last).sort("_id", -1).limit(1)
    from cloister.observer.metric_chunks import pack_points, unpack_points

    shorter = unpack_points(longest["c"], longest["n"])[:5]
    change = {"$set": {"n": 5, "c": pack_points(shorter)}}
    store.database["metric_chunks"].update_one({"_id": longest["_id"]}, change)

    with caplog.at_level(logging.WARNING, "cloister"):
        curve = store.load_curve(run_id, "loss", pixels=10)

    kept = 300_000 // CHUNK_POINTS * CHUNK_POINTS + 5
    assert curve.total == kept
    assert "summaries are not used" in caplog.text


@pytest.mark.parametrize(
    ("collection", "change"),
    [
        ("metric_pyramid", {"c": b"\x01\x00"}),
        ("metric_pyramid", {"c": None}),
        ("metric_pyramid", {"n": 7}),
        ("metric_chunks", {"c": b"\x07rubbish"}),
        ("metric_chunks", {"n": "many"}),
        ("metric_tails", {"t": None}),
        ("metric_tails", {"t": [b"\xff" * 40]}),
    ],
)
def test_a_damaged_document_costs_no_more_than_its_own_points(
    store: RunStore, two_million: Points, caplog: pytest.LogCaptureFixture, collection: str, change: dict[str, Any]
) -> None:
    run_id = new_run(store.database)
    points = store_segments(store.database, run_id, "val/loss", [two_million[:200_000]], in_tails=100)
    lost = {"metric_pyramid": 0, "metric_chunks": CHUNK_POINTS, "metric_tails": 60}[collection]
    store.database[collection].update_one({}, {"$set": change})

    with caplog.at_level(logging.WARNING, "cloister"):
        curve = store.load_curve(run_id, "val/loss", pixels=10)
        stored = store.load_points(run_id, "val/loss")

    assert len(stored) >= len(points) - lost
    assert np.isin(stored.steps, points.steps).all()
    assert len(points) - lost <= curve.total <= len(points)
    assert "damaged" in caplog.text
    if collection != "metric_pyramid":
        assert f"Run {run_id}, metric 'val/loss'" in caplog.text


def documents(database: Documents) -> list[dict[str, Any]]:
    return list(database["metric_pyramid"].find().sort("_id", 1))


def test_a_pyramid_is_the_same_however_often_its_builder_was_killed(
    store: RunStore, two_million: Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, count = new_run(store.database), 213_000
    points = two_million[:count]
    store_segments(store.database, run_id, "loss", [points])
    expected = documents(store.database)
    assert len(expected) == 5  # four spans of 65,536 points, one above them
    metric = metric_id(uid_of(run_id), "loss")

    for lifetime, cached in ((1, 200_000), (7, 200_000), (1000, 20)):
        store.database["metric_pyramid"].delete_many({})
        monkeypatch.setattr("cloister.observer.metric_pyramid.CACHED_BINS", cached)
        builder = PyramidBuilder(store.database)
        for number, offset in enumerate(range(0, count, CHUNK_POINTS)):
            if number % lifetime == 0:
                builder = PyramidBuilder(store.database)  # what waited in the other is gone
            builder.add_chunk(metric, 1, offset, points[slice(offset, offset + CHUNK_POINTS)])
        for _ in range(2):
            builder.finish_segment(metric, 1, count)
            builder.flush()
        assert documents(store.database) == expected


def test_metrics_of_few_points_have_no_pyramid(store: RunStore) -> None:
    store_segments(store.database, new_run(store.database), "loss", [a_walk(4000)])
    assert documents(store.database) == []


@settings(deadline=None)
@given(
    values=st.lists(st.floats(), min_size=1, max_size=60),
    steps=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=60, max_size=60),
    size=st.integers(1, 20),
    factor=st.integers(1, 5),
)
def test_bins_come_back_as_they_were_packed_and_merge_as_if_made_at_once(
    values: list[float], steps: list[int], size: int, factor: int
) -> None:
    points = Points(np.array(steps[: len(values)]), np.array(values), 1.7e9 + np.arange(len(values)) / 3)
    bins = bin_points(points, size)
    packed = pack_bins(bins, size)
    shape = read_shape(packed, len(points), size)
    assert same(unpack_bins([packed], [shape], size), bins)
    assert same(unpack_bins([packed] * 2, [shape] * 2, size), Bins.concatenate([bins, bins]))
    assert same(merge_bins(bins, factor), bin_points(points, size * factor))


def same(one: Bins, other: Bins) -> bool:
    return all(
        np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
        for left, right in zip(one._columns(), other._columns(), strict=True)
    )
