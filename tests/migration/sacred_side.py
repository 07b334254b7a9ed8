"""What Sacred does in each row of docs/from-sacred.md: `python sacred_side.py FILE` writes it as JSON, row by row."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")  # Sacred's own, of pkg_resources and the like

import numpy as np  # noqa: E402
from sacred import SETTINGS, Experiment, Ingredient  # noqa: E402 only now it is silent
from sacred.observers import RunObserver  # noqa: E402
from sacred.utils import SacredInterrupt  # noqa: E402

SETTINGS.CAPTURE_MODE = "sys"
ROWS: dict[str, Callable[[], Any]] = {}


class Recorder(RunObserver):  # type: ignore[misc]
    """Keeps what Sacred tells of one run."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"metrics": {}, "artifacts": [], "resources": []}

    def started_event(self, ex_info: Any, command: str, config: Any, meta_info: Any, _id: Any, **_: Any) -> None:
        entries = {key: value for key, value in config.items() if key != "seed"}
        self.told.update(command=command, config=json.loads(json.dumps(entries)), comment=meta_info.get("comment", ""))

    def queued_event(self, command: str, config: Any, meta_info: Any, **_: Any) -> None:
        self.told.update(command=command, status="QUEUED", priority=meta_info["options"]["--priority"])

    def log_metrics(self, metrics_by_name: Any, info: Any) -> None:
        for name, metric in metrics_by_name.items():
            points = self.told["metrics"].setdefault(name, [])
            points += [list(point) for point in zip(metric["steps"], metric["values"], strict=True)]

    def heartbeat_event(self, info: Any, captured_out: str, **_: Any) -> None:
        self.told.update(info={key: value for key, value in info.items() if key != "metrics"}, printed=captured_out)

    def artifact_event(self, name: str, filename: str, **_: Any) -> None:
        self.told["artifacts"].append([name, Path(filename).read_text()])

    def resource_event(self, filename: str) -> None:
        self.told["resources"].append([Path(filename).name, Path(filename).read_text()])

    def completed_event(self, result: Any, **_: Any) -> None:
        self.told.update(status="COMPLETED", result=result)

    def interrupted_event(self, status: str, **_: Any) -> None:
        self.told.update(status=status)

    def failed_event(self, fail_trace: list[str], **_: Any) -> None:
        self.told.update(status="FAILED", error=fail_trace[-1].strip())


def row(function: Callable[[], Any]) -> Callable[[], Any]:
    ROWS[function.__name__] = function
    return function


def new(**options: Any) -> tuple[Experiment, dict[str, Any]]:
    """An experiment of Sacred, and what will be told of its run."""
    observer = Recorder()
    ex = Experiment("digits", base_dir=str(Path.cwd()), save_git_info=False, **options)
    ex.observers.append(observer)
    ex.logger = logging.getLogger("quiet")
    return ex, observer.told


