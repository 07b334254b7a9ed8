"""The overview and the config of a run, and how its end is told."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.config_tree import build_tree, iter_leaves
from cloister.viewer.run_keys import path_segment
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run
from seeded_runs import HTMX, text_of

SUMMARY = {"last": 0.873, "min": 0.1, "max": 0.8742, "last_step": 34, "count": 35}


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


def set_fields(database: Database[dict[str, Any]], run_id: int | str, **fields: Any) -> None:
    database["runs"].update_one({"_id": run_id}, {"$set": {f"cloister.{key}": value for key, value in fields.items()}})


def test_the_overview_names_the_run_its_owner_and_its_code(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    insert_run(database, 7, host={"hostname": "lab-gpu-03"})
    git = {"state": "repository", "commit": "4f2c91a0b7", "branch": "main", "changed": [], "changed_count": 2}
    set_fields(database, 7, owner="ana", git=git, tags=["baseline"])
    page = text_of(client.get("/runs/7").text)
    for words in ("digits-7 Running baseline", "Run 7", "ana on lab-gpu-03", "4f2c91a + 2 files", "2 changed"):
        assert words in page


def test_key_figures_show_the_best_value_and_where_the_metric_stands(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    insert_run(database, 7, result=0.5)
    set_fields(database, 7, summary={"val/dice": SUMMARY, "val/loss": {**SUMMARY, "min": 0.1}, "lr": SUMMARY})
    page = text_of(client.get("/runs/7/overview/top").text)
    assert "val/dice, highest 0.8742 last 0.873 at step 34" in page
    assert "val/loss, lowest 0.1 last 0.873 at step 34" in page
    assert "Result 0.5 returned by the function" in page
    assert "Points stored 105 all stored, 0 lost" in page


def test_lost_points_are_told_in_red(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7)
    set_fields(database, 7, lost={"points": 1200, "lines": 0, "bytes": 0})
    page = client.get("/runs/7/overview/top").text
    assert "is-bad" in page
    assert "1,200 points lost" in page


def test_a_lost_file_is_told_although_no_point_is_lost(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7)
    set_fields(database, 7, lost={"points": 0, "lines": 0, "bytes": 297})
    page = client.get("/runs/7/overview/top").text
    assert "is-bad" in page
    assert "all stored, output or files lost" in page
    assert "0 points, 0 lines, 297 B" in text_of(client.get("/runs/7").text)


def test_a_metric_that_ended_as_nan_says_so(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7)
    set_fields(database, 7, summary={"loss": {**SUMMARY, "last": float("nan")}})
    assert "loss NaN at step 34" in text_of(client.get("/runs/7/overview/top").text)


def test_a_failed_run_shows_its_error_and_the_traceback(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    trace = ["Traceback (most recent call last):\n", '  File "train.py", line 3\n', "ValueError: loss is nan\n"]
    insert_run(database, 7, status="FAILED", fail_trace=trace, stop_time=datetime.now(timezone.utc))
    page = client.get("/runs/7").text
    assert re.search(r"<h2>ValueError: loss is nan</h2>", page)
    assert "File &#34;train.py&#34;, line 3" in page


def test_a_run_stopped_by_a_signal_names_it(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7, status="INTERRUPTED", stop_time=datetime.now(timezone.utc))
    set_fields(database, 7, exit={"code": None, "signal": 15})
    assert "Stopped before its end After 1m 00s, a SIGTERM signal stopped it." in text_of(client.get("/runs/7").text)


def test_what_an_interruption_said_heads_its_notice(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7, status="OUT_OF_BUDGET", stop_time=datetime.now(timezone.utc))
    set_fields(database, 7, exit={"code": 1, "reason": "3 of 3 GPU hours <used>"})
    assert "<h2>Ended as OUT_OF_BUDGET: 3 of 3 GPU hours &lt;used&gt;</h2>" in client.get("/runs/7").text


def test_a_silent_run_is_lost_and_says_where_its_journal_is(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    silent = datetime.now(timezone.utc) - timedelta(minutes=12)
    insert_run(database, 7, heartbeat=silent, host={"hostname": "lab-gpu-03"})
    page = text_of(client.get("/runs/7").text)
    assert "digits-7 Lost" in page
    assert "No sign of life The last one came 12 min ago" in page
    assert "journal on lab-gpu-03" in page


def test_privacy_is_told_in_plain_words(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7)
    page = text_of(client.get("/runs/7").text)
    assert "Visible to everyone who can open this viewer Redacted nothing found Stored in" in page
    assert "Stored in this machine's MongoDB" in page
    assert "Sent elsewhere nothing Lost 0 points, 0 lines, 0 B" in page


def test_the_header_alone_is_sent_for_live_updates(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7)
    part = client.get("/runs/7/header?tab=console", headers=HTMX).text
    assert "<html" not in part
    assert re.search(r'href="/runs/7/console" aria-current="page"', part)


def test_a_run_has_the_colour_on_its_page_that_it_has_among_the_drawn_runs(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    for run_id in (1, 2, 3):
        insert_run(database, run_id)
    client.get("/p/digits?draw=3,,1")
    assert "run-dot run-colour-3" in client.get("/runs/1/header").text
    assert "run-dot run-colour-1" in client.get("/runs/2/header").text, "not drawn: the first colour"


def test_a_run_of_a_foreign_database_without_our_fields_is_shown(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    database["runs"].insert_one({"_id": 7, "experiment": {"name": "old"}, "status": "COMPLETED"})
    for path in ("/runs/7", "/runs/7/config", "/p/old", "/"):
        assert client.get(path).status_code == 200, path


def test_no_line_of_a_runs_id_becomes_a_requirement(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    run_id = "mine\nevil==1.0\n"
    insert_run(database, run_id)
    set_fields(database, run_id, environment={"distributions": ["numpy==2.1.0"]})
    address = f"/runs/{path_segment(run_id)}/environment/requirements.txt"
    requirements = [line for line in client.get(address).text.splitlines() if not line.startswith("#")]
    assert requirements == ["numpy==2.1.0"]


def test_an_unknown_run_is_not_found(client: FlaskClient) -> None:
    for path in ("/runs/4212", "/runs/4212/config", "/runs/4212/header", "/runs/x", "/runs/4212/overview/side"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "Nothing here for you" in answer.text


def test_the_config_shows_what_was_changed_from_its_default(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    insert_run(database, 7, config={"lr": 3e-4, "model": {"name": "resnet34"}, "extra": 1})
    set_fields(database, 7, config_defaults={"lr": 1e-3, "model": {"name": "resnet34"}})
    page = client.get("/runs/7/config").text
    assert re.search(r"<del[^>]*>1e-3</del> <ins>3e-4</ins>", page)
    assert "3 keys 2 changed from their defaults" in text_of(page)


def test_the_config_says_who_changed_what(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7, config={"lr": 3e-4, "seed": 1, "optimizer": {"name": "sgd", "betas": "0.9"}, "width": 64})
    set_fields(
        database,
        7,
        config_defaults={"lr": 1e-3, "seed": 1, "optimizer": {"name": "adam", "betas": 0.9}, "width": 32},
        config_changes=[
            {"key": "lr", "kind": "changed", "source": "preset <large>", "before": 1e-3},
            {"key": "optimizer.betas", "kind": "changed", "source": "code", "before": 0.9, "types": ["float", "str"]},
            {"key": "optimizer", "kind": "changed", "source": "base.yaml"},
            {"key": "width", "kind": "changed", "source": "derived()"},
            {"key": 7, "source": None},
        ],
    )
    words = text_of(client.get("/runs/7/config").text)
    assert "lr 1e-3 3e-4 preset <large>" in words
    assert 'betas 0.9 "0.9" code str instead of float' in words
    assert 'name "adam" "sgd" base.yaml' in words
    assert "width 32 64 derived()" in words
    assert "seed 1 width" in words or "seed 1 optimizer" in words, "as by default: nobody said so"
    found = text_of(client.get("/runs/7/config?q=preset", headers=HTMX).text)
    assert "3e-4" in found
    assert "width" not in found
    assert 'title="0.0003, preset &lt;large&gt;"' in client.get("/runs/7").text
    told = client.get("/api/v1/runs/7").get_json()["config_changes"]
    assert told[3] == {"key": "width", "kind": "changed", "source": "derived()"}


def test_the_config_is_searched_in_keys_and_values(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 7, config={"lr": 0.1, "model": {"encoder": "resnet34", "depth": 3}})
    assert "encoder" in client.get("/runs/7/config?q=RESNET").text
    assert "depth" not in client.get("/runs/7/config?q=RESNET", headers=HTMX).text
    assert "No key matches" in client.get("/runs/7/config?q=zzz").text


def test_large_branches_stand_folded_unless_something_in_them_differs() -> None:
    large = {f"p{index}": index for index in range(20)}
    tree = build_tree({"same": large, "other": large}, {"same": large, "other": {**large, "p3": 99}})
    assert [branch.is_open for branch in tree.children] == [False, True]  # type: ignore[union-attr]
    assert [leaf.path for leaf in iter_leaves({"same": large}, {}) if leaf.changed] == []


def test_a_run_without_recorded_defaults_has_no_changes() -> None:
    assert build_tree({"lr": 1}, {}).changed_count == 0
    assert build_tree({"lr": 1.0, "on": True}, {"lr": 1, "on": 1}).changed_count == 2
