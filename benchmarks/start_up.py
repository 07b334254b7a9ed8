"""What recording adds before a training's first line and after its last: python benchmarks/start_up.py

Each row is the median of new processes on an embedded database of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from private_database import private_database
from rich.console import Console
from rich.table import Table

REPEATS = 15
IMPORT = """
import time
started = time.perf_counter()
import {name}
print(time.perf_counter() - started)
"""
# Wall clock: the parent goes on measuring after this process has ended.
TRAINING = """
import time
import cloister
before = time.time()
with cloister.start_run(project="start-up") as run:
    first_line = time.time()
    run.log({"loss": 1.0})
    last_line = time.time()
ended = time.time()
import sys
print(before, first_line, last_line, ended, file=sys.stderr)
"""


def main() -> None:
    table = Table("what", "median", "fastest", "slowest", title=f"Start and end, {REPEATS} processes each")
    add_rows(table, {f"import {name}": import_times(name) for name in ("cloister", "pymongo")})
    with private_database():
        training_times()  # the first one of a database makes its indexes
        add_rows(table, training_times())
    Console().print(table)


def import_times(name: str) -> list[float]:
    command = [sys.executable, "-c", IMPORT.format(name=name)]
    return [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(REPEATS)]


def training_times() -> dict[str, list[float]]:
    """Seconds by what they were spent on."""
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "train.py")
        script.write_text(TRAINING, encoding="utf-8")
        for _ in range(REPEATS):
            started = time.time()
            result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
            gone = time.time()
            before, first_line, last_line, ended = map(float, result.stderr.split()[-4:])
            spent = {
                "start of the process to start_run": before - started,
                "start_run to the first line of the training": first_line - before,
                "last line of the training to the end of the run": ended - last_line,
                "end of the run to the end of the process (all is stored)": gone - ended,
                "the whole process": gone - started,
            }
            for what, seconds in spent.items():
                times.setdefault(what, []).append(seconds)
    return times


def add_rows(table: Table, times: dict[str, list[float]]) -> None:
    for what, seconds in times.items():
        table.add_row(what, *(f"{1000 * value:.1f} ms" for value in figures(seconds)))


def figures(seconds: list[float]) -> tuple[float, float, float]:
    return statistics.median(seconds), min(seconds), max(seconds)


if __name__ == "__main__":
    main()
