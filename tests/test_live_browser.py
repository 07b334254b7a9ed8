"""Live pages in a real browser: many tabs share one stream, hidden ones ask for nothing, nothing polls without need."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from cloister.observer.run_edits import edit_run
from cloister.observer.runs import RunStore
from cloister.viewer.live_hub import Subscription
from pymongo.database import Database
from recorded_script import wait_for
from running_viewer import insert_run, running_viewer
from watched_browser import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

TABS = 7  # more than the connections that a browser has for one server
PUSHED = "html[data-live=pushed]"
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def viewer(store: RunStore, database: Database[dict[str, Any]], database_uri: str) -> Iterator[str]:
    insert_run(database, 1)
    with running_viewer(store, uri=database_uri) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def context(browser: Browser, viewer: str) -> Iterator[tuple[BrowserContext, Watch]]:
    with browser.new_context() as context:
        watch = Watch(context, viewer)
        yield context, watch
    assert watch.trouble == []


def streams() -> int:
    gc.collect()
    return sum(type(each) is Subscription and not each.closed for each in gc.get_objects())


def rename(store: RunStore, name: str) -> None:
    edit_run(store, 1, by="", name=name)


def test_tabs_share_one_stream_and_hidden_ones_leave_it(
    context: tuple[BrowserContext, Watch], viewer: str, store: RunStore
) -> None:
    tabs, _ = context
    before = streams()
    pages = [tabs.new_page() for _ in range(TABS)]
    for page in pages:
        page.clock.install()
        page.goto(f"{viewer}/runs/1")
        page.wait_for_selector(PUSHED, state="attached")
    assert streams() == before + 1
    rename(store, "renamed-once")
    for page in pages:
        has_name(page, "renamed-once")

    first, *others = pages
    for page in others:
        page.evaluate(HIDE, True)
        page.clock.fast_forward(10_000)
        page.wait_for_selector(PUSHED, state="detached")
    asked_by_hidden: list[str] = []
    for page in others:
        page.on("request", lambda request: asked_by_hidden.append(request.url))
    rename(store, "renamed-twice")
    has_name(first, "renamed-twice")
    for page in others:
        page.clock.fast_forward(60_000)
    assert asked_by_hidden == []
    others[0].evaluate(HIDE, False)
    has_name(others[0], "renamed-twice")
    others[0].wait_for_selector(PUSHED, state="attached")
    for page in pages:
        page.close()
    wait_for(lambda: streams() == before, "the stream is closed with the last tab")


def test_a_browser_without_shared_workers_has_a_stream_of_its_own(
    context: tuple[BrowserContext, Watch], viewer: str, store: RunStore
) -> None:
    tabs, watch = context
    tabs.add_init_script("delete window.SharedWorker")
    with ExitStack() as stack:
        page = stack.enter_context(tabs.new_page())
        page.goto(f"{viewer}/runs/1")
        page.wait_for_selector(PUSHED, state="attached")
        rename(store, "renamed-alone")
        has_name(page, "renamed-alone")
    assert sum("/api/v1/live" in address for address in watch.asked) == 1


def has_name(page: Page, name: str) -> None:
    page.wait_for_function("(name) => document.querySelector('h1').innerText.includes(name)", arg=name)
