"""A training that saves files and records them. `python saving.py '{"files": 1, "size": 1000000, ...}'`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

from faults.accepted import Tally
from faults.expected import bytes_of, line_of, values_of

options = SimpleNamespace(**{"tally": "", "files": 1, "size": 1_000_000, **json.loads(sys.argv[1])})


def start() -> object:
    if os.environ.get("WITHOUT_CLOISTER"):
        return nullcontext(SimpleNamespace(log=lambda metrics, step: None, log_artifact=lambda path: None))
    import cloister

    return cloister.start_run(project="faults", hardware=False)


tally = Tally(options.tally)
with start() as run:
    tally.begin()
    for number in range(options.files):
        path = Path(f"weights-{number}.bin")
        path.write_bytes(bytes_of(number, options.size))
        tally.count_step(run.log, values_of(number), number)
        tally.count_file(run.log_artifact, path)
        path.write_bytes(b"changed since")  # what was recorded is the file as it was
        path.unlink()
        tally.count_line(line_of(number))
tally.end()
