"""`run.log`: which values it takes, how it names them, and what it says of the others."""

from __future__ import annotations

import decimal
import logging
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cloister.decorators.scalars import BadMetric, BadStep
from cloister.observer.runs import MetricNotFound, RunStore
from conftest import StartRun
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def record(start: StartRun, store: RunStore, *calls: tuple[dict[str, Any], int | None], **options: Any) -> int:
    with start(**options) as run:
        for metrics, step in calls:
            run.log(metrics, step)
    assert run.wait_until_stored()
    assert run.id is not None
    return run.id


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(math.nan, id="nan"),
        pytest.param(math.inf, id="infinity"),
        pytest.param(-math.inf, id="minus-infinity"),
        pytest.param(-0.0, id="minus-zero"),
        pytest.param(5e-324, id="smallest"),
        pytest.param(1.7976931348623157e308, id="largest"),
    ],
)
def test_a_metric_value_comes_back_bit_for_bit(start: StartRun, store: RunStore, value: float) -> None:
    run_id = record(start, store, ({"loss": value}, 0))

    [stored] = store.load_points(run_id, "loss").values.tolist()
    assert struct.pack("<d", stored) == struct.pack("<d", value)


def test_numbers_of_all_kinds_are_taken(start: StartRun, store: RunStore) -> None:
    metrics = {
        "int": 3,
        "bool": True,
        "float32": np.float32(0.5),
        "int64": np.int64(-7),
        "numpy bool": np.bool_(False),
        "scalar array": np.array(2.5),
        "one element": np.array([[4.0]]),
    }
    run_id = record(start, store, (metrics, 0))

    logged = {name: store.load_points(run_id, name).values.tolist() for name in metrics}
    expected = {
        "int": 3,
        "bool": 1,
        "float32": 0.5,
        "int64": -7,
        "numpy bool": 0,
        "scalar array": 2.5,
        "one element": 4,
    }
    assert logged == {name: [float(value)] for name, value in expected.items()}


def test_torch_tensors_of_one_element_are_taken(start: StartRun, store: RunStore) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    run_id = record(start, store, ({"loss": torch.tensor(0.25, requires_grad=True)}, 0))

    assert store.load_points(run_id, "loss").values.tolist() == [0.25]


def test_nested_dicts_are_flattened_with_slashes(start: StartRun, store: RunStore) -> None:
    run_id = record(start, store, ({"val": {"loss": 1.0, "by class": {"cat": 0.5}}}, 0))

    assert [metric.name for metric in store.list_metrics(run_id)] == ["val/by class/cat", "val/loss"]


@pytest.mark.parametrize(
    "name", ["a.b$c", "", "$where", "with\x00nul", "__proto__", "../x", "<script>", "é\u202e", "\ud800"]
)
def test_a_metric_may_have_any_name(start: StartRun, store: RunStore, name: str) -> None:
    run_id = record(start, store, ({name: 1.5, "other": 2.0}, 0))

    stored = name.encode("utf-8", "backslashreplace").decode()  # a lone surrogate is spelled out
    assert store.load_points(run_id, stored).values.tolist() == [1.5]
    assert store.load_run(run_id).summary[stored].last == 1.5
    assert store.load_points(run_id, "other").values.tolist() == [2.0]


def test_steps_may_come_in_any_order_and_be_any_int64(start: StartRun, store: RunStore) -> None:
    steps = [5, -3, 5, 2**63 - 1, -(2**63), 0]
    run_id = record(start, store, *(({"loss": float(place)}, step) for place, step in enumerate(steps)))

    points = store.load_points(run_id, "loss")
    assert points.steps.tolist() == steps
    assert store.load_curve(run_id, "loss").steps.tolist() == sorted(steps)


def test_a_step_left_out_is_counted_on_from_the_largest(start: StartRun, store: RunStore) -> None:
    run_id = record(start, store, ({"a": 1}, None), ({"a": 2}, None), ({"a": 3}, 10), ({"b": 4}, None))

    assert store.load_points(run_id, "a").steps.tolist() == [0, 1, 10]
    assert store.load_points(run_id, "b").steps.tolist() == [11]


BAD_VALUES = [
    ("0.9", "str"),
    (None, "NoneType"),
    (2**63, "int"),
    (10**400, "int"),
    (decimal.Decimal("0.1"), "Decimal"),
    (1j, "complex"),
    (np.arange(3.0), "ndarray"),
    (b"1", "bytes"),
    (object(), "object"),
]