def from_command_line(ex: Experiment, words: str) -> str:
    """Run `ex` as the command line would; gives what is printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        ex.run_commandline(["train.py", *words.split()])
    return printed.getvalue()


def picked(told: dict[str, Any], *fields: str) -> dict[str, Any]:
    return {field: told[field] for field in fields}


@row
def main_function() -> Any:
    ex, told = new()

    @ex.main
    def train() -> float:
        return 0.5

    ex.run()
    return picked(told, "command", "status", "result")


@row
def config_scope() -> Any:
    ex, told = new()

    @ex.config
    def config() -> None:
        lr = 0.1
        hidden = 64

    @ex.main
    def train(lr: float, hidden: int) -> float:
        return lr * hidden

    ex.run()
    return picked(told, "config", "result")


@row
def config_mapping() -> Any:
    ex, told = new()
    ex.add_config({"model": {"hidden": 64}, "lr": 0.1})

    @ex.main
    def train(model: Any, lr: float) -> float:
        return float(model["hidden"] * lr)

    ex.run()
    return picked(told, "config", "result")


@row
def config_file() -> Any:
    ex, told = new()
    Path("base.yaml").write_text("lr: 0.1\nhidden: 64\n")
    ex.add_config("base.yaml")

    @ex.main
    def train(lr: float, hidden: int) -> float:
        return lr * hidden

    ex.run()
    return picked(told, "config", "result")


@row
def override() -> Any:
    ex, told = new()

    @ex.config
    def config() -> None:
        lr = 0.1
        model = {"hidden": 64}

    @ex.main
    def train(lr: float) -> float:
        return lr

    from_command_line(ex, "with lr=0.5 model.hidden=8")
    return picked(told, "config", "result")


@row
def computed_entry() -> Any:
    ex, told = new()

    @ex.config
    def config() -> None:
        lr = 0.1
        smallest_lr = lr / 10

    @ex.main
    def train(smallest_lr: float) -> float:
        return smallest_lr

    from_command_line(ex, "with lr=0.5")
    return picked(told, "config", "result")


@row
def named_config() -> Any:
    ex, told = new()

    @ex.config
    def config() -> None:
        lr = 0.1
        hidden = 64

    @ex.named_config
    def small() -> None:
        hidden = 8

    @ex.main
    def train(hidden: int) -> int:
        return hidden

    from_command_line(ex, "with small lr=0.5")
    return picked(told, "config", "result")


@row
def named_config_file() -> Any:
    ex, told = new()
    Path("small.json").write_text('{"hidden": 8}')

    @ex.config
    def config() -> None:
        lr = 0.1
        hidden = 64

    @ex.main
    def train(hidden: int) -> int:
        return hidden

    from_command_line(ex, "with small.json")
    return picked(told, "config", "result")


@row
def run_from_code() -> Any:
    ex, told = new()

    @ex.config
    def config() -> None:
        lr = 0.1
        hidden = 64

    @ex.named_config
    def small() -> None:
        hidden = 8

    @ex.main
    def train(lr: float, hidden: int) -> float:
        return lr * hidden

    ex.run(config_updates={"lr": 0.5}, named_configs=["small"])
    return picked(told, "config", "result")


@row
def captured_function() -> Any:
    ex, told = new()

    @ex.config
    def config() -> None:
        lr = 0.1
        hidden = 64

    @ex.capture
    def build(depth: int, hidden: int, lr: float = 1.0) -> list[float]:
        return [depth, hidden, lr]

    @ex.main
    def train() -> list[float]:
        return build(3)

    ex.run()
    return picked(told, "result")


@row
def captured_prefix() -> Any:
    ex, told = new()
    ex.add_config({"optimizer": {"lr": 0.1, "momentum": 0.9}})

    @ex.capture(prefix="optimizer")
    def optimise(lr: float, momentum: float) -> list[float]:
        return [lr, momentum]

    @ex.main
    def train() -> list[float]:
        return optimise()

    ex.run()
    return picked(told, "result")


def with_data() -> tuple[Experiment, dict[str, Any]]:
    data = Ingredient("data")

    @data.config
    def data_config() -> None:
        share = 0.75

    @data.capture
    def size(share: float) -> int:
        return int(1000 * share)

    @data.command
    def count(share: float) -> int:
        return int(1000 * share)

    @data.named_config
    def tiny() -> None:
        share = 0.01

    ex, told = new(ingredients=[data])

    @ex.main
    def train() -> int:
        return size()

    return ex, told


@row
def ingredient() -> Any:
    ex, told = with_data()
    from_command_line(ex, "with data.share=0.5")
    return picked(told, "config", "result")


@row
def ingredient_command() -> Any:
    ex, told = with_data()
    from_command_line(ex, "data.count")
    return {"command": f"data.{told['command']}", "result": told["result"]}  # Sacred leaves the ingredient out


@row
def ingredient_named_config() -> Any:
    ex, told = with_data()
    from_command_line(ex, "with data.tiny")
    return picked(told, "config", "result")


@row
def command() -> Any:
    ex, told = new()
    ex.add_config({"lr": 0.1})

    @ex.main
    def train(lr: float) -> float:
        return lr

    @ex.command
    def evaluate(lr: float) -> float:
        return lr * 2

    from_command_line(ex, "evaluate with lr=0.5")
    return picked(told, "command", "result")


def with_lr() -> tuple[Experiment, dict[str, Any]]:
    ex, told = new()
    ex.add_config({"lr": 0.1})

    @ex.main
    def train(lr: float) -> float:
        return lr

    return ex, told


@row
def print_config() -> Any:
    ex, told = with_lr()
    printed = from_command_line(ex, "print_config with lr=0.5")
    return {"shows the value": "lr" in printed and "0.5" in printed, "is recorded": "command" in told}


@row
def save_config() -> Any:
    ex, told = with_lr()
    from_command_line(ex, "save_config with lr=0.5 config_filename=saved.json")
    saved = json.loads(Path("saved.json").read_text())
    return {"lr": saved["lr"], "is recorded": "command" in told}


@row
def print_dependencies() -> Any:
    ex, told = with_lr()
    printed = from_command_line(ex, "print_dependencies")
    return {"names numpy": "numpy" in printed, "is recorded": "command" in told}


@row
def seeds() -> Any:
    ex, _ = new()
    ex.add_config({"seed": 7})
    drawn = []

    @ex.capture
    def draw(_rnd: Any, _seed: int) -> list[float]:
        return [float(_rnd.random()), _seed]

    @ex.main
    def train() -> None:
        drawn.append([draw(), draw()])

    ex.run()
    ex.run()
    (first, second), again = drawn
    return {"repeatable": [first, second] == again, "new for each call": first != second}


@row
def hooks() -> Any:
    ex, told = new()
    ex.add_config({"lr": 0.1})
    order = []

    @ex.pre_run_hook
    def prepare(lr: float) -> None:
        order.append(f"before {lr}")

    @ex.post_run_hook
    def clean_up() -> None:
        order.append("after")

    @ex.main
    def train() -> None:
        order.append("train")

    ex.run()
    return {"order": order, "status": told["status"]}


@row
def config_hook() -> Any:
    ex, told = new()
    ex.add_config({"lr": 0.1, "machine": ""})

    @ex.config_hook
    def settle(config: Any, command_name: str, logger: Any) -> dict[str, Any]:
        return {"machine": f"gpu for {command_name}"}

    @ex.main
    def train(machine: str) -> str:
        return machine

    ex.run()
    return picked(told, "config", "result")


@row
def scalars() -> Any:
    ex, told = new()

    @ex.main
    def train(_run: Any) -> None:
        for step in range(3):
            _run.log_scalar("loss", 1.0 / (step + 1), step * 10)
        _run.log_scalar("accuracy", np.float64(0.5))

    ex.run()
    return picked(told, "metrics")


@row
def info() -> Any:
    ex, told = new()

    @ex.main
    def train(_run: Any) -> None:
        _run.info["best"] = {"epoch": 3}

    ex.run()
    return picked(told, "info")


@row
def artifact() -> Any:
    ex, told = new()

    @ex.main
    def train(_run: Any) -> None:
        Path("model.txt").write_text("weights")
        _run.add_artifact("model.txt", name="best.txt")

    ex.run()
    return picked(told, "artifacts")


@row
def resource() -> Any:
    ex, told = new()
    Path("table.csv").write_text("1,2\n")

    @ex.main
    def train(_run: Any) -> str:
        with _run.open_resource("table.csv") as table:
            return str(table.read())

    ex.run()
    return picked(told, "resources", "result")


@row
def printed() -> Any:
    ex, told = new()

    @ex.main
    def train() -> None:
        print("epoch 1")

    ex.run()
    return {"printed": "epoch 1\n" in told["printed"]}


@row
def failure() -> Any:
    ex, told = new()

    @ex.main
    def train() -> None:
        raise ValueError("no data")

    with contextlib.suppress(ValueError):
        ex.run()
    return picked(told, "status", "error")


@row
def own_status() -> Any:
    ex, told = new()

    class OutOfBudget(SacredInterrupt):  # type: ignore[misc]
        STATUS = "OUT_OF_BUDGET"

    @ex.main
    def train() -> None:
        raise OutOfBudget

    with contextlib.suppress(OutOfBudget):
        ex.run()
    return picked(told, "status")


@row
def comment() -> Any:
    ex, told = with_lr()
    from_command_line(ex, "--comment baseline")
    return picked(told, "comment")


@row
def queue() -> Any:
    ex, told = with_lr()
    from_command_line(ex, "--queue --priority 3")
    return {"status": told["status"], "priority": float(told["priority"])}


@row
def unobserved() -> Any:
    ex, told = with_lr()
    from_command_line(ex, "--unobserved")
    return {"is recorded": "command" in told}


@row
def enforce_clean() -> Any:
    ex, told = with_lr()
    try:
        from_command_line(ex, "--enforce_clean")
    except (RuntimeError, SystemExit):
        return {"refused": True, "is recorded": "command" in told}
    return {"refused": False}


@row
def output_filter() -> Any:
    ex, told = new()
    ex.captured_out_filter = lambda text: text.replace("secret", "xxx")

    @ex.main
    def train() -> None:
        print("my secret")

    ex.run()
    return {"filtered": "my xxx" in told["printed"]}


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
