"""The journal: what is written is read back, whatever happened to the file in between."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest
from cloister.observer import journal_segments
from cloister.observer.journal import Journal
from cloister.observer.journal_chain import SEGMENT_LIMIT_BYTES
from cloister.observer.journal_records import JournalRecord, RecordTooLarge, decode_records, encode_record
from cloister.observer.journal_segments import is_held, read_header, segments_in
from hypothesis import given
from hypothesis import strategies as st

HEADER = {"uid": "01a1fd6d-8b44-7339-9421-c3edac2c77f5"}


def points(sequence: int) -> bytes:
    return encode_record("points", sequence, 1.5, {"s": sequence, "v": {"loss": sequence / 2}})


def sequences(data: bytes) -> list[int]:
    return [record.sequence for record in decode_records(data)]


def read_all(folder: Path) -> list[JournalRecord]:
    return [record for path in segments_in(folder) for record in decode_records(path.read_bytes())]


def test_records_come_back_in_order_after_a_header(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    for step in range(3):
        journal.record("points", {"s": step, "v": {"loss": 0.5}}, wall_time=7.25)
    journal.close()

    [path] = segments_in(tmp_path / "run")
    assert read_header(path) == HEADER
    records = read_all(tmp_path / "run")
    assert [record.kind for record in records] == ["header", "header", "points", "points", "points"]
    assert [record.sequence for record in records] == [1, 1, 2, 3, 4]
    assert records[2].fields == {"s": 0, "v": {"loss": 0.5}}
    assert records[2].time == 7.25


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    Journal(tmp_path / "run", HEADER)

    [path] = segments_in(tmp_path / "run")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_segment_is_held_while_its_writer_lives(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    [path] = segments_in(tmp_path / "run")
    assert is_held(path)
    journal.close()
    assert not is_held(path)


def test_any_one_damaged_byte_costs_the_records_that_it_is_in() -> None:
    whole = b"".join(points(sequence) for sequence in range(5))
    length = len(points(0))
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x5A
        assert sequences(bytes(damaged)) == [number for number in range(5) if number != place // length], place


@given(st.integers(0, 5 * len(points(0))))
def test_a_cut_tail_costs_the_record_that_was_cut(end: int) -> None:
    whole = b"".join(points(sequence) for sequence in range(5))
    assert sequences(whole[:end]) == list(range(end // len(points(0))))


@given(st.binary(max_size=400), st.binary(max_size=400))
def test_foreign_bytes_around_records_are_no_records(before: bytes, between: bytes) -> None:
    found = sequences(before + points(1) + between + points(2))
    assert set(found) <= {1, 2}
    assert 2 in found or b"\x02k\x00" in before + between


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    text = "x" * 8_000_000
    for _ in range(SEGMENT_LIMIT_BYTES // len(text) + 3):
        journal.record("console", {"stream": "stdout", "text": text})
    journal.close()

    assert len(segments_in(tmp_path / "run")) == 2
    assert (
        sum(record.kind == "console" for record in read_all(tmp_path / "run")) == SEGMENT_LIMIT_BYTES // len(text) + 3
    )


def test_a_record_too_large_for_a_document_is_refused_and_the_journal_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    with pytest.raises(RecordTooLarge, match=r"run\.log_artifact"):
        journal.record("set", {"fields": {"result": "x" * 16_000_000}})
    journal.record("beat", {})

    assert [record.kind for record in read_all(tmp_path / "run")] == ["header", "header", "beat"]


def test_a_hundred_threads_lose_and_tear_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)

    def work(thread: int) -> None:
        for step in range(50):
            journal.record("points", {"s": step, "v": {f"metric {thread}": float(step)}})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    records = [record for record in read_all(tmp_path / "run") if record.kind == "points"]
    assert len(records) == 5000
    assert [record.sequence for record in records] == list(range(2, 5002))


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    journal.record("points", {"s": 0, "v": {"parent": 1.0}})
    child = os.fork()
    if child == 0:
        journal.record("points", {"s": 0, "v": {"child": 1.0}})
        os._exit(0)
    os.waitpid(child, 0)
    journal.record("points", {"s": 1, "v": {"parent": 2.0}})

    first, second = segments_in(tmp_path / "run")
    assert is_held(first)
    assert not is_held(second)
    assert [record.fields.get("v") for record in decode_records(first.read_bytes())][2:] == [
        {"parent": 1.0},
        {"parent": 2.0},
    ]
    assert [record.fields.get("v") for record in decode_records(second.read_bytes())][2:] == [{"child": 1.0}]
    assert read_header(second) == HEADER
    journal.close()


def test_a_descriptor_that_the_script_closed_costs_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    journal.record("points", {"s": 0, "v": {"loss": 1.0}})
    os.closerange(journal._chain.descriptor, journal._chain.descriptor + 1)  # as who makes a daemon of itself does
    journal.record("points", {"s": 1, "v": {"loss": 2.0}})
    journal.close()

    assert [record.fields["s"] for record in read_all(tmp_path / "run") if record.kind == "points"] == [0, 1]
    assert journal.lost == {"points": 0, "lines": 0, "bytes": 0}


def test_a_strangers_file_under_our_number_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    strangers = tmp_path / "strangers.txt"
    strangers.touch()
    stranger = os.open(strangers, os.O_WRONLY)
    os.dup2(stranger, journal._chain.descriptor)
    journal.tend()  # once a second
    journal.record("points", {"s": 1, "v": {"loss": 2.0}})
    journal.close()

    assert strangers.read_bytes() == b""
    os.write(stranger, b"still open")
    assert [record.fields["s"] for record in read_all(tmp_path / "run") if record.kind == "points"] == [1]


def test_segments_of_a_process_sort_by_creation_although_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    journal = Journal(tmp_path / "run", HEADER)
    for hours in (1, 25, 26):
        monkeypatch.setattr(journal_segments.time, "time_ns", lambda back=hours: now - back * 3600 * 10**9)
        os.close(journal._chain.descriptor)
        journal.record("points", {"s": hours, "v": {"loss": 0.0}})

    steps = [record.fields["s"] for record in read_all(tmp_path / "run") if record.kind == "points"]
    assert steps == [1, 25, 26]


def test_looking_whether_segments_are_held_disturbs_no_writer(tmp_path: Path) -> None:
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for path in segments_in(tmp_path / "run"):
                is_held(path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(200):
            journal = Journal(tmp_path / "run", HEADER)
            assert not journal.memory
            assert journal.record("beat", {})
            journal.close()
            for path in segments_in(tmp_path / "run"):
                path.unlink(missing_ok=True)
    finally:
        over.set()
        looker.join()


def test_a_fork_beside_threads_that_log_hangs_neither_process(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    over = threading.Event()

    def work(thread: int) -> None:
        step = 0
        while not over.is_set():
            journal.record("points", {"s": step, "v": {f"thread {thread}": 1.0}})
            step += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(40):
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a lock that nobody holds any more would have it wait for ever
            journal.record("points", {"s": number, "v": {"child": 1.0}})
            os._exit(0)
        children.append(child)
    over.set()
    for thread in threads:
        thread.join()
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 40

    records = [record for record in read_all(tmp_path / "run") if record.kind == "points"]
    assert sorted(record.fields["s"] for record in records if "child" in record.fields["v"]) == list(range(40))
    for thread in range(4):
        steps = [record.fields["s"] for record in records if f"thread {thread}" in record.fields["v"]]
        assert steps == list(range(len(steps)))
    assert sum(is_held(path) for path in segments_in(tmp_path / "run")) == 1
    journal.close()


def test_a_fork_in_a_signal_handler_inside_a_record_is_no_trap(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", HEADER)
    children: list[int] = []

    def handle(_number: int, _frame: object) -> None:
        child = os.fork()
        if child == 0:
            journal.record("points", {"s": len(children), "v": {"child": 1.0}})
            os._exit(0)
        children.append(child)
        journal.record("points", {"s": len(children), "v": {"handler": 1.0}})

    before = signal.signal(signal.SIGALRM, handle)
    step = 0
    try:
        for number in range(10):
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            while len(children) == number:
                journal.record("points", {"s": step, "v": {"main": 1.0}})
                step += 1
    finally:
        signal.signal(signal.SIGALRM, before)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(children)

    found = [record.fields for record in read_all(tmp_path / "run") if record.kind == "points"]
    assert [fields["s"] for fields in found if "main" in fields["v"]] == list(range(step))
    assert len([fields for fields in found if "handler" in fields["v"]]) == len(children)
    assert sorted(fields["s"] for fields in found if "child" in fields["v"]) == list(range(len(children)))
    journal.close()


def test_with_fsync_every_record_is_on_the_disk_when_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    force = os.fdatasync

    def note(descriptor: int) -> None:
        forced.append(os.fstat(descriptor).st_size)
        force(descriptor)

    monkeypatch.setattr(os, "fdatasync", note)
    journal = Journal(tmp_path / "run", HEADER, durability="fsync")
    [path] = segments_in(tmp_path / "run")
    for step in range(3):
        journal.record("points", {"s": step, "v": {"loss": 1.0}})
        assert forced[-1] == path.stat().st_size
    journal.close()


def test_what_was_recorded_in_a_segment_that_is_full_is_forced_to_the_disk_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: set[int] = set()
    force = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda number: (forced.add(os.fstat(number).st_ino), force(number)))
    monkeypatch.setattr("cloister.observer.journal_chain.SEGMENT_LIMIT_BYTES", 2000)
    journal = Journal(tmp_path / "run", HEADER)
    journal.tend()
    for _ in range(3):
        journal.record("console", {"stream": "stdout", "text": "x" * 3000})
    held = [path for path in segments_in(tmp_path / "run") if is_held(path)]
    assert len(held) == 3  # the full ones too, until they are on the disk
    journal.tend()
    assert [is_held(path) for path in held] == [False, False, True]
    assert {path.stat().st_ino for path in held} <= forced
    journal.close()
