"""The journal's bytes under damage: every record that is whole comes back, and none that was never written."""

from __future__ import annotations

import datetime
import itertools
import logging
import os
import random
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from cloister.observer.courier import Courier
from cloister.observer.field_names import encode_field_name
from cloister.observer.journal import Journal
from cloister.observer.journal_batches import JournalBatch, decode_batch
from cloister.observer.journal_points import pack_points
from cloister.observer.journal_records import FORMAT, Kind, decode_records, encode_record
from cloister.observer.journal_segments import segments_in
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.database import Database

HEADER = {"uid": "01a1fd6d-8b44-7339-9421-c3edac2c77f5"}
INT64S = st.integers(-(2**63), 2**63 - 1)
NAMES = st.text(st.characters(exclude_categories=()), max_size=20).map(encode_field_name)
VALUES = st.dictionaries(NAMES, st.floats(), max_size=6)


@dataclass(frozen=True)
class Written:
    """A record as it was given to the journal, and its bytes."""

    kind: Kind
    sequence: int
    time: float
    fields: dict[str, Any]
    data: bytes


def written(kind: Kind, sequence: int, time: float, fields: dict[str, Any]) -> Written:
    return Written(kind, sequence, time, fields, encode_record(kind, sequence, time, fields))


SHAPES: tuple[tuple[str, ...], ...] = (
    ("loss",),
    ("acc!",),
    ("train/loss", "lr"),
    ("loss", "acc!"),
    ("lr", "train/loss"),
)


@st.composite
def journals(draw: st.DrawFn, longest: int = 40) -> list[Written]:
    """Stretches of points of a few shapes, alone and by turns, wide and narrow steps, other records between them."""
    stretches = draw(
        st.lists(st.tuples(st.lists(st.integers(-2, len(SHAPES) - 1), min_size=1, max_size=4), st.integers(1, longest)))
    )
    chance = random.Random(draw(st.integers(0, 2**32)))
    records: list[Written] = []
    for shapes, count in stretches:
        for index in range(count):
            records.append(_any_record(shapes[index % len(shapes)], len(records) + 1, chance))
    return records


def _any_record(shape: int, sequence: int, chance: random.Random) -> Written:
    time = 1.7e9 + chance.random()
    if shape == -1:
        return written("console", sequence, time, {"stream": "stdout", "text": "x" * chance.randrange(30)})
    if shape == -2:
        return written("set", sequence, time, {"fields": {"k": b"\x02k\x00", "q": sequence}})
    step = chance.choice([sequence, -sequence, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1])
    values = {name: chance.choice([chance.random(), float("nan"), -0.0]) for name in SHAPES[shape]}
    return written("points", sequence, time, {"s": step, "v": values})


def joined(records: Iterable[Written]) -> bytes:
    return b"".join(record.data for record in records)


def plain(kind: str, sequence: int, time: float, fields: dict[str, Any]) -> tuple[object, ...]:
    """A record as something that compares equal, NaN included."""
    return kind, sequence, time, bson.encode(fields)


def as_written(records: Iterable[Written]) -> list[tuple[object, ...]]:
    return [plain(record.kind, record.sequence, record.time, record.fields) for record in records]


def as_read(data: bytes) -> list[tuple[object, ...]]:
    return [plain(record.kind, record.sequence, record.time, record.fields) for record in decode_records(data)]


def columns_as_read(batch: JournalBatch) -> dict[str, list[tuple[bytes, ...]]]:
    found = {}
    for name, columns in batch.points.items():
        parts = (columns.steps, columns.values, columns.wall_times, columns.sequences)
        assert [part.dtype for part in parts] == [np.int64, np.float64, np.float64, np.int64]
        found[name] = [tuple(number.tobytes() for number in row) for row in zip(*parts, strict=True)]
    return found


