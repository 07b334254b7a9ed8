"""The pages of projects and runs as a browser without scripts gets them."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cloister.observer.query.fields import UnknownField
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.column_keys import find_column
from cloister.viewer.run_colours import DrawnRuns, parse_drawn
from cloister.viewer.runs_address import RunsAddress, parse_address
from cloister.viewer.wording import MISSING
from conftest import running_mongod
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database
from running_viewer import insert_run
from seeded_runs import HTMX, add_run, text_of
from werkzeug.datastructures import MultiDict


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


def row_ids(page: str) -> list[int]:
    return [int(run_id) for run_id in re.findall(r'data-run-row="(\d+)"', page)]


def table_headers(page: str) -> list[str]:
    return [text_of(header) for header in re.findall(r"<th .*?</th>", page, re.DOTALL)]


def test_without_projects_the_first_page_says_how_to_get_one(tmp_path: Path) -> None:
    # A server of its own: on the others', their runs would be listed.
    with running_mongod(tmp_path) as uri, pymongo.MongoClient(uri, tz_aware=True) as mongo:
        page = text_of(create_app(RunStore(mongo["cloister"])).test_client().get("/").text)
    assert "No projects yet The first recorded run creates its project. cloister run train.py" in page


def test_a_project_is_listed_with_its_runs_and_those_running_now(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 1)
    insert_run(database, 2)
    page = client.get("/").text
    assert 'href="/p/digits"' in page
    assert "digits 2 Running 1" in text_of(page)


def test_the_first_columns_are_metrics_that_runs_of_the_list_have(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    for run_id in (1, 2, 3):
        add_run(database, run_id, metrics={"val/loss": 0.9})
    add_run(database, 4, metrics={"test/acc": 0.9})
    headers = table_headers(client.get("/p/digits").text)
    assert headers.index("val/loss") < headers.index("Curve")
    assert headers[headers.index("Name") + 1] == "val/loss"


def test_a_row_of_a_run_that_waits_says_so_on_a_phone(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 1, status="QUEUED", start_time=None, meta={"priority": 5.0})
    page = client.get("/p/digits").text
    assert re.search(r'name-sub">not started</span>', page)
    assert "Not started yet Its charts appear here once it runs." in text_of(client.get("/runs/1/charts").text)
    assert "Priority 5 " in text_of(client.get("/runs/1/environment").text)


def test_runs_come_newest_first_and_a_click_sorts_them_in_the_database(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    for run_id, accuracy in ((1, 0.9), (2, 0.7), (3, 0.8)):
        add_run(database, run_id, metrics={"val/acc": accuracy})
    assert row_ids(client.get("/p/digits").text) == [3, 2, 1]
    assert row_ids(client.get("/p/digits?sort=-metrics.val/acc").text) == [1, 3, 2]
    assert row_ids(client.get("/p/digits?sort=metrics.val/acc").text) == [2, 3, 1]


def test_the_table_is_paged(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    for run_id in range(1, 53):
        add_run(database, run_id)
    first, second = client.get("/p/digits").text, client.get("/p/digits?page=2").text
    assert (len(row_ids(first)), row_ids(second)) == (50, [2, 1])
    assert f"1{MISSING}50 of 52" in text_of(first)
    assert f"51{MISSING}52 of 52" in text_of(second)


def test_a_filter_finds_names_and_tags_and_says_how_many_match(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 1, name="mlp-small")
    add_run(database, 2, name="cnn-small", tags=["aug"])
    page = client.get("/p/digits?q=aug").text
    assert row_ids(page) == [2]
    assert "1 of 2 match" in text_of(page)


def test_a_filter_without_a_match_offers_to_be_cleared(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    add_run(database, 1)
    page = client.get("/p/digits?q='zzz;%26lt;").text
    assert "No run matches 1 run in this project, none with “'zzz;&lt;”" in text_of(page)
    assert re.search(r'href="/p/digits"[^>]*>Clear the filter', page)


def test_columns_are_validation_metrics_and_the_config_keys_that_differ(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    metrics = {"train/acc": 0.9, "val/acc": 0.8, "val/loss": 0.1}
    add_run(database, 1, metrics=metrics, config={"lr": 0.1, "epochs": 60, "seed": 1, "model": {"width": 32}})
    add_run(database, 2, metrics=metrics, config={"lr": 0.003, "epochs": 60, "seed": 2, "model": {"width": 64}})
    page = client.get("/p/digits").text
    headers = ["In charts", "Status", "Name", "val/acc", "Curve", "lr", "width"]
    assert table_headers(page)[: len(headers)] == headers
    assert "3e-3" in text_of(page)


def test_columns_of_the_address_are_shown_whatever_their_names_hold(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 1, metrics={"val/acc": 0.8, "a,b": 2.0}, config={"lr": 0.1, "a.b%": 5})
    address = RunsAddress("digits", columns=("metrics.a,b", "config.a%2Eb%25"))
    page = client.get(address.url()).text
    assert table_headers(page)[3:] == ["a,b", "a.b%"]
    assert row_ids(page) == [1]


def test_the_best_value_of_a_column_is_marked(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    add_run(database, 1, metrics={"val/acc": 0.81, "val/loss": 0.5})
    add_run(database, 2, metrics={"val/acc": 0.92, "val/loss": 0.7})
    best = re.findall(r'<td class="[^"]*is-best[^"]*"[^>]*>(.*?)</td>', client.get("/p/digits").text)
    assert sorted(text_of(cell) for cell in best) == ["0.500 , best", "0.920 , best"]


def test_the_five_newest_runs_are_drawn_in_the_first_colours(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    for run_id in range(1, 8):
        add_run(database, run_id)
    drawn = re.findall(r'data-run-row="(\d+)" class="is-drawn run-colour-(\d+)"', client.get("/p/digits").text)
    assert drawn == [("7", "1"), ("6", "2"), ("5", "3"), ("4", "4"), ("3", "5")]


def test_a_live_refresh_keeps_colours_and_columns_when_a_new_run_comes(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    for run_id in range(1, 6):
        add_run(database, run_id, config={"lr": 0.1})
    live_url = unescape(re.search(r'data-live-src="([^"]+)"', client.get("/p/digits").text)[1])  # type: ignore[index]
    add_run(database, 6, config={"lr": 0.2})
    part = client.get(live_url, headers=HTMX).text
    assert row_ids(part)[0] == 6
    assert dict(re.findall(r'data-run-row="(\d+)" class="is-drawn run-colour-(\d+)"', part))["5"] == "1"
    assert 'data-run-row="6" data-name' in part, "a sixth run is not drawn by itself"
    assert "draw=" not in re.search(r'href="([^"]+)"[^>]*>\s*<span class="ellipsis">Name', part)[1]  # type: ignore[index]


def test_a_part_is_sent_to_htmx_and_a_whole_page_to_others(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 1)
    assert "<html" in client.get("/p/digits").text
    part = client.get("/p/digits", headers=HTMX).text
    assert "<html" not in part
    assert 'id="runs-table"' in part


def test_the_columns_dialog_without_scripts_is_a_plain_form(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 1, metrics={"val/acc": 0.8})
    page = client.get("/p/digits?column=&column=config.lr").text
    assert table_headers(page) == ["In charts", "Status", "Name", "lr"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("sort=nothing", "Runs cannot be sorted by 'nothing'"),
        ("sort=config.$where", "Runs cannot be sorted by"),
        ("page=0", "Page 0 does not exist. The first page is 1."),
        ("page=-1", "Page '-1' does not exist."),
        ("page=9999999999", "Page '9999999999' does not exist."),
        ("q=" + "a" * 501, "has 501 characters"),
    ],
)
def test_an_address_without_meaning_says_what_is_wrong(
    client: FlaskClient, database: Database[dict[str, Any]], query: str, words: str
) -> None:
    add_run(database, 1)
    answer = client.get(f"/p/digits?{query}")
    assert answer.status_code == 400
    assert words in text_of(answer.text)


def test_a_page_past_the_end_leads_back(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    add_run(database, 1)
    assert "Page 7 is past the end of the list. First page" in text_of(client.get("/p/digits?page=7").text)


def test_an_unknown_project_is_not_found(client: FlaskClient) -> None:
    answer = client.get("/p/nothing")
    assert answer.status_code == 404
    assert "Nothing here for you" in answer.text


def test_names_that_are_markup_stay_words(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    hostile = '"><script>alert(1)</script>'
    add_run(database, 1, name=hostile, tags=[hostile], metrics={hostile: 1.0}, config={hostile: hostile})
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.project": hostile}})
    for path in ("/", "/projects/menu", RunsAddress(hostile).url(), "/runs/1", "/runs/1/config"):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "<script>alert" not in page.text, path


def test_drawing_and_hiding_never_recolours_the_others() -> None:
    drawn = DrawnRuns((12, 13, 14)).removing(13)
    assert str(drawn) == "12,,14"
    assert drawn.slots == {12: 1, 14: 3}
    assert drawn.adding(15).slots == {12: 1, 15: 2, 14: 3}
    assert str(DrawnRuns((12,)).removing(12)) == "none"


def test_the_thirteenth_run_has_the_first_colour_dashed() -> None:
    colours = parse_drawn(",".join(str(run_id) for run_id in range(1, 26))).colours
    assert (colours[13].slot, colours[13].dash) == (1, "long")
    assert (colours[25].slot, colours[25].dash) == (1, "short")


@given(st.lists(st.one_of(st.none(), st.integers(min_value=0, max_value=2**62)), max_size=36))
def test_drawn_runs_come_back_from_an_address(places: list[int | None]) -> None:
    drawn = parse_drawn(",".join("" if place is None else str(place) for place in places))
    assert parse_drawn(str(drawn)) == drawn


def known_columns(key: str) -> list[str]:
    """The key in its one spelling, in a list; an empty one for what names no field."""
    try:
        return [find_column(key).key]
    except UnknownField:
        return []


@given(
    st.text(max_size=20),
    st.lists(st.tuples(st.sampled_from(("config.", "metrics.")), st.text(min_size=1, max_size=8)), max_size=4),
)
def test_an_address_comes_back_from_its_url(text: str, names: list[tuple[str, str]]) -> None:
    from urllib.parse import parse_qsl, urlsplit

    if not text.isprintable() or any(not name.isprintable() for _, name in names):
        return  # lone surrogates have no URL
    columns = tuple(dict.fromkeys(column for kind, name in names for column in known_columns(kind + name)))
    pinned, group = columns[:2], tuple(key for key in columns if key.startswith("config."))[:3]
    address = RunsAddress(
        "a/b & c",
        text=text.strip(),
        sort=("name", *(f"-{key}" for key in columns[:2])),
        page=3,
        columns=columns,
        pinned=pinned,
        widths=tuple((key, 120) for key in pinned),
        group=group,
        opened=((0.5, "a,b", None)[: len(group)],) if group else (),
        differing=bool(text),
        archived="only",
        view="table",
    )
    query = urlsplit(address.url()).query
    assert parse_address("a/b & c", MultiDict(parse_qsl(query, keep_blank_values=True))) == address
