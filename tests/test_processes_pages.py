"""What pages say of ranks, of resumes, and of the run that another was forked from."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run
from seeded_runs import add_run, text_of

NOW = datetime.now(timezone.utc)
TRACE = ["Traceback (most recent call last):\n", "RuntimeError: NCCL <timed> out\n"]


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


def rank_state(status: str = "COMPLETED", **fields: Any) -> dict[str, Any]:
    return {"host": "node-1", "pid": 4711, "status": status, "heartbeat": NOW, "time": NOW, **fields}


def set_ours(database: Database[dict[str, Any]], run_id: int, **fields: Any) -> None:
    database["runs"].update_one({"_id": run_id}, {"$set": {f"cloister.{key}": value for key, value in fields.items()}})


def test_a_failed_rank_is_told_above_the_figures_with_its_traceback(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 7, status="INTERRUPTED")
    ranks = {
        "0": rank_state(),
        "1": rank_state("FAILED", heartbeat=NOW - timedelta(seconds=5), fail_trace=TRACE, exit={"code": 1}),
        "2": rank_state("FAILED", fail_trace=["KeyError: 'later'\n"]),
        "3": rank_state("RUNNING", heartbeat=NOW - timedelta(hours=1)),
    }
    set_ours(database, 7, ranks=ranks, world_size=4, exit={"signal": 15})
    page = client.get("/runs/7").text
    words = text_of(page)
    assert "4 ranks" in words
    assert "Rank 1 failed: RuntimeError: NCCL <timed> out" in words
    assert "On node-1. 1 other rank failed after it. Rank 0: After 41s, a SIGTERM signal stopped it." in words
    assert "Failed Rank 1 node-1, process 4711" in words
    assert "Lost Rank 3" in words
    assert "<timed>" not in page
    environment = text_of(client.get("/runs/7/environment").text)
    assert "Traceback of rank 2 KeyError: 'later'" in environment
    assert "exit code 1" in environment


def test_of_a_thousand_ranks_the_overview_shows_those_in_trouble(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 7)
    ranks = {str(number): rank_state("FAILED" if number == 900 else "COMPLETED") for number in range(1000)}
    figure = {"last": 0.5, "min": 0.5, "max": 0.5, "last_step": 1, "count": 2}
    set_ours(database, 7, summary={"val/acc": figure, "rank/1/val/acc": figure})
    set_ours(database, 7, ranks=ranks, world_size=1024)
    words = text_of(client.get("/runs/7/overview/side").text)
    assert "Processes 1000 of 1,024 ranks" in words or "Processes 1,000 of 1,024 ranks" in words
    assert "Failed Rank 900" in words
    assert "rank/1/val/acc" not in text_of(client.get("/runs/7").text)
    assert "rank/1/val/acc" in client.get("/runs/7/charts").text
    assert words.count("process 4711") == 8
    assert text_of(client.get("/runs/7/environment").text).count("process 4711") == 1000


def test_resumes_and_the_origin_of_a_fork_stand_in_the_header_and_beside_the_charts(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 7)
    changes = [{"key": "lr", "kept": 0.1, "given": "<b>0.2</b>"}]
    notes = [{"time": NOW, "host": "node-1", "pid": number, "config": changes} for number in (1, 2)]
    origin = {"run_id": 3, "uid": "u", "step": 1200, "state": "copied", "note": "Run 3 had come to step 900 only."}
    set_ours(database, 7, resumed=notes, forked_from=origin)
    header = client.get("/runs/7/header").text
    assert "Resumed 2 times" in text_of(header)
    assert 'Forked from <a href="/runs/3">run 3</a> at step 1,200' in header
    assert "Run 3 had come to step 900 only." in header
    side = client.get("/runs/7/overview/side").text
    assert "lr 0.1 →" in text_of(side)
    assert "&lt;b&gt;0.2&lt;/b&gt;" in side
    assert "<b>" not in side


def test_a_runs_duration_leaves_out_the_time_between_its_sessions(
    client: FlaskClient, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 7)
    set_ours(database, 7, paused_seconds=30.0)
    assert store.load_run(7).duration == timedelta(seconds=11)
    assert "ran for 11s" in text_of(client.get("/runs/7").text)


@pytest.mark.parametrize(
    "fields",
    [
        {"ranks": 3, "resumed": 4, "forked_from": 5, "world_size": "many", "paused_seconds": "long"},
        {"ranks": {"x": 1, "1": 2, "2": {"host": 3, "exit": 4, "fail_trace": 5}, "9" * 5000: {}}},
        {"resumed": [1, {"config": 2, "time": "then"}, {"config": [3, {"key": None}]}], "paused_seconds": 1e300},
        {"forked_from": {"step": 1, "run_id": {"$ne": 1}, "note": None}, "world_size": 10**15},
    ],
)
def test_processes_of_a_foreign_shape_break_no_page(
    client: FlaskClient, database: Database[dict[str, Any]], fields: dict[str, Any]
) -> None:
    insert_run(database, 7)
    set_ours(database, 7, **fields)
    for path in ("", "/environment", "/overview/side", "/overview/top", "/header", "/system"):
        assert client.get(f"/runs/7{path}").status_code == 200
    assert client.get("/projects/digits/runs").status_code in (200, 404)


def test_hardware_of_a_rank_has_a_section_of_its_own() -> None:
    from cloister.viewer.hardware_sections import group_hardware

    names = ["system/cpu.percent", "system/rank/10/cpu.percent", "system/rank/2/gpu.0.memory.run"]
    found = {section.name: [chart.title for chart in section.charts] for section in group_hardware(names)}
    assert found == {
        "CPU": ["CPU of the run"],
        "Rank 2": ["GPU 0 memory of the run"],
        "Rank 10": ["CPU of the run"],
    }


def test_the_api_tells_of_ranks_resumes_and_forks(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    for number in (6, 7):
        add_run(database, number)
    set_ours(database, 7, paused_seconds=30.0, ranks={"0": rank_state(), "1": rank_state("FAILED")}, world_size=2)
    set_ours(database, 7, resumed=[{"time": NOW, "host": "node-1", "pid": 1}], forked_from={"run_id": 6, "step": 5})
    run = client.get("/api/v1/runs/7").json
    assert run is not None
    assert (run["world_size"], [rank["status"] for rank in run["ranks"]]) == (2, ["completed", "failed"])
    assert run["resumed"][0]["host"] == "node-1"
    assert run["forked_from"] == {"run_id": 6, "uid": None, "step": 5, "note": ""}
    assert run["duration_seconds"] == 11
    set_ours(database, 6, paused_seconds="long")
    listed = client.get("/api/v1/projects/digits/runs?sort=duration").json
    assert listed is not None
    assert [entry["id"] for entry in listed["runs"]] == [7, 6]
