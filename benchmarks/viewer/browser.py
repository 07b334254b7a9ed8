"""The viewer in a real chromium: python benchmarks/viewer/browser.py

What a first visit costs over the wire, what a run's page costs after it, when its first byte and its first chart are
there, what a tab with 1,000 listed runs keeps in memory, and what an open page asks for while nothing happens, in sight
and hidden. Over 2,000 generated runs (`--runs` for more, `--uri` for a database that generated_database.py has filled).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.async_client import open_async_client
from cloister.viewer.server import ViewerServer, listen
from flask import request
from generated_database import add_points, fill_database, project_names
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from rich.table import Table

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info")
BIG = project_names()[0]
LISTED, PAGE_RUNS = 1_000, 50
SETTLED_SECONDS = 30
IDLE_SECONDS, QUICK_IDLE_SECONDS = 30, 6
POINTS, CHARTED_RUNS, CHARTED = 5_000, 8, ("val/acc", "val/loss", "train/loss")


def main() -> None:
    options = read_options(__doc__ or "", peers=False, add=add_options)
    machine = look_at_machine()
    table = Table("what", "measured", "target", title="The viewer in chromium")
    with filled(options) as (store, uri), served(store, uri) as (address, asked), chromium() as browser:
        run_id = charted_run(store)
        idle = QUICK_IDLE_SECONDS if options.quick else IDLE_SECONDS
        measured = chain(
            loading(browser, address, run_id), memory(browser, address), idling(browser, address, asked, idle)
        )
        for row in measured:
            table.add_row(*row)
    print_figures(table, machine, f"{options.runs:,} runs; bytes are those of the wire, packed as they came.")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", help="a database that generated_database.py has filled")
    parser.add_argument("--runs", type=int, default=2_000)


@contextmanager
def filled(options: argparse.Namespace) -> Iterator[tuple[RunStore, str]]:
    if options.uri:
        with RunStore.connect(options.uri) as store:
            yield store, options.uri
        return
    with private_database() as private, RunStore.connect(private.uri) as store:
        fill_database(store.database, runs=options.runs)
        yield store, private.uri


def charted_run(store: RunStore) -> int:
    """One of the big project's newest runs, all of which have metrics with points: those that its page draws first."""
    found = store.database["runs"].find({"cloister.project": BIG}, {"_id": 1}).sort("start_time", -1)
    run_ids = [int(run["_id"]) for run in found.limit(CHARTED_RUNS)]
    for seed, (run_id, name) in enumerate((run_id, name) for run_id in run_ids for name in CHARTED):
        add_points(store.database, run_id, name, POINTS, seed=seed)
    return run_ids[-1]


@contextmanager
def served(store: RunStore, uri: str) -> Iterator[tuple[str, list[str]]]:
    """The viewer as `cloister serve` runs it, in a thread; its address, and which addresses it has answered."""
    sockets, app = listen("127.0.0.1", 0), create_app(store)
    asked: list[str] = []
    app.before_request(lambda: asked.append(request.path))  # also what a worker of the browser asks for
    server = ViewerServer(app, sockets, open_client=lambda: open_async_client(uri, "pymongo"))
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.run(ready.set)))
    thread.start()
    try:
        ready.wait(10)
        yield f"http://127.0.0.1:{server.port}", asked
    finally:
        server.stop()
        thread.join()


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = str(CHROMIUM) if CHROMIUM.exists() else None
    with sync_playwright() as tools, tools.chromium.launch(executable_path=path, args=OPTIONS) as browser:
        yield browser


