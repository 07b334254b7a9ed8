"""What Cloister does in each row of docs/from-sacred.md: `python cloister_side.py FILE` writes it as JSON, row by row.

The rows have the names of those in sacred_side.py, and give the same answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloister
import numpy as np
from cloister import Experiment, Ingredient, computed, experiment

ROWS: dict[str, Callable[[], Any]] = {}
QUIET: dict[str, Any] = {"hardware": False, "capture": "none", "command_line": False}


def row(function: Callable[[], Any]) -> Callable[[], Any]:
    ROWS[function.__name__] = function
    return function


def told(ex: Experiment[..., Any], *fields: str) -> dict[str, Any]:
    """What is stored of the experiment's last run, in the words of sacred_side.py."""
    run = ex.last_run
    assert run is not None
    assert run.wait_until_stored(30)
    stored = cloister.load_run(run.id)
    known: dict[str, Callable[[], Any]] = {
        "command": lambda: stored.command,
        "config": lambda: {key: value for key, value in stored.config.items() if key != "seed"},
        "status": lambda: stored.custom_status or stored.status.upper(),
        "result": lambda: stored.result,
        "info": lambda: {key: value for key, value in stored.info.items() if key != "metrics"},
        "metrics": lambda: {name: points_of(stored, name) for name in stored.summary},
        "artifacts": lambda: [[item.name, text(stored.open_artifact(item.name))] for item in stored.artifacts],
        "resources": lambda: [
            [Path(item.path).name, text(stored.open_resource(item.path))] for item in stored.resources
        ],
        "comment": lambda: stored.notes,
        "error": lambda: stored.fail_trace[-1].strip(),
    }
    return {field: known[field]() for field in fields}


def points_of(stored: Any, name: str) -> list[list[float]]:
    points = stored.points(name)
    return [[int(step), float(value)] for step, value in zip(points.steps, points.values, strict=True)]


def text(blob: Any) -> str:
    return str(blob.read().decode())


def from_command_line(ex: Experiment[..., Any], words: str) -> str:
    """Run `ex` as the command line would; gives what is printed."""
    printed, before = io.StringIO(), sys.argv
    sys.argv = ["train.py", *words.split()]
    ex.options["command_line"] = True
    try:
        with contextlib.redirect_stdout(printed):
            ex()
    finally:
        sys.argv = before
    return printed.getvalue()


@row
def main_function() -> Any:
    @experiment(**QUIET)
    def train():
        return 0.5

    train()
    return told(train, "command", "status", "result")


@row
def config_scope() -> Any:
    @experiment(**QUIET)
    def train(lr: float = 0.1, hidden: int = 64):
        return lr * hidden

    train()
    return told(train, "config", "result")


@row
def config_mapping() -> Any:
    @experiment(config={"model": {"hidden": 64}, "lr": 0.1}, **QUIET)
    def train(model, lr):
        return float(model["hidden"] * lr)

    train()
    return told(train, "config", "result")


@row
def config_file() -> Any:
    Path("base.yaml").write_text("lr: 0.1\nhidden: 64\n")

    @experiment(config="base.yaml", **QUIET)
    def train(lr, hidden):
        return lr * hidden

    train()
    return told(train, "config", "result")


@row
def override() -> Any:
    @experiment(config={"lr": 0.1, "model": {"hidden": 64}}, **QUIET)
    def train(lr, model):
        return lr

    from_command_line(train, "lr=0.5 model.hidden=8")
    return told(train, "config", "result")


@row
def computed_entry() -> Any:
    @experiment(**QUIET)
    def train(lr: float = 0.1, smallest_lr: float = computed(lambda lr: lr / 10)):
        return smallest_lr

    from_command_line(train, "lr=0.5")
    return told(train, "config", "result")


@row
def named_config() -> Any:
    @experiment(**QUIET)
    def train(lr: float = 0.1, hidden: int = 64):
        return hidden

    @train.preset
    def small():
        return {"hidden": 8}

    from_command_line(train, "@small lr=0.5")
    return told(train, "config", "result")


@row
def named_config_file() -> Any:
    Path("small.json").write_text('{"hidden": 8}')

    @experiment(**QUIET)
    def train(lr: float = 0.1, hidden: int = 64):
        return hidden

    from_command_line(train, "@small.json")
    return told(train, "config", "result")


@row
def run_from_code() -> Any:
    @experiment(presets={"small": {"hidden": 8}}, **QUIET)
    def train(lr: float = 0.1, hidden: int = 64):
        return lr * hidden

    train.run(config_updates={"lr": 0.5}, presets=["small"])
    return told(train, "config", "result")


@row
def captured_function() -> Any:
    @experiment(config={"lr": 0.1, "hidden": 64}, **QUIET)
    def train(run):
        return build(3)

    @train.capture
    def build(depth, hidden, lr=1.0):
        return [depth, hidden, lr]

    train()
    return told(train, "result")


@row
def captured_prefix() -> Any:
    @experiment(config={"optimizer": {"lr": 0.1, "momentum": 0.9}}, **QUIET)
    def train(run):
        return optimise()

    @train.capture(prefix="optimizer")
    def optimise(lr, momentum):
        return [lr, momentum]

    train()
    return told(train, "result")


def with_data() -> Experiment[..., Any]:
    data = Ingredient("data", config={"share": 0.75}, presets={"tiny": {"share": 0.01}})

    @data.capture
    def size(share):
        return int(1000 * share)

    @data.command
    def count(share):
        return int(1000 * share)

    @experiment(ingredients=[data], **QUIET)
    def train():
        return size()

    return train


@row
def ingredient() -> Any:
    train = with_data()
    from_command_line(train, "data.share=0.5")
    return told(train, "config", "result")


