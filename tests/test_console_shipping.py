"""The console on its way into the database: in pieces of a good size, once, in order, and read page by page."""

from __future__ import annotations

import random
import time

import pytest
from cloister.observer import run_shipper
from cloister.observer.console_shipper import CAPTURED_OUT_BYTES, ConsoleShipper
from cloister.observer.console_store import PAGE_CHARACTERS, PIECE_LINES, split_text
from cloister.observer.courier import Courier
from cloister.observer.mongo import client_for
from cloister.observer.runs import RunStore
from pymongo.errors import ConnectionFailure
from recorded_work import RecordedWork, begin_work, ship_until_done

pytestmark = pytest.mark.usefixtures("home")


def print_to(work: RecordedWork, text: str, *, stream: str = "stdout", at: float | None = None) -> None:
    work.recorder.record_console(stream, text, time.time() if at is None else at)
    work.text[stream] += text


def ship(work: RecordedWork, uri: str, store: RunStore) -> int:
    work.record(1)
    work.end()
    ship_until_done(uri, work.places)
    work.assert_stored(store)
    run = store.find_run_by_uid(work.uid)
    assert run is not None
    return int(run.id)


def test_small_lines_of_one_moment_are_one_piece_and_streams_keep_their_order(
    store: RunStore, database_uri: str
) -> None:
    work = begin_work(database_uri)
    for number in range(300):
        print_to(work, f"line {number}\n", at=1_700_000_000.0)
    print_to(work, "an error\n", stream="stderr", at=1_700_000_000.0)
    print_to(work, "and on\n", at=1_700_000_000.0)
    print_to(work, "later\n", at=1_700_000_001.0)
    run_id = ship(work, database_uri, store)
    pieces = store.load_console(run_id).pieces
    assert [(piece.stream, piece.text.count("\n")) for piece in pieces[:4]] == [
        ("stdout", 300),
        ("stderr", 1),
        ("stdout", 1),
        ("stdout", 1),
    ]
    assert pieces[3].time.timestamp() == 1_700_000_001.0


@pytest.mark.parametrize("end", ["", "\n", "unended", "\r\n"])
def test_a_text_of_thousands_of_lines_is_several_pieces(end: str) -> None:
    text = "".join(f"{number}\r{number}%\n" for number in range(2 * PIECE_LINES + 1)) + end
    parts = list(split_text(text))
    assert "".join(parts) == text
    assert max(part.count("\n") for part in parts) <= PIECE_LINES
    assert all(parts)


def test_a_replay_that_cuts_its_batches_elsewhere_stores_the_text_once(
    store: RunStore, database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begin_work(database_uri)
    chance = random.Random(7)
    for number in range(1500):
        stream = "stderr" if chance.random() < 0.02 else "stdout"
        print_to(work, f"line {number} {'x' * chance.randrange(100)}\n" * chance.choice([1, 1, 1, 3]), stream=stream)
    work.record(1)
    work.end()
    stored = ConsoleShipper.store

    def store_and_die(self: ConsoleShipper) -> None:
        stored(self)
        if chance.random() < 0.5:
            raise ConnectionFailure("killed between the pieces and the checkpoint")

    monkeypatch.setattr(ConsoleShipper, "store", store_and_die)
    for _ in range(60):
        monkeypatch.setattr(run_shipper, "BATCH_BYTES", chance.randrange(300, 20_000))
        try:
            ship_until_done(database_uri, work.places, until=time.monotonic() + 0.05)
        except AssertionError:
            continue
        break
    monkeypatch.setattr(ConsoleShipper, "store", stored)
    ship_until_done(database_uri, work.places)
    work.assert_stored(store)


def test_pages_of_a_chatty_console_are_bounded_and_lead_through_all_of_it(store: RunStore, database_uri: str) -> None:
    work = begin_work(database_uri)
    for number in range(120):
        print_to(work, f"{number:09d}" + "x" * 60_000 + "\n")
    run_id = ship(work, database_uri, store)
    whole = work.text["stdout"]

    forwards, cursor = "", "0"
    while True:
        page = store.load_console(run_id, after=cursor, limit=1000)
        assert sum(len(piece.text) for piece in page.pieces) <= PAGE_CHARACTERS + 70_000
        forwards += "".join(piece.text for piece in page.pieces if piece.stream == "stdout")
        cursor = page.last
        if not page.more:
            break
    first = store.load_console(run_id, before="1").pieces
    assert "".join(piece.text for piece in first) + forwards == whole

    backwards = ""
    page = store.load_console(run_id)
    assert page.more
    while True:
        backwards = "".join(piece.text for piece in page.pieces if piece.stream == "stdout") + backwards
        if not page.more:
            break
        page = store.load_console(run_id, before=page.first)
    assert backwards == whole


def test_captured_out_is_the_end_of_the_console(store: RunStore, database_uri: str) -> None:
    work = begin_work(database_uri)
    for number in range(12_000):
        print_to(work, f"line {number} of a long console\n")
    run_id = ship(work, database_uri, store)
    captured = store.database["runs"].find_one({"_id": run_id}, {"captured_out": 1})
    assert captured is not None
    assert work.text["stdout"].startswith("line 0")
    assert captured["captured_out"].endswith("line 11999 of a long console\nstep 0 of " + work.uid + "\n")
    assert CAPTURED_OUT_BYTES - 100 < len(captured["captured_out"]) <= CAPTURED_OUT_BYTES


def test_captured_out_is_the_end_also_when_another_courier_shipped_it(store: RunStore, database_uri: str) -> None:
    work = begin_work(database_uri)
    print_to(work, "the last words\n")
    with client_for(database_uri) as client:  # gone before the run's end, and before it was time for Sacred's readers
        Courier(client.get_default_database(), work.places).ship()
    work.end()
    ship_until_done(database_uri, work.places)
    captured = store.database["runs"].find_one({"cloister.uid": work.uid}, {"captured_out": 1})
    assert captured is not None
    assert captured["captured_out"] == "the last words\n"