def columns_of(records: Iterable[Written]) -> dict[str, list[tuple[bytes, ...]]]:
    """What a batch must hold, the plain way: one point after the other."""
    found: dict[str, list[tuple[bytes, ...]]] = {}
    for record in records:
        if record.kind == "points":
            for name, value in record.fields["v"].items():
                point = struct.pack("<q", record.fields["s"]), struct.pack("<d", value)
                found.setdefault(name, []).append(
                    (*point, struct.pack("<d", record.time), struct.pack("<q", record.sequence))
                )
    return found


def same(found: object, expected: object) -> None:
    is_same = found == expected  # pytest would look for the differences of thousands of records for minutes
    assert is_same


def check_batch(data: bytes, whole: list[Written]) -> None:
    """`decode_batch` finds exactly the records in `whole`."""
    batch = decode_batch(data, 1000)
    same(columns_as_read(batch), columns_of(whole))
    others = [record for record in whole if record.kind != "points"]
    same([plain(found.kind, found.sequence, found.time, found.fields) for found in batch.records], as_written(others))
    assert batch.last_sequence == (whole[-1].sequence if whole else 0)
    whole_bytes = sum(len(record.data) for record in whole)
    assert batch.skipped_bytes == batch.end - 1000 - whole_bytes
    if whole:
        end = batch.end - 1000
        assert data[end - len(whole[-1].data) : end] == whole[-1].data


# ---- the bytes


@settings(deadline=None)
@given(st.integers(1, 2**40), st.floats(0, 4e9), INT64S, VALUES)
def test_packed_points_are_what_bson_makes_of_them(
    sequence: int, time: float, step: int, values: dict[str, float]
) -> None:
    document = {"k": "points", "q": sequence, "t": time, "s": step, "v": values}
    packed = pack_points(sequence, time, step, values)
    if packed is not None:
        assert packed == bson.encode(document)[4:-1]
    record = encode_record("points", sequence, time, {"s": step, "v": values})
    decoded = bson.decode(record)
    assert list(decoded) == ["k", "q", "t", "s", "v", "c"]
    assert bson.encode(decoded) == record
    del decoded["c"]
    assert bson.encode(decoded) == bson.encode(document)


@pytest.mark.parametrize("step", [-(2**31) - 1, -(2**31), -1, 0, 2**31 - 1, 2**31, 2**63 - 1, -(2**63)])
def test_steps_have_the_width_that_bson_gives_them(step: int) -> None:
    document = {"k": "points", "q": 7, "t": 1.5, "s": step, "v": {"loss": 0.5}}
    assert pack_points(7, 1.5, step, {"loss": 0.5}) == bson.encode(document)[4:-1]


@settings(deadline=None)
@given(journals())
def test_a_batch_holds_what_was_written(records: list[Written]) -> None:
    data = joined(records)
    same(as_read(data), as_written(records))
    check_batch(data, records)


@settings(deadline=None)
@given(journals(), st.integers(300, 5000))
def test_batches_cut_anywhere_hold_the_same_points(records: list[Written], size: int) -> None:
    data = joined(records)
    found: dict[str, list[tuple[bytes, ...]]] = {}
    others: list[int] = []
    at = 0
    while at < len(data):
        batch = decode_batch(data[at : at + size], at, goes_on=True)
        assert batch
        assert batch.skipped_bytes == 0
        for name, points in columns_as_read(batch).items():
            found.setdefault(name, []).extend(points)
        others += [record.sequence for record in batch.records]
        at = batch.end
    same(found, columns_of(records))
    assert others == [record.sequence for record in records if record.kind != "points"]


def test_a_record_cut_by_a_batch_is_not_searched_for_others() -> None:
    first, inner = written("beat", 1, 1.0, {}), written("set", 7, 1.0, {"fields": {"cloister.owner": "mallory"}})
    outer = encode_record("console", 2, 1.0, {"stream": "stdout", "text": b"printed " + inner.data + b"x" * 100})
    data = first.data + outer[:-50]
    batch = decode_batch(data, goes_on=True)
    assert [record.sequence for record in batch.records] == [1]
    assert batch.end == len(first.data)
    assert [record.sequence for record in decode_batch(first.data + outer, goes_on=True).records] == [1, 2]
    # Nothing follows, so it is damaged: what is whole in it counts.
    assert [record.sequence for record in decode_batch(data).records] == [1, 7]


