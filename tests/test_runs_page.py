"""The table of runs beyond a list: any column, groups, queries, all projects, as a browser without scripts gets it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from html import unescape
from typing import Any

import pymongo
import pytest
from cloister.observer.indexes import ensure_indexes
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.column_keys import find_value
from cloister.viewer.query_text import read_search
from cloister.viewer.runs_address import RunsAddress
from cloister.viewer.wording import MISSING
from flask.testing import FlaskClient
from pymongo.database import Database
from seeded_runs import HTMX, add_run, text_of

Documents = Database[dict[str, Any]]
SCORES = {1: 0.9, 2: 0.7, 3: 0.8, 4: 0.95}


@pytest.fixture(scope="module")
def database(mongod: str) -> Iterator[Documents]:
    """Four runs of digits in two groups, one archived, and one of another project, to be read only."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongod, tz_aware=True)
    with client:
        database = client[f"test_runs_page_{uuid.uuid4().hex[:8]}"]
        ensure_indexes(database)
        for run_id, score in SCORES.items():
            config = {"lr": 0.1 / run_id, "model": {"name": "mlp" if run_id < 3 else "cnn"}, "epochs": 60}
            add_run(database, run_id, name=f"run-{run_id}", metrics={"val/acc": score, "odd name": 1.0}, config=config)
        add_run(database, 5, name="put-away", config={"lr": 0.1})
        add_run(database, 6, name="elsewhere", tags=["night"])
        database["runs"].update_one({"_id": 5}, {"$set": {"cloister.archived_at": datetime.now(timezone.utc)}})
        database["runs"].update_one({"_id": 6}, {"$set": {"cloister.project": "other"}})
        lowest = {"cloister.summary.val/acc": {"last": 0.9, "min": 0.2, "max": 0.99, "last_step": 9, "count": 10}}
        database["runs"].update_one({"_id": 1}, {"$set": lowest})
        yield database
        client.drop_database(database.name)


@pytest.fixture(scope="module")
def client(database: Documents) -> FlaskClient:
    return create_app(RunStore(database)).test_client()


def rows(page: str) -> list[int]:
    return [int(run_id) for run_id in re.findall(r'data-run-row="(\d+)"', page)]


def headers(page: str) -> list[str]:
    return [text_of(header) for header in re.findall(r"<th .*?</th>", page, re.DOTALL)]


def links(page: str, words: str) -> list[str]:
    found = re.findall(r'<a [^>]*href="([^"]+)"[^>]*>((?:(?!</a>).)*)</a>', page, re.DOTALL)
    return [unescape(address) for address, inner in found if text_of(inner).startswith(words)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("q=config.lr < 5e-2", [4, 3], id="a-query"),
        pytest.param('q=metrics.val/acc > 0.75 and config.model.name = "cnn"', [4, 3], id="two-conditions"),
        pytest.param("q=run-2", [2], id="just-words"),
        pytest.param("sort=config.model.name,-metrics.val/acc", [4, 3, 1, 2], id="two-sort-keys"),
        pytest.param("sort=-max(metrics.val/acc)", [1, 4, 3, 2], id="by-the-highest"),
        pytest.param("archived=with&sort=id", [1, 2, 3, 4, 5], id="with-archived"),
        pytest.param("archived=only", [5], id="archived-only"),
    ],
)
def test_an_address_says_which_runs_are_listed_and_how(client: FlaskClient, query: str, found: list[int]) -> None:
    assert rows(client.get(f"/p/digits?{query}", headers=HTMX).text) == found


def test_any_field_is_a_column_in_the_order_of_the_address(client: FlaskClient) -> None:
    columns = 'started,min(metrics.val/acc),config.model.name,metrics."odd name",curve(metrics.val/acc),git.commit'
    page = client.get(f"/p/digits?columns={columns}&pin=config.model.name&width=240:config.model.name").text
    assert headers(page)[3:] == ["name", "Started ↓", "min val/acc", "odd name", "Curve", "Commit"]
    assert '<col class="col-value" style="width: 240px">' in page
    assert "0.200" in text_of(page)


def test_only_the_columns_in_which_runs_differ_are_left(client: FlaskClient) -> None:
    page = client.get("/p/digits?columns=config.epochs,config.lr,host&differing=1").text
    assert headers(page)[3:] == ["lr", "name"]


def test_groups_have_count_mean_deviation_and_ends_and_open_into_their_runs(client: FlaskClient) -> None:
    address = "/p/digits?columns=metrics.val/acc&group=config.model.name&sort=-metrics.val/acc"
    page = client.get(address).text
    assert [text_of(row) for row in re.findall(r'<tr class="group-row".*?</tr>', page, re.DOTALL)] == [
        "cnn 2 runs 0.875 ± 0.11 0.800 to 0.950 , best",
        "mlp 2 runs 0.800 ± 0.14 0.700 to 0.900",
    ]
    assert rows(page) == []
    opened = client.get(links(page, "mlp")[0]).text
    assert rows(opened) == [1, 2]
    assert 'aria-expanded="true"' in opened


