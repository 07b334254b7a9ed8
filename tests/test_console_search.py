"""Searching a console as a whole: at the server, and in the page, which loads what it finds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.console_search import compile_search, search_console
from console_writing import write_pieces
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run, running_viewer
from watched_browser import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PIECES = [
    ("stdout", "first needle\nsecond\n"),
    ("stderr", "an err"),
    ("stdout", "\x1b[31mneed\x1b[0mle in red\n"),
    ("stderr", "or\nplain\n"),
    ("stdout", "last\n"),
]


@pytest.fixture
def client(store: RunStore, database: Database[dict[str, Any]]) -> FlaskClient:
    insert_run(database, 1)
    write_pieces(database, 1, PIECES)
    return create_app(store).test_client()


@pytest.mark.parametrize(
    ("query", "cursor", "skipped"),
    [
        ("q=NEEDLE", "2", 3),  # the nearest to the end, through its colours
        ("q=needle&before=2", "0", 0),
        ("q=needle&after=0", "2", 0),
        ("q=error", "1", 4),  # a line that two pieces share, with another stream's between them
        ("q=error&after=", "3", 3),
        ("q=error&stream=stdout", None, 6),
        ("q=^s.cond$&pattern=yes", "0", 4),
        ("q=^s.cond$", None, 6),
        ("q=first.*second&pattern=yes", None, 6),  # a match lies in one line
    ],
)
def test_the_nearest_piece_with_a_line_that_matches_is_found(
    client: FlaskClient, query: str, cursor: str | None, skipped: int
) -> None:
    found = client.get(f"/runs/1/console/search?{query}").json
    assert (found["cursor"], found["skipped_lines"], found["next"]) == (cursor, skipped, None)


def test_a_long_search_goes_on_where_it_ended(client: FlaskClient, store: RunStore, monkeypatch: Any) -> None:
    monkeypatch.setattr("cloister.viewer.console_search.PIECES_AT_ONCE", 2)
    pattern = compile_search("first", is_pattern=False)
    cursor, answers = None, []
    while not answers or answers[-1].next is not None:
        answers.append(search_console(store, 1, pattern, direction="before", cursor=cursor, budget_seconds=0))
        cursor = answers[-1].next
    assert [each.cursor for each in answers] == [None, None, "0"]


def test_what_cannot_be_searched_for_is_said(client: FlaskClient) -> None:
    for query in ("q=(&pattern=yes", "q=(?=x)&pattern=yes", "q=", f"q={'x' * 501}", "q=x&before=y"):
        assert client.get(f"/runs/1/console/search?{query}").status_code == 400, query
    assert client.get("/runs/2/console/search?q=x").status_code == 404


@pytest.fixture
def long_console(store: RunStore, database: Database[dict[str, Any]]) -> Iterator[str]:
    """20,000 lines, most of which no page has at first."""
    insert_run(database, 7, status="COMPLETED")
    lines = [f"line {number}{' needle' if number in (17, 10_001, 19_990) else ''}\n" for number in range(1, 20_001)]
    write_pieces(database, 7, [("stdout", "".join(lines[at : at + 400])) for at in range(0, len(lines), 400)])
    with running_viewer(store) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.browser
def test_steps_through_hits_load_what_the_page_does_not_have(long_console: str, browser: Browser) -> None:
    from playwright.sync_api import expect

    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        watch = Watch(context, long_console)
        page = context.new_page()
        page.goto(f"{long_console}/runs/7/console")
        page.get_by_role("searchbox", name="Search in the console").fill("needle")
        current = page.locator(".console-line:has(mark.is-current)")
        expect(current).to_have_text(re.compile("line 19990 needle"))
        for key, number in (("N", 10_001), ("N", 17), ("n", 10_001), ("n", 19_990)):
            page.locator("[data-scroll]").focus()
            page.keyboard.press(key)
            expect(current).to_have_text(re.compile(f"line {number} needle"))
            expect(current.locator(".console-number")).to_have_attribute("data-number", str(number))
            expect(current).to_be_in_viewport()
    assert watch.trouble == []