@pytest.mark.parametrize(("value", "kind"), BAD_VALUES)
def test_a_bad_value_costs_itself_alone_and_one_warning(
    start: StartRun, store: RunStore, caplog: pytest.LogCaptureFixture, value: object, kind: str
) -> None:
    with caplog.at_level(logging.WARNING, "cloister"):
        run_id = record(start, store, *(({"acc": value, "loss": float(step)}, step) for step in range(20)))

    assert store.load_points(run_id, "loss").values.tolist() == [float(step) for step in range(20)]
    with pytest.raises(MetricNotFound):
        store.load_points(run_id, "acc")
    [warning] = caplog.messages
    assert "Metric 'acc' got" in warning
    assert kind in warning


@pytest.mark.parametrize("step", [1.5, "5", math.nan, 2**63, True, None.__class__])
def test_a_bad_step_is_refused_with_its_value(
    start: StartRun, store: RunStore, caplog: pytest.LogCaptureFixture, step: Any
) -> None:
    with caplog.at_level(logging.WARNING, "cloister"):
        run_id = record(start, store, ({"loss": 1.0}, step), ({"loss": 2.0}, 3))

    assert store.load_points(run_id, "loss").steps.tolist() == [3]
    [warning] = caplog.messages
    assert "of metric 'loss' is not a whole number" in warning


def test_bad_values_raise_where_the_run_was_started_so(start: StartRun) -> None:
    with start(on_bad_value="raise") as run:
        with pytest.raises(BadMetric, match="Metric 'acc' got 'high'"):
            run.log({"acc": "high"})
        with pytest.raises(BadStep, match=r"Step 3\.5 of metric 'loss'"):
            run.log({"loss": 1.0}, step=3.5)  # type: ignore[arg-type]
    assert run.wait_until_stored()


def test_a_log_after_the_end_is_a_warning_and_nothing_else(start: StartRun, caplog: pytest.LogCaptureFixture) -> None:
    with start() as run:
        pass
    with caplog.at_level(logging.WARNING, "cloister"):
        run.log({"loss": 1.0})
        run.log_artifact(__file__)
    assert [message.partition(";")[0] for message in caplog.messages] == [f"Run {run.name!r} has ended"]
    assert run.wait_until_stored()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(width=64)), min_size=1, max_size=50))
def test_any_points_come_back_as_they_were(start: StartRun, store: RunStore, logged: list[tuple[int, float]]) -> None:
    run_id = record(start, store, *(({"metric": value}, step) for step, value in logged))

    points = store.load_points(run_id, "metric")
    assert points.steps.tolist() == [step for step, _ in logged]
    assert points.values.tobytes() == np.array([value for _, value in logged]).tobytes()


def test_a_long_metric_is_exact_in_chunks_and_thinned_for_sacreds_readers(start: StartRun, store: RunStore) -> None:
    values = np.sin(np.arange(30_000) / 50)
    values[12_345] = 1000.0
    with start() as run:
        for step, value in enumerate(values.tolist()):
            run.log({"wave": value}, step)
    assert run.wait_until_stored(60)

    points = store.load_points(run.id, "wave")
    assert points.values.tobytes() == values.tobytes()
    assert points.steps.tolist() == list(range(30_000))
    document = store.database["metrics"].find_one({"run_id": run.id, "name": "wave"})
    assert document is not None
    assert document["cloister"]["thinned"] is True
    assert len(document["values"]) == len(document["steps"]) == len(document["timestamps"]) <= 10_000
    assert 1000.0 in document["values"]
    curve = store.load_curve(run.id, "wave", pixels=500)
    assert len(curve.x) < 2_000
    assert curve.values.max() == 1000.0


def test_config_values_of_any_kind_never_cost_the_run(start: StartRun, store: RunStore) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    config = {
        "lr": 0.1,
        "a.b": 1,
        "$set": 2,
        "": 3,
        "nested": {"x.y": [1, (2, 3)]},
        "path": Path("data"),
        "cycle": cycle,
    }
    run_id = record(start, store, config={**config, "function": record, "array": np.arange(3), "huge": 2**80})

    stored = store.load_run(run_id).config
    assert stored["a.b"] == 1
    assert stored["$set"] == 2
    assert stored[""] == 3
    assert stored["nested"] == {"x.y": [1, [2, 3]]}
    assert stored["path"] == "data"
    assert stored["array"] == [0, 1, 2]
    assert stored["huge"] == str(2**80)
    assert stored["lr"] == 0.1


def test_a_result_too_large_for_a_document_is_cut_with_a_mark(start: StartRun, store: RunStore) -> None:
    run = start()
    run.log({"loss": 1.0})
    run.finish(result=["x" * 1_000_000] * 20)
    assert run.wait_until_stored()

    assert run.id is not None
    stored = store.load_run(run.id)
    assert stored.status == "completed"
    assert stored.result[:2] == ["x" * 1_000_000] * 2
    assert "which do not fit into a document: save them with run.log_artifact" in stored.result[-1]
    assert store.load_points(run.id, "loss").values.tolist() == [1.0]
