"""The workspace of charts in a real chromium: arranged, coloured, grouped, measured, and still so after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cloister.observer.runs import RunStore
from drawn_charts import chart, drawn, x_range
from playwright.sync_api import Browser, Page
from pymongo.database import Database
from running_viewer import insert_run, running_viewer
from stored_metrics import store_metric
from watched_browser import Watch

pytestmark = pytest.mark.browser

Documents = Database[dict[str, Any]]
COUNT = 40
PAGE = "/p/digits?draw=1,2,3,4&view=charts"


@pytest.fixture(scope="module")
def watched(browser: Browser, one_database: Documents) -> Iterator[tuple[Page, Watch]]:
    """Four runs of two optimizers; and one with 600 metrics. One page for all tests."""
    for run_id in range(1, 5):
        optimizer = "adam" if run_id % 2 else "sgd"
        insert_run(one_database, run_id, status="COMPLETED", config={"lr": 0.1, "optimizer": optimizer})
        rising = np.arange(COUNT) * float(run_id)
        store_metric(one_database, run_id, "val/loss", rising + 1)
        store_metric(one_database, run_id, "val/acc", 1 - 1 / (rising + 1))
        store_metric(one_database, run_id, "train/loss", rising + 0.5)
        store_metric(one_database, run_id, "epoch", np.arange(COUNT) // 4)
    insert_run(one_database, 5, project="wide", status="COMPLETED")
    known = {"last": 1.0, "min": 0.0, "max": 1.0, "last_step": 9, "count": 10}
    many = {f"layer/w{number}": known for number in range(600)}
    one_database["runs"].update_one({"_id": 5}, {"$set": {"cloister.summary": many}})
    with running_viewer(RunStore(one_database)) as port:
        address = f"http://127.0.0.1:{port}"
        with browser.new_context(viewport={"width": 1440, "height": 1000}, base_url=address) as context:
            watch = Watch(context, address)
            yield context.new_page(), watch
    assert watch.trouble == []


@pytest.fixture
def page(watched: tuple[Page, Watch], one_database: Documents) -> Page:
    """The workspace as it stands for somebody new."""
    page, _ = watched
    save(page)
    page.goto("about:blank")
    one_database["layouts"].delete_many({})
    page.goto(PAGE)
    chart(page, "val/loss")
    return page


def choose(page: Page, **fields: str) -> None:
    """Fill fields of the panel, as a person does."""
    page.get_by_role("button", name="Arrange").click()
    for name, value in fields.items():
        field = page.locator(f"[data-chart-panel] [name={name}]")
        if field.evaluate("(element) => element.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
            field.press("Tab")
    page.locator("[data-panel-act=close]").click()


def act(page: Page, metric: str, *items: str) -> None:
    for item in items:
        card = chart(page, metric)
        card.hover()
        card.query_selector('[data-chart-action="more"]').click()
        page.get_by_role("menuitem", name=item, exact=True).click()


def lines_come_to(page: Page, metric: str, count: int) -> None:
    script = "([card, count]) => card.chartCard.plot?.sources.lines.data.xs.length === count"
    page.wait_for_function(script, arg=[chart(page, metric), count])


def save(page: Page) -> None:
    """What the page would send a moment later is kept by now."""
    page.evaluate(
        "() => Promise.all([...document.querySelectorAll('.charts')].map((grid) => grid.chartGrid.layout.save()))"
    )


def test_how_charts_stand_is_kept_and_opened_again(page: Page, one_database: Documents) -> None:
    act(page, "val/loss", "Pin to the top", "Wider", "Taller")
    act(page, "train/loss", "Hide")
    save(page)
    page.goto(PAGE)
    box = chart(page, "val/loss").bounding_box()

    names = page.locator(".chart-section:visible [data-section-name]").all_inner_texts()
    assert names[0] == "Pinned"
    assert box["width"] > 1.8 * chart(page, "val/acc").bounding_box()["width"]
    assert box["height"] == chart(page, "val/acc").bounding_box()["height"] + 60
    assert page.locator('[aria-label="train/loss"]:visible').count() == 0
    page.get_by_role("button", name="Arrange").click()
    page.locator("[data-hidden-charts]").get_by_role("button", name="Show").click()
    assert page.locator('[data-chart-plot][aria-label="train/loss"]:visible').count() == 1


def test_charts_are_moved_by_menu_and_by_dragging(page: Page) -> None:
    def order() -> list[str]:
        return page.locator('[data-chart-section="val"] .chart-title').all_inner_texts()

    before = order()
    act(page, before[1], "Move earlier")
    assert order() == before[::-1]
    first, second = page.locator('[data-chart-section="val"] .chart-header').all()
    first.drag_to(second, target_position={"x": 300, "y": 10})
    assert order() == before


def test_a_group_is_its_mean_in_a_band_and_values_have_colours(page: Page) -> None:
    choose(page, group_0="config.optimizer", band="minmax", smoothing_kind="none")
    lines_come_to(page, "val/loss", 2)

    assert 10 ** np.array(drawn(page, "val/loss")[0]) == pytest.approx(np.arange(COUNT) * 2.0 + 1)  # of runs 1 and 3
    edges = 10 ** np.array(drawn(page, "val/loss", "bands")[0])
    assert edges[:COUNT].tolist() == pytest.approx(np.arange(COUNT) * 3.0 + 1)
    assert edges[: COUNT - 1 : -1].tolist() == pytest.approx(np.arange(COUNT) * 1.0 + 1)
    assert page.locator("[data-chart-key] button").all_inner_texts() == ["adam (2)", "sgd (2)"]
    assert drawn(page, "val/loss", column="color") == ["#2238b8", "#a14206"]
    page.locator("[data-chart-key] button").first.click()
    lines_come_to(page, "val/loss", 1)
    assert drawn(page, "val/loss", column="color") == ["#a14206"]
    choose(page, group_0="", colour_by="config.optimizer")
    lines_come_to(page, "val/loss", 4)
    script = (
        "(card) => card.chartCard.plot.sources.lines.data.color[2] === card.chartCard.plot.sources.lines.data.color[0]"
    )
    page.wait_for_function(script, arg=chart(page, "val/loss"))
    assert drawn(page, "val/loss", column="color") == ["#2238b8", "#a14206", "#2238b8", "#a14206"]


def test_an_expression_has_a_chart_and_a_bad_one_says_where(watched: tuple[Page, Watch], page: Page) -> None:
    watched[1].wanted_refusals.add("/api/v1/curves")
    page.get_by_role("button", name="Arrange").click()
    page.locator("[name=expression]").fill('"val/loss" - foo(1)')
    page.get_by_role("button", name="Add a chart").click()
    page.wait_for_function("() => document.querySelector('[data-problem]').textContent.startsWith('Column 14')")
    watched[1].wanted_refusals.clear()
    page.locator("[name=expression]").fill("('val/loss' - 'train/loss') * 4")
    page.locator("[name=expression_name]").fill("gap")
    page.get_by_role("button", name="Add a chart").click()
    page.locator("[data-panel-act=close]").click()

    assert drawn(page, "('val/loss' - 'train/loss') * 4")[0] == pytest.approx([2.0] * COUNT)
    with page.expect_download() as started:
        act(page, "('val/loss' - 'train/loss') * 4", "Download CSV, every point")
    lines = Path(started.value.path()).read_text().splitlines()
    assert len(lines) == 4 * COUNT + 1
    assert lines[1].endswith(",2.0")


def test_x_is_any_metric_and_its_logarithm(page: Page) -> None:
    with page.expect_response(lambda response: "axis=metric" in response.url):
        choose(page, over="epoch")
    page.wait_for_function("(card) => card.chartCard.drawnRange?.[1] === 9", arg=chart(page, "val/loss"))
    assert drawn(page, "val/loss", column="xs")[0][:8] == [0, 0, 0, 0, 1, 1, 1, 1]

    with page.expect_response(lambda response: "x_scale=log" in response.url):
        page.get_by_role("button", name="Arrange").click()
        page.locator("[name=x_scale]").check()
    page.wait_for_function("(card) => card.chartCard.xScale.name === 'symlog'", arg=chart(page, "val/loss"))
    assert x_range(page, "val/loss") == pytest.approx([0, 1])  # log10(1 + 9)


def test_smoothing_by_points_is_tensorboards(page: Page) -> None:
    choose(page, smoothing_kind="ema")
    page.locator("[data-chart-smoothing]").fill("0.8")
    page.wait_for_function("(card) => card.chartCard.grid.smoothing.strength === 0.8", arg=chart(page, "val/loss"))
    mean, expected = 0.0, []
    for count, value in enumerate(np.arange(COUNT) + 1.0, 1):
        mean = mean * 0.8 + 0.2 * value
        expected.append(mean / (1 - 0.8**count))

    wanted = (
        "([card, value]) => Math.abs(card.chartCard.plot.sources.lines.data.ys[0].at(-1) - Math.log10(value)) < 1e-9"
    )
    page.wait_for_function(wanted, arg=[chart(page, "val/loss"), expected[-1]])
    assert 10 ** np.array(drawn(page, "val/loss")[0]) == pytest.approx(expected)


def test_a_stretch_is_measured_a_hover_seen_elsewhere_and_the_picture_saved(page: Page) -> None:
    box = chart(page, "val/acc").query_selector("[data-chart-plot]").bounding_box()
    left, width = box["x"] + 44, box["width"] - 56
    page.mouse.move(left + 0.255 * width, box["y"] + 60)
    page.wait_for_selector(".chart-readout")
    assert len(page.locator(".chart-readout").first.locator("b").all()) == 3
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(left + 0.495 * width, box["y"] + 70, steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")

    assert page.locator(".chart-measure-title > span").inner_text() == "step 11 to 19"
    rows = [row.locator("td").all_inner_texts() for row in page.locator(".chart-measure tbody tr").all()]
    assert [row[0] for row in rows] == ["digits-1", "digits-2", "digits-3", "digits-4"]
    low, high = 1 - 1 / 12, 1 - 1 / 20
    assert [float(cell.replace("+", "")) for cell in rows[0][1:]] == pytest.approx([low, high, high - low], abs=1e-3)
    page.keyboard.press("Escape")
    page.locator(".chart-measure").get_by_role("button", name="Close").click()
    assert page.locator(".chart-measure").count() == 0
    for item, begins in (("Download PNG", b"\x89PNG"), ("Download SVG", b"<svg ")):
        with page.expect_download() as started:
            act(page, "val/acc", item)
        assert Path(started.value.path()).read_bytes().startswith(begins)


def test_charts_are_searched_by_a_regular_expression(watched: tuple[Page, Watch], page: Page) -> None:
    field = page.get_by_role("searchbox", name="Search charts")
    field.fill("^(val|train)/loss$")
    page.wait_for_function("() => document.querySelectorAll('.chart-card:not([hidden])').length === 2")
    watched[1].wanted_refusals.add("/api/v1/chart-search")
    field.fill("val(")
    page.wait_for_selector("[data-chart-filter][aria-invalid]")

    assert "missing )" in page.locator("[data-chart-none]").inner_text()
    watched[1].wanted_refusals.clear()


def test_a_shared_layout_opens_from_its_address(page: Page, one_database: Documents) -> None:
    act(page, "train/loss", "Hide")
    page.get_by_role("button", name="Arrange").click()
    page.locator("[name=layout_name]").fill("Paper")
    page.get_by_role("button", name="Share in this project").click()
    page.wait_for_url("**layout=*")
    link = page.url
    save(page)
    one_database["layouts"].delete_many({"shared": False})

    page.goto(link)
    chart(page, "val/loss")
    assert page.locator('[data-chart-plot][aria-label="train/loss"]:visible').count() == 0
    page.goto(PAGE)
    chart(page, "train/loss")


def test_of_hundreds_of_charts_only_those_in_view_are_made(page: Page) -> None:
    page.goto("/p/wide?draw=5&view=charts")
    page.wait_for_selector('[data-chart][data-state="empty"]')
    made = page.locator("[data-chart]").count()
    places = page.locator(".chart-card").count()
    last = page.locator(".chart-card").last
    last.scroll_into_view_if_needed()
    page.wait_for_selector('[data-chart]:has([aria-label="layer/w599"])')

    assert places == 600
    assert made < 60
