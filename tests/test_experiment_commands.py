"""Several commands in one script, from the command line and from code, with their hooks."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloister import CloisterError, Experiment, Run, experiment
from cloister.decorators.captured import MissingArgument
from cloister.decorators.command_run import CommandNamedAsEntry, LoopIsRunning
from cloister.decorators.config.errors import MissingConfigValue, UnknownConfigKey
from cloister.decorators.config_hooks import BadConfigHook
from cloister.decorators.experiment import NoSuchCommand, TwoMainFunctions
from cloister.decorators.experiment_options import UnknownOption
from cloister.decorators.part import CommandClash
from cloister.decorators.run_options import UnknownRunOption
from cloister.observer.run_query import RunQuery
from cloister.observer.run_record import RunRecord
from cloister.observer.runs import RunStore
from recorded_script import RecordedScript

SCRIPT = """
    import cloister

    @cloister.experiment(project="digits")
    def train(run, lr: float = 0.1, epochs: int = 3):
        '''Train a model.'''
        print("train", lr, epochs)
        return evaluate()

    @train.command
    def evaluate(lr, checkpoint: str = "best.pt"):
        '''Look how good a checkpoint is.'''
        print("evaluate", lr, checkpoint)
        return {"accuracy": 0.9}

    @train.preset
    def long():
        '''Many epochs.'''
        return {"epochs": 100}

    if __name__ == "__main__":
        train()
"""


@pytest.fixture
def load(
    home: Path, database_uri: str, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Run | None], RunRecord]:
    """Experiments of the test record into its database; gives what is stored of a run that has ended."""
    for name, value in {"URI": database_uri, "COURIER": "thread", "CAPTURE": "none"}.items():
        monkeypatch.setenv(f"CLOISTER_{name}", value)

    def load_stored(run: Run | None) -> RunRecord:
        assert run is not None
        assert run.wait_until_stored()
        return store.load_run(run.id)

    return load_stored


def quiet(**options: Any) -> Any:
    """`experiment`, for tests that look at nothing that is recorded."""
    return experiment(**{"unobserved": True, "command_line": False, **options})


PAGE = Path(__file__).parent.parent / "docs" / "experiments.md"


def test_the_scripts_of_the_page_run(tmp_path: Path) -> None:
    *parts, fit = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "train.py").write_text("".join(parts) + "\nprint(train())\n", encoding="utf-8")
    (tmp_path / "fit.py").write_text(fit + "\nprint(fit())\n", encoding="utf-8")

    def run(*words: str) -> str:
        command = [sys.executable, *words, "--unobserved"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert run("train.py", "lr=0.5") == "{'accuracy': 0.9, 'checkpoint': 'best.pt'}\n"
    assert run("train.py", "evaluate", "checkpoint=last.pt") == "{'accuracy': 0.9, 'checkpoint': 'last.pt'}\n"
    assert run("train.py", "show_model", "hidden=8") == "[8, 8]\nNone\n"
    assert run("fit.py", "data.batch=64", "paths.root=/mnt") == "('/mnt/digits', 64)\n"
    assert run("fit.py", "with", "data.small") == "('/data/digits', 4)\n"
    assert run("fit.py", "data.stats", "data.limit=3") == "digits 3 ('/data/digits', 32)\nNone\n"


def test_a_script_that_comes_through_stdin_has_no_file(tmp_path: Path) -> None:
    source = """
