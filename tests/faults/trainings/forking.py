"""A training that forks: each child logs three points. `python forking.py '{"forks": 1000, ...}'`."""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextlib import nullcontext
from types import SimpleNamespace

from faults.accepted import Tally
from faults.expected import line_of, values_of

POINTS = 3
options = SimpleNamespace(**{"tally": "", "forks": 10, "at_once": 8, **json.loads(sys.argv[1])})
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside threads


def start() -> object:
    if os.environ.get("WITHOUT_CLOISTER"):
        return nullcontext(SimpleNamespace(log=lambda metrics, step: None))
    import cloister

    return cloister.start_run(project="faults", hardware=False)


def live_as_child(run, number: int) -> None:
    tally = Tally(options.tally, number)
    for place in range(POINTS):
        step = number * POINTS + place
        tally.count_step(run.log, values_of(step), step)
    os._exit(0)


with start() as run:
    tally = Tally(options.tally, 0)
    tally.begin()
    children: list[int] = []
    for number in range(1, options.forks + 1):
        child = os.fork()
        if child == 0:
            live_as_child(run, number)
        children.append(child)
        if len(children) == options.at_once:
            assert os.waitpid(children.pop(0), 0)[1] == 0
        if number % 10 == 0:
            tally.count_line(line_of(number // 10 - 1))
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    for step in range(POINTS):
        tally.count_step(run.log, values_of(step), step)
tally.end()
