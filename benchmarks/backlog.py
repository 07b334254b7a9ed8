"""What waits in a journal while no courier works, and how one courier ships it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from cloister.observer.courier_launch import held_lock
from cloister.observer.journal_places import journal_places
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from journal_watch import segments_below
from private_database import PrivateDatabase
from tracked_work import HERE, LOOK_SECONDS, Work, is_stored

WRITE_SECONDS = 600.0
SHIP_SECONDS = 600.0
GONE_SECONDS = 60.0
RELAUNCH_SECONDS = 5.0
LAUNCH = """
from cloister.observer.courier_launch import ensure_courier
from cloister.observer.journal_places import journal_places
from cloister.observer.settings import load_settings
settings = load_settings()
ensure_courier(journal_places(settings)[0], settings)
"""


@dataclass(frozen=True)
class Drained:
    """How one courier shipped a backlog."""

    seconds: float  # from the courier's start until all was readable
    cpu_seconds: float  # of the courier
    database_cpu_seconds: float
    peak_bytes: int  # of the courier's memory
    journal_bytes: int
    sent_bytes: int  # to mongod, by the wire


class NotShipped(Exception):
    """The courier did not ship a backlog in time."""


def write_backlog(program: str, *arguments: str) -> None:
    """Have a program of this folder record with no courier at work.

    The lock that a courier holds is ours meanwhile, so that nobody starts one.
    """
    folder = destination()
    folder.mkdir(parents=True, exist_ok=True)
    with held_lock(folder) as is_ours:
        assert is_ours, "the courier of the run before is still there"
        subprocess.run(
            [sys.executable, str(HERE / program), *arguments],
            env={**os.environ, "CLOISTER_EXIT_WAIT": "0.1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=WRITE_SECONDS,
        )


def write_points(name: str, work: Work, folder: Path) -> None:
    """A backlog of points in a run called `name`."""
    own = folder / name
    own.mkdir()
    shape = (str(work.steps), str(work.metrics), "0")
    write_backlog("record_work.py", "cloister", str(own), str(own / "facts.json"), *shape)


def drain(name: str, work: Work, database: PrivateDatabase) -> Drained:
    """Start a courier and wait until the run called `name` has ended, in the database, with all of `work`.

    Raises:
        NotShipped: that took too long.
    """
    journal_bytes = waiting_bytes()
    with RunStore.connect() as store:
        sent_before, cpu_before = received_bytes(store), database.cpu_seconds()
        started = launched = time.monotonic()
        launch_courier()
        courier = Courier()
        while not is_stored(store, name, work):
            if time.monotonic() - started > SHIP_SECONDS:
                raise NotShipped(f"{name} is not stored after {SHIP_SECONDS:.0f} s")
            courier.look()
            # One whose first try at the database is too slow goes, where no training runs that would start another.
            if not courier.is_at_work and time.monotonic() - launched > RELAUNCH_SECONDS:
                launched = time.monotonic()
                launch_courier()
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - started
        courier.look()
        courier.wait_until_gone()
        sent = received_bytes(store) - sent_before
    return Drained(
        seconds=seconds,
        cpu_seconds=courier.cpu_seconds,
        database_cpu_seconds=database.cpu_seconds() - cpu_before,
        peak_bytes=courier.peak_bytes,
        journal_bytes=journal_bytes,
        sent_bytes=sent,
    )


def launch_courier() -> None:
    """Start one as a training does, unless one is at work."""
    subprocess.run([sys.executable, "-c", LAUNCH], check=True, stderr=subprocess.DEVNULL)


def waiting_bytes() -> int:
    """All journal segments that lie there."""
    total = 0
    for path in segments_below(destination()):
        with contextlib.suppress(FileNotFoundError):  # shipped meanwhile
            total += path.stat().st_size
    return total


def received_bytes(store: RunStore) -> int:
    """What mongod has been sent, in all."""
    return int(store.database.client.admin.command("serverStatus")["network"]["bytesIn"])


def wait_until_courier_is_gone() -> None:
    """Return once nobody ships: all that a courier does after a run's end is then done too."""
    deadline = time.monotonic() + GONE_SECONDS
    while time.monotonic() < deadline:
        with held_lock(destination()) as is_free:
            if is_free:
                return
        time.sleep(LOOK_SECONDS)
    raise NotShipped(f"the courier still works {GONE_SECONDS:.0f} s after the run's end")


class Courier:
    """What a courier uses, as seen from outside; its last look before it goes stays."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.cpu_seconds = 0.0
        self._process: psutil.Process | None = None

    def look(self) -> None:
        if not self.is_at_work:
            self._process = next(_couriers(), None)
        if self._process is None:
            return
        with contextlib.suppress(psutil.Error, OSError):
            times = self._process.cpu_times()
            self.cpu_seconds = times.user + times.system
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_bytes = int(line.split()[1]) * 1024

    @property
    def is_at_work(self) -> bool:
        return self._process is not None and self._process.is_running()

    def wait_until_gone(self) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while self.is_at_work and time.monotonic() < deadline:
            self.look()
            time.sleep(LOOK_SECONDS)
        wait_until_courier_is_gone()


def _couriers() -> Iterator[psutil.Process]:
    """Processes whose last argument is our destination's folder, as a courier's is."""
    folder = str(destination())
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[-1] == folder:
            yield process


def destination() -> Path:
    """Where the journals of the measured runs lie."""
    return journal_places(load_settings())[0]
