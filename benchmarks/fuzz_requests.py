"""Ten thousand requests that nobody means well with, to a real viewer: python benchmarks/fuzz_requests.py

Says how many were answered with which status, the slowest, whether the viewer grew, and prints each that broke it; ends
with 1 if one did. `--requests 500` asks fewer, `--seed 7` others; the same seed asks the same.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pymongo
from cloister.observer.indexes import ensure_indexes
from fuzzed_requests import FuzzedRequest, RequestFuzzer, rules_of
from machine import look_at_machine
from private_database import private_database

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from guarded_site import make_guarded_site  # the site of the tests: two projects, four people

COOKIE = "cloister_session"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--quick", action="store_true", help="200 requests, to see that it works")
    given = options.parse_args()
    count = 200 if given.quick else given.requests
    with private_database() as server, pymongo.MongoClient(server.uri, tz_aware=True) as client:
        database = client.get_default_database(default="cloister")
        ensure_indexes(database)
        site = make_guarded_site(database, Path(tempfile.mkdtemp(prefix="cloister-fuzz-")))
        sessions = {who: site.new_client(who).get_cookie(COOKIE).value for who in ("admin", "eva", "mallory")}
        command = [sys.executable, "-m", "cloister", "serve", "--port", "0", "--uri", server.uri]
        # Its warnings go nowhere: a pipe that nobody reads would hold the viewer once it is full.
        viewer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = int(viewer.stdout.readline().rstrip("/\n").rpartition(":")[2])
            return report(Fuzzing(port, viewer.pid, sessions), RequestFuzzer(rules_of(site.app), given.seed), count)
        finally:
            viewer.terminate()
            viewer.communicate(timeout=20)


class Fuzzing:
    """Asks a viewer and keeps what came back."""

    def __init__(self, port: int, pid: int, sessions: dict[str, str]) -> None:
        self._port, self._process, self._sessions = port, psutil.Process(pid), sessions
        self.statuses: Counter[int | str] = Counter()
        self.slowest: list[tuple[float, FuzzedRequest]] = []
        self.broken: list[tuple[int | str, FuzzedRequest]] = []

    def memory(self) -> int:
        return self._process.memory_info().rss

    def ask(self, request: FuzzedRequest) -> None:
        started = time.monotonic()
        status = self._send(request)
        self.statuses[status] += 1
        self.slowest = sorted([*self.slowest, (time.monotonic() - started, request)], key=lambda pair: -pair[0])[:3]
        if status == "no answer" or (isinstance(status, int) and status >= 500):
            self.broken.append((status, request))

    def _send(self, request: FuzzedRequest) -> int | str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        with contextlib.closing(connection):
            try:
                connection.putrequest(request.method, request.target, skip_host="Host" in request.headers)
                session = self._sessions.get(request.who)
                if session and "Cookie" not in request.headers:
                    connection.putheader("Cookie", f"{COOKIE}={session}")
                for name, value in request.headers.items():
                    connection.putheader(name, value.encode("latin-1"))
                if request.body is not None:
                    connection.putheader("Content-Length", str(len(request.body)))
                connection.endheaders(request.body)
                answer = connection.getresponse()
                answer.read()
                return answer.status
            except ConnectionError:
                return "closed"  # how the server answers what is no HTTP, perhaps before it has the body
            except (OSError, http.client.HTTPException):
                return "no answer"


def report(fuzzing: Fuzzing, fuzzer: RequestFuzzer, count: int) -> int:
    for _ in range(min(count, 300)):  # what is loaded by the first requests is no growth
        fuzzing.ask(fuzzer.next())
    before, started = fuzzing.memory(), time.monotonic()
    for _ in range(count - min(count, 300)):
        fuzzing.ask(fuzzer.next())
    print(f"{count:,} requests in {time.monotonic() - started:.0f} s")
    for status, times in sorted(fuzzing.statuses.items(), key=str):
        print(f"  {status}: {times:,}")
    print(f"slowest: {', '.join(f'{seconds:.2f} s' for seconds, _ in fuzzing.slowest)}")
    print(f"memory of the viewer: {before / 1e6:.0f} MB, afterwards {fuzzing.memory() / 1e6:.0f} MB")
    print(f"answers of 500 and above, or none: {len(fuzzing.broken)}")
    for status, request in fuzzing.broken[:20]:
        print(f"  {status} {request}")
    print(look_at_machine().in_words())
    return 1 if fuzzing.broken else 0


if __name__ == "__main__":
    sys.exit(main())
