"""Ingredients: a part of a config with its functions, used in one experiment or in several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cloister import Experiment, Ingredient, Run, experiment
from cloister.decorators.captured import MissingArgument, NoRunToFillFrom
from cloister.decorators.config.errors import BadConfigSource, BadConfigValue, ConfigClash, UnknownConfigKey
from cloister.decorators.ingredient import BadIngredientName
from cloister.decorators.part import IngredientClash, IngredientCycle, NotAnIngredient
from cloister.decorators.read_only import ConfigIsReadOnly
from recorded_script import RecordedScript

SCRIPT = """
    from dataclasses import dataclass
    import cloister

    @dataclass
    class Paths:
        root: str = "/data"
        cache: bool = False

    paths = cloister.Ingredient("data.paths", config=Paths)
    data = cloister.Ingredient("data", config={"name": "digits", "batch": 32}, ingredients=[paths])

    @paths.capture
    def where(root, cache):
        return root, cache

    @data.capture
    def load(name, batch):
        return name, batch, where()

    @data.command
    def stats(name, limit: int = 10):
        '''What the data is like.'''
        print("stats", name, limit, where())

    @data.preset
    def small():
        return {"batch": 4}

    @cloister.experiment(ingredients=[data], project="digits")
    def train(run, lr: float = 0.1):
        print("train", lr, load())

    if __name__ == "__main__":
        train()
