"""Run by a Python that has Sacred: writes a database, folders and a pickle with Sacred's own observers.

Arguments: the server's URI, the database's name, a folder.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")  # Sacred uses what Python and setuptools have since deprecated

import numpy as np  # noqa: E402
import pymongo  # noqa: E402
import sacred  # noqa: E402
from sacred.observers import FileStorageObserver, MongoObserver, TinyDbObserver  # noqa: E402

LONG_POINTS = 70_000
NOWHERE = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100"

uri, database, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
os.chdir(folder)
(folder / "data.csv").write_text("1,2\n", encoding="utf-8")
(folder / "model.bin").write_bytes(bytes(range(256)) * 2000)  # of two chunks


class Boom(Exception):
    """How an experiment fails here."""


def record(
    name: str, observer: Any, work: Callable[[Any, Any], Any], options: dict[str, Any] | None = None, **config: Any
) -> None:
    experiment = sacred.Experiment(name, base_dir=str(folder), save_git_info=False, interactive=True)
    experiment.add_source_file(str(Path(__file__)))
    experiment.observers.append(observer)
    experiment.add_config({"lr": 0.1, "layers": {"first": [8, 16]}, **config})

    @experiment.main
    def main(_run: Any) -> Any:
        return work(experiment, _run)

    with contextlib.suppress(Boom):
        experiment.run(options={"--loglevel": "ERROR", "--capture": "sys", **(options or {})})


def train(experiment: Any, run: Any) -> Any:
    for step in range(50):
        run.log_scalar("loss", 1 / (step + 1), step)
        run.log_scalar("val.acc $1", float(step), 2 * step)
    run.info["shape"] = (3, 4)
    run.info["weights"] = np.arange(3.0)
    run.info["folder"] = Path("/data/x")
    experiment.open_resource("data.csv").close()
    experiment.add_artifact("model.bin", metadata={"kind": "weights"})
    experiment.add_artifact("data.csv", name="table.csv")
    print("\x1b[32mtrained\x1b[0m ä\n10%\r100%")
    return np.float64(0.25)


def train_long(_experiment: Any, run: Any) -> None:
    for step in range(LONG_POINTS):
        run.log_scalar("loss", (step * 7919 % 10_007) / 7, step)


def fail(_experiment: Any, run: Any) -> None:
    run.log_scalar("loss", 3.5)
    raise Boom("boom")


def plain(experiment: Any, run: Any) -> Any:
    run.info["when"] = {"epochs": [1, 2]}
    experiment.add_artifact("data.csv")
    experiment.open_resource("data.csv").close()
    print("plain")
    return {"accuracy": 0.5}


def lose_the_database(observer: Any) -> Callable[[Any, Any], Any]:
    def work(experiment: Any, run: Any) -> None:
        run.log_scalar("loss", 1.5)
        experiment.add_artifact("data.csv")
        run.info["reached"] = "the end"
        print("so far")
        observer.runs = pymongo.MongoClient(NOWHERE)[database]["runs"]
        raise Boom("boom")

    return work


def mongo(**further: Any) -> MongoObserver:
    return MongoObserver(url=uri, db_name=database, **further)


record("digits", mongo(), train, dropout=0.5)
record("digits", mongo(), train_long)
record("mnist", mongo(), fail)
record("queued", mongo(), plain, {"--queue": True, "--priority": "3", "--comment": "later"})
record("lab work", mongo(collection_prefix="lab"), train)
losing = mongo(failure_dir=str(folder / "failures"))
record("lost", losing, lose_the_database(losing))
# Last: with a text among the ids, Sacred finds no next number any more.
record("digits", mongo(), plain, {"--id": "the best"})
for name, work in (("digits", train), ("digits", fail)):
    record(name, FileStorageObserver(folder / "files"), work)
record("digits", FileStorageObserver(folder / "files"), plain, {"--id": "the best"})
for number in range(2):
    record("tiny", TinyDbObserver(str(folder / "tiny")), plain, number=number)
