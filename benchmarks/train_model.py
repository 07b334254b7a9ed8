"""One training, recorded with everything on, or not at all; `overhead.py` starts it.

    python train_model.py MODEL TRACKER FOLDER RESULT SIZE

TRACKER is nothing, cloister or wandb, each as its documentation starts it: console, hardware, git and sources included.
RESULT gets as JSON the seconds of the training itself, and of what stands before and after it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from recorders import Log

WARM_UP = 3  # rounds before anything is measured: thread pools, caches, lazy imports


@contextlib.contextmanager
def nothing(_folder: Path) -> Iterator[Log]:
    yield lambda metrics, step: None


@contextlib.contextmanager
def cloister(_folder: Path) -> Iterator[Log]:
    import cloister

    with cloister.start_run(project="benchmark") as run:
        yield run.log


@contextlib.contextmanager
def wandb(folder: Path) -> Iterator[Log]:
    import wandb

    run = wandb.init(project="benchmark", dir=str(folder), mode="offline")
    yield run.log
    run.finish()


TRACKERS = {function.__name__: function for function in (nothing, cloister, wandb)}


def main() -> None:
    model, tracker, folder, result, size = *sys.argv[1:3], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5])
    train = importlib.import_module(f"trainings.{model}").train
    train(lambda metrics, step: None, WARM_UP)
    begun = time.perf_counter()
    with TRACKERS[tracker](folder) as log:
        started = time.perf_counter()
        train(log, size)
        trained = time.perf_counter()
    ended = time.perf_counter()
    spent = {"before_seconds": started - begun, "seconds": trained - started, "after_seconds": ended - trained}
    result.write_text(json.dumps(spent), encoding="utf-8")


if __name__ == "__main__":
    main()
