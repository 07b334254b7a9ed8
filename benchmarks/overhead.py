"""What recording everything costs real trainings: python benchmarks/overhead.py

A scikit-learn perceptron that logs each epoch and a small torch CNN that logs each step, with console, hardware, git
and sources recorded. Each training runs with nothing, with Cloister and, a few times, with W&B offline, one right after
the other in changing order; a ratio is that of one such round, and the table has their median. The time is the
training's own, from its first step to its last, while all helpers work beside it on the same cores; what stands before
and after it has columns of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

import cloister as package
from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable, environment_of, find_peer, interpreter_for, interpreter_with
from private_database import private_database
from rich.table import Table
from tracked_work import HERE, OURS, fresh, work_folder

COLUMNS = ("training", "recorded by", "rounds", "seconds", "ratio", "fastest / fastest", "ratios", "before", "after")
# Ours need no environment of their own: they are what `pip install cloister` brings beside what people train with.
REQUIREMENTS = (
    *("torch==2.13.0", "scikit-learn==1.7.2", "numpy==2.3.5"),
    *("pymongo==4.15.5", "gitpython==3.1.45", "psutil==7.1.3", "platformdirs==4.5.0", "click==8.3.1", "rich==14.2.0"),
    *("pyyaml==6.0.3", "tsdownsample==0.1.4.1", "nvidia-ml-py==13.580.82", "tomli==2.3.0"),
)
SIZES = {"digits_mlp": 80, "digits_cnn": 300}  # epochs and steps: about two seconds each
TITLES = {"digits_mlp": "MLP, scikit-learn", "digits_cnn": "CNN, torch"}
TARGET = "Target: the median ratio below 1.01."


@dataclass(frozen=True)
class Training:
    """Seconds of one training."""

    before_seconds: float
    seconds: float
    after_seconds: float


def main() -> None:
    options = read_options(__doc__ or "", add=add_options)
    machine = look_at_machine()
    pairs, peer_pairs = (1, 1) if options.quick else (options.pairs, options.peer_pairs)
    beside = [tracker for tracker in options.trackers if tracker == "wandb"]
    table = Table(*COLUMNS, title="What recording everything costs a training")
    with private_database(), work_folder() as folder:
        (folder / "site").mkdir()
        (folder / "site" / OURS).symlink_to(Path(package.__file__).parent)
        for model, size in SIZES.items():
            table.add_section()
            trained = train_all(model, size // 10 if options.quick else size, pairs, peer_pairs, beside, folder)
            add_rows(table, model, trained)
    print_figures(table, machine, TARGET)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=11, help="trainings with and without Cloister")
    parser.add_argument("--peer-pairs", type=int, default=3, help="how many of them with W&B too")


def train_all(
    model: str, size: int, pairs: int, peer_pairs: int, beside: list[str], folder: Path
) -> dict[str, list[Training]]:
    """The trainings by tracker; those of one place in the lists were run one after the other."""
    trained: dict[str, list[Training]] = {tracker: [] for tracker in ("nothing", OURS, *beside)}
    for pair in range(pairs):
        order = [tracker for tracker in trained if tracker not in beside or pair < peer_pairs]
        for tracker in order if pair % 2 == 0 else reversed(order):
            trained[tracker].append(train(model, tracker, size, folder))
    return trained


def train(model: str, tracker: str, size: int, folder: Path) -> Training:
    own = fresh(folder, tracker)
    own.mkdir()
    result = own / "result.json"
    arguments = [model, tracker, str(own), str(result), str(size)]
    python = interpreter_with("trainings", REQUIREMENTS)
    subprocess.run(
        [str(python), str(HERE / "train_model.py"), *arguments],
        env=variables_for(tracker, folder, own),
        cwd=own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return Training(**json.loads(result.read_text(encoding="utf-8")))


def variables_for(tracker: str, folder: Path, own: Path) -> dict[str, str]:
    """Everything runs in the trainings' environment; a tracker's modules are added to what it finds."""
    if tracker == "wandb":
        peer = find_peer(tracker)
        modules = next(interpreter_for(peer).parent.parent.glob("lib/*/site-packages"))
        return {**environment_of(peer, own), "PYTHONPATH": str(modules)}
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


def add_rows(table: Table, model: str, trained: dict[str, list[Training]]) -> None:
    plain = trained["nothing"]
    for tracker, trainings in trained.items():
        ratios = sorted(one.seconds / other.seconds for one, other in zip(trainings, plain, strict=False))
        table.add_row(
            TITLES[model] if tracker == "nothing" else "",
            tracker,
            str(len(trainings)),
            f"{statistics.median(training.seconds for training in trainings):.2f} s",
            f"[bold]{statistics.median(ratios):.4f}[/]",
            f"{min(one.seconds for one in trainings) / min(other.seconds for other in plain):.4f}",
            f"{ratios[0]:.3f} to {ratios[-1]:.3f}",
            f"{statistics.median(training.before_seconds for training in trainings):.3f} s",
            f"{statistics.median(training.after_seconds for training in trainings):.3f} s",
        )


if __name__ == "__main__":
    try:
        main()
    except PeerUnavailable as error:
        raise SystemExit(f"The environment for the trainings {error}") from None
