"""Runs of a real Sacred, by its own MongoObserver: run as `python sacred_writes.py URI DATABASE`."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
from sacred import SETTINGS, Experiment  # noqa: E402
from sacred.observers import MongoObserver  # noqa: E402
from sacred.utils import SacredInterrupt, TimeoutInterrupt  # noqa: E402

SETTINGS.CAPTURE_MODE = "sys"
SETTINGS.DISCOVER_DEPENDENCIES = "imported"


class OwnInterrupt(SacredInterrupt):
    STATUS = "MY_STATUS"


def make_experiment(name: str, uri: str, database: str, **options: Any) -> Experiment:
    experiment = Experiment(name, base_dir=str(Path.cwd()))
    experiment.add_config(
        lr=0.1, model={"name": "net", "layers": (2, 3)}, tags=["base"], weights=np.arange(20.0), keys={1: "a"}
    )

    @experiment.main
    def train(_run: Any, lr: float) -> Any:
        for step in range(50):
            _run.log_scalar("loss", 1 / (step + 1))
            _run.log_scalar("val/acc", step / 100, step * 10)
            _run.log_scalar("by epoch", step / 2, step / 4)
        print("trained with", lr)
        _run.info["shared"] = _run.info["again"] = [1, 2]
        _run.open_resource("data.csv").close()
        _run.add_artifact("model.txt")
        _run.add_artifact("model.txt", name="plots/curve.png", content_type="image/png")
        return np.float64(0.5)

    @experiment.command
    def late() -> None:
        raise TimeoutInterrupt

    @experiment.command
    def stopped() -> None:
        raise OwnInterrupt

    @experiment.command
    def broken() -> None:
        raise ValueError("a wrong turn")

    experiment.observers.append(MongoObserver(url=uri, db_name=database, **options))
    return experiment


def main(uri: str, database: str) -> None:
    Path("data.csv").write_text("a,b\n1,2\n")
    Path("model.txt").write_text("weights")
    first = make_experiment("mnist", uri, database)
    first.run(options={"--comment": "a comment", "--beat-interval": 1})
    for command in ("late", "stopped", "broken"):
        with contextlib.suppress(SacredInterrupt, ValueError):
            first.run(command)
    first.run(options={"--queue": True})
    make_experiment("cifar", uri, database, collection_prefix="lab").run(config_updates={"lr": 0.2})
    make_experiment("named", uri, f"{database}_text").run(options={"--id": "77"})
    make_experiment("renamed", uri, f"{database}_text", collection="mine").run()


if __name__ == "__main__":
    main(*sys.argv[1:])
