"""Captured functions: what a call leaves out comes from the config of the run that is going on."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import os
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cloister import Experiment, Run, experiment
from cloister.decorators.captured import MissingArgument, NoRunToFillFrom, NoSuchPrefix, NotCapturable
from cloister.decorators.config.errors import MissingConfigValue
from cloister.decorators.read_only import ConfigIsReadOnly
from recorded_script import RecordedScript


def run_with(body: Callable[..., Any], **config: Any) -> Experiment[..., Any]:
    """An experiment that records nothing, with these entries, whose function calls `body`."""

    @experiment(unobserved=True, config=config, command_line=False)
    def train(run: Run) -> Any:
        return body()

    return train


def call_in_run(make: Callable[[Experiment[..., Any]], Callable[..., Any]], *args: Any, **entries: Any) -> Any:
    """What the function that `make` captures returns in a run with these entries."""
    train = run_with(lambda: function(*args), **entries)
    function = make(train)
    return train()


def test_what_a_call_leaves_out_comes_from_the_config_and_what_it_gives_wins() -> None:
    @experiment(unobserved=True)
    def train(lr: float = 0.1, hidden: int = 64) -> Any:
        return build(), build(0.5), build(hidden=8), build(1.0, 2, "b")

    @train.capture
    def build(lr: float = 9.0, hidden: int = 9, name: str = "own") -> Any:
        return lr, hidden, name

    assert train(hidden=32) == ((0.1, 32, "own"), (0.5, 32, "own"), (0.1, 8, "own"), (1.0, 2, "b"))


def test_positional_only_keyword_only_and_variable_parameters_are_filled_each_in_its_way() -> None:
    def make(train: Experiment[..., Any]) -> Callable[..., Any]:
        @train.capture
        def build(lr: float, hidden: int, /, layers: list[int], *rest: int, name: str, **more: int) -> Any:
            return lr, hidden, list(layers), rest, name, more

        def all_ways() -> Any:
            return build(), build(1.0), build(1.0, 2, [3], 4, 5, name="b", other=6)

        return all_ways

    filled = call_in_run(make, lr=0.1, hidden=64, layers=[1, 2], name="a", rest=7, more=8)
    assert filled == (
        (0.1, 64, [1, 2], (), "a", {}),
        (1.0, 64, [1, 2], (), "a", {}),
        (1.0, 2, [3], (4, 5), "b", {"other": 6}),
    )


def test_wrong_calls_are_pythons_own_errors() -> None:
    def make(train: Experiment[..., Any]) -> Callable[..., Any]:
        return train.capture(lambda lr: lr)

    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        call_in_run(make, 1, 2, lr=0.1)


def test_methods_static_methods_and_class_methods_are_filled_beside_what_they_are_called_on() -> None:
    train = run_with(
        lambda: (Model().step(), Model().step(5.0), Model.size(), Model.width(), Model().size()), lr=0.1, hidden=4
    )

    class Model:
        @train.capture
        def step(self, lr: float) -> Any:
            return type(self).__name__, lr

        @train.capture
        @staticmethod
        def size(hidden: int) -> int:
            return hidden

        @classmethod
        @train.capture
        def width(cls, hidden: int) -> Any:
            return cls.__name__, hidden

    assert train() == (("Model", 0.1), ("Model", 5.0), 4, ("Model", 4), 4)


def test_coroutines_and_generators_stay_what_they_are() -> None:
    train = run_with(lambda: (asyncio.run(both()), list(count())), lr=2, hidden=3)

    @train.capture
    async def fetch(lr: int) -> int:
        await asyncio.sleep(0)
        return lr

    async def both() -> Any:
        parts = [part async for part in stream()]
        return await asyncio.gather(fetch(), asyncio.create_task(fetch())), parts

    @train.capture
    def count(hidden: int) -> Iterator[int]:
        yield from range(hidden)

    @train.capture
    async def stream(hidden: int) -> Any:
        for number in range(hidden):
            yield number

    assert inspect.iscoroutinefunction(fetch)
    assert train() == (([2, 2], [0, 1, 2]), [0, 1, 2])


def test_a_prefix_looks_into_a_part_of_the_config_whatever_that_is_made_of() -> None:
    @dataclass
    class Optimizer:
        lr: float = 0.1
        schedule: dict[str, Any] = field(default_factory=lambda: {"warmup": 5})

    @experiment(unobserved=True)
    def train(optimizer: Optimizer = Optimizer()) -> Any:  # noqa: B008
        return step(), warm_up(), step(lr=1.0)

    @train.capture(prefix="optimizer")
    def step(lr: float, _config: dict[str, Any]) -> Any:
        return lr, _config

    @train.capture(prefix="optimizer.schedule")
    def warm_up(warmup: int) -> int:
        return warmup

    config = {"lr": 0.2, "schedule": {"warmup": 5}}
    assert train(**{"optimizer.lr": 0.2}) == ((0.2, config), 5, (1.0, config))


@dataclass
class Config:
    lr: float = 0.1
    hidden: int = 8


def test_a_config_that_is_passed_whole_is_there_by_its_name_and_by_its_fields() -> None:
    @experiment(unobserved=True, config=Config)
    def train(settings: Config) -> Any:
        return whole(), field_of(), settings

    @train.capture
    def whole(settings: Config, config: Config) -> Any:
        assert settings is config
        return config

    @train.capture
    def field_of(hidden: int, _config: dict[str, Any]) -> Any:
        return hidden, _config

    expected = Config(hidden=9)
    assert train(hidden=9) == (expected, (9, {"lr": 0.1, "hidden": 9}), expected)


def test_a_prefix_that_is_not_there_is_explained() -> None:
    def make(train: Experiment[..., Any]) -> Callable[..., Any]:
        @train.capture(prefix="optimiser")
        def step(lr: float) -> float:
            return lr

        return step

    with pytest.raises(
        NoSuchPrefix, match=r"prefix='optimiser', and the config of 'train' .* Did you mean 'optimizer'"
    ):
        call_in_run(make, optimizer={"lr": 0.1})


def test_what_nobody_gives_is_explained_with_the_nearest_entry() -> None:
    def make(train: Experiment[..., Any]) -> Callable[..., Any]:
        @train.capture
        def build(hiden: int) -> int:
            return hiden

        return build

    with pytest.raises(MissingArgument, match=r"build\(\) needs 'hiden': .* Did you mean 'hidden'\?") as caught:
        call_in_run(make, hidden=4)
    assert isinstance(caught.value, TypeError)
    assert caught.value.names == ("hiden",)


def test_outside_of_a_run_a_captured_function_is_the_function_as_it_is_written() -> None:
    train = run_with(lambda: None, lr=0.1)

    @train.capture
    def build(lr: float, hidden: int = 8) -> Any:
        return lr, hidden

    assert build(0.5) == (0.5, 8)
    with pytest.raises(NoRunToFillFrom, match=r"build\(\) needs 'lr', and no run of 'train' is active here"):
        build()


def test_a_config_can_be_tried_without_a_run() -> None:
    @experiment
    def train(lr: float = 0.1, hidden: int = 8) -> None:
        raise AssertionError("it is not called")

    @train.capture
    def build(lr: float, hidden: int, run: Run | None = None) -> Any:
        return lr, hidden, run

    with train.configured(lr=0.5) as config:
        assert build() == (0.5, 8, None)
        assert config == {"lr": 0.5, "hidden": 8}
    with train.configured({"lr": 0.2}, [{"hidden": 9}]):
        assert build() == (0.2, 9, None)
    with pytest.raises(NoRunToFillFrom):
        build()

    @train.capture
    def record(lr: float, run: Run) -> Any:
        return run

    with train.configured(), pytest.raises(NoRunToFillFrom, match=r"record\(\) needs 'run', and no run of 'train'"):
        record()


def test_an_entry_that_nobody_has_given_a_value_is_told_where_it_is_needed() -> None:
    @experiment(unobserved=True)
    def train(data: str, lr: float = 0.1) -> None:
        raise AssertionError("it is not called")

    @train.capture
    def load(data: str) -> str:
        return data

    @train.command
    def check(lr: float) -> str:
        return load()

    with pytest.raises(MissingConfigValue, match=r"'data' has no default and no value, and load\(\) needs it"):
        train.run("check")
    assert train.run("check", {"data": "digits"}).result == "digits"


def test_numbers_that_are_tried_out_follow_from_the_seed_too() -> None:
    train = run_with(lambda: draw(), lr=0.1)

    @train.capture
    def draw(_seed: int) -> int:
        return _seed

    with train.configured(seed=5):
        tried = draw()
    assert train.run(config_updates={"seed": 5}).result == tried


def test_a_function_that_draws_in_a_run_without_a_seed_says_that_it_cannot_be_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @experiment(unobserved=True)
    def train() -> Any:
        @train.capture
        def late(_seed: int) -> int:
            return _seed

        return late(), late()

    assert len(set(train())) == 2
    [message] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "late() draws random numbers, and the config of this run has no seed" in message


def test_a_spawned_child_without_the_run_says_that_it_goes_on_with_defaults(tmp_path: Path) -> None:
    source = """
        import multiprocessing
        import cloister

        @cloister.experiment(command_line=False, unobserved=True)
        def train(lr: float = 0.1):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print("child:", pool.apply(look), pool.apply(look, (0.5,)))

        @train.capture
        def look(lr=0.9):
            return lr

        if __name__ == "__main__":
            train(lr=0.7)
        """
    finished = run_script(tmp_path, source)
    assert finished.stdout == "child: 0.9 0.5\n"
    assert finished.stderr.count("look() has its own default of 'lr': this process was started anew") == 1


def test_specials_are_the_run_the_config_and_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    @experiment(unobserved=True, name="digits")
    def train(run: Run, lr: float = 0.1, layers: tuple[int, ...] = (1, 2)) -> Any:
        assert look() is run
        return run

    @train.capture
    def look(run: Run, _run: Run, _config: dict[str, Any], _log: logging.Logger) -> Run:
        assert run is _run
        assert _config == {"lr": 0.1, "layers": [1, 2]}
        assert json.loads(json.dumps(_config)) == _config
        _log.info("looked")
        return run

    with caplog.at_level(logging.INFO):
        train()
    assert caplog.record_tuples == [("digits.look", logging.INFO, "looked")]


def test_the_logger_is_read_on_stderr_where_nobody_has_set_up_logging(tmp_path: Path) -> None:
    source = """
        import cloister

        @cloister.experiment(unobserved=True)
        def train(lr: float = 0.1):
            look()

        @train.capture
        def look(lr, _log):
            _log.info("lr is %s", lr)
            _log.debug("not this")

        train()
        """
    finished = run_script(tmp_path, source)
    assert finished.stderr == "INFO - train.look - lr is 0.1\n"


def test_the_config_that_functions_get_cannot_be_changed_but_copied() -> None:
    train = run_with(lambda: change(), layers=[{"width": 1}], optimizer={"lr": 0.1})

    @train.capture
    def change(layers: list[Any], optimizer: dict[str, Any], _config: dict[str, Any]) -> Any:
        for act in (
            lambda: layers.append(1),
            lambda: layers.sort(),
            lambda: layers[0].update(width=2),
            lambda: optimizer.pop("lr"),
            lambda: _config.setdefault("new", 1),
        ):
            with pytest.raises(ConfigIsReadOnly, match="Change a copy of it"):
                act()
        assert optimizer.lr == _config.optimizer.lr == 0.1  # type: ignore[attr-defined]
        copied = [copy.deepcopy(_config), copy.copy(_config), _config.copy(), pickle.loads(pickle.dumps(_config))]
        for each in copied:
            assert type(each) is dict
            each["new"] = 1
        layers = copy.deepcopy(layers)
        layers[0]["width"] = 2
        return layers, optimizer | {"lr": 1.0}, isinstance(_config, dict)

    assert train() == ([{"width": 2}], {"lr": 1.0}, True)


def test_seeds_differ_by_function_and_call_and_repeat_with_the_runs_seed() -> None:
    @experiment(unobserved=True)
    def train(seed: int = 42) -> Any:
        return [first(), second(), first(), second()]

    @train.capture
    def first(_seed: int, _rnd: np.random.Generator) -> Any:
        return _seed, _rnd.random()

    @train.capture
    def second(_seed: int, _rnd: np.random.Generator) -> Any:
        return _seed, _rnd.random()

    drawn = train()
    assert len({seed for seed, _ in drawn}) == len({number for _, number in drawn}) == 4
    assert all(0 <= seed < 2**31 for seed, _ in drawn)
    assert all(np.random.default_rng(seed).random() == number for seed, number in drawn)
    random.random()
    assert train() == drawn
    assert train(seed=43) != drawn


def test_functions_of_one_name_draw_each_their_own() -> None:
    @experiment(unobserved=True)
    def train(seed: int = 1) -> Any:
        return [draw() for draw in drawing]

    drawing = [train.capture(make()) for make in (lambda: _draw, lambda: _draw_too)]
    assert len(set(train())) == 2


def _draw(_seed: int) -> int:
    return _seed


def _draw_too(_seed: int) -> int:
    return _seed


_draw_too.__qualname__ = _draw.__qualname__


def test_a_seed_given_by_the_call_is_the_one_that_the_generator_has() -> None:
    @experiment(unobserved=True)
    def train(seed: int = 1) -> Any:
        return draw(_seed=5), draw(_rnd="mine")

    @train.capture
    def draw(_seed: int, _rnd: Any) -> Any:
        return _seed, _rnd if isinstance(_rnd, str) else _rnd.random()

    (seed, number), (_, own) = train()
    assert (seed, number, own) == (5, np.random.default_rng(5).random(), "mine")


def test_an_experiment_whose_functions_draw_has_a_seed_that_repeats_it() -> None:
    @experiment(unobserved=True)
    def train(lr: float = 0.1) -> Any:
        return draw()

    @train.capture
    def draw(_rnd: np.random.Generator) -> float:
        return float(_rnd.random())

    first = train()
    assert train.last_run is not None
    seed = train.last_run.config["seed"]
    assert 0 <= seed < 2**31
    assert train() != first
    assert train(seed=seed) == first
    assert train.last_run.config == {"lr": 0.1, "seed": seed}


def test_seeds_are_the_same_in_every_process_and_without_numpy(tmp_path: Path) -> None:
    source = """
        import sys
        import cloister

        if "without" in sys.argv:
            sys.modules["numpy"] = None

        @cloister.experiment(unobserved=True, command_line=False)
        def train(seed: int = 7):
            print(draw(), draw())

        @train.capture
        def draw(_seed, _rnd):
            return _seed, type(_rnd).__name__, _rnd.random()

        train()
        """
    first, second = (run_script(tmp_path, source, env={"PYTHONHASHSEED": text}).stdout for text in "12")
    assert first == second
    assert first.count("Generator") == 2
    plain = run_script(tmp_path, source, "without").stdout
    assert plain.count("'Random'") == 2
    assert plain.split(",")[0] == first.split(",")[0]


def test_threads_are_filled_too_and_never_draw_the_same() -> None:
    train = run_with(lambda: in_threads(), lr=0.1, seed=3)

    @train.capture
    def draw(lr: float, _seed: int) -> Any:
        return lr, _seed

    def in_threads() -> Any:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: draw(), range(200)))

    drawn = train()
    assert {lr for lr, _ in drawn} == {0.1}
    assert len({seed for _, seed in drawn}) == 200


def test_forked_children_are_filled_too_and_each_draws_its_own() -> None:
    train = run_with(lambda: [in_child(draw) for _ in range(3)], lr=0.1, seed=3)

    @train.capture
    def draw(lr: float, _seed: int) -> Any:
        return lr, _seed

    drawn = train()
    assert {lr for lr, _ in drawn} == {0.1}
    assert len({seed for _, seed in drawn}) == 3


def in_child(function: Callable[[], Any]) -> Any:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, json.dumps(function()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        return json.load(answer)


def test_a_captured_function_can_be_sent_to_a_process() -> None:
    assert pickle.loads(pickle.dumps(module_level)) is module_level


@experiment(unobserved=True, command_line=False)
def outer(lr: float = 0.1, nested: bool = True) -> Any:
    before = module_level()
    inside = inner(lr=0.2) if nested else None
    again = outer(lr=0.3, nested=False) if nested else None
    return before, inside, again, module_level()


@outer.capture
def module_level(lr: float) -> float:
    return lr


@experiment(unobserved=True, command_line=False)
def inner(lr: float = 0.5) -> Any:
    return module_level(), inner_level()


@inner.capture
def inner_level(lr: float) -> float:
    return lr


def test_nested_runs_fill_each_function_from_the_innermost_run_of_its_own_experiment() -> None:
    # inner's run is the current one, but module_level belongs to outer, whose run goes on around it.
    assert outer() == (0.1, (0.1, 0.2), (0.3, None, None, 0.3), 0.1)


def test_runs_of_one_experiment_in_several_threads_do_not_mix() -> None:
    start = threading.Barrier(4)

    @experiment(unobserved=True)
    def train(lr: float) -> Any:
        start.wait()
        return [look() for _ in range(100)]

    @train.capture
    def look(lr: float) -> float:
        return lr

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda lr: train(lr=lr), (0.0, 1.0, 2.0, 3.0)))
    assert [set(values) for values in seen] == [{0.0}, {1.0}, {2.0}, {3.0}]


def test_what_is_no_function_cannot_be_captured() -> None:
    with pytest.raises(NotCapturable, match=r"3 cannot be captured: it is no Python function"):
        run_with(lambda: None).capture(3)  # type: ignore[type-var]


def test_a_spawned_child_that_is_given_the_run_is_filled_from_it(script: RecordedScript) -> None:
    source = """
        import multiprocessing
        import cloister

        @cloister.experiment(command_line=False)
        def train(run, lr: float = 0.1, seed: int = 0):
            context = multiprocessing.get_context("spawn")
            answers = context.Queue()
            child = context.Process(target=work, args=(run, answers))
            child.start()
            print("child:", answers.get(timeout=60))
            child.join()

        @train.capture
        def look(lr, run, _seed):
            return lr, run.name, look_again() != _seed

        @train.capture
        def look_again(_seed):
            return _seed

        def work(run, answers):
            answers.put(look())

        if __name__ == "__main__":
            train(lr=0.7)
        """
    finished = script.run(source)
    assert "child: (0.7, 'train-lr0.7', True)" in finished.stdout, finished.stderr
    assert "cannot be repeated" not in finished.stderr


def run_script(
    folder: Path, source: str, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    path = folder / "train.py"
    path.write_text(inspect.cleandoc(source), encoding="utf-8")
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, check=True, env=environment, cwd=folder
    )
