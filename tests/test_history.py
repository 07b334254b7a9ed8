"""`history` and `points`: what a run has logged, as a table and as columns, while it runs and afterwards."""

from __future__ import annotations

import logging
import math
import sys
import threading
from pathlib import Path

import cloister
import numpy as np
import pytest
from cloister.observer.history import PandasMissing, tabulate
from cloister.observer.points import Points
from cloister.observer.runs import MetricNotFound, RunNotFound, RunStore
from conftest import StartRun
from hypothesis import given, settings
from hypothesis import strategies as st

pandas = pytest.importorskip("pandas", reason="needs pandas")


def log_mixed(run: cloister.Run) -> None:
    """As a training logs: the loss often, a validation seldom, the learning rate somewhere in between."""
    for step in range(6):
        run.log({"loss": 1.0 / (step + 1)}, step=step)
        if step % 3 == 2:
            run.log({"val/acc": 0.5 + step / 10}, step=step)
    run.log({"lr": 0.1}, step=10)


def assert_is_mixed(table: pandas.DataFrame) -> None:
    assert list(table.columns) == ["step", "loss", "lr", "val/acc"]
    assert table["step"].tolist() == [0, 1, 2, 3, 4, 5, 10]
    assert table["step"].dtype == np.int64
    assert table["loss"].tolist()[:6] == [1.0 / (step + 1) for step in range(6)]
    assert table["val/acc"].dropna().tolist() == [0.7, 1.0]
    assert table.loc[table["step"] == 10, ["loss", "val/acc"]].isna().all().all()


def test_metrics_of_mixed_steps_are_aligned_in_one_table_of_a_live_and_of_a_finished_run(
    start: StartRun, store: RunStore
) -> None:
    with start() as run:
        log_mixed(run)
        assert_is_mixed(run.history())
        assert run.history(["lr"])["lr"].tolist() == [0.1]
        assert run.history("lr").columns.tolist() == ["step", "lr"]
        run.log({"lr": 0.2}, step=10)
    assert run.wait_until_stored()

    table = store.load_history(run.id, wall_time=True)
    assert list(table.columns[:2]) == ["step", "wall_time"]
    assert str(table["wall_time"].dt.tz) == "UTC"
    assert table["wall_time"].is_monotonic_increasing
    assert_is_mixed(table.drop(columns="wall_time"))
    assert table["lr"].tolist()[-1] == 0.2  # logged twice at this step: the later one counts
    assert_is_mixed(run.history())
    assert list(store.load_history(run.id, ["val/acc", "loss"]).columns) == ["step", "val/acc", "loss"]


def test_what_was_logged_just_now_is_read_although_nobody_ships(
    start: StartRun, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloister.observer.live_points.PATIENCE_SECONDS", 0.0)
    with start() as run:
        for step in range(3000):
            run.log({"loss": float(step), "$odd.name": -1.0}, step)
            if step % 250 == 0:
                points = run.points("loss")
                assert points.steps.tolist() == list(range(step + 1))
                assert points.values.tolist() == [float(step) for step in range(step + 1)]
        assert len(run.points("$odd.name")) == 3000


def test_points_are_read_from_the_journal_alone_while_the_database_is_away(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_COURIER", "thread")
    monkeypatch.setenv("CLOISTER_EXIT_WAIT", "0")
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100"
    run = cloister.start_run(uri=uri, capture="none", hardware=False)
    log_mixed(run)

    with caplog.at_level(logging.WARNING, "cloister"):
        assert_is_mixed(run.history())
        assert run.points("lr").values.tolist() == [0.1]
    assert "The database does not answer" in caplog.text
    with pytest.raises(MetricNotFound, match=r"no metric 'los'\. Did you mean 'loss'"):
        run.points("los")
    run.finish()
    assert_is_mixed(run.history())


def test_points_are_exact_while_threads_log_and_the_courier_ships(start: StartRun) -> None:
    with start() as run:
        stop = threading.Event()

        def log() -> None:
            step = 0
            while not stop.is_set():
                run.log({"loss": float(step)}, step)
                step += 1

        thread = threading.Thread(target=log)
        thread.start()
        try:
            counts = []
            for _ in range(10):
                points = run.points("loss")
                assert points.steps.tolist() == list(range(len(points)))
                assert points.values.tolist() == points.steps.tolist()
                counts.append(len(points))
        finally:
            stop.set()
            thread.join()
        assert counts == sorted(counts)
        assert counts[-1] > 0


def test_a_metric_that_a_run_does_not_have_is_named(start: StartRun, store: RunStore) -> None:
    with start() as run:
        run.log({"loss": 1.0})
        with pytest.raises(MetricNotFound, match="Did you mean 'loss'"):
            run.history(["losss"])
    assert run.wait_until_stored()
    with pytest.raises(MetricNotFound, match="Did you mean 'loss'"):
        store.load_history(run.id, "losss")
    with pytest.raises(RunNotFound):
        store.load_history(4711)


def test_a_run_that_logged_nothing_has_an_empty_history(start: StartRun, store: RunStore) -> None:
    with start() as run:
        assert list(run.history().columns) == ["step"]
    assert run.wait_until_stored()
    assert len(store.load_history(run.id)) == 0


def test_the_history_of_a_run_that_sacred_recorded_is_read_too(store: RunStore) -> None:
    store.database["runs"].insert_one({"_id": 1, "status": "COMPLETED"})
    document = {"run_id": 1, "name": "loss", "steps": [0, 2], "values": [1.0, 0.5], "timestamps": []}
    store.database["metrics"].insert_one(document)

    table = store.load_history(1)
    assert table.to_dict("list") == {"step": [0, 2], "loss": [1.0, 0.5]}


def test_without_pandas_the_error_says_what_to_install(
    start: StartRun, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start() as run:
        run.log({"loss": 1.0})
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(PandasMissing, match="pip install pandas"):
            run.history()
        assert run.points("loss").values.tolist() == [1.0]


METRIC_NAMES = st.sampled_from(["loss", "acc", "step", "wall_time", "a.b$c", ""])
LOGGED = st.lists(st.tuples(st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1), st.floats()), max_size=30)


@settings(deadline=None)
@given(st.dictionaries(METRIC_NAMES, LOGGED))
def test_a_table_holds_the_last_value_of_each_step(logged: dict[str, list[tuple[int, float]]]) -> None:
    points = {
        name: Points(
            np.array([step for step, _ in rows], np.int64),
            np.array([value for _, value in rows], np.float64),
            1.7e9 + np.arange(len(rows), dtype=np.float64),
        )
        for name, rows in logged.items()
    }
    table = tabulate(points, wall_time=False)

    last = {name: dict(rows) for name, rows in logged.items()}
    assert table["step"].tolist() == sorted({step for rows in last.values() for step in rows})
    for name, rows in last.items():
        column = table[f"metric/{name}" if name in ("step", "wall_time") else name].tolist()
        expected = [rows.get(step, math.nan) for step in table["step"].tolist()]
        np.testing.assert_array_equal(column, expected)
