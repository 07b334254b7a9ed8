"""What capturing costs a print, and what a hardware sample costs: python benchmarks/console.py

A million numbered lines are printed to /dev/null, without capture, with a recorder that does nothing, and with the real
journal; then it samples the hardware a hundred times, alone and with 16 child processes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cloister.observer.console_capture import ConsoleCapture
from cloister.observer.hardware.causes import Causes
from cloister.observer.hardware.probe import HardwareProbe
from cloister.observer.journal import Journal
from cloister.observer.settings import CaptureMode

PRINTS = 1_000_000


def measure_prints(
    name: str, record: Callable[[str, str, float], None], mode: CaptureMode, count: int, pause: float
) -> None:
    records = 0

    def count_records(stream: str, text: str, wall_time: float) -> None:
        nonlocal records
        records += 1
        record(stream, text, wall_time)

    spent = 0.0
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        ConsoleCapture(count_records, mode),
    ):
        for number in range(count):
            begin = time.perf_counter()
            print("step", number)
            spent += time.perf_counter() - begin
            if pause:
                time.sleep(pause)
    sys.stderr.write(f"{name:45s} {spent / count * 1e6:6.2f} us per print, {records:8,d} records\n")


def measure_samples(children: int) -> None:
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(children)]
    try:
        probe = HardwareProbe(os.getpid(), Path.cwd(), Causes())
        begin = time.process_time()
        for _ in range(100):
            probe.measure()
        spent = time.process_time() - begin
        probe.close()
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    sys.stderr.write(f"hardware sample, {children:2d} children {spent * 10:26.2f} ms of CPU\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), {"run": "benchmark"})

        def write(stream: str, text: str, wall_time: float) -> None:
            journal.record("console", {"stream": stream, "text": text}, wall_time)

        measure_prints("no capture", lambda *_: None, "none", PRINTS, 0)
        measure_prints("captured, recorder does nothing", lambda *_: None, "sys", PRINTS, 0)
        measure_prints("captured, journal", write, "sys", PRINTS, 0)
        measure_prints("no capture, 500 prints a second", lambda *_: None, "none", 1000, 0.002)
        measure_prints("captured, journal, 500 prints a second", write, "sys", 1000, 0.002)
        journal.close()
    measure_samples(0)
    measure_samples(16)


if __name__ == "__main__":
    main()
