"""Live updates: what a page hears of a change, from which source, and what happens when things break."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymongo
import pytest
from cloister.observer.run_changes import read_change
from cloister.observer.runs import RunChange, RunStore
from cloister.viewer.live import parse_live_request, render_event
from cloister.viewer.live_history import KEPT_EVENTS, LiveHistory
from cloister.viewer.live_hub import WAITING_RUNS, Interest, Subscription
from cloister.viewer.security import SECURITY_HEADERS
from conftest import free_port
from pymongo.database import Database
from pymongo.errors import PyMongoError
from recorded_script import wait_for
from running_viewer import ask, insert_run, running_viewer, touch_run
from starting_mongod import started_mongod


class LiveReader:
    """Reads a live stream line by line."""

    def __init__(self, port: int, query: str = "", headers: dict[str, str] | None = None, *, root: str = "") -> None:
        self.last_id = ""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", f"{root}/api/v1/live{query}", headers=headers or {})
        self.response = self._connection.getresponse()

    def next_event(self) -> dict[str, Any]:
        """The next change, as its JSON. Gaps and places are passed over; `last_id` is what a browser would keep."""
        event: dict[str, str] = {}
        deadline = time.monotonic() + 90
        while line := self.response.readline().decode():
            assert time.monotonic() < deadline, "only heartbeats came"
            field, _, value = line.rstrip("\n").partition(": ")
            if field:
                event[field] = value
                self.last_id = value if field == "id" else self.last_id
            elif "data" in event and "event" not in event:
                return json.loads(event["data"])  # type: ignore[no-any-return]
            else:
                event = {}
        raise EOFError("the stream ended")

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@contextmanager
def kept_changing(database: Database[dict[str, Any]], run_id: Any, *, collection: str = "runs") -> Iterator[None]:
    """Changes the run until the block ends.

    A change from before the viewer's change stream was open is told as a gap only, and nobody outside knows when the
    stream opens. So what is to be heard of goes on happening.
    """
    done = threading.Event()

    def touch() -> None:
        while not done.wait(0.1):
            with suppress(PyMongoError):  # a database that is just coming back
                touch_run(database, run_id, collection=collection)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def changing(database: Database[dict[str, Any]]) -> Iterator[Callable[[int], None]]:
    with ExitStack() as stack:
        yield lambda run_id: stack.enter_context(kept_changing(database, run_id))


@pytest.fixture(params=["pymongo", "motor", "polling"])
def port(request: pytest.FixtureRequest, store: RunStore, database_uri: str) -> Iterator[int]:
    """A viewer that learns of changes in each of the three ways there are."""
    if request.param == "polling":
        with running_viewer(store) as port:
            yield port
    else:
        with running_viewer(store, uri=database_uri, driver=request.param) as port:
            yield port


class TestEverySourceOfChanges:
    def test_a_page_of_a_project_hears_of_its_runs_and_of_no_others(
        self, port: int, database: Database[dict[str, Any]], changing: Callable[[int], None]
    ) -> None:
        insert_run(database, 1, project="digits")
        insert_run(database, 2, project="faces")
        with closing(LiveReader(port, "?project=faces")) as reader:
            changing(1)
            changing(2)
            heard = [reader.next_event() for _ in range(2)]
        assert {(event["run_id"], event["project"], event["status"]) for event in heard} == {(2, "faces", "running")}

    def test_a_page_of_a_run_hears_of_that_run_alone(
        self, port: int, database: Database[dict[str, Any]], changing: Callable[[int], None]
    ) -> None:
        insert_run(database, 1)
        insert_run(database, 2)
        with closing(LiveReader(port, "?run=2")) as reader:
            changing(1)
            changing(2)
            assert [reader.next_event()["run_id"] for _ in range(2)] == [2, 2]

    def test_a_new_run_and_its_end_are_told(
        self, port: int, database: Database[dict[str, Any]], changing: Callable[[int], None]
    ) -> None:
        with closing(LiveReader(port, "?project=digits")) as reader:
            insert_run(database, 7)
            changing(7)
            assert reader.next_event()["run_id"] == 7
            now = datetime.now(timezone.utc)
            database["runs"].update_one(
                {"_id": 7}, {"$set": {"status": "COMPLETED", "stop_time": now, "cloister.updated_at": now}}
            )
            event = reader.next_event()
            while event["status"] != "completed":
                event = reader.next_event()
            assert event["run_id"] == 7

    def test_what_changed_before_the_stream_opened_is_told_by_since(
        self, port: int, database: Database[dict[str, Any]]
    ) -> None:
        insert_run(database, 3)
        since = (datetime.now(timezone.utc) - timedelta(seconds=30)).isoformat(timespec="milliseconds")
        with closing(LiveReader(port, f"?run=3&since={since.replace('+00:00', 'Z')}")) as reader:
            assert reader.next_event()["run_id"] == 3

    def test_a_browser_that_reconnects_hears_what_it_missed(
        self, port: int, database: Database[dict[str, Any]]
    ) -> None:
        for run_id in (4, 5):
            insert_run(database, run_id)
        since = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with closing(LiveReader(port)) as reader, kept_changing(database, 4):
            while reader.next_event()["run_id"] != 4:
                pass
        with closing(LiveReader(port)) as other:  # hears of what the first one misses, so that it has been told
            end = datetime.now(timezone.utc)
            database["runs"].update_one({"_id": 5}, {"$set": {"status": "COMPLETED", "cloister.updated_at": end}})
            while other.next_event()["status"] != "completed":
                pass
        # The address is the page's, made long before: what the browser itself has heard last counts more.
        with closing(LiveReader(port, f"?since={since}", {"Last-Event-ID": reader.last_id})) as again:
            heard = [again.next_event()]
            while heard[-1]["status"] != "completed":
                heard.append(again.next_event())
        assert heard[-1]["run_id"] == 5
        assert len(heard) <= 3  # what it missed, not all that changed since the page was made
        with closing(LiveReader(port, f"?after={other.last_id}")) as worker:
            insert_run(database, 6)
            assert worker.next_event()["run_id"] == 6


def test_a_run_that_changes_all_the_time_is_told_at_most_twice_a_second(
    store: RunStore, database: Database[dict[str, Any]], database_uri: str
) -> None:
    insert_run(database, 1)
    done = threading.Event()

    def touch_without_pause() -> None:
        while not done.is_set():
            touch_run(database, 1)

    thread = threading.Thread(target=touch_without_pause)
    with running_viewer(store, uri=database_uri) as port, closing(LiveReader(port, "?run=1")) as reader:
        thread.start()
        try:
            reader.next_event()
            started = time.monotonic()
            for _ in range(4):
                reader.next_event()
            assert time.monotonic() - started > 1.4  # four gaps of half a second, the first perhaps cut short
        finally:
            done.set()
            thread.join()


def test_open_streams_end_at_once_when_the_viewer_stops(store: RunStore, database_uri: str) -> None:
    with running_viewer(store, uri=database_uri) as port:
        readers = [LiveReader(port) for _ in range(5)]
    for reader in readers:
        with closing(reader):
            assert b"run_id" not in reader.response.read()  # the end, not an endless wait; a gap may have been told


def test_a_stream_has_the_security_headers_and_is_never_cached(store: RunStore) -> None:
    with running_viewer(store) as port, closing(LiveReader(port)) as reader:
        assert reader.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        for name, value in SECURITY_HEADERS.items():
            assert reader.response.headers[name] == value
        assert "Server" not in reader.response.headers


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        pytest.param({"Origin": "http://evil.example"}, 403, "http://evil.example", id="foreign-origin"),
        pytest.param({"Origin": "null"}, 403, "null", id="sandboxed-page"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, "cross-site", id="cross-site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, "same-site", id="neighbour-subdomain"),
        pytest.param({"Host": "evil.example"}, 421, "evil.example", id="rebound-name"),
    ],
)
def test_another_sites_page_gets_no_stream(store: RunStore, headers: dict[str, str], status: int, words: str) -> None:
    with running_viewer(store) as port:
        response, body = ask(port, "/api/v1/live", headers=headers)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert words in json.loads(body)["detail"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?run=abc", "run='abc'"),
        ("?run=1.5", "id:<text>"),
        ("?run=%D9%A3", "a run's number"),
        ("?run=1&run=2", "2 times"),
        ("?since=yesterday", "with its zone"),
        ("?after=yesterday", "the id of an event"),
        ("?projct=x", "no parameter 'projct'"),
    ],
)
def test_a_stream_asked_for_wrongly_says_what_it_takes(store: RunStore, query: str, words: str) -> None:
    with running_viewer(store) as port:
        response, body = ask(port, f"/api/v1/live{query}")
    assert response.status == 400
    assert words in json.loads(body)["detail"]


def test_a_stream_answers_get_only(store: RunStore) -> None:
    with running_viewer(store) as port:
        response, body = ask(port, "/api/v1/live", method="POST", body=b"")
    assert response.status == 405
    assert json.loads(body)["status"] == 405


def test_more_streams_than_an_address_may_have_get_a_clear_answer(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloister.viewer.live_hub.LiveHub.__init__.__kwdefaults__", {"streams": 512, "per_address": 2})
    with running_viewer(store) as port:
        readers = [LiveReader(port) for _ in range(2)]
        response, body = ask(port, "/api/v1/live")
        assert response.status == 503
        assert response.headers["Retry-After"] == "30"
        assert "2 live streams" in json.loads(body)["detail"]
        for reader in readers:
            reader.close()


def change_of(run_id: int) -> RunChange:
    return RunChange(run_id, "digits", "running", datetime.now(timezone.utc))


def test_what_waits_for_a_slow_reader_is_bounded_and_ends_in_one_gap() -> None:
    history = LiveHistory()

    async def fill(count: int, runs: int) -> list[Any]:
        subscription = Subscription(Interest(), "127.0.0.1")
        for number in range(count):
            subscription.put(history.add(change_of(number % runs)))
            assert subscription.waiting_count <= WAITING_RUNS
        events = await subscription.take(1)
        assert [event.number for event in events] == sorted(event.number for event in events)
        assert events[-1].number == history.last
        return [event.item if event.item == "gap" else event.item.run_id for event in events]

    assert asyncio.run(fill(10_000, 3)) == [1, 2, 0]  # of each run the newest
    assert asyncio.run(fill(WAITING_RUNS, WAITING_RUNS)) == list(range(WAITING_RUNS))
    assert asyncio.run(fill(WAITING_RUNS + 1, WAITING_RUNS + 1)) == ["gap"]
    assert asyncio.run(fill(10_000, 10_000)) == ["gap"]


def test_the_history_knows_what_it_has_forgotten() -> None:
    history, other = LiveHistory(), LiveHistory()
    events = [history.add(change_of(number)) for number in range(10)]
    assert history.after(history.place_of(7)) == events[7:]
    assert history.after(history.place) == []
    assert history.after(history.place_of(0)) == events
    for unknown in (history.place_of(11), other.place_of(3), "2026-03-02T14:02:07.123Z", "", "x.1", "0" * 8 + ".1"):
        assert history.after(unknown) is None, unknown
    for number in range(KEPT_EVENTS):
        history.add(change_of(number))
    assert history.after(history.place_of(9)) is None
    assert len(history.after(history.place_of(10)) or ()) == KEPT_EVENTS


def test_two_hundred_tabs_hear_everything_and_leave_nothing_behind(
    store: RunStore, database: Database[dict[str, Any]], database_uri: str
) -> None:
    for run_id in range(4):
        insert_run(database, run_id)
    watched = gc_count(Subscription)
    with running_viewer(store, uri=database_uri) as port:
        with ExitStack() as stack:
            readers = [stack.enter_context(closing(LiveReader(port, f"?run={number % 4}"))) for number in range(200)]
            with ExitStack() as changing:
                for run_id in range(4):
                    changing.enter_context(kept_changing(database, run_id))
                assert [reader.next_event()["run_id"] for reader in readers] == [number % 4 for number in range(200)]
            response, _ = ask(port, "/api/v1/projects")  # the threads that answer pages are none of theirs
            assert response.status == 200
            assert gc_count(Subscription) >= watched + 200
        with (
            closing(LiveReader(port, "?run=1")) as reader,
            kept_changing(database, 1),
        ):  # writing to the others ends them
            wait_for(lambda: reader.next_event() and gc_count(Subscription) <= watched + 1, "closed streams are gone")


def gc_count(kind: type) -> int:
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


# A killed server breaks connections in the middle; the drivers leave their sockets to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("driver", ["pymongo", "motor"])
def test_updates_go_on_after_the_database_was_killed_and_came_back(tmp_path: Path, driver: Any) -> None:
    port = free_port()
    with started_mongod(tmp_path, port, fresh=True) as uri:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            uri, serverSelectionTimeoutMS=2000, tz_aware=True
        )
        with client, ExitStack() as stack:
            database = client["cloister"]
            viewer = stack.enter_context(running_viewer(RunStore(database), uri=uri, driver=driver))
            reader = stack.enter_context(closing(LiveReader(viewer)))
            insert_run(database, 1)
            with kept_changing(database, 1):
                assert reader.next_event()["run_id"] == 1
            # `started_mongod` kills the first server when the second is asked for.
            stack.enter_context(started_mongod(tmp_path, port, fresh=False))
            insert_run(database, 2)
            with kept_changing(database, 2):
                deadline = time.monotonic() + 60  # heartbeats keep the stream open for ever
                while reader.next_event().get("run_id") != 2:
                    assert time.monotonic() < deadline, "no change was heard after the database was back"
    gc.collect()  # here, where it is expected, and not in whichever test comes next


def test_a_database_without_change_streams_is_polled(tmp_path: Path) -> None:
    with started_mongod(tmp_path, free_port(), fresh=True, replica_set=False) as uri:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri, tz_aware=True)
        with client:
            database = client["cloister"]
            with running_viewer(RunStore(database), uri=uri) as port, closing(LiveReader(port)) as reader:
                insert_run(database, 1)
                with kept_changing(database, 1):
                    assert reader.next_event()["run_id"] == 1


def test_whoever_watched_before_the_change_stream_was_open_is_told_to_look_again(
    store: RunStore, database_uri: str
) -> None:
    uris = [f"mongodb://127.0.0.1:{free_port()}/"]  # nobody is there, so the stream cannot open before the reader
    with running_viewer(store, uri=lambda: uris[-1]) as port, closing(LiveReader(port)) as reader:
        uris.append(database_uri)
        line = reader.response.readline()
        while line != b"event: gap\n":
            assert line, "the stream ended"
            line = reader.response.readline()


def test_a_run_deleted_before_it_was_looked_up_is_no_change() -> None:
    assert read_change({"operationType": "update", "fullDocument": None}) is None


def test_a_name_full_of_line_ends_stays_inside_its_event() -> None:
    change = RunChange(1, "a\n\ndata: {}\r\nevent: gap\n", "running", datetime.now(timezone.utc))
    lines = render_event(change, LiveHistory().place).split("\n")
    assert [line.partition(":")[0] for line in lines] == ["id", "data", "", ""]


def test_what_a_browser_has_heard_last_is_no_part_of_its_address() -> None:
    asked = parse_live_request({"project": ["digits"], "since": ["2026-03-02T14:02:07.123Z"]}, "0123abcd.7")
    assert asked.interest == Interest(project="digits")
    assert asked.since == datetime(2026, 3, 2, 14, 2, 7, 123000, tzinfo=timezone.utc)
    assert asked.after == "0123abcd.7"
