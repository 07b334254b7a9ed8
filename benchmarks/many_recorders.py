"""Two hundred trainings that record at once into one mongod: python benchmarks/many_recorders.py --minutes 5

Each is a process of its own with a run of its own that logs five scalars 20 times a second (100 points). They share one
courier, as all trainings of a user on a host do. Every few seconds the table gets what they have logged, what the
database has of it and how many bytes wait in journals: a courier that keeps up has a backlog that stays where it is.

The processes are forked from one that has imported Cloister, which spares memory and changes nothing else: each starts
its run itself. What the trainings themselves need of the two cores is measured too, because they share them with the
courier and mongod.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import multiprocessing
import signal
import statistics
import struct
import time
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.process import BaseProcess

import psutil
from backlog import Courier, destination
from cloister.observer.runs import RunStore
from journal_watch import segments_below
from machine import look_at_machine, print_figures
from options import read_options
from private_database import PrivateDatabase, private_database
from rich.table import Table

SCALARS = 5
CALLS_A_SECOND = 20
PROJECT = "many-recorders"
LOOKS = 12
START_SECONDS = 0.1  # between two trainings' starts
REST_SECONDS = 300.0
BOUNDED_SECONDS = 2.0  # a courier ships several times a second
COUNTER = struct.Struct("<q")
COLUMNS = (
    "second",
    "logged",
    "points/s",
    "stored",
    "behind",
    "behind, s",
    "in journals",
    "recorders",
    "courier",
    "mongod",
)


@dataclass(frozen=True)
class Look:
    """What was logged and what had arrived at one moment."""

    second: float
    logged: int
    stored: int
    journal_bytes: int
    recorder_cpu: float
    courier_cpu: float
    database_cpu: float

    @property
    def behind(self) -> int:
        return self.logged - self.stored


class Shared:
    """What the processes share: how many points each training has logged, and whether all are to end."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, COUNTER.size * count + 1)
        self._count = count

    def set(self, index: int, points: int) -> None:
        COUNTER.pack_into(self._memory, COUNTER.size * index, points)

    @property
    def total(self) -> int:
        return sum(COUNTER.unpack_from(self._memory, COUNTER.size * index)[0] for index in range(self._count))

    def end(self) -> None:
        self._memory[-1] = 1

    @property
    def is_over(self) -> bool:
        return self._memory[-1] == 1


def main() -> None:
    options = read_options(__doc__ or "", peers=False, add=add_options)
    machine = look_at_machine()
    recorders, seconds = (5, 2.0) if options.quick else (options.recorders, 60 * options.minutes)
    with private_database() as database:
        shared = Shared(recorders)
        processes = start_recorders(recorders, shared)
        try:
            looks = watch(processes, shared, database, seconds)
        finally:
            for process in processes:
                process.kill()
                process.join()
    table = Table(*COLUMNS, title=f"{recorders} recorders of {SCALARS * CALLS_A_SECOND} points/s each")
    for before, look in pairwise(looks):
        table.add_row(*cells(before, look))
    recording = [look for look in looks[1:] if look.second <= seconds] or looks
    print_figures(table, machine, verdict(recording, looks[-1].behind, recorders))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recorders", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=1.0)


def start_recorders(count: int, shared: Shared) -> list[BaseProcess]:
    """Trainings that are at work, at different points of their interval."""
    import cloister  # noqa: F401  the children find it imported

    context = multiprocessing.get_context("fork")
    processes: list[BaseProcess] = []
    for index in range(count):
        process = context.Process(target=record, args=(index, shared), daemon=True)
        process.start()
        processes.append(process)
        time.sleep(START_SECONDS)
    return processes


def record(index: int, shared: Shared) -> None:
    """One training: logs at its pace until all are to end."""
    import cloister

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    names = [f"metric/{number}" for number in range(SCALARS)]
    with cloister.start_run(project=PROJECT, name=f"recorder-{index}", capture="none", hardware=False) as run:
        due, step = time.monotonic(), 0
        while not shared.is_over:
            run.log(dict.fromkeys(names, step + 0.5), step=step)
            step += 1
            shared.set(index, step * SCALARS)
            due += 1 / CALLS_A_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
    # The end of a forked child runs no exit handlers; what is left in the journal is the courier's.


