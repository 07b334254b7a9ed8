"""A viewer that many people use at once: python benchmarks/viewer/load.py

`cloister serve` over the generated database (100,000 runs; `--quick`: 2,000), in a process of its own. Its memory after
1,000 pages; 200 users who read at 50 requests a second in all, with their latencies; 200 tabs with live streams while
runs change: how long until all have heard, what that costs, and what is left once they are closed, again and again.
In chromium, where there is one: what an open page asks for while nothing happens, seen and hidden.
`--uri` serves a database that `generated_database.py` has filled; `--minutes` goes on with opening and closing tabs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from cloister.observer.runs import RunStore
from generated_database import RUNS, fill_database, metric_names, project_names
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from pymongo.database import Database
from rich.table import Table
from served_viewer import ServedViewer, User, live_stream, served_viewer

QUICK_RUNS = 2_000
PAGES, QUICK_PAGES = 1_000, 100
USERS, REQUESTS_PER_SECOND = 200, 50.0
SECONDS, QUICK_SECONDS = 60.0, 8.0
TABS = 200
ROUNDS = 10
IDLE_SECONDS = 20.0
SETTLE_SECONDS = 10.0  # for what a page fetches by itself once it is there
TARGETS = (
    "Targets: 200 users at 50 requests/s p99 below 500 ms; below 300 MB after 1,000 pages; at most one request in 2 s "
    "from an idle page, none from a hidden one; as much memory after 200 tabs as before."
)

Documents = Database[dict[str, Any]]


def main() -> None:
    options = read_options(__doc__ or "", peers=False, add=add_options)
    machine = look_at_machine()
    table = Table("what", "figure", title="A viewer under load")
    with ExitStack() as stack:
        uri, store = stack.enter_context(filled(options))
        runs = store.database["runs"].estimated_document_count()
        table.title = f"A viewer under load, {runs:,} runs"
        viewer = stack.enter_context(served_viewer(uri))
        table.add_row("memory at the start", f"{viewer.megabytes():.0f} MB")
        pages = QUICK_PAGES if options.quick else PAGES
        asyncio.run(view_pages(viewer, runs, pages))
        table.add_row(f"memory after {pages:,} pages", f"{viewer.megabytes():.0f} MB")
        add_users(table, viewer, runs, QUICK_SECONDS if options.quick else SECONDS)
        add_tabs(table, viewer, store.database, options)
        add_idle(table, viewer, runs)
    print_figures(table, machine, TARGETS)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", help="a database that generated_database.py has filled")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long tabs are opened and closed")


@contextmanager
def filled(options: argparse.Namespace) -> Iterator[tuple[str, RunStore]]:
    if options.uri:
        with RunStore.connect(options.uri) as store:
            yield options.uri, store
        return
    with private_database() as private, RunStore.connect(private.uri) as store:
        fill_database(store.database, runs=QUICK_RUNS if options.quick else RUNS)
        private.checkpoint()
        yield (
            f"{private.uri.partition('?')[0].rstrip('/')}/{store.database.name}?{private.uri.partition('?')[2]}",
            store,
        )


# ---- pages


def an_address(chance: random.Random, runs: int) -> str:
    """What one of many readers asks for next: a page now and then, then the parts that it fetches by itself."""
    run = chance.randrange(1, runs + 1)
    project = chance.choice(project_names())
    metric = chance.choice(metric_names(0)[:9])
    ten = ",".join(str(max(1, run - number)) for number in range(10))
    addresses = {
        "/": 1,
        f"/p/{project}": 2,
        f"/p/{project}?sort=-metrics.{metric}": 2,
        f"/runs/{run}": 4,
        f"/runs/{run}/config": 2,
        f"/runs/{run}/environment": 1,
        f"/runs/{run}/header": 6,
        f"/runs/{run}/overview/top": 6,
        f"/api/v1/chart-sections?runs={ten}": 4,
        f"/api/v1/curves?runs={run}&metric={metric}": 8,
        f"/api/v1/runs/{run}": 2,
        f"/api/v1/projects/{project}/runs?page_size=20&sort=-metrics.{metric}": 1,
        f"/api/v1/runs?page_size=20&query=status%20%3D%20failed%20and%20metrics.{metric}%20%3E%200.5": 1,
    }
    return chance.choices(list(addresses), list(addresses.values()))[0]


async def view_pages(viewer: ServedViewer, runs: int, pages: int) -> None:
    """Many pages, eight at a time, as different as readers are."""
    chance, user_count = random.Random(3), 8

    async def read(count: int) -> None:
        user = User(viewer.port)
        for _ in range(count):
            status, _ = await user.get(an_address(chance, runs))
            assert status == 200, status
        user.close()

    await asyncio.gather(*(read(pages // user_count) for _ in range(user_count)))


# ---- users


def add_users(table: Table, viewer: ServedViewer, runs: int, seconds: float) -> None:
    before, started = viewer.cpu_seconds(), time.monotonic()
    taken, refused = asyncio.run(be_users(viewer, runs, seconds))
    busy = (viewer.cpu_seconds() - before) / (time.monotonic() - started)
    figures = ", ".join(f"p{share} {np.percentile(taken, share):.0f} ms" for share in (50, 95, 99))
    table.add_row(f"{USERS} users, {len(taken) / seconds:.0f} requests/s", f"{figures}, worst {max(taken):.0f} ms")
    table.add_row("of them refused", f"{refused}")
    table.add_row("processor meanwhile", f"{busy:.2f} cores")
    table.add_row("memory after that", f"{viewer.megabytes():.0f} MB")


async def be_users(viewer: ServedViewer, runs: int, seconds: float) -> tuple[list[float], int]:
    """Each user reads, thinks for about as long as others do, and reads on. Latencies in ms, and what was refused."""
    taken: list[float] = []
    refused = 0
    pause = USERS / REQUESTS_PER_SECOND
    end = time.monotonic() + seconds

    async def use(number: int) -> None:
        nonlocal refused
        chance, user = random.Random(number), User(viewer.port)
        await asyncio.sleep(chance.random() * pause)
        while time.monotonic() < end:
            wanted = time.monotonic() + chance.expovariate(1 / pause)
            started = time.perf_counter()
            status, _ = await user.get(an_address(chance, runs))
            taken.append(1000 * (time.perf_counter() - started))
            refused += status != 200
            await asyncio.sleep(max(0.0, min(wanted, end) - time.monotonic()))
        user.close()

    await asyncio.gather(*(use(number) for number in range(USERS)))
    return taken, refused


# ---- tabs


def add_tabs(table: Table, viewer: ServedViewer, database: Documents, options: argparse.Namespace) -> None:
    newest = database["runs"].find_one({}, {"_id": 1}, sort=[("_id", -1)])
    assert newest is not None
    before = viewer.megabytes()
    heard, busy = asyncio.run(watch(viewer, database, newest["_id"]))
    table.add_row(
        f"{TABS} tabs: all have heard of a change after", f"p50 {np.median(heard):.0f} ms, worst {max(heard):.0f} ms"
    )
    table.add_row(f"{TABS} tabs while nothing changes", f"{busy:.2f} cores")
    table.add_row(f"memory before, after {TABS} tabs", f"{before:.0f}, {viewer.megabytes():.0f} MB")
    series, end = [], time.monotonic() + 60 * options.minutes
    while len(series) < (2 if options.quick else ROUNDS) or time.monotonic() < end:
        asyncio.run(watch(viewer, database, newest["_id"], times=2, idle_seconds=0.0))
        series.append(viewer.megabytes())
    table.add_row(
        f"after {len(series)} further times {TABS} tabs", f"{series[0]:.0f} MB first, {series[-1]:.0f} MB last"
    )


async def watch(
    viewer: ServedViewer, database: Documents, run_id: Any, *, times: int = 5, idle_seconds: float = 5.0
) -> tuple[list[float], float]:
    """Open all tabs; for each change, ms until the last one has heard of it; then the cores that idle tabs take."""
    async with AsyncExitStack() as stack:
        tabs = [await stack.enter_async_context(live_stream(viewer.port)) for _ in range(TABS)]
        heard = []
        for _ in range(times):
            await asyncio.sleep(0.6)  # the hub tells of a run twice a second at most
            now = datetime.now(timezone.utc)
            started = time.perf_counter()
            change = {"$set": {"cloister.updated_at": now, "heartbeat": now}}
            await asyncio.to_thread(database["runs"].update_one, {"_id": run_id}, change)
            stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            await asyncio.gather(*(next_change(tab, run_id, stamp) for tab in tabs))
            heard.append(1000 * (time.perf_counter() - started))
        before = viewer.cpu_seconds()
        await asyncio.sleep(idle_seconds)
        return heard, (viewer.cpu_seconds() - before) / idle_seconds if idle_seconds else 0.0


async def next_change(tab: asyncio.StreamReader, run_id: Any, stamp: str) -> None:
    while True:
        line = (await tab.readline()).decode()
        change = json.loads(line[6:]) if line.startswith("data: {") else {}
        if change.get("run_id") == run_id and change["updated_at"] >= stamp:
            return


# ---- idle pages


def add_idle(table: Table, viewer: ServedViewer, runs: int) -> None:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        table.add_row("idle pages", "not measured: needs playwright")
        return
    chromium = Path("/usr/bin/chromium")
    with sync_playwright() as tools:
        try:
            browser = tools.chromium.launch(
                executable_path=str(chromium) if chromium.exists() else None, args=["--no-sandbox", "--disable-gpu"]
            )
        except Error as reason:
            table.add_row("idle pages", f"not measured: {str(reason).splitlines()[0]}")
            return
        for what, path in (("a table of runs", f"/p/{project_names()[0]}"), ("a run's page", f"/runs/{runs // 2}")):
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))  # type: ignore[misc]
            page.goto(viewer.address + path)
            page.wait_for_load_state("load")
            page.wait_for_timeout(SETTLE_SECONDS * 1000)
            asked.clear()
            page.wait_for_timeout(IDLE_SECONDS * 1000)
            seen, asked_idle = len(asked), list(asked)
            page.evaluate(HIDE)
            asked.clear()
            page.wait_for_timeout(IDLE_SECONDS * 1000)
            if seen > IDLE_SECONDS / 2:
                print(what, sorted(set(asked_idle)), file=sys.stderr)
            table.add_row(f"{what}, idle for {IDLE_SECONDS:g} s", f"{seen} requests; hidden {len(asked)}")
            page.close()
        browser.close()


HIDE = """() => {
    Object.defineProperty(document, "hidden", { get: () => true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


if __name__ == "__main__":
    main()