@row
def ingredient_command() -> Any:
    train = with_data()
    from_command_line(train, "data.count")
    return told(train, "command", "result")


@row
def ingredient_named_config() -> Any:
    train = with_data()
    from_command_line(train, "@data.tiny")
    return told(train, "config", "result")


@row
def command() -> Any:
    @experiment(**QUIET)
    def train(lr: float = 0.1):
        return lr

    @train.command
    def evaluate(lr):
        return lr * 2

    from_command_line(train, "evaluate lr=0.5")
    return told(train, "command", "result")


def with_lr() -> Experiment[..., Any]:
    @experiment(**QUIET)
    def train(lr: float = 0.1):
        return lr

    return train


@row
def print_config() -> Any:
    train, before = with_lr(), len(cloister.runs())
    printed = from_command_line(train, "print_config lr=0.5")
    return {"shows the value": "lr" in printed and "0.5" in printed, "is recorded": was_recorded(before)}


@row
def save_config() -> Any:
    train, before = with_lr(), len(cloister.runs())
    from_command_line(train, "save_config lr=0.5 config_filename=saved.json")
    saved = json.loads(Path("saved.json").read_text())
    return {"lr": saved["lr"], "is recorded": was_recorded(before)}


@row
def print_dependencies() -> Any:
    train, before = with_lr(), len(cloister.runs())
    printed = from_command_line(train, "print_dependencies")
    return {"names numpy": "numpy" in printed, "is recorded": was_recorded(before)}


@row
def seeds() -> Any:
    drawn = []

    @experiment(**QUIET)
    def train(seed: int = 7):
        drawn.append([draw(), draw()])

    @train.capture
    def draw(_rnd, _seed):
        return [float(_rnd.random()), _seed]

    train()
    train()
    (first, second), again = drawn
    return {"repeatable": [first, second] == again, "new for each call": first != second}


@row
def hooks() -> Any:
    order = []

    @experiment(**QUIET)
    def train(lr: float = 0.1):
        order.append("train")

    @train.pre_run
    def prepare(lr):
        order.append(f"before {lr}")

    @train.post_run
    def clean_up():
        order.append("after")

    train()
    return {"order": order, **told(train, "status")}


@row
def config_hook() -> Any:
    @experiment(**QUIET)
    def train(lr: float = 0.1, machine: str = ""):
        return machine

    @train.config_hook
    def settle(config, command):
        return {"machine": f"gpu for {command}"}

    train()
    return told(train, "config", "result")


@row
def scalars() -> Any:
    @experiment(**QUIET)
    def train(run):
        for step in range(3):
            run.log({"loss": 1.0 / (step + 1)}, step=step * 10)
        run.log({"accuracy": np.float64(0.5)}, step=0)

    train()
    return told(train, "metrics")


@row
def info() -> Any:
    @experiment(**QUIET)
    def train(run):
        run.info["best"] = {"epoch": 3}

    train()
    return told(train, "info")


@row
def artifact() -> Any:
    @experiment(**QUIET)
    def train(run):
        Path("model.txt").write_text("weights")
        run.log_artifact("model.txt", name="best.txt")

    train()
    return told(train, "artifacts")


@row
def resource() -> Any:
    Path("table.csv").write_text("1,2\n")

    @experiment(**QUIET)
    def train(run):
        with run.open_resource("table.csv") as table:
            return table.read()

    train()
    return told(train, "resources", "result")


@row
def printed() -> Any:
    @experiment(hardware=False, command_line=False)
    def train():
        print("epoch 1")

    train()
    return {"printed": "epoch 1\n" in printed_by(train)}


def was_recorded(runs_before: int) -> bool:
    return len(cloister.runs()) > runs_before


def printed_by(ex: Experiment[..., Any]) -> str:
    assert ex.last_run is not None
    assert ex.last_run.wait_until_stored(30)
    return cloister.load_run(ex.last_run.id).console()


@row
def failure() -> Any:
    @experiment(**QUIET)
    def train():
        raise ValueError("no data")

    with contextlib.suppress(ValueError):
        train()
    return told(train, "status", "error")


@row
def own_status() -> Any:
    class OutOfBudget(cloister.Interruption):
        status = "OUT_OF_BUDGET"

    @experiment(**QUIET)
    def train():
        raise OutOfBudget

    with contextlib.suppress(OutOfBudget):
        train()
    return told(train, "status")


@row
def comment() -> Any:
    train = with_lr()
    from_command_line(train, "--comment baseline")
    return told(train, "comment")


@row
def queue() -> Any:
    train = with_lr()
    with contextlib.suppress(SystemExit):  # the script has done what it was started for
        from_command_line(train, "--queue --priority 3")
    [run] = cloister.runs(status="queued")
    return {"status": run.status.upper(), "priority": run.meta["priority"]}


@row
def unobserved() -> Any:
    train, before = with_lr(), len(cloister.runs())
    from_command_line(train, "--unobserved")
    return {"is recorded": was_recorded(before)}


@row
def enforce_clean() -> Any:
    train, before = with_lr(), len(cloister.runs())
    try:
        from_command_line(train, "--enforce-clean")
    except (cloister.CloisterError, SystemExit):
        return {"refused": True, "is recorded": was_recorded(before)}
    return {"refused": False}


@row
def output_filter() -> Any:
    @experiment(hardware=False, command_line=False, console_filter=lambda text: text.replace("secret", "xxx"))
    def train():
        print("my secret")

    train()
    return {"filtered": "my xxx" in printed_by(train)}


@contextlib.contextmanager
def own_folder() -> Iterator[None]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    logging.disable()
    answers = {}
    for name, function in ROWS.items():
        with own_folder():
            answers[name] = function()
    Path(sys.argv[1]).write_text(json.dumps(answers))
