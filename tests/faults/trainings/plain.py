"""A training: logs, prints, counts what it was told is recorded. `python plain.py '{"steps": 1000, ...}'`."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from types import SimpleNamespace

from faults.accepted import Tally
from faults.expected import line_of, values_of

options = SimpleNamespace(
    **{
        "tally": "",
        "name": None,
        "slot": 0,
        "steps": 1000,
        "first": 0,  # the first step
        "rate": 0,  # steps a second; 0: as fast as it goes
        "until_told": False,  # ends after the step at which the tally tells it to, not after so many steps
        "at_most": 300,  # seconds, should whoever tells it be gone
        "line_every": 1,  # steps
        "exit_code": 0,
        "clock_back_at": -1,  # the step at which the wall clock is set back by an hour
        "note_syncs": "",  # a file that learns how much of which file is on the disk
        **json.loads(sys.argv[1]),
    }
)


def start() -> object:
    if os.environ.get("WITHOUT_CLOISTER"):
        return nullcontext(SimpleNamespace(log=lambda metrics, step: None))
    import cloister

    return cloister.start_run(project="faults", hardware=False, name=options.name)


def note_syncs(path: str) -> None:
    """Write down the length of every file that the disk was told to keep, once it has."""
    notes = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def noted(real):
        def sync(descriptor):
            descriptor = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            file, size = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor).st_size
            real(descriptor)
            os.write(notes, f"{size} {file}\n".encode())

        return sync

    os.fdatasync, os.fsync = noted(os.fdatasync), noted(os.fsync)


def set_clock_back() -> None:
    real, real_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: real() - 3600, lambda: real_ns() - 3600 * 10**9


def train(run, tally: Tally) -> None:
    started = time.monotonic()
    for step in count(options.first) if options.until_told else range(options.first, options.first + options.steps):
        if step == options.clock_back_at:
            set_clock_back()
        tally.count_step(run.log, values_of(step), step)
        if step % options.line_every == 0:
            tally.count_line(line_of(step // options.line_every))
        if options.rate:
            time.sleep(max(0.0, started + (step + 1 - options.first) / options.rate - time.monotonic()))
        if options.until_told and (tally.is_told_to_end() or time.monotonic() - started > options.at_most):
            break


if options.note_syncs:
    note_syncs(options.note_syncs)
tally = Tally(options.tally, options.slot)
with start() as run:
    tally.begin()
    train(run, tally)
tally.end()
sys.exit(options.exit_code)