def test_a_page_of_groups_past_the_end_still_counts_runs_and_groups(client: FlaskClient) -> None:
    page = text_of(client.get("/p/digits?group=config.lr&page=2").text)
    assert "Nothing on this page" in page
    assert "Runs 4" in page


def test_runs_without_the_value_are_a_group_and_two_fields_group_together(client: FlaskClient) -> None:
    page = client.get("/p/digits?archived=with&columns=duration&group=config.model.name,status").text
    labels = [text_of(label) for label in re.findall(r'<a class="group-label".*?</a>', page, re.DOTALL)]
    assert sorted(labels) == ["cnn · completed", "mlp · completed", f"{MISSING} · completed"]
    assert rows(client.get(links(page, f"{MISSING} ·")[0]).text) == [5]


def test_an_error_stands_at_its_column_and_leaves_the_last_result(client: FlaskClient) -> None:
    whole = client.get("/p/digits?q=config.lr < abc and metrics.val/ac =")
    assert whole.status_code == 400
    assert "Column 37:" in text_of(whole.text)
    assert " " * 36 + "^" in whole.text
    part = client.get("/p/digits?q=statu = failed", headers=HTMX)
    assert (part.status_code, part.text) == (204, "")
    said = json.loads(part.headers["HX-Trigger"])["cloister:query-error"]
    assert (said["column"], said["length"], said["suggestion"]) == (0, 5, "status")


@pytest.mark.parametrize(
    ("text", "is_query"),
    [
        ("mlp aug", False),
        ("back in may we trained", False),
        ('"><img src=x onerror=alert(1)>', False),
        ("<b>lr=3</b>", False),
        ("lr <", True),
        ("status", False),
        ("(statu = failed", True),
        ("mlp and status = failed", True),
        ("not tags has x", True),
        ("config.lr", True),
    ],
)
def test_words_are_looked_for_and_what_compares_is_a_query(text: str, is_query: bool) -> None:
    found = read_search(text)
    assert (found.words == "") is is_query
    assert bool(found.where or found.error) is is_query


def test_a_query_that_none_meets_says_how_near_runs_come(client: FlaskClient) -> None:
    page = text_of(client.get("/p/digits?q=metrics.val/acc > 0.99").text)
    assert "4 runs in this project, none with metrics.val/acc > 0.99. The highest is 0.95." in page


def test_the_runs_of_all_projects_stand_in_one_table(client: FlaskClient) -> None:
    page = client.get("/runs").text
    assert rows(page) == [6, 4, 3, 2, 1]
    assert headers(page)[3] == "Project"
    assert rows(client.get("/runs?q=project = other").text) == [6]


def test_the_columns_dialog_finds_every_field(client: FlaskClient) -> None:
    page = client.get("/p/digits?part=columns").text
    keys = [unescape(key) for key in re.findall(r'data-add-column="([^"]+)"', page)]
    assert {"metrics.val/acc", 'metrics."odd name"', "config.model.name", "notes", "curve(metrics.val/acc)"} <= set(
        keys
    )
    found = client.get("/p/digits?part=fields&find=mod").text
    assert re.findall(r'data-add-column="([^"]+)"', found) == ["config.model.name"]


def test_all_runs_of_an_address_can_be_named(client: FlaskClient) -> None:
    answer = client.get("/runs/keys?project=digits&q=config.model.name = cnn").get_json()
    assert answer == {"keys": [4, 3], "next": None, "total": 2}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sort=curve(metrics.val/acc)", "a curve is no single value"),
        ("view=everything", "It is one of split, table, charts"),
        ("archived=maybe", "It is one of without, with, only"),
    ],
)
def test_what_no_table_shows_is_refused(client: FlaskClient, query: str, words: str) -> None:
    answer = client.get(f"/p/digits?{query}")
    assert answer.status_code == 400
    assert words in text_of(answer.text)


def test_keys_of_no_field_are_left_out_of_an_address(client: FlaskClient) -> None:
    page = client.get("/p/digits?columns=nothing,config.lr,metrics.&pin=x&group=started&width=9:y").text
    assert headers(page)[3:] == ["lr"]
    assert rows(page) == [4, 3, 2, 1]


def test_a_value_of_a_run_is_found_by_the_key_of_its_column(database: Documents) -> None:
    run = RunStore(database).load_run(1)
    keys = ["id", "name", "status", "config.model.name", "metrics.val/acc", "best(metrics.val/acc)", "env.nothing"]
    assert [find_value(run, key) for key in keys] == [1, "run-1", "completed", "mlp", 0.9, 0.99, None]


def test_a_click_on_a_header_sorts_and_another_key_joins(client: FlaskClient) -> None:
    address = RunsAddress("digits", sort=("-metrics.val/acc",))
    assert address.sorted_by("metrics.val/acc") == "/p/digits?sort=metrics.val/acc"
    assert address.sorted_also_by("config.lr") == "/p/digits?sort=-metrics.val/acc,-config.lr"
    page = client.get(address.sorted_also_by("config.lr")).text
    assert len(re.findall(r'aria-sort="descending"', page)) == 2
