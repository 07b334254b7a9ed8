"""Points on their way into MongoDB: each exactly once whatever is cut, readable at any moment, at a bounded price."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timezone
from typing import Any

import numpy as np
import pymongo
import pytest
from cloister.observer import segment_tails
from cloister.observer.field_names import encode_field_name
from cloister.observer.journal_batches import PointColumns
from cloister.observer.journal_records import encode_record
from cloister.observer.metric_chunks import (
    CHUNK_POINTS,
    chunk_keys_of,
    metric_id,
    pack_points,
    pack_values,
    unpack_points,
    unpack_values_into,
)
from cloister.observer.metric_pieces import Pieces
from cloister.observer.metric_shipper import HISTORY_SEGMENT, MetricShipper
from cloister.observer.metric_tails import METRIC_TAILS, tail_keys_of
from cloister.observer.points import Points
from cloister.observer.runs import RunStore
from cloister.observer.sacred_metrics import SACRED_POINTS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.errors import PyMongoError

SEGMENT = 0x019A_0000_0000_0001
NAMES = ("loss", "val/loss", "system/cpu", "a.b$c")
FAILING = "cloister-storage-test"  # the application name by which a fail point knows whom to hit


def truth(name: str, sequences: np.ndarray[Any, Any]) -> Points:
    """What the training logged as `name` in the records of these sequences."""
    place = NAMES.index(name) if name in NAMES else len(name)
    values = np.where(sequences % 97 == 0, np.nan, np.sin(sequences * (place + 0.37)) * 10.0**place)
    return Points(sequences * 3 - 7, values, 1.7e9 + sequences / 64)


def logged(name: str, first: int, last: int) -> PointColumns:
    """The records `first` up to `last`: a metric has a point in every record, every second, every third, ..."""
    every = NAMES.index(name) + 1 if name in NAMES else 1
    sequences = np.arange(first, last + 1, dtype=np.int64)
    sequences = sequences[sequences % every == 0]
    points = truth(name, sequences)
    return PointColumns(points.steps, points.values, points.wall_times, sequences)


@dataclass
class Shipping:
    """One shipper of a run, as the courier uses it: what it writes, and the run's update that moves the checkpoint."""

    database: Database[dict[str, Any]]
    run_id: int
    names: Sequence[str] = NAMES
    segment: int = SEGMENT
    run: dict[str, Any] = field(default_factory=dict)
    seen: int = 0  # the last record that a courier has read: the journal has at least so many

    def __post_init__(self) -> None:
        self.restart(is_new=True)

    def restart(self, *, is_new: bool = False) -> None:
        """Another courier takes over, and knows what is in the database."""
        found = self.database["runs"].find_one({"_id": self.run_id})
        assert found is not None
        self.run = found
        self.metrics = MetricShipper(self.database, self.run, is_new=is_new)

    @property
    def checkpoint(self) -> int:
        """The last sequence of this segment that is applied for good."""
        found = self.run["cloister"]["journal"].get(f"{self.segment:016x}") or {}
        return int(found.get("sequence", 0))

    def ship(self, count: int) -> None:
        """The next `count` records."""
        first = self.checkpoint + 1
        self.seen = max(self.seen, first + count - 1)
        columns = {encode_field_name(name): logged(name, first, first + count - 1) for name in self.names}
        self.metrics.take(self.segment, columns)
        self.metrics.store()
        changes = self.metrics.summary_changes()
        checkpoint = {"offset": 0, "sequence": first + count - 1}
        named = self.metrics.newly_named()
        self.commit(changes, checkpoint, named)

    def commit(
        self, changes: Mapping[str, Any], checkpoint: Mapping[str, Any], named: Sequence[Mapping[str, str]] = ()
    ) -> None:
        journal = f"cloister.journal.{self.segment:016x}"
        summed = self.metrics.summed_changes().get(f"{journal}.summed")
        known = self.run["cloister"]["journal"].get(f"{self.segment:016x}") or {}
        moved = {**known, **checkpoint, **({} if summed is None else {"summed": summed})}
        version = self.run["cloister"]["version"]
        done = self.database["runs"].update_one(
            {"_id": self.run_id, "cloister.version": version},
            {
                "$set": {**changes, journal: moved, "cloister.version": version + 1},
                "$addToSet": {"info.metrics": {"$each": list(named)}},
            },
        )
        if not done.matched_count:
            raise Overtaken
        self.run["cloister"]["version"] = version + 1
        self.run["cloister"]["journal"][f"{self.segment:016x}"] = moved

    def finish(self, *, is_last: bool = True) -> None:
        changes = self.metrics.final_changes(self.segment)
        if changes:
            self.commit(changes, {"offset": 0, "sequence": self.checkpoint})
        self.metrics.finish_segment(self.segment, is_last=is_last)


