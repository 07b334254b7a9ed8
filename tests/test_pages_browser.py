"""The pages in a real browser: live updates, keyboard, drawing runs, and nothing that jumps or reaches outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from pymongo.database import Database
from running_viewer import insert_run, running_viewer, touch_run
from seeded_runs import add_run
from watched_browser import Watch
from werkzeug.serving import make_server

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.browser

ACC = "val/acc"


@pytest.fixture
def address(store: RunStore, database_uri: str) -> Iterator[str]:
    with running_viewer(store, uri=database_uri) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page that fails the test when a script breaks, the security policy is hit, or a request leaves the viewer."""
    with browser.new_context(base_url=address, viewport={"width": 1440, "height": 900}) as context:
        watch = Watch(context, address)
        yield context.new_page()
    assert watch.trouble == []


def set_last(database: Database[dict[str, Any]], run_id: int, value: float) -> None:
    now = datetime.now(timezone.utc)
    change = {f"cloister.summary.{ACC}.last": value, "cloister.updated_at": now, "heartbeat": now}
    database["runs"].update_one({"_id": run_id}, {"$set": change})


def test_a_changed_value_and_a_new_run_appear_without_a_reload_and_nothing_jumps(
    page: Any, database: Database[dict[str, Any]]
) -> None:
    for run_id in range(1, 51):
        add_run(database, run_id, metrics={ACC: run_id / 100})
    page.goto("/p/digits")
    page.evaluate("window.kept = document.querySelector('[data-run-row=\"20\"]')")
    page.evaluate("document.getElementById('table-scroll').scrollTop = 400")
    page.keyboard.press("j")
    page.evaluate("document.getElementById('table-scroll').scrollTop = 400")

    set_last(database, 20, 0.7777)
    cell = page.locator('[data-run-row="20"] .cell-metric')
    playwright.expect(cell).to_contain_text("0.778", timeout=5000)
    add_run(database, 51, name="newcomer", metrics={ACC: 0.5})
    touch_run(database, 51)
    playwright.expect(page.get_by_role("link", name="newcomer", exact=True)).to_be_attached(timeout=5000)

    assert page.evaluate("document.getElementById('table-scroll').scrollTop") >= 400
    assert page.evaluate("window.kept.isConnected")
    assert page.locator("tr.is-current").get_attribute("data-run-row") == "50"


def test_drawing_a_run_keeps_the_colours_of_the_others_and_stands_in_the_address(
    page: Any, database: Database[dict[str, Any]]
) -> None:
    for run_id in range(1, 8):
        add_run(database, run_id)
    page.goto("/p/digits")
    page.locator('[data-run-row="6"] [data-eye]').click()
    page.wait_for_url("**/p/digits?draw=7,,5,4,3")
    page.locator('[data-run-row="1"] [data-eye]').click()
    page.wait_for_url("**/p/digits?draw=7,1,5,4,3")
    playwright.expect(page.locator('[data-run-row="1"]')).to_have_class("is-drawn run-colour-2")
    playwright.expect(page.locator('[data-run-row="5"]')).to_have_class("is-drawn run-colour-3")
    page.reload()
    playwright.expect(page.locator('[data-run-row="1"]')).to_have_class("is-drawn run-colour-2")


def test_the_keyboard_searches_walks_draws_and_opens(page: Any, database: Database[dict[str, Any]]) -> None:
    for run_id, name in ((1, "mlp-a"), (2, "cnn-b"), (3, "mlp-c")):
        add_run(database, run_id, name=name)
    page.goto("/p/digits")
    page.keyboard.press("/")
    page.keyboard.type("mlp")
    page.wait_for_url("**/p/digits?q=mlp")
    playwright.expect(page.locator("[data-run-row]")).to_have_count(2)
    assert page.evaluate("document.activeElement.id") == "filter"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.wait_for_url("**draw=3,2")
    playwright.expect(page.locator("tr.is-current")).to_have_attribute("data-run-row", "1")
    page.keyboard.press("Shift+?")
    playwright.expect(page.get_by_role("dialog")).to_contain_text("show the row's run in the charts")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/1")