import cloister
@cloister.experiment
def train(lr: float = 0.1): ...
print(train.main_file)
train.queue()
"""
    ended = subprocess.run(
        [sys.executable, "-"], input=source, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "None\n"
    assert "there is none here. Write the code into a .py file" in ended.stderr


def test_a_command_line_names_a_command_that_is_a_run_of_its_own(script: RecordedScript) -> None:
    finished = script.run(SCRIPT, "evaluate", "lr=0.5", "--checkpoint", "last.pt")

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "evaluate 0.5 last.pt\n"
    run = script.only_run()
    assert (run.experiment, run.command, run.project) == ("train", "evaluate", "digits")
    assert run.config == {"lr": 0.5, "epochs": 3, "checkpoint": "last.pt"}
    assert run.name == "train-evaluate-lr0.5-checkpointlast.pt"
    assert run.result == {"accuracy": 0.9}


def test_without_a_command_the_experiments_own_function_runs_and_a_command_it_calls_is_part_of_its_run(
    script: RecordedScript,
) -> None:
    finished = script.run(SCRIPT, "with", "long")

    assert finished.stdout == "train 0.1 100\nevaluate 0.1 best.pt\n", finished.stderr
    run = script.only_run()
    assert (run.command, run.result, run.config) == ("train", {"accuracy": 0.9}, {"lr": 0.1, "epochs": 100})


def scripted() -> Experiment[..., Any]:
    """An experiment that reads the command line as if its module were the script."""

    @experiment(command_line=True)
    def train(lr: float = 0.1, epochs: int = 3) -> None:
        """Train a model."""
        raise AssertionError("it is not called")

    @train.command
    def evaluate(lr: float, checkpoint: str = "best.pt") -> None:
        """Look how good a checkpoint is."""
        raise AssertionError("it is not called")

    @train.command(name="show-data", unobserved=True)
    def show(run: Run, lr: float) -> None:
        print("show", lr, run.observed)

    @train.pre_run
    def before(lr: float, _seed: int) -> None:
        print("before", lr)

    train.add_preset("long", {"epochs": 100})
    return train


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["show-data", "lr=2"], "before 2.0\nshow 2.0 False\n"),
        (["print_config", "lr=3"], "lr = 3.0"),
        (["print_presets"], "epochs=100"),
        (["print_dependencies"], "Package"),
        (["save_config", "lr=4", "config_filename=my.json"], "The config is in my.json."),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_unobserved_and_stock_commands_record_nothing(
    load: object,
    store: RunStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    shown: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    scripted()()

    out = capsys.readouterr().out
    assert shown in out
    assert ("before" in out) == (words[0] == "show-data")  # stock commands call no hooks
    assert store.list_runs(RunQuery()).total == 0


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (["help"], 0, "evaluate             Look how good a checkpoint is."),
        (
            ["help"],
            0,
            "seed = None  (computed by drawing one for each run)\n        what all random numbers of the run follow",
        ),
        (["help", "evaluate"], 0, "checkpoint: str = best.pt"),
        (["evaluate", "--help"], 0, "checkpoint: str = best.pt"),
        (
            ["evalute", "lr=0.5"],
            2,
            "'evalute' is neither an override (name=value) nor a command. Did you mean 'evaluate'?",
        ),
        (["evaluate", "checkpont=x"], 2, "no config key 'checkpont'. Did you mean 'checkpoint'?"),
        (["evaluate", "lr"], 2, "'lr' is no override"),
        (["lr", "=", "0.5"], 2, "'lr' is a config key. Write lr=VALUE, without spaces."),
        (["help", "evalute"], 2, "Did you mean 'evaluate'?"),
        (["evaluate", "--qeue"], 2, "no config key 'qeue'. Did you mean the option --queue?"),
        (["-F", "runs", "evaluate"], 2, "'-F' is an option of Sacred's that is not needed here"),
        (["save_config", "config_filename=x.txt"], 2, "Config file x.txt: its name has to end in one of .json"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_help_and_mistakes_end_the_script_with_what_there_is_to_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], code: int, shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    with pytest.raises(SystemExit) as caught:
        scripted()()

    assert caught.value.code == code
    said = capsys.readouterr()
    assert shown in (said.err if code else said.out)


def test_code_runs_commands_with_updates_presets_and_options_whatever_the_command_line_says(
    load: Callable[[Run | None], RunRecord],
) -> None:
    @experiment(hardware=False, config={"optimizer": {"lr": 0.1, "name": "sgd"}}, tags=["base"])
    def train(run: Run, optimizer: dict[str, Any], epochs: int = 3) -> Any:
        return dict(optimizer), epochs

    @train.command
    def evaluate(optimizer: dict[str, Any], epochs: int) -> Any:
        return dict(optimizer), epochs

    train.add_preset("long", {"epochs": 100})
    run = train.run("evaluate", {"optimizer": {"lr": 0.5}}, ["long"], name="mine", comment="why", tags=["more"])

    assert run.result == ({"lr": 0.5, "name": "sgd"}, 100)
    stored = load(run)
    assert (stored.command, stored.status, stored.name) == ("evaluate", "completed", "mine")
    assert stored.config == {"optimizer": {"lr": 0.5, "name": "sgd"}, "epochs": 100}
    assert stored.tags == ("base", "more")
    assert stored.notes == "why"
    other = train.run(config_updates={"optimizer.lr": 0.7}, unobserved=True)
    assert other.result == ({"lr": 0.7, "name": "sgd"}, 3)
    assert train.last_run is other


def test_options_that_code_gives_count_as_those_of_a_command_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @quiet()
    def train(lr: float = 0.1) -> None:
        raise ValueError("no")

    for name in ("", "cloister"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)

    with pytest.raises(ValueError, match="no"):
        train.run(loglevel="ERROR", debug=True, pdb=True)

    assert [logging.getLogger(name).level for name in ("", "cloister")] == [logging.ERROR, logging.DEBUG]
    assert "--pdb opens no debugger: there is no terminal." in caplog.text


def test_what_a_failing_command_raises_fails_its_run_and_is_raised(load: Callable[[Run | None], RunRecord]) -> None:
    @experiment(hardware=False)
    def train() -> None:
        pass

    @train.command
    def evaluate() -> None:
        raise ValueError("no checkpoint")

    with pytest.raises(ValueError, match="no checkpoint"):
        train.run("evaluate")
    stored = load(train.last_run)
    assert (stored.command, stored.status, stored.fail_trace[-1]) == (
        "evaluate",
        "failed",
        "ValueError: no checkpoint\n",
    )


def test_a_command_needs_only_what_it_takes_itself() -> None:
    @quiet()
    def train(data: str, lr: float = 0.1) -> Any:
        return data

    @train.command
    def evaluate(lr: float, checkpoint: str) -> Any:
        return lr, checkpoint

    assert train.run("evaluate", {"checkpoint": "a"}).result == (0.1, "a")
    with pytest.raises(MissingConfigValue, match="'checkpoint'"):
        train.run("evaluate")
    with pytest.raises(MissingConfigValue, match="'data'"):
        train.run()


def test_hooks_run_around_every_command_in_order_and_take_config_entries() -> None:
    seen: list[Any] = []

    @quiet()
    def train(lr: float = 0.1) -> str:
        seen.append("train")
        return "result"

    @train.command
    def evaluate() -> None:
        seen.append("evaluate")

    @train.pre_run
    def first(lr: float) -> None:
        seen.append(lr)

    @train.pre_run
    def second(run: Run) -> None:
        seen.append(run.ended)

    @train.post_run
    def last(run: Run) -> None:
        seen.append((run.result, run.ended))

    train(lr=0.5)
    train.run("evaluate")
    assert seen == [0.5, False, "train", ("result", False), 0.1, False, "evaluate", (None, False)]


def test_an_exception_in_a_hook_fails_the_run_and_post_hooks_are_for_success_only(
    load: Callable[[Run | None], RunRecord],
) -> None:
    seen: list[str] = []

    @experiment(hardware=False)
    def train(fail_in: str = "") -> str:
        seen.append("train")
        if fail_in == "train":
            raise ValueError(fail_in)
        return "done"

    @train.pre_run
    def before(fail_in: str) -> None:
        if fail_in == "before":
            raise ValueError(fail_in)

    @train.post_run
    def after(fail_in: str) -> None:
        seen.append("after")
        if fail_in == "after":
            raise ValueError(fail_in)

    for place, called in (("before", []), ("train", ["train"]), ("after", ["train", "after"])):
        seen.clear()
        with pytest.raises(ValueError, match=place):
            train(fail_in=place)
        assert seen == called
        stored = load(train.last_run)
        assert (stored.status, stored.fail_trace[-1]) == ("failed", f"ValueError: {place}\n")
    assert train() == "done"
    assert load(train.last_run).result == "done"


def test_a_hook_that_could_not_be_called_is_told_before_there_is_a_run() -> None:
    @quiet()
    def train(lr: float = 0.1) -> None:
        raise AssertionError("it is not called")

    @train.post_run
    def after(learning: float) -> None:
        pass

    with pytest.raises(MissingArgument, match=r"after\(\) needs 'learning'"):
        train()
    assert train.last_run is None


def test_config_hooks_add_and_change_what_nobody_has_set(capsys: pytest.CaptureFixture[str]) -> None:
    @quiet()
    def train(lr: float = 0.1, batch: int = 32) -> Any:
        return lr, batch, steps()

    @train.capture
    def steps(per_epoch: int, note: str) -> Any:
        return per_epoch, note

    @train.config
    def derived(batch: int) -> dict[str, Any]:
        return {"per_epoch": 1024 // batch}

    @train.config_hook
    def scaled(config: dict[str, Any], command: str) -> dict[str, Any]:
        config["lr"] = "a copy, so this is harmless"
        return {"batch": 64, "lr": 0.3, "note": f"{command} with {config['per_epoch']}"}

    @train.config_hook
    def later(config: dict[str, Any], command_name: str, logger: Any) -> None:
        assert config["lr"] == 0.3
        logger.debug("nothing to add")

    assert train() == (0.3, 64, (16, "train with 32"))
    assert train(batch=8) == (0.3, 8, (128, "train with 128"))
    assert train.last_run is not None
    assert train.last_run.config == {"lr": 0.3, "batch": 8, "per_epoch": 128, "note": "train with 128"}
    train.run("print_config")
    assert "lr = 0.3  (computed by the hook scaled() and later())" in capsys.readouterr().out


def test_config_hooks_change_of_nested_entries_what_they_name_and_copy_no_objects() -> None:
    lock = threading.Lock()  # which cannot be copied

    @quiet(config={"optimizer": {"lr": 0.1, "momentum": 0.9, "name": "sgd"}, "lock": lock})
    def train(optimizer: dict[str, Any], lock: Any) -> Any:
        return dict(optimizer), lock

    @train.config_hook
    def first(config: dict[str, Any], command: str) -> dict[str, Any]:
        return {"optimizer": {"lr": 0.2}}

    @train.config_hook
    def second(config: dict[str, Any], command: str) -> dict[str, Any]:
        assert config["optimizer"] == {"lr": 0.2, "momentum": 0.9, "name": "sgd"}
        return {"optimizer.momentum": 0.5}

    assert train() == ({"lr": 0.2, "momentum": 0.5, "name": "sgd"}, lock)
    assert train(**{"optimizer.lr": 0.7})[0] == {"lr": 0.7, "momentum": 0.5, "name": "sgd"}


def test_a_config_hook_of_another_form_is_refused_where_it_is_written_or_when_it_answers() -> None:
    @quiet()
    def train(lr: float = 0.1) -> None:
        pass

    with pytest.raises(BadConfigHook, match=r"hook\(\) in test_experiment_commands.py, line \d+ is called with two"):

        @train.config_hook
        def hook(config: dict[str, Any]) -> None:
            pass

    @train.config_hook
    def answers_wrong(config: dict[str, Any], command: str) -> Any:
        return ["lr"]

    with pytest.raises(BadConfigHook, match=r"returned \['lr'\]; it has to return a mapping"):
        train()


def test_an_experiment_made_by_its_name_has_the_entries_of_its_config() -> None:
    exp = Experiment("digits", config={"lr": 0.1, "hidden": 64}, unobserved=True, command_line=False)

    @exp.command
    def evaluate(lr: float, hidden: int) -> Any:
        return lr, hidden

    with pytest.raises(
        NoSuchCommand, match=r"'digits' has no function of its own .* Name a command: there are evaluate"
    ):
        exp()

    @exp.main
    def train(run: Run, lr: float, epochs: int = 3) -> Any:
        return run.experiment, lr, epochs, evaluate()

    assert exp() == ("digits", 0.1, 3, (0.1, 64))
    assert exp(0.5, epochs=1) == ("digits", 0.5, 1, (0.5, 64))
    assert exp.run("evaluate", {"hidden": 1}).result == (0.1, 1)
    with pytest.raises(UnknownConfigKey, match="Did you mean 'hidden'"):
        exp.run("evaluate", {"hiden": 1})


def test_config_may_give_what_only_captured_functions_take() -> None:
    @quiet(config={"lr": 0.5, "hidden": 64, "nobody": 1})
    def train(lr: float = 0.1) -> Any:
        return lr, build()

    with pytest.raises(UnknownConfigKey, match="'hidden'"):
        train()

    @train.capture
    def build(hidden: int) -> int:
        return hidden

    with pytest.raises(UnknownConfigKey, match="'nobody'"):
        train()
    del train.options["config"]["nobody"]
    assert train() == (0.5, 64)


def test_wrong_names_are_explained() -> None:
    @quiet()
    def train(lr: float = 0.1, check: bool = True) -> None:
        pass

    with pytest.raises(NoSuchCommand, match=r"has no command 'evaluate': there are train, print_config"):
        train.run("evaluate")
    with pytest.raises(UnknownRunOption, match=r"no option 'comments'.* Did you mean 'comment'"):
        train.run(comments="x")
    with pytest.raises(UnknownRunOption, match=r"no option 'queue'. Call .queue\(...\) in place of .run"):
        train.run(queue=True)
    with pytest.raises(UnknownOption, match=r"no option 'projct'. Did you mean 'project'"):
        experiment(projct="x")  # type: ignore[call-overload]
    with pytest.raises(TwoMainFunctions, match=r"runs train\(\) in .* by default, so other\(\)"):

        @train.main
        def other() -> None:
            pass

    @train.command
    def check() -> None:
        pass

    with pytest.raises(CommandNamedAsEntry, match="'check' is a command and a config entry"):
        train()


def test_two_commands_of_one_name_are_refused_with_their_places() -> None:
    @quiet()
    def train() -> None:
        pass

    def make(name: str) -> None:
        @train.command(name=name)
        def one() -> None:
            pass

    make("check")
    make("check")  # the same one, as when a notebook's cell is run again
    with pytest.raises(
        CommandClash, match=r"two commands named 'check': one\(\) in .*, line \d+ and two\(\) in"
    ) as caught:

        @train.command(name="check")
        def two() -> None:
            pass

    assert isinstance(caught.value, CloisterError)


def test_a_command_with_a_prefix_is_filled_from_that_part() -> None:
    @quiet(config={"optimizer": {"lr": 0.1}})
    def train(optimizer: dict[str, Any]) -> None:
        pass

    @train.command(prefix="optimizer")
    def tune(lr: float, steps: int = 5) -> Any:
        return lr, steps

    assert train.run("tune", {"optimizer.lr": 0.7}).result == (0.7, 5)


def test_the_functions_specials_are_given_to_the_experiments_own_function_too() -> None:
    @quiet()
    def train(run: Run, _run: Run, _config: dict[str, Any], _seed: int, lr: float = 0.1, seed: int = 3) -> Any:
        assert run is _run
        return _config, _seed

    config, seed = train()
    assert config == {"lr": 0.1, "seed": 3}
    assert train() == (config, seed)
    assert train(seed=4)[1] != seed


def test_coroutine_functions_are_run_to_their_end_as_commands_and_hooks() -> None:
    seen: list[Any] = []

    @quiet()
    async def train(lr: float = 0.1) -> Any:
        await asyncio.sleep(0)
        return lr, await double()

    @train.capture
    async def double(lr: float) -> float:
        return 2 * lr

    @train.post_run
    async def after(run: Run) -> None:
        seen.append(run.result)

    assert train(lr=0.5) == (0.5, 1.0)  # type: ignore[comparison-overlap]
    assert seen == [(0.5, 1.0)]

    async def inside_a_loop() -> Any:
        with pytest.raises(LoopIsRunning, match=r"await asyncio.to_thread\(train\)"):
            train()
        return await asyncio.to_thread(train)

    assert asyncio.run(inside_a_loop()) == (0.1, 0.2)


def test_a_run_that_goes_on_keeps_its_seed_and_what_a_config_hook_has_made_of_it(
    load: Callable[[Run | None], RunRecord],
) -> None:
    @experiment(hardware=False)
    def train(run: Run, lr: float = 1.0) -> Any:
        if not run.resumed:
            raise ValueError("not yet")
        return draw()

    @train.capture
    def draw(_seed: int, lr: float) -> Any:
        return _seed, lr

    @train.config_hook
    def smaller(config: dict[str, Any], command: str) -> dict[str, Any]:
        return {"lr": config["lr"] / 10}

    with pytest.raises(ValueError, match="not yet"):
        train()
    failed = load(train.last_run)
    assert failed.config["lr"] == 0.1

    resumed = load(train.run(resume=str(failed.id)))
    assert (resumed.id, resumed.status) == (failed.id, "completed")
    assert resumed.config == failed.config
    with train.configured(seed=failed.config["seed"], lr=0.1):
        assert list(draw()) == resumed.result
