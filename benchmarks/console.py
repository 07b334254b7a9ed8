"""What capturing costs a print, and what a hardware sample costs: python benchmarks/console.py

A million numbered lines are printed to /dev/null: without capture, with a recorder that does nothing, and with the real
journal; then a thousand at a reader's pace. The hardware is sampled a hundred times, alone and with 16 child processes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cloister.observer.console_capture import ConsoleCapture
from cloister.observer.hardware.causes import Causes
from cloister.observer.hardware.probe import HardwareProbe
from cloister.observer.journal import Journal
from cloister.observer.settings import CaptureMode
from machine import look_at_machine, print_figures
from options import read_options
from rich.table import Table

PRINTS = 1_000_000
PACED_PRINTS = 1_000
PAUSE_SECONDS = 0.002
SAMPLES = 100

RecordPiece = Callable[[str, str, float], None]


@dataclass(frozen=True)
class Printing:
    """One way to print."""

    title: str
    mode: CaptureMode
    record: RecordPiece
    count: int
    pause: float = 0.0


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    share = 100 if options.quick else 1
    table = Table("what", "each", "records made", title="Console and hardware")
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), {"run": "benchmark"})

        def write(stream: str, text: str, wall_time: float) -> None:
            journal.record("console", {"stream": stream, "text": text}, wall_time)

        for printing in ways_to_print(write, share):
            seconds, records = time_prints(printing)
            table.add_row(f"print, {printing.title}", f"{seconds * 1e6:.2f} us", f"{records:,}")
        journal.close()
    table.add_section()
    for children in (0, 16):
        milliseconds = 1000 * sample_cpu_seconds(children, max(5, SAMPLES // share))
        table.add_row(f"hardware sample, {children} child processes", f"{milliseconds:.2f} ms of CPU", "")
    print_figures(table, machine)


def ways_to_print(write: RecordPiece, share: int) -> Iterator[Printing]:
    def ignore(stream: str, text: str, wall_time: float) -> None:
        """A recorder that costs nothing."""

    many, few = PRINTS // share, PACED_PRINTS // share
    yield Printing("no capture", "none", ignore, many)
    yield Printing("captured, recorder does nothing", "sys", ignore, many)
    yield Printing("captured, journal", "sys", write, many)
    yield Printing("no capture, 500 a second", "none", ignore, few, PAUSE_SECONDS)
    yield Printing("captured, journal, 500 a second", "sys", write, few, PAUSE_SECONDS)


def time_prints(printing: Printing) -> tuple[float, int]:
    """Seconds of one print, and how many records all of them made."""
    records = 0

    def count_and_record(stream: str, text: str, wall_time: float) -> None:
        nonlocal records
        records += 1
        printing.record(stream, text, wall_time)

    spent = 0.0
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        ConsoleCapture(count_and_record, printing.mode),
    ):
        for number in range(printing.count):
            begin = time.perf_counter()
            print("step", number)
            spent += time.perf_counter() - begin
            if printing.pause:
                time.sleep(printing.pause)
    return spent / printing.count, records


def sample_cpu_seconds(children: int, samples: int) -> float:
    """CPU seconds of one sample, with so many child processes to look at."""
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(children)]
    try:
        probe = HardwareProbe(os.getpid(), Path.cwd(), Causes())
        begin = time.process_time()
        for _ in range(samples):
            probe.measure()
        spent = time.process_time() - begin
        probe.close()
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    return spent / samples


if __name__ == "__main__":
    main()
