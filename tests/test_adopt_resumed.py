"""Adopted runs that are resumed: from then on their record is ours, in the documents that Sacred began."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from adopted_reading import adopt, read_one
from cloister.observer.runs import RunStore
from conftest import StartRun
from pymongo.database import Database
from sacred_made import sacred_metric, sacred_run

Documents = Database[dict[str, Any]]


def resumed(start: StartRun, run_id: Any, values: list[float], first_step: int) -> None:
    with start(resume=run_id) as run:
        for step, value in enumerate(values, first_step):
            run.log({"loss": value}, step)
    assert run.wait_until_stored()


def test_a_resumed_run_goes_on_in_sacreds_documents(
    start: StartRun, database: Documents, database_uri: str, store: RunStore
) -> None:
    metric = sacred_metric(7, "loss", [4.0, 3.0, 2.0])
    key = database["metrics"].insert_one(metric).inserted_id
    database["runs"].insert_one(sacred_run(7, info={"metrics": [{"name": "loss", "id": str(key)}]}))
    assert adopt(database_uri, "--yes").returncode == 0
    resumed(start, 7, [1.0, 0.5], 3)
    resumed(start, 7, [0.25], 5)
    [document] = database["metrics"].find({"run_id": 7, "name": "loss"})
    assert (document["_id"], document["steps"]) == (key, [0, 1, 2, 3, 4, 5])
    assert document["values"] == [4.0, 3.0, 2.0, 1.0, 0.5, 0.25]
    assert document["timestamps"][:3] == metric["timestamps"]
    info = (database["runs"].find_one({"_id": 7}) or {})["info"]
    assert info["metrics"] == [{"name": "loss", "id": str(key)}]
    assert store.load_points(7, "loss").values.tolist() == document["values"]
    assert store.load_curve(7, "loss").total == 6


@pytest.mark.parametrize("odd", [{"steps": [0.5, 1.5, 2.5]}, {"values": [1.0, "a", 2.0]}, {"timestamps": []}])
def test_what_only_sacreds_document_can_say_stays_in_it(
    start: StartRun, database: Documents, database_uri: str, odd: dict[str, Any]
) -> None:
    metric = sacred_metric(7, "loss", [4.0, 3.0, 2.0]) | odd
    key = database["metrics"].insert_one(metric).inserted_id
    database["runs"].insert_one(sacred_run(7))
    assert adopt(database_uri, "--yes").returncode == 0
    resumed(start, 7, [1.0], 3)
    assert database["metrics"].find_one({"_id": key}) == metric


def test_a_resumed_run_is_not_adopted_again(
    start: StartRun, database: Documents, database_uri: str, store: RunStore
) -> None:
    values = [float(number) for number in range(12_000)]  # more than Sacred's document keeps once it is ours
    when = datetime.datetime(2024, 3, 1, 12, 0, tzinfo=datetime.timezone.utc)
    database["runs"].insert_one(sacred_run(7))
    database["metrics"].insert_one(sacred_metric(7, "loss", values, timestamps=[when] * len(values)))
    assert adopt(database_uri, "--yes").returncode == 0
    resumed(start, 7, [-1.0], len(values))
    before = read_one(store, 7)
    done = adopt(database_uri, "--yes")
    assert "1 run recorded by Cloister" in done.said
    assert read_one(store, 7) == before
    assert store.load_points(7, "loss").values.tolist() == [*values, -1.0]
