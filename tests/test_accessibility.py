"""Every page, in both themes and on a phone, for whoever reads with a screen reader, a keyboard or another clock."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cloister.observer.access.principal import LOCAL
from cloister.observer.reports import make_report
from cloister.observer.runs import RunStore
from cloister.viewer.access_rules import RULES
from cloister.viewer.app import create_app
from cloister.viewer.styleguide_page import measure_contrasts, read_themes
from console_writing import write_pieces
from flask import Flask
from peer_installs import NpmMissing, axe_script
from pymongo.database import Database
from running_viewer import running_viewer, touch_run
from seeded_runs import add_run
from stored_metrics import store_metric
from watched_browser import Watch

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = pytest.mark.browser

# What stands for the parts of addresses that vary.
ARGUMENTS = {"run_id": 1, "project": "digits", "name": "vision", "part": "top", "key": "0", "kind": "csv"}
# States of pages that their bare address does not show.
FURTHER = (
    "/p/digits?group=config.lr", "/p/digits?q=config.lr+%3D%3E", "/p/digits?q=nobody", "/p/empty", "/runs/4",
    "/compare?runs=1,2,3&baseline=1", "/search?q=acc", "/search?q=nobody", "/delete?runs=1", "/runs/2", "/runs/3",
    "/runs/99",
)  # fmt: skip
NO_PAGES = ("api.", "static", "bokeh_assets.", "health.", "share_page.", "oidc.", "live.", "pdf_frame.")
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NOTES = {"cloister.notes": "# Why\n\nTo see."}
DAMAGED = "<img src=x onerror=alert(1)>\u202e" + "long" * 40


@pytest.fixture(scope="module")
def database(one_database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    config = {"lr": 0.1, "model": {"depth": 2}}
    add_run(
        one_database, 1, name="cnn-small", tags=["baseline"], config=config, **{"cloister.notes": "# Why\n\nTo see."}
    )
    add_run(one_database, 2, name="mlp", config={"lr": 0.01}, status="RUNNING", stop_time=None)
    add_run(one_database, 3, name="broken", status="FAILED", fail_trace=["Traceback\n", "ValueError: nan\n"])
    add_run(one_database, 4, name=DAMAGED, tags=[DAMAGED], config={DAMAGED: DAMAGED})
    for run_id in (1, 2):
        store_metric(one_database, run_id, "val/acc", [0.1, 0.5, 0.8 + run_id / 100])
    write_pieces(one_database, 1, [("stdout", "epoch 1\n\x1b[32mgood\x1b[0m\n"), ("stderr", "a warning\n")])
    text = "# Result\n\nAugmentation *helps*.\n\n| a | b |\n| - | - |\n| 1 | 2 |"
    report = make_report(one_database, LOCAL, project="digits", title="Why it helps", text=text)
    ARGUMENTS["report_id"] = report.id
    one_database["groups"].insert_one({"_id": "vision", "people": ["ana"], "source": "local"})
    return one_database


@pytest.fixture(scope="module")
def app(database: Database[dict[str, Any]]) -> Flask:
    return create_app(RunStore(database), styleguide=True)


@pytest.fixture(scope="module")
def address(app: Flask, database: Database[dict[str, Any]]) -> Iterator[str]:
    with running_viewer(RunStore(database), app=app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    options = {"base_url": address, "viewport": {"width": 1440, "height": 900}, "reduced_motion": "reduce"}
    with browser.new_context(**options) as context:
        watch = Watch(context, address)
        watch.wanted_refusals = {"/runs/99", "/p/empty", "/p/digits", "/favicon.ico"}
        yield context.new_page()
    assert watch.trouble == []


def every_page(app: Flask) -> list[str]:
    """The addresses that answer with a whole page, asked of the app itself, so that a new page is among them."""
    client = app.test_client()
    pages = []
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint.startswith(NO_PAGES) or rule.endpoint not in RULES:
            continue
        with app.test_request_context():
            arguments = {name: ARGUMENTS.get(name, "1") for name in rule.arguments}
            path = app.url_for(rule.endpoint, **arguments)
        answer = client.get(path)
        is_file = "Content-Disposition" in answer.headers
        if answer.status_code == 200 and not is_file and answer.data.lstrip()[:15].lower() == b"<!doctype html>":
            pages.append(path)
    return [*dict.fromkeys(pages), *FURTHER]


@pytest.fixture(scope="module")
def axe() -> str:
    try:
        return axe_script().read_text(encoding="utf-8")
    except NpmMissing as reason:
        pytest.skip(str(reason))


def found_by_axe(page: Any, where: str, rules: list[str] | None = None, part: str = "document") -> list[str]:
    """What axe-core finds amiss, one line for each element."""
    chosen = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": WCAG}
    asked = f"axe.run({part}, {{preload: false, resultTypes: ['violations'], runOnly: {json.dumps(chosen)}}})"
    violations = page.evaluate(f"async () => (await {asked}).violations")
    return [
        f"{where}: {each['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for each in violations
        for node in each["nodes"]
    ]


@pytest.mark.slow
def test_axe_finds_nothing_on_any_page_in_either_theme_and_no_page_is_wider_than_a_phone(
    page: Any, app: Flask, axe: str
) -> None:
    amiss: list[str] = []
    dialogs: set[str] = set()
    for path in every_page(app):
        page.set_viewport_size({"width": 1440, "height": 900})
        page.emulate_media(color_scheme="light")
        page.goto(path)
        playwright.expect(page.locator(".htmx-request")).to_have_count(0)
        page.evaluate(axe)
        amiss += found_by_axe(page, path)
        for name in set(page.evaluate("[...document.querySelectorAll('dialog[id]')].map((each) => each.id)")) - dialogs:
            dialogs.add(name)
            page.evaluate("(name) => document.getElementById(name).showModal()", name)
            amiss += found_by_axe(page, f"{path}#{name}", part=f"document.getElementById({json.dumps(name)})")
            page.evaluate("(name) => document.getElementById(name).close()", name)
        page.emulate_media(color_scheme="dark")
        amiss += found_by_axe(page, f"{path} (dark)", ["color-contrast"])
        page.set_viewport_size({"width": 390, "height": 844})
        page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
        amiss += found_by_axe(page, f"{path} (phone)", ["button-name", "link-name"])  # words give way to icons there
        width = page.evaluate("document.documentElement.scrollWidth")
        amiss += [f"{path}: {width} px wide on a phone"] if width > 390 else []
    assert not amiss, "\n".join(amiss)


def test_every_colour_stands_out_enough_from_every_ground_that_it_stands_on() -> None:
    for theme, colours in read_themes().items():
        assert [(theme, each) for each in measure_contrasts(colours) if not each.is_enough] == []


def test_keys_search_walk_open_and_are_listed_on_every_page(page: Any) -> None:
    page.goto("/privacy/retention")
    page.keyboard.press("Shift+?")
    playwright.expect(page.get_by_role("dialog")).to_contain_text("next and previous row")
    page.keyboard.press("Escape")
    page.goto("/p/digits")
    page.keyboard.press("j")
    page.keyboard.press("j")
    playwright.expect(page.locator("tr.is-current")).to_have_count(1)
    assert page.evaluate("document.activeElement.closest('tr').classList.contains('is-current')")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/4")
    page.keyboard.press("]")
    page.wait_for_url("**/runs/4/*")
    page.keyboard.press("[")
    page.wait_for_url(re.compile(r"/runs/4$"))
    page.keyboard.press("c")
    page.wait_for_url("**/compare?runs=4*")


def test_the_top_bar_finds_runs_metrics_and_pages_while_one_types(page: Any) -> None:
    page.goto("/privacy/overview")
    page.keyboard.press("/")
    page.keyboard.type("acc")
    found = page.get_by_role("listbox", name="Found")
    playwright.expect(found.get_by_role("option", name="val/acc")).to_be_visible()
    page.keyboard.press("Escape")
    playwright.expect(found).to_be_hidden()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("cnn")
    playwright.expect(found.get_by_role("option", name="cnn-small")).to_be_visible()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.getAttribute('aria-activedescendant')") == "found-1-1"
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/1")


def test_times_are_those_of_the_readers_clock_from_the_first_page_on(
    browser: Any, address: str, database: Database[dict[str, Any]]
) -> None:
    started = database["runs"].find_one({"_id": 1})["start_time"].replace(tzinfo=timezone.utc)  # type: ignore[index]
    shown = started.astimezone(ZoneInfo("Pacific/Kiritimati"))
    with browser.new_context(base_url=address, timezone_id="Pacific/Kiritimati") as context:
        reader = context.new_page()
        reader.goto("/runs/1/config")
        playwright.expect(reader.locator("html")).to_have_attribute("data-zone-minutes", "840")
        day = (datetime.now(ZoneInfo("Pacific/Kiritimati")).date() - shown.date()).days
        said = {0: f"{shown:%H:%M}", 1: f"yesterday {shown:%H:%M}"}.get(day, f"{shown:%Y-%m-%d %H:%M}")
        playwright.expect(reader.locator("main")).to_contain_text(f"started {said}")


@pytest.mark.parametrize("zone", ["../../etc/passwd", "Nowhere/Land", "Europe", "<script>", "a" * 3000, ""])
def test_a_zone_that_is_none_is_the_servers(app: Flask, zone: str) -> None:
    client = app.test_client()
    client.set_cookie("cloister_zone", zone)
    answer = client.get("/runs/1")
    assert answer.status_code == 200
    here = datetime.now().astimezone().utcoffset()
    assert f'data-zone-minutes="{round(here.total_seconds() / 60)}"' in answer.text  # type: ignore[union-attr]
    assert zone not in answer.text or len(zone) < 7


def test_nothing_moves_for_whoever_wants_it_so(page: Any, database: Database[dict[str, Any]]) -> None:
    touch_run(database, 2)
    page.goto("/runs/2")
    assert page.locator(".status-running").count()
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_style_page_is_only_there_when_it_is_asked_for(database: Database[dict[str, Any]], app: Flask) -> None:
    assert app.test_client().get("/styleguide").status_code == 200
    assert create_app(RunStore(database)).test_client().get("/styleguide").status_code == 404