def test_columns_are_chosen_in_a_dialog_and_shown_without_a_reload(
    page: Any, database: Database[dict[str, Any]]
) -> None:
    for run_id in (1, 2):
        add_run(database, run_id, metrics={ACC: 0.5}, config={"lr": run_id, "width": 32})
    page.goto("/p/digits")
    page.get_by_role("button", name="Columns", exact=True).click()
    page.get_by_label("Find a column").fill("wid")
    playwright.expect(page.locator("[data-field-list] label")).to_have_count(1)
    page.get_by_role("checkbox", name="width").check()
    page.get_by_role("button", name="Show columns").click()
    page.wait_for_url("**/p/digits?columns=metrics.val/acc,curve(metrics.val/acc),config.lr,started,*,config.width")
    playwright.expect(page.locator("th", has_text="width")).to_be_visible()
    playwright.expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_chosen_theme_is_there_before_the_first_paint_of_the_next_page(
    page: Any, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 1)
    page.goto("/")
    page.get_by_role("button", name="Switch to the dark theme").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == "rgb(16, 18, 21)"
    page.goto("/p/digits")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_a_run_page_follows_its_run_to_the_end(page: Any, database: Database[dict[str, Any]]) -> None:
    insert_run(database, 1)
    summary = {"val/acc": {"last": 0.5, "min": 0.1, "max": 0.5, "last_step": 1, "count": 2}}
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.summary": summary}})
    page.goto("/runs/1")
    playwright.expect(page.locator(".status-pill")).to_have_text("Running")
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.summary.val/acc.max": 0.9}})
    touch_run(database, 1)
    playwright.expect(page.locator(".figure").first).to_have_text("0.9", timeout=5000)
    end = {"status": "FAILED", "stop_time": datetime.now(timezone.utc), "fail_trace": ["ValueError: loss is nan"]}
    database["runs"].update_one({"_id": 1}, {"$set": end})
    touch_run(database, 1)
    playwright.expect(page.locator(".status-pill")).to_have_text("Failed", timeout=5000)
    playwright.expect(page.get_by_role("heading", name="ValueError: loss is nan")).to_be_visible(timeout=5000)


def test_under_a_server_that_pushes_nothing_the_page_asks_for_changes(
    browser: Any, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    add_run(database, 1, metrics={ACC: 0.5})
    server = make_server("127.0.0.1", 0, create_app(store), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.port}/p/digits")
        playwright.expect(page.locator("td.cell-metric")).to_have_text("0.500")
        with page.expect_response("**/api/v1/changes**"):
            pass
        set_last(database, 1, 0.75)
        playwright.expect(page.locator("td.cell-metric")).to_have_text("0.750", timeout=5000)
    finally:
        page.close()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_no_page_is_wider_than_the_screen(page: Any, database: Database[dict[str, Any]], width: int) -> None:
    name = "a-run-with-a-very-long-name-" * 4
    add_run(database, 1, name=name, tags=["one-long-tag" * 5] * 6, metrics={ACC: 0.5}, config={"k" * 80: "v" * 300})
    page.set_viewport_size({"width": width, "height": 844})
    for path in ("/", "/p/digits", "/runs/1", "/runs/1/config", "/nothing-here"):
        if path == "/nothing-here":
            page.route("**/nothing-here", lambda route: route.fulfill(response=route.fetch(), status=200))
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_on_a_phone_the_open_tab_is_in_sight(page: Any, database: Database[dict[str, Any]]) -> None:
    add_run(database, 1)
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in ("", "/config", "/environment"):
        page.goto(f"/runs/1{tab}")
        page.wait_for_function(
            "() => { const { left, right } = document.querySelector('.tabs [aria-current]').getBoundingClientRect();"
            " return left >= 0 && right <= innerWidth }"
        )


HEADING_LEVELS = """
    [...document.querySelectorAll("h1, h2, h3, h4")]
        .filter((heading) => !heading.closest("template, dialog, details:not([open])"))
        .map((heading) => Number(heading.tagName[1]))
"""
NAMELESS_CONTROLS = """
    [...document.querySelectorAll("button, a[href], input:not([type=hidden])")]
        .filter((control) => control.checkVisibility())
        .filter((control) => !(control.textContent.trim() || control.ariaLabel || control.title))
        .filter((control) => !(control.labels?.length || control.querySelector("[aria-label]")))
        .map((control) => control.outerHTML)
"""


def test_headings_have_no_gaps_and_controls_have_names(page: Any, database: Database[dict[str, Any]]) -> None:
    add_run(database, 1, metrics={ACC: 0.5})
    for path in ("/", "/p/digits", "/runs/1", "/runs/1/config"):
        page.goto(path)
        levels = page.evaluate(HEADING_LEVELS)
        steps = [after - before for before, after in pairwise(levels)]
        assert levels[0] == 1, path
        assert levels.count(1) == 1, path
        assert max(steps, default=0) <= 1, (path, levels)
        assert page.evaluate(NAMELESS_CONTROLS) == [], path
