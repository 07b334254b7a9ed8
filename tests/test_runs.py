"""`RunStore`: lists, filters, sorts, pages, and documents that somebody else wrote."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from cloister.observer.run_query import BadRunQuery, RunQuery
from cloister.observer.run_record import new_run_document
from cloister.observer.run_registry import register_run
from cloister.observer.runs import MetricNotFound, ProjectNotFound, RunNotFound, RunStore
from pymongo.database import Database

START = datetime(2026, 3, 2, 14, 2, tzinfo=timezone.utc)


def header(number: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "uid": f"01a1fd6d-8b44-7339-9421-{number:012d}",
        "project": "digits",
        "name": f"run-{number}",
        "experiment": "train",
        "start_time": START + timedelta(minutes=number),
        **fields,
    }


def add(store: RunStore, number: int, *, changes: dict[str, Any] | None = None, **fields: Any) -> Any:
    run, _ = register_run(store.database, header(number, **fields))
    if changes:
        store.database["runs"].update_one({"_id": run["_id"]}, {"$set": changes})
    return run["_id"]


def names(store: RunStore, **query: Any) -> list[str]:
    return [run.name for run in store.list_runs(RunQuery(**query)).runs]


def test_numbers_count_up_and_step_over_those_that_sacred_took(store: RunStore) -> None:
    assert [add(store, 0), add(store, 1)] == [1, 2]
    store.database["runs"].insert_one({"_id": 3})
    store.database["runs"].insert_one({"_id": "a text id sorts above all numbers"})
    assert add(store, 2) == 4


def test_registering_a_run_twice_gives_the_same_run(store: RunStore) -> None:
    assert add(store, 0) == add(store, 0)
    assert store.database["runs"].count_documents({}) == 1


def test_a_page_is_cut_and_counted_in_the_database(store: RunStore) -> None:
    for number in range(7):
        add(store, number)
    page = store.list_runs(RunQuery(project="digits", page=2, page_size=3))
    assert [run.name for run in page.runs] == ["run-3", "run-2", "run-1"]
    assert (page.total, page.page, page.page_size) == (7, 2, 3)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("-started", ["c", "b", "a"]),
        ("started", ["a", "b", "c"]),
        ("config.lr", ["b", "c", "a"]),
        ("-config.lr", ["c", "b", "a"]),
        ("metrics.val/acc", ["c", "a", "b"]),
        ("-metrics.val/acc", ["a", "c", "b"]),
        ("-duration", ["b", "a", "c"]),
        ("name", ["a", "b", "c"]),
    ],
)
def test_runs_sort_by_any_column_and_those_without_a_value_come_last(
    store: RunStore, sort: str, expected: list[str]
) -> None:
    def stop(minutes: int) -> dict[str, Any]:
        return {"status": "COMPLETED", "stop_time": START + timedelta(minutes=minutes)}

    add(store, 0, name="a", changes={**stop(10), "cloister.summary.val/acc.last": 0.9})
    add(store, 1, name="b", config={"lr": 0.1}, changes=stop(20))
    add(store, 2, name="c", config={"lr": 0.2}, changes={**stop(3), "cloister.summary.val/acc.last": 0.5})
    assert names(store, sort=sort) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ADAM", ["adam-run"]),
        ("baseline", ["adam-run"]),
        ("run", ["sgd.run", "adam-run"]),
        ("d.r", ["sgd.run"]),
        ("train sgd", ["sgd.run"]),
        ("failed", ["sgd.run"]),
        ("2", ["sgd.run"]),
        (".*", []),
        ("(a+)+$", []),
        ("$where", []),
        ("nothing", []),
    ],
)
def test_text_filters_by_name_tag_experiment_status_and_id_and_is_never_a_pattern(
    store: RunStore, text: str, expected: list[str]
) -> None:
    add(store, 0, name="adam-run", tags=["baseline"])
    add(store, 1, name="sgd.run", changes={"status": "FAILED"})
    assert names(store, text=text) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"page": 0},
        {"page_size": 0},
        {"page_size": 501},
        {"sort": "$where"},
        {"sort": "config.$set"},
        {"sort": "config."},
        {"text": "x" * 501},
    ],
)
def test_a_meaningless_query_is_refused_with_its_value(query: dict[str, Any]) -> None:
    with pytest.raises(BadRunQuery):
        RunQuery(**query)


def test_projects_are_listed_newest_first_with_counts(store: RunStore) -> None:
    now = datetime.now(timezone.utc)
    add(store, 0, project="old")
    add(store, 1, project="new", start_time=now)
    add(store, 2, project="new", start_time=now)
    store.database["runs"].update_one({"cloister.name": "run-2"}, {"$set": {"status": "COMPLETED"}})

    assert [(each.name, each.run_count, each.running_count) for each in store.list_projects()] == [
        ("new", 2, 1),
        ("old", 1, 0),
    ]
    assert store.find_project("new").run_count == 2
    with pytest.raises(ProjectNotFound, match="Did you mean 'new'"):
        store.find_project("nwe")


def test_columns_are_those_of_the_projects_runs(store: RunStore) -> None:
    add(
        store,
        0,
        config={"batch": 4, "lr": 1, "model": {"depth": 2}},
        changes={"cloister.summary": {"val/acc": {"last": 1.0}}},
    )
    add(
        store,
        1,
        config={"lr": 2, "batch": 8},
        changes={"cloister.summary": {"a%2Eb": {"last": 1.0}, "val/acc": {"last": 1.0}}},
    )
    columns = store.discover_columns("digits")
    assert columns.config == ("lr", "batch", "model.depth")  # as the newest run has them, then what fewer have
    assert columns.metrics == ("val/acc", "a.b")


def test_what_does_not_exist_is_said_with_what_does(store: RunStore) -> None:
    run_id = add(store, 0)
    with pytest.raises(RunNotFound, match="There is no run 99"):
        store.load_run(99)
    with pytest.raises(MetricNotFound, match="has no metric 'loss'"):
        store.load_points(run_id, "loss")


FOREIGN: list[dict[str, Any]] = [
    {"_id": 1},
    {"_id": "text id", "status": None, "experiment": None, "config": None, "cloister": None},
    {
        "_id": ObjectId(),
        "status": "MY_STATUS",
        "experiment": {"name": 7, "sources": "x"},
        "artifacts": [1, {"name": None}],
    },
    {
        "_id": 2.5,
        "start_time": "yesterday",
        "heartbeat": 3,
        "fail_trace": "text",
        "host": [],
        "info": 1,
        "result": {"a%2Eb": 1},
    },
    {
        "_id": 3,
        "cloister": {
            "summary": {"loss": 5, "acc": {"last": "high"}},
            "lost": None,
            "tags": "x",
            "console": 4,
            "sources": [1],
        },
    },
]


@pytest.mark.parametrize("document", FOREIGN, ids=["empty", "nulls", "other-types", "odd-times", "odd-cloister"])
def test_a_foreign_document_shows_as_far_as_it_goes(store: RunStore, document: dict[str, Any]) -> None:
    store.database["runs"].insert_one(document)

    run = store.load_run(document["_id"])
    assert run.id == document["_id"]
    assert isinstance(run.name, str)
    assert run.status in ("queued", "running", "completed", "failed", "interrupted", "lost")
    assert store.list_runs(RunQuery()).total == 1
    assert len(store.list_projects()) == 1
    store.list_metrics(run.id)


def test_metrics_in_sacreds_layout_are_read(store: RunStore) -> None:
    store.database["runs"].insert_one({"_id": 1, "experiment": {"name": "old"}, "start_time": START})
    times = [START + timedelta(seconds=second) for second in range(3)]
    store.database["metrics"].insert_one(
        {"run_id": 1, "name": "loss", "steps": [0, 5, 10], "values": [3.0, 2, 1.0], "timestamps": times}
    )

    points = store.load_points(1, "loss")
    assert points.steps.tolist() == [0, 5, 10]
    assert points.values.tolist() == [3.0, 2.0, 1.0]
    assert points.wall_times.tolist() == [time.timestamp() for time in times]
    assert store.load_curve(1, "loss", axis="relative").x.tolist() == [0.0, 1.0, 2.0]
    [summary] = store.list_metrics(1)
    assert (summary.name, summary.last, summary.last_step) == ("loss", 1.0, 10)


@pytest.mark.filterwarnings("default")  # Sacred 0.8.7 uses what Python and setuptools have since deprecated
def test_a_real_sacred_experiment_is_read(store: RunStore, database: Database[dict[str, Any]], tmp_path: Path) -> None:
    sacred = pytest.importorskip("sacred", reason="Sacred is not installed")
    from sacred.observers import MongoObserver

    experiment = sacred.Experiment("old-school", base_dir=str(tmp_path), save_git_info=False, interactive=True)
    experiment.observers.append(MongoObserver(client=database.client, db_name=database.name))
    made = tmp_path / "made.txt"
    made.write_text("bytes")

    @experiment.main
    def main(_run: Any, lr: float) -> float:
        for step in range(5):
            _run.log_scalar("loss", 1.0 / (step + 1), step)
        experiment.add_artifact(str(made))
        return 0.25

    experiment.add_config(lr=0.1)
    experiment.run(config_updates={"lr": 0.5})
    [run] = store.list_runs(RunQuery(project="old-school")).runs
    run = store.load_run(run.id)
    assert (run.status, run.result, run.config["lr"]) == ("completed", 0.25, 0.5)
    assert store.load_points(run.id, "loss").values.tolist() == [1.0 / (step + 1) for step in range(5)]
    assert store.open_blob(run.artifacts[0].file_id).read() == b"bytes"


SKELETON = """
    experiment format command host start_time stop_time heartbeat status config meta info resources artifacts
    captured_out result fail_trace
"""


def test_our_documents_have_every_field_that_sacreds_readers_look_for() -> None:
    document = new_run_document(header(), 7)
    assert set(SKELETON.split()) <= set(document)
    assert set(document["experiment"]) == {"name", "base_dir", "sources", "dependencies", "repositories", "mainfile"}
    assert document["info"] == {"metrics": []}
    assert document["_id"] == 7
