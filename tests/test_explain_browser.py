"""Explain and reports in a real browser: brushes, themes, downloads, live blocks, and a report as a file by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cloister.observer.access.principal import LOCAL
from cloister.observer.field_names import encode_field_name
from cloister.observer.query.fields import metric_field
from cloister.observer.reports import make_report
from cloister.observer.runs import RunStore
from explained_runs import store_sweep, sweep_document
from pymongo.database import Database
from running_viewer import running_viewer
from signing_in import emptied
from stored_metrics import store_metric
from watched_browser import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.browser
Site = Database[dict[str, Any]]

HOSTILE = "<img src=x onerror=alert(1)>$$\\alpha$$</template></script><script>alert(1)</script>"
REPORT = """
```table
columns: config.lr, metrics.val/acc
limit: 3
```

```chart
runs: 6
metric: loss
```

```explain
view: scatter
by: config.optimizer
```
"""
DRAWN = "document.querySelectorAll('[data-figure][data-drawn]').length"
KEPT_LINES = """() => {
    const brushes = document.querySelector("[data-figure$='-parallel']").brushes;
    return [...brushes.lines.get("alpha")].filter((alpha) => alpha > 0.5).length;
}"""


@pytest.fixture(scope="module")
def site(one_database: Site) -> Site:
    emptied(one_database)
    store_sweep(one_database, range(1, 31))
    hostile = sweep_document(31, name=HOSTILE, optimizer=HOSTILE)
    hostile["cloister"]["summary"][encode_field_name(HOSTILE)] = hostile["cloister"]["summary"]["val/acc"]
    one_database["runs"].insert_one(hostile)
    for run_id in (6, 31):
        store_metric(one_database, run_id, "loss", [1.0, 0.5, 0.25])
    return one_database


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with running_viewer(RunStore(site)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield context
    context.close()


def wait_for(page: Page, expression: str) -> None:
    page.wait_for_function(f"() => {expression}", timeout=30_000)


def test_each_figure_is_drawn_brushed_and_downloaded(context: BrowserContext, address: str, tmp_path: Path) -> None:
    watch = Watch(context, address)
    page = context.new_page()
    page.goto(f"{address}/p/digits/explain?param=config.lr&param=config.optimizer&target=metrics.val/acc")
    wait_for(page, f"{DRAWN} === 1")
    assert page.evaluate(KEPT_LINES) == 31

    page.locator("[data-brush-table] summary").click()
    page.get_by_label("val/acc at least").fill("0.85")
    page.get_by_label("val/acc at least").press("Tab")
    wait_for(page, "document.querySelector('[data-brush-words]').textContent.includes('within the brushes')")
    kept = page.evaluate(KEPT_LINES)
    assert 0 < kept < 31
    link = page.locator("[data-brush-link]").get_attribute("href")
    assert link is not None
    page.locator("[data-brush-clear]").click()
    wait_for(page, f"({KEPT_LINES})() === 31")
    drag_along_the_first_axis(page)
    wait_for(page, f"({KEPT_LINES})() < 31")

    page.locator("[data-theme-switch]:visible").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<svg")):
        with page.expect_download() as download:
            page.locator(f"[data-figure-action={ending}]").click()
        download.value.save_as(tmp_path / f"figure.{ending}")
        assert (tmp_path / f"figure.{ending}").read_bytes().startswith(start)
    assert watch.trouble == []

    table = page.goto(f"{address}{link}")
    assert table is not None
    assert table.status == 200


def drag_along_the_first_axis(page: Page) -> None:
    box, frame = page.evaluate("""() => {
        const { view } = document.querySelector("[data-figure$='-parallel']").brushes;
        const { left, top } = view.el.getBoundingClientRect();
        const { x_range: x, y_range: y } = view.model;
        const { left: start, right, top: above, bottom } = view.frame.bbox;
        const across = (value) => left + start + ((value - x.start) / (x.end - x.start)) * (right - start);
        const down = (value) => top + bottom - ((value - y.start) / (y.end - y.start)) * (bottom - above);
        return [across(0), [down(0.25), down(0.75)]];
    }""")
    page.mouse.move(box, frame[0])
    page.mouse.down()
    page.mouse.move(box, frame[1], steps=4)
    page.mouse.up()


def test_all_figures_take_any_names_and_need_no_eval(context: BrowserContext, address: str) -> None:
    watch = Watch(context, address)
    page = context.new_page()
    odd = metric_field(HOSTILE).key
    for view in ("scatter", "matrix", "boxes", "contour"):
        page.goto(f"{address}/p/digits/explain?view={view}&by=config.optimizer&x=config.lr&y=config.model.depth")
        wait_for(page, f"{DRAWN} === 1")
    page.goto(f"{address}/p/digits/explain?view=parallel")
    page.locator("[name=target]").fill(odd)
    with page.expect_response(lambda answer: "/explain?" in answer.url):
        page.locator("[name=target]").press("Enter")
    wait_for(page, f"{DRAWN} === 1 && document.querySelector('.figure-sentence').textContent.includes('1 run')")
    assert watch.trouble == []


def test_a_report_follows_its_runs_and_is_a_file_that_opens_by_itself(
    context: BrowserContext, address: str, site: Site, tmp_path: Path
) -> None:
    report = make_report(site, LOCAL, project="digits", title=HOSTILE, text=REPORT + HOSTILE)
    watch = Watch(context, address)
    page = context.new_page()
    page.goto(f"{address}/p/digits/reports/{report.id}")
    wait_for(page, f"{DRAWN} >= 1")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    wait_for(page, f"{DRAWN} === 2 && document.querySelectorAll('.report-table tbody tr').length === 3")
    with page.expect_download() as download:
        page.get_by_role("link", name="HTML").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    assert watch.trouble == []

    alone = context.new_page()
    asked: list[str] = []
    trouble: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.on("console", lambda message: trouble.append(message.text) if message.type in ("error", "warning") else None)
    alone.on("pageerror", lambda error: trouble.append(str(error)))
    alone.goto(file.as_uri())
    alone.evaluate("scrollTo(0, document.body.scrollHeight)")
    wait_for(alone, f"{DRAWN} === 2")
    assert alone.locator("h1").text_content() == HOSTILE
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert trouble == []
    alone.emulate_media(media="print")
    assert not alone.locator(".figure-tools").first.is_visible()