class Overtaken(Exception):
    """Another shipper has moved the run on."""


@pytest.fixture
def failing(database_uri: str, database: Database[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """The same database through a client of its own, whose commands can be made to fail."""
    with pymongo.MongoClient(database_uri, tz_aware=True, appname=FAILING) as client:
        yield client[database.name]
        let_pass(database)


def fail(database: Database[dict[str, Any]], skip: int, how: Mapping[str, Any]) -> None:
    """From its `skip`-th next write on, the failing client gets no further."""
    data = {"failCommands": ["update", "insert", "delete"], "appName": FAILING, **how}
    database.client.admin.command("configureFailPoint", "failCommand", mode={"skip": skip}, data=data)


def let_pass(database: Database[dict[str, Any]]) -> None:
    database.client.admin.command("configureFailPoint", "failCommand", mode="off")


def new_run(database: Database[dict[str, Any]], run_id: int) -> None:
    ours = {"uid": str(uuid.uuid4()), "journal": {}, "summary": {}, "system": {}, "version": 1}
    database["runs"].insert_one({"_id": run_id, "status": "RUNNING", "info": {}, "cloister": ours})


def assert_prefix(store: RunStore, run_id: int, names: Sequence[str], committed: int) -> None:
    """A reader finds every point that the checkpoint covers, and nothing but what was logged, in order."""
    for name in names:
        least = len(logged(name, 1, committed).steps)
        points = store.load_points(run_id, name) if least else Points.empty()
        expected = logged(name, 1, committed * 5 + 100_000)
        assert len(points) >= least, name
        assert_same(points, expected, len(points))


def assert_same(points: Points, expected: PointColumns, count: int) -> None:
    assert points.steps.tobytes() == expected.steps[:count].tobytes()
    assert points.values.tobytes() == expected.values[:count].tobytes()
    assert np.array_equal(points.wall_times, expected.wall_times[:count])


def assert_finished(database: Database[dict[str, Any]], shipping: Shipping, names: Sequence[str]) -> None:
    """All is there once, in as few chunks as can be, and Sacred's documents and the summaries tell the same."""
    store, run = RunStore(database), database["runs"].find_one({"_id": shipping.run_id})
    assert run is not None
    record = store.load_run(shipping.run_id)
    for name in names:
        expected = logged(name, 1, shipping.checkpoint)
        count = len(expected.steps)
        if not count:
            continue
        points = store.load_points(shipping.run_id, name)
        assert len(points) == count
        assert_same(points, expected, count)
        chunks = database["metric_chunks"].count_documents(
            {"_id": chunk_keys_of(metric_id(run["cloister"]["uid"], name))}
        )
        assert chunks == -(-count // CHUNK_POINTS)
        assert_sacred(database, shipping.run_id, name, points)
        summaries = record.system if name.startswith("system/") else record.summary
        summary = summaries[name.removeprefix("system/")]
        finite = points.values[np.isfinite(points.values)]
        assert (summary.count, summary.last_step) == (count, points.steps[-1])
        assert summary.min == (finite.min() if len(finite) else None)
        assert summary.max == (finite.max() if len(finite) else None)
    tails = list(database[METRIC_TAILS].find({"_id": tail_keys_of(run["cloister"]["uid"])}))
    assert [tail for tail in tails if "b" in tail] == []


def assert_sacred(database: Database[dict[str, Any]], run_id: int, name: str, points: Points) -> None:
    document = database["metrics"].find_one({"run_id": run_id, "name": name})
    assert document is not None
    assert len(document["steps"]) == len(document["values"]) == len(document["timestamps"])
    assert document["cloister"]["count"] == len(points)
    if len(points) <= SACRED_POINTS:
        assert document["steps"] == points.steps.tolist()
        assert np.array(document["values"]).tobytes() == points.values.tobytes()
        times = [when.replace(tzinfo=timezone.utc).timestamp() for when in document["timestamps"]]
        assert np.abs(np.array(times) - points.wall_times).max() < 0.001
    else:
        assert document["cloister"]["thinned"]
        assert len(document["steps"]) < SACRED_POINTS
        assert np.nanmin(document["values"]) == np.nanmin(points.values)
        assert np.nanmax(document["values"]) == np.nanmax(points.values)


REFUSED = {"errorCode": 8000}  # nothing of the command is done
CONFIRMED_BY_NOBODY = {"writeConcernError": {"code": 64, "errmsg": "the connection was cut"}}  # all of it is done
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ship"), st.sampled_from([1, 63, 700, 2048, 4096, 5000])),
        st.tuples(st.just("tidy"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("kill while shipping"), st.tuples(st.integers(0, 5), st.sampled_from([2, 2048, 6000]))),
        st.tuples(st.just("kill while finishing"), st.tuples(st.integers(0, 8), st.booleans())),
    ),
    min_size=2,
    max_size=14,
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=ACTIONS, confirmed_by_nobody=st.booleans(), tails=st.sampled_from([2, 5, 512]))
def test_points_are_stored_once_whatever_is_cut_and_wherever_batches_end(
    database: Database[dict[str, Any]],
    failing: Database[dict[str, Any]],
    actions: list[tuple[str, Any]],
    confirmed_by_nobody: bool,
    tails: int,
) -> None:
    how = CONFIRMED_BY_NOBODY if confirmed_by_nobody else REFUSED
    run_id = int(uuid.uuid4()) % 2**40
    new_run(database, run_id)
    store = RunStore(database)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_tails, "TAILS_COUNT", tails)
        shipping = Shipping(failing, run_id)
        for action, argument in actions:
            if action == "ship":
                shipping.ship(argument)
            elif action == "tidy":
                shipping.metrics.tidy()
            elif action == "restart":
                shipping.restart()
            else:
                skip, then = argument
                fail(database, skip, how)
                with contextlib.suppress(PyMongoError):
                    shipping.ship(then) if action == "kill while shipping" else shipping.finish(is_last=then)
                let_pass(database)
                shipping.restart()
            assert_prefix(store, run_id, NAMES, shipping.checkpoint)
        shipping.ship(shipping.seen - shipping.checkpoint + 5)
        shipping.finish()
        assert_finished(database, shipping, NAMES)


@pytest.mark.parametrize(
    ("before", "after", "tails"),
    [
        pytest.param((2048,), (2048, 5000, 1), 512, id="tails end where a chunk does"),
        pytest.param((), (1, 1, 1, 2048, 2048, 4096), 5, id="a piece stands where a chunk is to begin"),
        pytest.param((3000,), (6000, 2000), 512, id="the open points are in tails"),
    ],
)
def test_points_are_stored_once_where_chunks_and_tails_meet(
    database: Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    before: Sequence[int],
    after: Sequence[int],
    tails: int,
) -> None:
    monkeypatch.setattr(segment_tails, "TAILS_COUNT", tails)
    new_run(database, 1)
    shipping = Shipping(database, 1)
    for count in before:
        shipping.ship(count)
    shipping.restart()
    for count in after:
        shipping.ship(count)
    shipping.finish()
    assert_finished(database, shipping, NAMES)


def test_a_reader_finds_every_point_at_any_moment_of_a_compaction(
    database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_tails, "TAILS_COUNT", 4)
    new_run(database, 1)
    shipping = Shipping(database, 1, names=("loss",))
    shipping.ship(10)
    store, faults, reads = RunStore(database), [], []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            before = shipping.checkpoint
            points = store.load_points(1, "loss")
            reads.append(len(points))
            expected = logged("loss", 1, 100_000)
            if len(points) < before or points.steps.tobytes() != expected.steps[: len(points)].tobytes():
                faults.append((before, len(points)))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(150):
        shipping.ship(1 + number * 37 % 400)
        shipping.metrics.tidy()
    shipping.finish()
    ended.set()
    reader.join()
    assert faults == []
    assert len(reads) > 20
    assert_finished(database, shipping, ("loss",))


def test_two_shippers_of_one_run_store_their_segments_and_count_both(database: Database[dict[str, Any]]) -> None:
    new_run(database, 1)
    both = [Shipping(database, 1, names=("loss",), segment=SEGMENT + place) for place in (0, 1)]
    overtaken = 0
    for number in range(12):
        shipping = both[number % 2]
        while True:
            try:
                shipping.ship(1000)
                break
            except Overtaken:
                overtaken += 1
                shipping.restart()
    for shipping in both:
        shipping.restart()
        shipping.finish()
    assert overtaken > 5
    points = RunStore(database).load_points(1, "loss")
    expected = logged("loss", 1, 6000)
    assert_same(points[slice(0, 6000)], expected, 6000)
    assert_same(points[slice(6000, None)], expected, 6000)
    assert RunStore(database).load_run(1).summary["loss"].count == 12_000
    document = database["metrics"].find_one({"run_id": 1})
    assert document is not None
    assert document["cloister"]["count"] == 12_000


def test_a_segment_that_two_shippers_apply_is_stored_once(database: Database[dict[str, Any]]) -> None:
    new_run(database, 1)
    courier, stick = Shipping(database, 1), Shipping(database, 1)
    for count in (700, 3, 5000, 40):
        courier.ship(count)
        with contextlib.suppress(Overtaken):
            stick.ship(count + 11)
        stick.restart()
        stick.ship(100)
        courier.restart()
        courier.metrics.tidy()
    stick.restart()
    stick.finish()
    courier.finish()
    assert_finished(database, courier, NAMES)


def test_who_knows_less_of_a_segment_and_finishes_it_deletes_nothing_of_who_knows_more(
    database: Database[dict[str, Any]],
) -> None:
    new_run(database, 1)
    courier = Shipping(database, 1)
    courier.ship(5000)
    stick = Shipping(database, 1)  # with a copy of the journal that ends here
    stick.restart()
    courier.ship(300)
    stick.finish(is_last=False)
    assert_prefix(RunStore(database), 1, NAMES, 5300)
    stick.restart()
    courier.ship(70_000)
    courier.finish()
    stick.finish(is_last=False)
    assert_finished(database, courier, NAMES)
    assert RunStore(database).load_curve(1, "loss", low=0, pixels=10).total == 75_298


def test_a_piece_that_another_shipper_has_made_larger_is_not_deleted(
    database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_tails, "TAILS_COUNT", 2)
    new_run(database, 1)
    courier = Shipping(database, 1, names=("loss",))
    for count in (1000, 1000, 100, 100, 10, 10):  # three pieces, too different to be merged
        courier.ship(count)
        courier.metrics.tidy()
    stick = Shipping(database, 1, names=("loss",))
    stick.restart()
    metric = metric_id(stick.run["cloister"]["uid"], "loss")
    last = database["metric_chunks"].find_one({"_id": chunk_keys_of(metric)}, sort=[("_id", -1)])
    assert last is not None

    def grow() -> None:
        expected = logged("loss", 1, 2820)
        points = Points(expected.steps, expected.values, expected.wall_times)[slice(2200, None)]
        change = {"n": len(points), "c": pack_points(points)}
        database["metric_chunks"].update_one({"_id": last["_id"]}, {"$set": change})

    assert last["n"] == 20
    original = Pieces._delete_outlived

    def delete_after_growing(self: Pieces) -> None:
        grow()
        original(self)

    monkeypatch.setattr(Pieces, "_delete_outlived", delete_after_growing)
    stick.finish(is_last=False)
    assert_same(RunStore(database).load_points(1, "loss"), logged("loss", 1, 2820), 2820)


def test_history_shared_with_another_run_comes_before_the_runs_own_points(database: Database[dict[str, Any]]) -> None:
    new_run(database, 1)
    shipping = Shipping(database, 1, names=("loss",))
    shipping.ship(100)
    for _ in range(2):  # a copy that was cut is done again
        shipping.restart()
        history = {"loss": logged("loss", 1, 5000), encode_field_name("a.b$c"): logged("a.b$c", 1, 300)}
        for name, column in history.items():
            sequences = np.arange(1, len(column.steps) + 1)
            shipping.metrics.take(
                HISTORY_SEGMENT, {name: PointColumns(column.steps, column.values, column.wall_times, sequences)}
            )
            shipping.metrics.store()
    shipping.commit(shipping.metrics.summary_changes(), {"offset": 0, "sequence": shipping.checkpoint})
    shipping.ship(50)
    shipping.finish()
    points = RunStore(database).load_points(1, "loss")
    assert_same(points[slice(0, 5000)], history["loss"], 5000)
    assert_same(points[slice(5000, None)], logged("loss", 1, 150), 150)
    assert RunStore(database).load_run(1).summary["loss"].count == 5150
    assert len(RunStore(database).load_points(1, "a.b$c")) == 75


def sent_bytes(database: Database[dict[str, Any]]) -> int:
    return int(database.client.admin.command("serverStatus")["network"]["bytesIn"])


def journal_bytes(names: Sequence[str], first: int, last: int) -> int:
    values = dict.fromkeys(names, 0.5)
    return sum(len(encode_record("points", number, 1.7e9, {"s": number, "v": values})) for number in range(first, last))


@pytest.mark.parametrize(
    ("names", "batches", "count"),
    [
        pytest.param(("loss", "acc", "val/loss", "val/acc", "lr"), 120, 30, id="five metrics, live"),
        pytest.param([f"layer{number}/weight/norm" for number in range(1000)], 40, 2, id="a thousand metrics, live"),
    ],
)
def test_three_bytes_are_sent_at_most_for_a_byte_of_the_journal(
    database: Database[dict[str, Any]], names: Sequence[str], batches: int, count: int
) -> None:
    new_run(database, 1)
    shipping = Shipping(database, 1, names=names)
    before = sent_bytes(database)
    for _ in range(batches):
        shipping.ship(count)
        shipping.metrics.tidy()
    shipping.finish()
    sent = sent_bytes(database) - before
    assert sent <= 3 * journal_bytes(names, 1, batches * count + 1)
    assert_finished(database, shipping, names[:3])


@pytest.fixture
def forgetful(database: Database[dict[str, Any]]) -> Iterator[Database[dict[str, Any]]]:
    """A server that keeps nothing of what was deleted or replaced, which otherwise takes space for five minutes."""
    admin, name = database.client.admin, "minSnapshotHistoryWindowInSeconds"
    before = admin.command("getParameter", 1, **{name: 1})[name]
    admin.command("setParameter", 1, **{name: 0})
    yield database
    admin.command("setParameter", 1, **{name: before})


def occupied_bytes(database: Database[dict[str, Any]]) -> int:
    """What the database takes on disk, indexes included, less what it has let go of and gives to what comes next."""
    for _ in range(2):  # what one checkpoint lets go of is free after the next
        database["elsewhere"].insert_one({})
        database.client.admin.command("fsync")
    database.drop_collection("elsewhere")
    stats = [database.command("collStats", name) for name in database.list_collection_names()]
    return sum(found["storageSize"] - found["freeStorageSize"] + found["totalIndexSize"] for found in stats)


def test_a_point_of_an_ended_run_takes_twelve_bytes_at_most(forgetful: Database[dict[str, Any]]) -> None:
    count, names, sizes = 20_000, ("loss", "acc", "val/loss", "val/acc", "grad/norm"), []
    random = np.random.default_rng(3)
    times = 1.7e9 + np.cumsum(np.abs(random.normal(0.01, 0.0005, count)))
    for run_id in range(1, 7):
        new_run(forgetful, run_id)
        shipping = Shipping(forgetful, run_id, names=names)
        for start in range(0, count, 7000):
            part = slice(start, start + 7000)
            steps = np.arange(count, dtype=np.int64)[part]
            columns = {
                name: PointColumns(steps, random.normal(size=count)[part], times[part], steps + 1) for name in names
            }
            shipping.metrics.take(SEGMENT, columns)
            shipping.metrics.store()
            shipping.commit(
                shipping.metrics.summary_changes(),
                {"offset": 0, "sequence": int(steps[-1]) + 1},
                shipping.metrics.newly_named(),
            )
        shipping.finish()
        sizes.append(occupied_bytes(forgetful))
    # The first runs fill the pages that a database of any size has; each further one takes as much as the one before.
    per_point = (sizes[-1] - sizes[2]) / (3 * count * len(names))
    assert 8 < per_point <= 12


def test_five_thousand_metrics_end_as_a_chunk_each(database: Database[dict[str, Any]]) -> None:
    names = [f"layer{number}/weight" for number in range(5000)]
    new_run(database, 1)
    shipping = Shipping(database, 1, names=names)
    for count in (1, 1, 18):
        shipping.ship(count)
    shipping.restart()  # names again what the run names already
    shipping.ship(1)
    shipping.finish()
    assert database["metric_chunks"].count_documents({}) == 5000
    run = database["runs"].find_one({"_id": 1})
    assert run is not None
    assert len(run["info"]["metrics"]) == 5000
    assert all(summary["count"] == 21 for summary in run["cloister"]["summary"].values())
    assert_finished(database, shipping, names[::1000])


def test_summaries_that_waited_are_written_by_the_courier_that_goes_on(database: Database[dict[str, Any]]) -> None:
    names = [f"layer{number}" for number in range(200)]
    new_run(database, 1)
    shipping = Shipping(database, 1, names=names)
    for _ in range(5):
        shipping.ship(1)
    waiting = database["runs"].find_one({"_id": 1})
    assert waiting is not None
    assert waiting["cloister"]["summary"]["layer7"]["count"] < 5  # or this tests nothing
    shipping.restart()
    shipping.finish()
    assert_finished(database, shipping, names[::20])


@pytest.mark.parametrize(
    ("values", "most"),
    [
        pytest.param(np.random.default_rng(0).normal(size=4096), 8.01, id="float64"),
        pytest.param(np.random.default_rng(0).normal(size=4096).astype("f4").astype("f8"), 4.01, id="float32"),
        pytest.param(np.round(np.random.default_rng(0).uniform(0, 100, 4096), 1), 2.01, id="percent"),
        pytest.param(np.full(4096, 0.001), 0.01, id="constant"),
        pytest.param(np.array([np.nan, -0.0, np.inf, 5e-324, -1.7e308, 0.1, 1e22, 2.0**53] * 512), 8.01, id="odd"),
        pytest.param(np.full(4096, -0.0), 4.01, id="minus zero"),
    ],
)
def test_values_take_few_bytes_and_come_back_bit_for_bit(values: np.ndarray[Any, Any], most: float) -> None:
    packed = pack_values(values)
    unpacked = np.empty(len(values))
    assert unpack_values_into(packed, 0, unpacked) == len(packed)
    assert unpacked.tobytes() == values.tobytes()
    assert len(packed) / len(values) <= most


def test_a_clock_that_runs_backwards_and_steps_of_any_size_come_back() -> None:
    steps = np.array([0, 2**63 - 1, -(2**63), 5, 5, -1], np.int64)
    points = Points(steps, np.arange(6.0), np.array([1.7e9, 1.6e9, 1.7e9, 0.0, 4e9, 1.7e9 + 1e-6]))
    unpacked = unpack_points(pack_points(points), 6)
    assert unpacked.steps.tobytes() == steps.tobytes()
    assert np.abs(unpacked.wall_times - points.wall_times).max() < 1e-6