# ---- damage


def small_journal() -> list[Written]:
    records = [written("header", 1, 1.0, {"format": 1, "run": {"uid": "x"}})]
    for index in range(20):  # enough alike to be read as rows
        records.append(written("points", index + 2, 1.5, {"s": index, "v": {"loss": 0.25 * index}}))
    records.append(written("console", 22, 2.0, {"stream": "stdout", "text": "epoch 1\n"}))
    records.append(written("points", 23, 2.5, {"s": 2**40, "v": {"loss": 1.0, "acc": 0.5}}))
    records.append(written("end", 24, 3.0, {"status": "COMPLETED"}))
    return records


@pytest.mark.parametrize("mask", [0x01, 0x5A, 0x80, 0xFF])
def test_any_byte_changed_costs_its_own_record_alone(mask: int) -> None:
    records = small_journal()
    owner = [index for index, record in enumerate(records) for _ in record.data]
    whole = bytearray(joined(records))
    for place, index in enumerate(owner):
        whole[place] ^= mask
        others = records[:index] + records[index + 1 :]
        same(as_read(bytes(whole)), as_written(others))
        check_batch(bytes(whole), others)
        whole[place] ^= mask


def test_a_journal_cut_anywhere_keeps_what_stands_before_the_cut() -> None:
    records = small_journal()
    data = joined(records)
    ends = np.cumsum([len(record.data) for record in records])
    for cut in range(len(data) + 1):
        check_batch(data[:cut], records[: int(np.searchsorted(ends, cut, side="right"))])


@st.composite
def accidents(draw: st.DrawFn) -> tuple[list[Written], bytes]:
    """A journal, and its bytes with blocks overwritten, zeroed, lost, in other places, or foreign bytes between."""
    records = draw(journals(longest=20).filter(bool))
    data = joined(records)
    cuts = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=6))})
    head = st.just(records[0].data[:20])  # the beginning of a record: a length that reaches into what follows
    blocks = []
    for start, end in itertools.pairwise(cuts):
        act = draw(st.sampled_from(["keep", "keep", "keep", "zero", "noise", "lose", "insert"]))
        if act == "insert":
            blocks.append(draw(st.one_of(st.binary(max_size=200), head)))
        if act in ("keep", "insert"):
            blocks.append(data[start:end])
        elif act != "lose":
            blocks.append(bytes(end - start) if act == "zero" else os.urandom(end - start))
    if draw(st.booleans()):
        blocks = draw(st.permutations(blocks))
    return records, b"".join(blocks)


@settings(deadline=None, max_examples=200)
@given(accidents())
def test_whatever_happens_to_a_journal_all_whole_records_come_back_and_no_other(
    accident: tuple[list[Written], bytes],
) -> None:
    records, data = accident
    places = {data.find(record.data): record for record in records}  # no two have the same sequence and time
    whole = [record for place, record in sorted(places.items(), key=lambda item: item[0]) if place >= 0]
    same(as_read(data), as_written(whole))
    check_batch(data, whole)


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_foreign_bytes_hold_no_records(noise: bytes) -> None:
    assert not decode_batch(noise)
    assert decode_batch(noise, 7).end == 7


def test_megabytes_of_garbage_are_passed_over() -> None:
    first, last = small_journal()[0], small_journal()[-1]
    lying = struct.pack("<i", 10_000_000) + b"\x02k\x00"  # the beginning of a record that reaches far
    for garbage in (os.urandom(3_000_000), bytes(3_000_000), lying * 200_000, b"\x02k\x00" * 500_000):
        data = first.data + garbage + last.data
        batch = decode_batch(data)
        assert [record.sequence for record in batch.records] == [first.sequence, last.sequence]
        assert batch.skipped_bytes == len(garbage)
        assert batch.end == len(data)


