"""The fault table: every row, with the sizes at which `make faults` and the test suite run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import database_rows, disk_rows, file_rows, journal_rows, killing_rows, process_rows, soak_rows
from .comparing import Outcome
from .places import NotHere, Workplace

Size = float | tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """One fault: what is done, by which function, and how much of it.

    Attributes:
        name: what was done, as the table says it.
        act: the row's function.
        sizes: how often, how long, how large, for `make faults`.
        short: the same for the test suite.
        kind: what is the same for both.
    """

    name: str
    act: Callable[..., Outcome]
    sizes: Mapping[str, Size]
    short: Mapping[str, Size]
    kind: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The rows that belong together: those of one module."""
        return self.act.__module__.rpartition(".")[2].removesuffix("_rows")

    def run(self, work: Workplace, share: float) -> Outcome:
        """Run it, at sizes between those of the suite (0) and the whole ones (1)."""
        started = time.monotonic()
        sizes = {name: between(self.short[name], whole, share) for name, whole in self.sizes.items()}
        try:
            outcome = self.act(work, **sizes, **self.kind)
        except Exception as error:
            if isinstance(error, NotHere):
                raise
            # Wide on purpose: one row that breaks must not hide what came of the others.
            outcome = Outcome(complaints=[f"{type(error).__name__}: {error}"])
        outcome.seconds = time.monotonic() - started
        return outcome


def between(short: Size, whole: Size, share: float) -> Size:
    """A size on the way from `short` to `whole`; of several sizes the first ones."""
    if isinstance(short, tuple) or isinstance(whole, tuple):
        assert isinstance(short, tuple)
        assert isinstance(whole, tuple)
        return whole[: max(len(short), round(share * len(whole)))] if share else short
    size = short + (whole - short) * share
    return round(size) if isinstance(whole, int) else size


def _kills() -> Iterator[Row]:
    for speed, rate in {"full speed": killing_rows.FULL_SPEED, "100/s": 100, "10/s": 10}.items():
        for who, act in {"training": killing_rows.trainer_killed, "both": killing_rows.both_killed}.items():
            yield Row(f"kill -9 of {who}, {speed}", act, {"times": 25}, {"times": 1}, {"rate": rate})
    for rate in (2000, 100, 10):
        act = killing_rows.courier_killed
        yield Row(f"kill -9 of courier, {rate}/s", act, {"times": 20}, {"times": 2}, {"rate": rate})


def _databases() -> Iterator[Row]:
    for how in database_rows.OUTAGES:
        lengths = {"lengths": (1.0,) * 5 + (20.0,) * 2 + (120.0,)}
        yield Row(f"database {how} 1, 20, 120 s", database_rows.outage, lengths, {"lengths": (1.0,)}, {"how": how})
    yield Row("primary of three killed, stepped down", database_rows.primary_lost, {"times": 10}, {"times": 1})
    late = {"times": 3, "seconds": 20.0}
    yield Row("database down at start", database_rows.down_at_start, late, {"times": 1, "seconds": 1.0})
    for words, start in {"in the middle": False, "from the start": True}.items():
        act = database_rows.gone_for_good
        yield Row(f"database gone for good {words}", act, {"times": 5}, {"times": 1}, {"from_the_start": start})
    for how in database_rows.FAILURES:
        sizes, short = {"times": 5, "seconds": 10.0}, {"times": 1, "seconds": 1.0}
        yield Row(f"commands fail: {how}", database_rows.commands_fail, sizes, short, {"how": how})
    whole, short = {"times": 5, "cuts": 40}, {"times": 1, "cuts": 4}
    yield Row("connections cut in batches", database_rows.connections_cut, whole, short)


def _disks() -> Iterator[Row]:
    for words, there in {"database there": True, "database away": False}.items():
        kind = {"with_database": there}
        yield Row(f"data folder's disk full, {words}", disk_rows.one_disk_full, {"times": 5}, {"times": 1}, kind)
        for space, back in {"": False, ", space comes back": True}.items():
            kind = {"with_database": there, "space_comes_back": back}
            yield Row(f"all disks full, {words}{space}", disk_rows.all_disks_full, {"times": 5}, {"times": 1}, kind)
    yield Row("data folder read-only", disk_rows.read_only_home, {"times": 3}, {"times": 1})


def _journals() -> Iterator[Row]:
    flip = journal_rows.bytes_flipped
    yield Row("a journal's byte flipped", flip, {"times": 150}, {"times": 4}, {"in_header": False})
    yield Row("a byte of its header flipped", flip, {"times": 30}, {"times": 1}, {"in_header": True})
    yield Row("a journal's tail cut", journal_rows.tails_cut, {"times": 100}, {"times": 2})
    for speed, rate in {"2,000/s": 2000, "50/s": 50}.items():
        act = journal_rows.unsynced_forgotten
        yield Row(f"un-synced data forgotten, {speed}", act, {"times": 20}, {"times": 1}, {"rate": rate})


def _processes() -> Iterator[Row]:
    clock = {"times": 5, "steps": 4000}
    yield Row("clock set back an hour", process_rows.clock_set_back, clock, {"times": 1, "steps": 400})
    yield Row("two ranks write one run", process_rows.two_ranks, {"times": 10}, {"times": 1})
    yield Row("two processes told to write one run", process_rows.one_run_twice, {"times": 10}, {"times": 1})
    yield Row("forks", process_rows.many_forks, {"forks": 1000}, {"forks": 40})


def _files() -> Iterator[Row]:
    whole, short = {"times": 20, "size_mb": 1024}, {"times": 3, "size_mb": 20}
    yield Row("kill -9 of courier at a 1 GB file", file_rows.courier_killed_at_file, whole, short)
    whole, short = {"times": 20, "size_mb": 100}, {"times": 1, "size_mb": 20}
    yield Row("kill -9 of both at files", file_rows.trainer_killed_at_file, whole, short)


def _soak() -> Iterator[Row]:
    whole = {"trainers": 10, "seconds": 1800.0, "kill_every": 300.0, "away": 20.0}
    short = {"trainers": 3, "seconds": 8.0, "kill_every": 3.0, "away": 1.0}
    yield Row("soak: 10 trainings for 30 minutes, database killed", soak_rows.soak, whole, short)


ROWS: tuple[Row, ...] = tuple(
    row for rows in (_kills, _databases, _disks, _journals, _processes, _files, _soak) for row in rows()
)


def rows_of(group: str) -> list[Row]:
    return [row for row in ROWS if row.group == group]


def choose(words: list[str]) -> list[Row]:
    """The rows whose name or group holds any of the words; all where there are none."""
    lower = [word.lower() for word in words]
    return [row for row in ROWS if not lower or any(word in f"{row.group} {row.name}".lower() for word in lower)]