"""


def quiet(*ingredients: Ingredient, **options: Any) -> Any:
    return experiment(**{"unobserved": True, "command_line": False, "ingredients": ingredients, **options})


def test_the_entries_stand_under_the_name_and_are_set_there(script: RecordedScript) -> None:
    finished = script.run(SCRIPT, "data.name=cifar", "--data.paths.cache", "with", "data.small")

    assert finished.stdout == "train 0.1 ('cifar', 4, ('/data', True))\n", finished.stderr
    run = script.only_run()
    assert run.config == {
        "lr": 0.1,
        "data": {"name": "cifar", "batch": 4, "paths": {"root": "/data", "cache": True}},
    }
    assert run.config_defaults["data"] == {"name": "digits", "batch": 32, "paths": {"root": "/data", "cache": False}}


def test_its_commands_are_the_experiments_under_its_name(script: RecordedScript) -> None:
    finished = script.run(SCRIPT, "data.stats", "data.limit=3", "data.paths.root=/tmp")

    assert finished.stdout == "stats digits 3 ('/tmp', False)\n", finished.stderr
    run = script.only_run()
    assert (run.experiment, run.command, run.config["data"]["limit"]) == ("train", "data.stats", 3)
    assert "data.stats           What the data is like." in script.run(SCRIPT, "--help").stdout


def test_a_wrong_entry_of_an_ingredient_is_told_with_the_nearest() -> None:
    @quiet(Ingredient("data", config={"batch": 32}))
    def train() -> None:
        pass

    with pytest.raises(UnknownConfigKey, match=r"'data\.bach'. Did you mean 'data\.batch'"):
        train.run(config_updates={"data.bach": 3})


@dataclass
class Data:
    path: str = "digits.csv"
    batch: int = 32

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError("batch must be positive")


def data_signature(path: str = "digits.csv", batch: int = 32) -> None:
    """Entries as parameters."""


@pytest.mark.parametrize(
    "config",
    [{"path": "digits.csv", "batch": 32}, Data, Data(), data_signature, "file"],
    ids=["mapping", "dataclass", "object", "function", "file"],
)
def test_the_entries_come_from_a_mapping_a_class_an_object_a_function_or_a_file(config: Any, tmp_path: Path) -> None:
    if config == "file":
        config = tmp_path / "data.yaml"
        config.write_text("path: digits.csv\nbatch: 32\n")
    data = Ingredient("data", config=config)

    @data.capture
    def load(path: str, batch: int) -> Any:
        return path, batch

    @quiet(data)
    def train() -> Any:
        return load()

    assert train() == ("digits.csv", 32)
    assert train(data={"batch": 8}) == ("digits.csv", 8)
    assert train.run(config_updates={"data.batch": 16}).result == ("digits.csv", 16)
    assert train.last_run is not None
    assert train.last_run.config == {"data": {"path": "digits.csv", "batch": 16}}


def test_a_dataclass_checks_its_values_and_types_decide() -> None:
    data = Ingredient("data", config=Data)

    @quiet(data)
    def train() -> None:
        pass

    with pytest.raises(ValueError, match="batch must be positive"):
        train(**{"data.batch": 0})
    with pytest.raises(BadConfigValue, match=r"'data\.batch' takes a whole number, not 'many'"):
        train(**{"data.batch": "many"})


def test_an_ingredient_serves_several_experiments_each_with_its_own_values() -> None:
    data = Ingredient("data", config={"batch": 32})

    @data.capture
    def load(batch: int, run: Run) -> Any:
        return batch, run.experiment

    @quiet(data)
    def train() -> Any:
        return load(), check(**{"data.batch": 2}), load()

    @quiet(data)
    def check() -> Any:
        return load()

    assert train(**{"data.batch": 1}) == ((1, "train"), (2, "check"), (1, "train"))
    with pytest.raises(NoRunToFillFrom, match="no run of an experiment with ingredient 'data' is active"):
        load()


def test_functions_see_the_entries_of_what_their_ingredient_uses() -> None:
    paths = Ingredient("paths", config={"root": "/data"})
    data = Ingredient("data", config={"name": "digits"}, ingredients=[paths])

    @data.capture
    def load(name: str, paths: dict[str, Any], _config: dict[str, Any]) -> Any:
        with pytest.raises(ConfigIsReadOnly):
            paths["root"] = "/changed"
        return f"{paths['root']}/{name}", _config

    @quiet(data)
    def train(data: dict[str, Any], paths: Any, lr: float = 0.1) -> Any:
        return load(), data["name"], paths.root, use()

    @train.capture
    def use(data: dict[str, Any]) -> Any:
        return data["name"]

    path, config = train(**{"paths.root": "/tmp"})[0]
    assert path == "/tmp/digits"
    assert config == {"name": "digits", "paths": {"root": "/tmp"}}
    assert train()[1:] == ("digits", "/data", "digits")
    assert train.last_run is not None
    # What lies elsewhere is recorded there, once, however many ingredients use it.
    assert train.last_run.config == {"lr": 0.1, "data": {"name": "digits"}, "paths": {"root": "/data"}}


def test_config_functions_and_hooks_of_ingredients_come_before_those_of_whoever_uses_them() -> None:
    paths = Ingredient("paths", config={"root": "/data"})
    data = Ingredient("data", config={"name": "digits"}, ingredients=[paths])
    order: list[str] = []

    @data.config
    def derived(name: str, paths: Any) -> dict[str, Any]:
        return {"file": f"{paths.root}/{name}.csv"}

    for part in (data, paths):
        part.pre_run(lambda who=part.name: order.append(f"before {who}"))
        part.post_run(lambda who=part.name: order.append(f"after {who}"))

    @paths.config_hook
    def move(config: dict[str, Any], command: str) -> dict[str, Any]:
        order.append("config of paths")
        return {"root": "/moved"}

    @data.config_hook
    def name(config: dict[str, Any], command: str) -> dict[str, Any]:
        order.append(f"config of data, root {config['paths']['root']}")
        return {"name": config["data"]["name"].upper()}

    @quiet(data)
    def train() -> Any:
        order.append("train")
        return file()

    @data.capture
    def file(file: str) -> str:
        return file

    @train.pre_run
    def before() -> None:
        order.append("before train")

    assert train() == "/moved/DIGITS.csv"
    assert order == [
        "config of paths",
        "config of data, root /moved",
        "before paths",
        "before data",
        "before train",
        "train",
        "after paths",
        "after data",
    ]
    assert train(**{"paths.root": "/mine", "data.name": "a"}) == "/mine/a.csv"


def test_seeds_of_an_ingredients_functions_follow_from_the_runs_seed() -> None:
    data = Ingredient("data", config={})

    @data.capture
    def shuffle(_rnd: np.random.Generator) -> list[int]:
        return [int(number) for number in _rnd.permutation(5)]

    @quiet(data)
    def train(seed: int = 1) -> Any:
        return shuffle(), shuffle()

    first = train()
    assert first == train()
    assert first[0] != first[1]
    assert train(seed=2) != first


def test_circles_and_clashes_are_explained() -> None:
    one, two = Ingredient("one"), Ingredient("two")
    one.ingredients.append(two)
    two.ingredients.append(one)
    with pytest.raises(IngredientCycle, match="in a circle: one -> two -> one"):
        quiet(one)(lambda: None)()
    with pytest.raises(IngredientClash, match="Two different ingredients are named 'data'"):
        quiet(Ingredient("data"), Ingredient("data"))(lambda: None)()
    with pytest.raises(ConfigClash, match="'data'"):
        quiet(Ingredient("data", config={"a": 1}), config={"data": 3})(lambda: None)()
    with pytest.raises(BadIngredientName, match="'my data' cannot be an ingredient's name"):
        Ingredient("my data")
    for wrong in ("data", Experiment("other")):
        with pytest.raises(NotAnIngredient, match=r"cannot be an ingredient of 'both'. Give a list of ingredients"):
            Experiment("both", ingredients=[wrong])  # type: ignore[list-item]
    with pytest.raises(BadConfigSource):
        Ingredient("data", config=3)


def test_the_experiments_own_config_may_give_other_defaults_to_an_ingredient() -> None:
    paths = Ingredient("data.paths", config={"root": "/data"})
    data = Ingredient("data", config={"name": "digits", "batch": 32}, ingredients=[paths])

    @quiet(data, config={"lr": 0.5, "data": {"batch": 8, "paths": {"root": "/mine"}}})
    def train(data: Any, lr: float = 0.1) -> Any:
        return lr, dict(data)

    assert train() == (0.5, {"name": "digits", "batch": 8, "paths": {"root": "/mine"}})
    assert train(**{"data.batch": 4})[1]["batch"] == 4
    with pytest.raises(UnknownConfigKey, match=r"'data.bach'|'bach'"):
        quiet(data, config={"data": {"bach": 8}})(lambda: None)()


def test_a_function_that_nobody_fills_names_the_ingredient() -> None:
    data = Ingredient("data", config={"batch": 32})

    @data.capture
    def load(bach: int) -> int:
        return bach

    @quiet(data)
    def train() -> Any:
        return load()

    with pytest.raises(MissingArgument, match=r"the config's 'data' has no such entry. Did you mean 'batch'"):
        train()


def test_one_ingredient_used_in_two_places_is_there_once() -> None:
    seeds = Ingredient("seeds", config={"value": 3})
    left = Ingredient("left", config={"a": 1}, ingredients=[seeds])
    right = Ingredient("right", config={"b": 2}, ingredients=[seeds])
    calls: list[int] = []
    seeds.pre_run(lambda value: calls.append(value))
    exp = Experiment("both", ingredients=[left, right], unobserved=True, command_line=False)

    @exp.main
    def main(left: Any, right: Any, seeds: Any) -> Any:
        return dict(left), dict(right), dict(seeds)

    left_values, right_values, shared = exp(**{"seeds.value": 4})
    assert (left_values, right_values, shared) == ({"a": 1}, {"b": 2}, {"value": 4})
    assert calls == [4]
    with pytest.raises(UnknownConfigKey):
        exp(**{"left.seeds.value": 4})
