"""Sacred's own experiments for Sacred's readers to open, recorded by our observer: python sacred_for_readers.py FOLDER

Their database is that of the environment. FOLDER/storage has a run of Sacred's FileStorageObserver, to be adopted.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sacred
from cloister import MongoObserver
from sacred.observers import FileStorageObserver

FOLDER = Path(sys.argv[1])
sacred.SETTINGS.CAPTURE_MODE = "sys"  # by descriptors Sacred may miss what was printed last
experiment = sacred.Experiment("sacred", save_git_info=False)
data = sacred.Ingredient("data", save_git_info=False)


@data.config
def data_config() -> None:
    path = "data.csv"  # noqa: F841
    scale = (0.0, 1.0)  # noqa: F841


experiment.ingredients = [data]


@experiment.config
def config() -> None:
    lr = 0.1  # noqa: F841
    tags = ["from", "sacred"]  # noqa: F841
    layers = {"sizes": [3, 2], "none": None}  # noqa: F841


@experiment.main
def train(_run: Any, lr: float) -> Any:
    print("what the experiment printed")
    for step in range(50):
        _run.log_scalar("loss", np.float64(1 / (step + 1)), step)
    for value in (float("nan"), float("inf"), 1):
        _run.log_scalar("system/threads too", value)
    with experiment.open_resource(FOLDER / "resource.txt"):
        experiment.add_artifact(FOLDER / "artifact.csv", metadata={"kind": "table"})
    _run.info["array"] = np.arange(3)
    _run.info["when"] = datetime.datetime(2026, 11, 21)
    _run.info["twice"] = [_run.info["array"], {1: (2, 3)}]
    if lr > 1:
        raise ValueError("too fast")
    return np.float64(3.0)


def main() -> None:
    (FOLDER / "resource.txt").write_text("resource", encoding="utf-8")
    (FOLDER / "artifact.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    experiment.observers = [MongoObserver()]
    experiment.run()
    with contextlib.suppress(ValueError):
        experiment.run(config_updates={"lr": 2.0}, meta_info={"comment": "a comment"})
    experiment.run(options={"--queue": True})
    experiment.observers = [FileStorageObserver(FOLDER / "storage")]
    experiment.run()


if __name__ == "__main__":
    main()