def test_what_has_a_checksum_and_is_no_record_is_skipped() -> None:
    good = written("beat", 5, 1.0, {})
    for document in ({"k": 5, "q": 1, "t": 1.0}, {"k": "beat", "q": "1", "t": 1.0}, {"q": None}, {"t": 1}):
        foreign = encode_record("beat", 1, 1.0, document)
        batch = decode_batch(foreign + good.data)
        assert [record.sequence for record in batch.records] == [5], document
        assert batch.skipped_bytes == len(foreign)
    for fields in ({"s": "1", "v": {}, "x": 1}, {"s": 1}, {"s": 1, "v": {"loss": "high"}, "x": 1}):
        foreign = encode_record("points", 1, 1.0, fields)
        assert decode_batch(foreign + good.data).points == {}
        assert decode_batch(foreign + good.data).skipped_bytes == len(foreign)


# ---- later versions, and power cuts


def header_of(uid: str) -> dict[str, Any]:
    start = datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone.utc)
    return {"uid": uid, "project": "digits", "name": uid, "experiment": "train", "start_time": start}


def test_a_journal_of_a_later_version_is_kept_and_the_others_are_shipped(
    tmp_path: Path, database: Database[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    for uid in ("01a1fd6d-8b44-7339-9421-00000000000a", "01a1fd6d-8b44-7339-9421-00000000000b"):
        journal = Journal(tmp_path / uid, header_of(uid))
        journal.record("points", {"s": 0, "v": {"loss": 0.5}})
        journal.close()
    [later] = segments_in(tmp_path / uid)
    _, *others = decode_records(later.read_bytes())
    content = encode_record("header", 1, 1.0, {"format": FORMAT + 1, "run": header_of(uid)})
    content += b"".join(encode_record("points", other.sequence, other.time, other.fields) for other in others)
    later.write_bytes(content)

    with caplog.at_level(logging.ERROR, "cloister"):
        Courier(database, [tmp_path]).ship()
    assert [run["cloister"]["name"] for run in database["runs"].find()] == ["01a1fd6d-8b44-7339-9421-00000000000a"]
    assert later.read_bytes() == content
    [message] = caplog.messages
    assert str(later.parent) in message
    assert f"format {FORMAT + 1}; this version of Cloister reads format {FORMAT}" in message
    assert "Update Cloister on this machine" in message


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["points", "points", "console", "sync", "new segment"]), max_size=40))
def test_a_power_cut_costs_what_came_after_the_last_sync(acts: list[str]) -> None:
    """The disk forgets whatever was not forced: files are cut back to their size at their last fdatasync."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        forced: dict[int, int] = {}  # bytes by inode

        def fdatasync(descriptor: int) -> None:
            facts = os.fstat(descriptor)
            forced[facts.st_ino] = facts.st_size

        patch.setattr(os, "fdatasync", fdatasync)
        journal = Journal(Path(folder) / "run", HEADER)
        journal.tend()
        recorded: list[int] = []
        kept = 0
        for place, act in enumerate(acts):
            if act == "sync":
                journal.tend()
                kept = len(recorded)
            elif act == "new segment":
                journal._segment_limit = journal._threshold = 0  # as if this one had grown to its limit
            else:
                fields = {"s": place, "v": {"loss": 0.5}} if act == "points" else {"stream": "stdout", "text": "x\n"}
                journal.record("points" if act == "points" else "console", fields, wall_time=float(place))
                recorded.append(place)
        for path in segments_in(Path(folder) / "run"):
            os.truncate(path, min(path.stat().st_size, forced.get(path.stat().st_ino, 0)))
        found = [
            int(record.time)
            for path in segments_in(Path(folder) / "run")
            for record in decode_records(path.read_bytes())
            if record.kind in ("points", "console")
        ]
        journal.close()
    assert found == recorded[: len(found)]
    assert len(found) >= kept
