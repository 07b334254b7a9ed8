"""Charts in a real chromium over a real server: drawn, smoothed, zoomed, restyled, live, without a console error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from cloister.observer.runs import RunStore
from drawn_charts import chart, drag, drawn, x_range
from playwright.sync_api import Browser, Page
from pymongo.database import Database
from running_viewer import insert_run, running_viewer, touch_run
from stored_metrics import store_metric
from watched_browser import Watch

pytestmark = pytest.mark.browser

Documents = Database[dict[str, Any]]


@pytest.fixture
def viewer(store: RunStore, database: Documents, database_uri: str) -> Iterator[str]:
    """Two finished runs and a running one with noisy curves."""
    noise = np.random.default_rng(1)
    for run_id, status in ((1, "COMPLETED"), (2, "COMPLETED"), (3, "RUNNING")):
        insert_run(database, run_id, status=status)
        count = 60 if run_id < 3 else 30
        falling = np.exp(-np.arange(count) / (8 + run_id))
        store_metric(database, run_id, "train/loss", 2 * falling + 0.1 + noise.random(count) / 20)
        store_metric(database, run_id, "val/acc", 1 - falling)
    store_metric(database, 1, "train/lr", np.linspace(1e-3, 0, 60))
    with running_viewer(store, uri=database_uri) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page(browser: Browser, viewer: str) -> Iterator[Page]:
    """A page that tolerates no error, no warning, no violation of the policy and no request to anybody else."""
    with browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme="light") as context:
        watch = Watch(context, viewer)
        yield context.new_page()
    assert watch.trouble == []  # after the context, before the viewer: a live stream that breaks is an error too


def test_a_runs_metrics_are_drawn_in_sections_with_a_sentence_each(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")

    lines = drawn(page, "train/loss")
    assert len(lines) == 1
    assert len(lines[0]) == 60
    assert page.locator("[data-section-name]").all_inner_texts() == ["val", "train"]
    sentence = chart(page, "val/acc").query_selector("figcaption").text_content()
    assert sentence.startswith("val/acc, 1 run, best 0.99")


def test_the_charts_that_come_into_view_together_share_one_request(page: Page, viewer: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: "/api/v1/curves" in request.url and asked.append(request.url))
    page.goto(f"{viewer}/runs/1/charts")
    chart(page, "train/lr")

    first, *again = (parse_qs(urlsplit(url).query)["metric"] for url in asked)
    assert {"val/acc", "train/loss", "train/lr"} <= set(first)
    assert all(metrics == first for metrics in again)  # a page that is told to look again asks for all at once, too


def test_smoothing_changes_the_line_and_keeps_the_raw_one_behind(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")
    page.locator("[data-chart-smoothing]").fill("0")
    page.wait_for_function(
        "(card) => card.chartCard.plot.sources.raw.data.xs.length === 0", arg=chart(page, "train/loss")
    )
    unsmoothed = drawn(page, "train/loss")[0]
    page.locator("[data-chart-smoothing]").fill("0.9")
    page.wait_for_function(
        "(card) => card.chartCard.plot.sources.raw.data.xs.length === 1", arg=chart(page, "train/loss")
    )

    smoothed = drawn(page, "train/loss")[0]
    assert drawn(page, "train/loss", "raw")[0] == unsmoothed
    assert np.abs(np.diff(smoothed)).max() < np.abs(np.diff(unsmoothed)).max()
    assert drawn(page, "train/lr", "raw") == []  # a schedule is shown as it was set
    assert page.locator("[data-smoothing-number]").inner_text() == "0.90"


def test_a_zoom_is_refetched_and_shared_by_the_section_until_it_is_reset(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")
    chart(page, "train/lr")
    whole = x_range(page, "train/loss")

    with page.expect_request(lambda request: "/api/v1/curves" in request.url and "from=" in request.url):
        drag(page, "train/loss", 0.25, 0.5)

    low, high = x_range(page, "train/loss")
    assert [low, high] == pytest.approx([whole[1] * 0.25, whole[1] * 0.5], abs=1)
    assert x_range(page, "train/lr") == [low, high]
    assert x_range(page, "val/acc") == whole
    chart(page, "train/loss").query_selector("[data-chart-plot]").dblclick()
    assert x_range(page, "train/loss") == whole


def test_ctrl_and_wheel_zoom_while_the_wheel_alone_scrolls(page: Page, viewer: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 400})
    page.goto(f"{viewer}/runs/1/charts")
    whole = x_range(page, "val/acc")
    chart(page, "val/acc").query_selector("[data-chart-plot]").hover()
    before = page.evaluate("scrollY")
    page.keyboard.down("Control")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")

    page.wait_for_function(
        "([card, width]) => card.chartCard.plot.model.x_range.end - card.chartCard.plot.model.x_range.start < width",
        arg=[chart(page, "val/acc"), whole[1] - whole[0]],
    )
    assert page.evaluate("scrollY") == before
    page.mouse.wheel(0, 120)
    page.wait_for_function("(before) => scrollY > before", arg=before)


def test_the_theme_switch_restyles_the_charts_that_stand(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")
    light = drawn(page, "train/loss", column="color")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(
        "([card, light]) => card.chartCard.plot.sources.lines.data.color[0] !== light",
        arg=[chart(page, "train/loss"), light[0]],
    )

    assert light == ["#2238b8"]
    assert drawn(page, "train/loss", column="color") == ["#4c87f8"]
    assert page.evaluate("(card) => card.chartCard.plot.grid.grid_line_color", chart(page, "train/loss")) == "#26292e"


def test_the_hover_card_has_the_values_of_all_runs_with_the_highest_first(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/p/digits?drawn=1,2,3")
    box = chart(page, "train/loss").query_selector("[data-chart-plot]").bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 60)
    page.wait_for_selector(".hover-card:not([hidden])")

    values = [float(text) for text in page.locator(".hover-card b").all_inner_texts()]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    assert page.locator(".hover-card-title").inner_text().startswith("step ")
    page.mouse.move(10, 10)
    page.wait_for_selector(".hover-card", state="hidden")


def test_the_arrow_keys_walk_along_the_curve(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")
    chart(page, "val/acc").query_selector("[data-chart-plot]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")

    assert page.locator(".hover-card-title").inner_text().startswith("step 1,")


def test_f_opens_the_chart_large_and_escape_closes_it(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")
    small = chart(page, "val/acc").query_selector("[data-chart-plot]")
    small.focus()
    page.keyboard.press("f")
    page.wait_for_selector('dialog [data-chart][data-state="drawn"]')

    assert page.locator("dialog [data-chart-plot]").bounding_box()["height"] == pytest.approx(700, abs=1)
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog[open]", state="detached")
    assert small.evaluate("(element) => document.activeElement === element")


def test_the_axis_can_be_the_time_and_the_choice_is_remembered(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")
    chart(page, "val/acc")
    with page.expect_response(lambda response: "axis=relative" in response.url):
        page.get_by_role("button", name="Time").click()
    page.reload()

    chart(page, "val/acc")
    assert page.locator('[data-chart-axis][aria-pressed="true"]').inner_text() == "Time"
    assert drawn(page, "val/acc", "last_tick", "text") == ["60 s"]


def test_filtering_leaves_the_charts_whose_name_fits(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts")
    page.get_by_role("searchbox", name="Filter charts").fill("lr")

    assert page.locator(".chart-card:visible").count() == 1
    assert page.locator(".chart-section:visible").count() == 1
    page.get_by_role("searchbox", name="Filter charts").fill("nothing")
    assert "No chart's name has" in page.locator("[data-chart-none]").inner_text()


def test_a_new_point_is_drawn_without_a_reload(page: Page, viewer: str, database: Documents) -> None:
    page.goto(f"{viewer}/runs/3/charts")
    page.wait_for_selector("html[data-live]", state="attached")
    page.evaluate("document.documentElement.dataset.mark = 'same page'")
    before = drawn(page, "val/acc", "ends", "x")

    store_metric(database, 3, "val/acc", np.linspace(0, 1, 35))
    touch_run(database, 3)

    page.wait_for_function("(card) => card.chartCard.plot.sources.ends.data.x[0] === 34", arg=chart(page, "val/acc"))
    assert before == [29]
    assert page.evaluate("document.documentElement.dataset.mark") == "same page"


def test_changes_that_come_while_a_chart_is_being_drawn_do_not_draw_it_twice(page: Page, viewer: str) -> None:
    held: list[Any] = []
    page.route("**/api/v1/plots/line*", lambda route: held.append(route))  # the first drawing waits for its template
    page.goto(f"{viewer}/runs/3/charts")
    page.wait_for_function("document.querySelectorAll('[data-chart]').length > 0")
    page.wait_for_timeout(500)
    for _ in range(3):  # each asks the cards in view to refresh
        for axis in ("relative", "step"):
            page.click(f"[data-chart-axis='{axis}']")
            page.wait_for_timeout(200)
    for route in held:
        route.continue_()
    chart(page, "val/acc")
    page.wait_for_timeout(500)

    plots = "[...document.querySelectorAll('[data-state=drawn]')].map((card) => card.chartCard.canvas.children.length)"
    assert set(page.evaluate(plots)) == {1}


def test_a_metric_that_starts_late_gets_its_card_without_a_reload(page: Page, viewer: str, database: Documents) -> None:
    page.goto(f"{viewer}/runs/3/charts")
    page.wait_for_selector("html[data-live]", state="attached")
    chart(page, "val/acc")

    store_metric(database, 3, "test/f1", [0.5, 0.6])
    touch_run(database, 3)

    assert len(drawn(page, "test/f1")[0]) == 2
    assert page.locator("[data-section-name]").all_inner_texts() == ["val", "test", "train"]


def test_values_that_are_no_numbers_leave_a_gap_and_a_mark(page: Page, viewer: str, database: Documents) -> None:
    store_metric(database, 1, "val/acc", [0.1, 0.2, math.nan, math.nan, 0.3, math.inf, 0.4])
    page.goto(f"{viewer}/runs/1/charts")

    assert drawn(page, "val/acc", "gaps", "x") == [2, 5]
    assert [value is None or math.isnan(value) for value in drawn(page, "val/acc")[0]] == [
        False,
        False,
        True,
        True,
        False,
        True,
        False,
    ]


def test_a_log_axis_over_values_below_zero_is_symmetric_and_says_so(
    page: Page, viewer: str, database: Documents
) -> None:
    store_metric(database, 1, "gain", [-100.0, -1.0, 0.0, 1.0, 100.0])
    page.goto(f"{viewer}/runs/1/charts")
    card = chart(page, "gain")
    card.hover()
    card.query_selector('[data-chart-action="settings"]').click()
    page.get_by_role("menuitemradio", name="Log").click()

    assert card.query_selector("[data-chart-note]").inner_text() == "symlog"
    labels = page.evaluate("(card) => [...card.chartCard.plot.labels.y.values()]", card)
    assert "0" in labels
    assert labels[0].startswith("\u2212")


def test_a_server_that_fails_gives_a_sentence_and_a_retry(page: Page, viewer: str, browser: Browser) -> None:
    bare = browser.new_page()  # a failing request is an error in the console, and here it is wanted
    bare.route("**/api/v1/curves*", lambda route: route.fulfill(status=503, json={"detail": "The database is away."}))
    bare.goto(f"{viewer}/runs/1/charts")
    bare.wait_for_selector('[data-chart][data-state="error"]')
    assert "The database is away." in bare.locator("[data-chart-state]").first.inner_text()

    bare.unroute("**/api/v1/curves*")
    bare.get_by_role("button", name="Retry").first.click()
    assert len(drawn(bare, "val/acc")[0]) == 60
    bare.close()


def test_nothing_moves_while_the_charts_are_loading(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/runs/1/charts", wait_until="commit")
    page.wait_for_selector("[data-chart]")
    places = """() => [...document.querySelectorAll("[data-chart]")].map((card) => {
        const { x, y, width, height } = card.getBoundingClientRect();
        return [x, y, width, height];
    })"""
    page.wait_for_load_state("load")
    empty = page.evaluate(places)
    chart(page, "train/lr")

    assert page.evaluate(places) == empty


def test_a_run_that_is_hidden_and_shown_keeps_the_others_colours(page: Page, viewer: str) -> None:
    page.goto(f"{viewer}/p/digits?drawn=1,2,3")
    assert drawn(page, "val/acc", column="color") == ["#2238b8", "#a14206", "#107460"]
    page.evaluate(
        "(runs) => document.dispatchEvent(new CustomEvent('cloister:drawn-runs', { detail: runs }))",
        [{"run_id": 1, "slot": 1}, {"run_id": 3, "slot": 3}],
    )
    page.wait_for_function(
        "(card) => card.chartCard.plot.sources.lines.data.xs.length === 2", arg=chart(page, "val/acc")
    )

    assert drawn(page, "val/acc", column="color") == ["#2238b8", "#107460"]


@pytest.mark.parametrize("count", [6, 76, 90, 96])
def test_on_a_phone_the_x_axis_has_three_ticks_or_more(
    viewer: str, browser: Browser, database: Documents, count: int
) -> None:
    insert_run(database, 4)
    store_metric(database, 4, "val/acc", np.linspace(0, 1, count))
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto(f"{viewer}/runs/4/charts")
        drawn(page, "val/acc")
        ticks = page.evaluate("(card) => [...card.chartCard.plot.labels.x.keys()]", chart(page, "val/acc"))
    assert len(ticks) >= 3


def test_on_a_phone_a_tap_pins_the_card_above_the_plot(viewer: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{viewer}/runs/1/charts")
    plot = chart(page, "val/acc").query_selector("[data-chart-plot]")
    assert plot.bounding_box()["height"] == 172
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    plot.tap()
    page.wait_for_selector(".hover-card:not([hidden])")

    card, box = page.locator(".hover-card").bounding_box(), plot.bounding_box()
    assert card["y"] + card["height"] <= box["y"]
    context.close()