def watch(processes: list[BaseProcess], shared: Shared, database: PrivateDatabase, seconds: float) -> list[Look]:
    """Looks for so many seconds, then until all trainings have ended and all is stored."""
    recorder_cpu, courier = CpuSeconds([process.pid or 0 for process in processes]), Courier()
    with RunStore.connect() as store:

        def look() -> Look:
            courier.look()
            logged = shared.total  # before what is stored: behind is never too small by the time between the two
            return Look(
                second=time.monotonic() - started,
                logged=logged,
                stored=stored_points(store),
                journal_bytes=waiting_bytes(store),
                recorder_cpu=recorder_cpu.total(),
                courier_cpu=courier.cpu_seconds,
                database_cpu=database.cpu_seconds(),
            )

        started = time.monotonic()
        looks = [look()]
        while time.monotonic() - started < seconds:
            time.sleep(seconds / LOOKS)
            looks.append(look())
        shared.end()
        ended = time.monotonic()
        while looks[-1].behind > 0 and time.monotonic() - ended < REST_SECONDS:
            time.sleep(max(1.0, (time.monotonic() - ended) / 3))
            looks.append(look())
    return looks


def stored_points(store: RunStore) -> int:
    """All points of our runs that the database has."""
    runs = store.database.runs.find({"cloister.project": PROJECT}, {"cloister.summary": 1})
    return sum(metric["count"] for run in runs for metric in run["cloister"].get("summary", {}).values())


def waiting_bytes(store: RunStore) -> int:
    """What lies in journals and is not covered by a checkpoint."""
    runs = store.database.runs.find({"cloister.project": PROJECT}, {"cloister.journal": 1})
    applied = {name: mark["offset"] for run in runs for name, mark in run["cloister"].get("journal", {}).items()}
    waiting = 0
    for path in segments_below(destination()):
        with contextlib.suppress(FileNotFoundError):  # shipped between the two
            waiting += max(0, path.stat().st_size - applied.get(path.stem, 0))
    return waiting


class CpuSeconds:
    """What processes have spent; of those that have ended, what they had at the last look."""

    def __init__(self, pids: list[int]) -> None:
        self._seconds = dict.fromkeys(pids, 0.0)

    def total(self) -> float:
        for pid in self._seconds:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(pid).cpu_times()
                self._seconds[pid] = times.user + times.system
        return sum(self._seconds.values())


def cells(past: Look, look: Look) -> list[str]:
    seconds = look.second - past.second
    rate = (look.logged - past.logged) / seconds
    shares = (
        (look.recorder_cpu - past.recorder_cpu) / seconds,
        (look.courier_cpu - past.courier_cpu) / seconds,
        (look.database_cpu - past.database_cpu) / seconds,
    )
    return [
        f"{look.second:,.1f}",
        f"{look.logged:,}",
        f"{rate:,.0f}",
        f"{look.stored:,}",
        f"{look.behind:,}",
        f"{look.behind / rate:,.2f}" if rate > 1 else "",
        f"{look.journal_bytes / 1e6:,.2f} MB",
        *(f"{share:.0%}" for share in shares),
    ]


def verdict(recording: list[Look], left: int, recorders: int) -> str:
    """Whether the backlog stayed where it was while they recorded, and what was left of it in the end, in words."""
    third = max(1, len(recording) // 3)
    parts = (recording[:-third] or recording, recording[-third:])
    earlier, later = (statistics.median(look.behind for look in part) for part in parts)
    asked = recorders * SCALARS * CALLS_A_SECOND
    steady = "stays bounded" if later <= max(2 * earlier, asked * BOUNDED_SECONDS) else "GROWS"
    end = "all was stored at the end" if left <= 0 else f"{left:,} points were never stored"
    return (
        f"The backlog {steady}: {earlier:,.0f} points behind, then {later:,.0f} in the last third "
        f"({later / asked:.2f} s of what was asked for); {end}. Shares are of one core."
    )


if __name__ == "__main__":
    main()
