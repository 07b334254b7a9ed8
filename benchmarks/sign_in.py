"""What signing in costs, and what it gives away: python benchmarks/sign_in.py

A real viewer on loopback, argon2id as it is delivered. Refused sign-ins of an account that exists and of one that does
not, in turns: does the time tell them apart? A flood of guesses: how many are hashed? Many sign-ins at once: what do
they take, and how long does somebody wait who only looks at a page meanwhile?
"""

from __future__ import annotations

import asyncio
import http.client
import re
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import psutil
from cloister.observer.runs import RunStore
from cloister.viewer.accounts import passwords
from cloister.viewer.accounts.account_changes import make_account
from cloister.viewer.accounts.login_throttle import ATTEMPTS
from cloister.viewer.app import create_app
from cloister.viewer.server import ViewerServer, listen
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from rich.table import Table

PASSWORD = "plum tractor window seven"
GUESS = "a guess of some length"
TARGET = (
    "Targets: medians of known and unknown within 5 ms; 10 hashes at most for 1,000 guesses; +60 MB at most for 100 at "
    "once."
)
_CSRF = re.compile(rb'name="csrf_token" value="([0-9a-f]{64})"')


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    rounds, guesses, at_once = (20, 100, 40) if options.quick else (200, 1_000, 100)
    table = Table("measured", "figure")
    with private_database() as private, RunStore.connect(private.uri) as store:
        make_account(store.database, "ana", PASSWORD)
        with serving(store) as port:
            for row in (*timing(port, store.database, rounds), *flood(port, store.database, guesses)):
                table.add_row(*row)
            for row in crowd(port, store.database, at_once):
                table.add_row(*row)
    print_figures(table, machine, TARGET)


@contextmanager
def serving(store: RunStore) -> Iterator[int]:
    server = ViewerServer(create_app(store), listen("127.0.0.1", 0))
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.run(ready.set)))
    thread.start()
    ready.wait(30)
    try:
        yield server.port
    finally:
        server.stop()
        thread.join(30)


def timing(port: int, database: Any, rounds: int) -> Iterator[tuple[str, str]]:
    """Nobody is made to wait in this measurement: its counters are emptied before each attempt."""
    visitor = Visitor(port)
    seconds: dict[str, list[float]] = {"ana": [], "nobody": []}
    for _ in range(rounds):
        for name, found in seconds.items():
            database[ATTEMPTS].delete_many({})
            started = time.perf_counter()
            assert visitor.sign_in(name, GUESS) == 403
            found.append(time.perf_counter() - started)
    medians = {name: statistics.median(found) * 1000 for name, found in seconds.items()}
    yield f"refused, account exists, median of {rounds}", f"{medians['ana']:.1f} ms"
    yield f"refused, account does not exist, median of {rounds}", f"{medians['nobody']:.1f} ms"
    yield "difference", f"{abs(medians['ana'] - medians['nobody']):.2f} ms"


def flood(port: int, database: Any, guesses: int) -> Iterator[tuple[str, str]]:
    database[ATTEMPTS].delete_many({})
    hashed: list[float] = []
    verify = passwords._hasher().verify

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(hasher, name)

        def verify(self, stored: str, password: bytes) -> bool:
            hashed.append(time.perf_counter())
            return verify(stored, password)

    hasher = passwords._hasher()
    counting = Counting()
    passwords._hasher, before = (lambda: counting), passwords._hasher  # type: ignore[assignment]
    started = time.perf_counter()
    try:
        with ThreadPoolExecutor(8) as threads:
            visitors = [Visitor(port) for _ in range(8)]
            statuses = list(threads.map(lambda n: visitors[n % 8].sign_in("ana", f"{GUESS} {n}"), range(guesses)))
    finally:
        passwords._hasher = before
    yield f"{guesses:,} guesses at one account, hashed", f"{len(hashed)} (in {time.perf_counter() - started:.1f} s)"
    yield "of them answered with 429", f"{statuses.count(429):,}"


def crowd(port: int, database: Any, at_once: int) -> Iterator[tuple[str, str]]:
    """Each from an account of its own that does not exist, so that the throttle of accounts lets it through."""
    database[ATTEMPTS].delete_many({})
    process, most, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    honest: list[float] = []

    def look() -> None:
        visitor = Visitor(port)
        while not done.is_set():
            started = time.perf_counter()
            visitor.get("/healthz")
            honest.append(time.perf_counter() - started)

    looker = threading.Thread(target=look)
    looker.start()
    visitors = [Visitor(port) for _ in range(at_once)]
    with ThreadPoolExecutor(at_once) as threads:
        statuses = list(threads.map(lambda n: visitors[n].sign_in(f"nobody{n}", GUESS), range(at_once)))
    done.set()
    watcher.join()
    looker.join()
    counts = ", ".join(f"{statuses.count(status)} x {status}" for status in sorted(set(statuses)))
    yield f"{at_once} at once, answers", counts
    yield "memory that they took at most", f"{most[0] / 1e6:.0f} MB"
    yield "somebody else's request meanwhile, slowest", f"{max(honest) * 1000:.0f} ms"


class Visitor:
    """A browser's cookies and one connection at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""
        found = _CSRF.search(self._send("GET", "/login")[1])
        assert found is not None
        self.token = found[1].decode()

    def get(self, path: str) -> int:
        return self._send("GET", path)[0]

    def sign_in(self, name: str, password: str) -> int:
        form = {"csrf_token": self.token, "name": name, "password": password}
        return self._send("POST", "/login", urlencode(form))[0]

    def _send(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        planted = answer.headers.get("Set-Cookie", "")
        self.cookie = self.cookie or planted.partition(";")[0]
        connection.close()
        return answer.status, text


if __name__ == "__main__":
    main()