class Tab:
    """A tab with a count of what came over the wire."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1440, "height": 900})
        self.page = self.context.new_page()
        self.tools = self.context.new_cdp_session(self.page)
        self.bytes = 0
        self.requests: list[str] = []
        self.tools.send("Network.enable")
        self.tools.send("Performance.enable")
        self.tools.on("Network.dataReceived", self._count)
        self.tools.on("Network.loadingFinished", self._count_all)
        self.tools.on("Network.requestWillBeSent", lambda event: self.requests.append(event["request"]["url"]))
        self._open: dict[str, float] = {}

    def _count(self, event: dict[str, Any]) -> None:
        # A stream of events never finishes; everything else says at its end what it was altogether.
        self._open[event["requestId"]] = self._open.get(event["requestId"], 0) + event["encodedDataLength"]

    def _count_all(self, event: dict[str, Any]) -> None:
        self._open.pop(event["requestId"], None)
        self.bytes += int(event["encodedDataLength"])

    def take_bytes(self) -> int:
        taken = self.bytes + int(sum(self._open.values()))
        self.bytes, self._open = 0, {}
        return taken

    def settle(self) -> None:
        """Wait until nothing has been asked for a second. The stream of events stays open, so the net is never idle."""
        known, since, until = -1, time.monotonic(), time.monotonic() + SETTLED_SECONDS
        while time.monotonic() - since < 1 and time.monotonic() < until:
            if known != len(self.requests):
                known, since = len(self.requests), time.monotonic()
            self.page.wait_for_timeout(100)

    def heap_bytes(self) -> int:
        """What scripts hold once the garbage is gone."""
        self.tools.send("HeapProfiler.collectGarbage")
        metrics = {each["name"]: each["value"] for each in self.tools.send("Performance.getMetrics")["metrics"]}
        return int(metrics["JSHeapUsedSize"])


def loading(browser: Any, address: str, run_id: int) -> Iterator[tuple[str, str, str]]:
    tab = Tab(browser)
    tab.page.goto(f"{address}/")
    tab.page.goto(f"{address}/p/{BIG}")
    tab.settle()
    yield "first visit: projects, a project's runs and charts", mega(tab.take_bytes()), "below 1.5 MB"
    started = time.perf_counter()
    tab.page.goto(f"{address}/runs/{run_id}/charts", wait_until="commit")
    tab.page.locator(".chart-card[data-state=drawn]").first.wait_for()
    drawn = time.perf_counter() - started
    first_byte = tab.page.evaluate("performance.getEntriesByType('navigation')[0].responseStart")
    tab.settle()
    yield "a run's page after it", f"{tab.take_bytes() / 1000:,.0f} kB", "below 400 kB"
    yield "a run's page, first byte", f"{first_byte:,.0f} ms", "below 200 ms"
    yield "a run's page, first chart drawn", f"{1000 * drawn:,.0f} ms", "below 1,000 ms"
    tab.context.close()


def memory(browser: Any, address: str) -> Iterator[tuple[str, str, str]]:
    tab = Tab(browser)
    tab.page.goto(f"{address}/runs")
    tab.settle()
    yield "heap, the first runs listed with their charts", mega(tab.heap_bytes()), ""
    pages = 1
    for _ in range(LISTED // PAGE_RUNS - 1):
        following = tab.page.get_by_label("Next page")
        if not following.count():
            break
        before = tab.page.url
        following.click()
        tab.page.wait_for_url(lambda url, before=before: url != before)
        tab.settle()
        pages += 1
    yield f"heap, {pages * PAGE_RUNS:,} runs listed page by page", mega(tab.heap_bytes()), "below 80 MB"
    tab.context.close()


def idling(browser: Any, address: str, asked: list[str], seconds: float) -> Iterator[tuple[str, str, str]]:
    """What a page asks for while nothing happens; then while another tab hides it."""
    tab = Tab(browser)
    tab.page.goto(f"{address}/p/{BIG}")
    tab.settle()
    tab.page.wait_for_timeout(1000)
    asked.clear()
    tab.page.wait_for_timeout(1000 * seconds)
    yield f"requests of an idle page in {seconds:g} s", str(len(asked)), "one per 2 s at most"
    hide = "Object.defineProperty(document, 'hidden', {get: () => true});"
    hide += "Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'});"
    tab.page.evaluate(f"{hide} document.dispatchEvent(new Event('visibilitychange'))")
    tab.page.wait_for_timeout(1000)
    asked.clear()
    tab.page.wait_for_timeout(1000 * seconds)
    yield f"requests of a hidden page in {seconds:g} s", str(len(asked)), "none"
    tab.context.close()


def mega(size: float) -> str:
    return f"{size / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
