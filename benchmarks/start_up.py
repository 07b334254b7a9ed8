"""What recording adds before a training's first line and after its last: python benchmarks/start_up.py

Each row is the median of new processes on an embedded database of its own: a script in a plain folder, and one in a git
repository of 2,000 files of which two have changed. W&B offline does the same in the repository, with what it records
of git and sources.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable, environment_of, find_peer, interpreter_for
from private_database import private_database
from rich.table import Table
from source_repository import make_repository
from tracked_work import TITLES, work_folder

REPEATS = 15
FILES = 2_000
COLUMNS = ("where", "what", "median", "fastest", "slowest", "target")
IMPORT = """
import time
started = time.perf_counter()
import {name}
print(time.perf_counter() - started)
"""
# Wall clock: the parent goes on measuring after this process has ended.
TRAINING = """
import sys
import time
begun = time.time()
import cloister
imported = time.time()
with cloister.start_run(project="start-up") as run:
    first_line = time.time()
    run.log({"loss": 1.0})
    time.sleep(float(sys.argv[1]))
    last_line = time.time()
ended = time.time()
print(begun, imported, first_line, last_line, ended, file=sys.stderr)
"""
WANDB_TRAINING = """
import sys
import time
begun = time.time()
import wandb
imported = time.time()
run = wandb.init(project="start-up", mode="offline", save_code=True)
first_line = time.time()
run.log({"loss": 1.0})
time.sleep(float(sys.argv[1]))
last_line = time.time()
run.finish()
ended = time.time()
print(begun, imported, first_line, last_line, ended, file=sys.stderr)
"""
TARGETS = {"start_run to the first line": "150 ms", "last line to the process's end": "300 ms, if all is shipped"}
# Long enough for the snapshot in the background and its shipping: what is measured then is an end, not a beginning.
PAUSE_SECONDS = 1.5

Times = dict[str, list[float]]


def main() -> None:
    options = read_options(__doc__ or "")
    machine = look_at_machine()
    repeats, files, pause = (2, 50, 0.2) if options.quick else (REPEATS, FILES, PAUSE_SECONDS)
    table = Table(*COLUMNS, title=f"Start and end, {repeats} processes each")
    with private_database(), work_folder() as folder:
        add_rows(table, "", {f"import {name}": import_times(name, repeats) for name in ("cloister", "pymongo")})
        plain, repository = folder / "plain", folder / "repository"
        plain.mkdir()
        make_repository(repository, files)
        ours = (sys.executable, dict(os.environ), TRAINING)
        training_times(*ours, plain, 1, 0)  # the first one of a database makes its indexes
        add_rows(table, "plain folder, ended at once", training_times(*ours, plain, repeats, 0))
        add_rows(table, f"{files:,} files in git, ended at once", training_times(*ours, repository, repeats, 0))
        add_rows(table, f"{files:,} files in git, all shipped", training_times(*ours, repository, repeats, pause))
        if "wandb" in options.trackers:
            add_peer(table, f"{files:,} files in git, {TITLES['wandb']}", repository, min(repeats, 3), folder)
    print_figures(table, machine)


def import_times(name: str, repeats: int) -> list[float]:
    command = [sys.executable, "-c", IMPORT.format(name=name)]
    subprocess.run(command, capture_output=True, check=True)  # the first one compiles, once for ever
    return [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(repeats)]


def training_times(
    python: str, environment: dict[str, str], program: str, place: Path, repeats: int, pause: float
) -> Times:
    """Seconds by what they were spent on, in a script at `place` that works for `pause` seconds."""
    times: Times = {}
    script = place / "train.py"
    script.write_text(program, encoding="utf-8")
    for _ in range(repeats):
        started = time.time()
        command = [python, str(script), str(pause)]
        result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=place)
        gone = time.time()
        begun, imported, first_line, last_line, ended = map(float, result.stderr.splitlines()[-1].split())
        spent = {
            "import": imported - begun,
            "start_run to the first line": first_line - imported,
            "last line to the run's end": ended - last_line,
            "last line to the process's end": gone - last_line,
            "the whole process": gone - started - pause,
        }
        for what, seconds in spent.items():
            times.setdefault(what, []).append(seconds)
    return times


def add_peer(table: Table, title: str, repository: Path, repeats: int, folder: Path) -> None:
    peer = find_peer("wandb")
    try:
        python = str(interpreter_for(peer))
    except PeerUnavailable as error:
        table.add_row(title, str(error))
        return
    environment = {**environment_of(peer, folder), "WANDB_DIR": str(folder)}
    add_rows(table, title, training_times(python, environment, WANDB_TRAINING, repository, repeats, 0), ours=False)


def add_rows(table: Table, where: str, times: Times, *, ours: bool = True) -> None:
    table.add_section()
    for index, (what, seconds) in enumerate(times.items()):
        target = TARGETS.get(what, "") if ours else ""
        table.add_row("" if index else where, what, *(f"{1000 * value:.1f} ms" for value in figures(seconds)), target)


def figures(seconds: list[float]) -> tuple[float, float, float]:
    return statistics.median(seconds), min(seconds), max(seconds)


if __name__ == "__main__":
    main()
