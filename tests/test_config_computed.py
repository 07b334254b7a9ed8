"""Entries that follow from others: computed after overrides, in the order of need, checked, and overridable."""

# ruff: noqa: B008 - `computed(...)` as a default is what is tested

from __future__ import annotations

import argparse
import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest
from cloister.decorators.config import (
    BadConfigValue,
    ConfigError,
    ConfigSpec,
    CyclicConfig,
    HelpWanted,
    MissingConfigValue,
    Namespace,
    UncomputableConfig,
    UnknownConfigKey,
    computed,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel


@dataclass
class Schedule:
    warmup: int = computed(lambda epochs: epochs // 10)
    low: float = computed(lambda lr: lr / 100)


@dataclass
class Optimizer:
    lr: float = 0.1
    lr_min: float = computed(lambda lr: lr / 10)
    schedule: Schedule = field(default_factory=Schedule)


def train(
    run: Any,
    epochs: int = 50,
    hidden: int = 8,
    width: int = computed(lambda hidden: hidden * 2),
    depth: int = computed(lambda width: width + 1),
    optimizer: Optimizer = Optimizer(),
) -> None: ...


def config_of(function: Any, *words: str, config: Any = None, functions: tuple[Any, ...] = ()) -> dict[str, Any]:
    spec = ConfigSpec.from_function(function, config)
    spec.config_functions.extend(functions)
    return spec.resolve(argv=words).config


def test_overrides_are_applied_before_what_follows_from_them() -> None:
    assert config_of(train) == {
        "epochs": 50,
        "hidden": 8,
        "width": 16,
        "depth": 17,
        "optimizer": {"lr": 0.1, "lr_min": 0.01, "schedule": {"warmup": 5, "low": 0.001}},
    }
    changed = config_of(train, "hidden=3", "epochs=100", "optimizer.lr=1")
    assert changed["width"] == 6
    assert changed["depth"] == 7
    assert changed["optimizer"] == {"lr": 1.0, "lr_min": 0.1, "schedule": {"warmup": 10, "low": 0.01}}


def test_an_override_of_a_computed_entry_wins_and_others_follow_from_it() -> None:
    config = config_of(train, "width=5", "optimizer.schedule.warmup=1", "hidden=100")
    assert (config["width"], config["depth"]) == (5, 6)
    assert config["optimizer"]["schedule"] == {"warmup": 1, "low": 0.001}
    assert ConfigSpec.from_function(train).resolve((), {"depth": 3, "hidden": 1}).config["depth"] == 3


def test_what_the_function_is_called_with_has_the_computed_values() -> None:
    arguments = ConfigSpec.from_function(train).resolve(argv=["optimizer={lr: 2, schedule: {low: 7}}"]).arguments
    assert arguments["width"] == 16
    assert arguments["optimizer"] == Optimizer(2.0, 0.2, Schedule(5, 7.0))


def test_a_dataclass_a_model_and_a_dict_may_have_computed_entries() -> None:
    class Model(BaseModel):
        hidden: int = 8
        width: int = computed(lambda hidden: hidden * 2)

    @dataclass
    class Data:
        hidden: int = 8
        width: int = computed(lambda hidden: hidden * 2)

        def __post_init__(self) -> None:
            if self.width <= 0:
                raise ValueError("the width has to be above 0")

    def whole(run: Any, config: Any) -> None: ...

    mapping = {
        "hidden": 8,
        "width": computed(lambda hidden: hidden * 2),
        "in": {"a": 1, "b": computed(lambda a: a + 1)},
    }
    for config in (Model, Model(), Data, mapping, argparse.Namespace(**mapping)):
        settled = config_of(whole, "hidden=5", config=config)
        assert (settled["hidden"], settled["width"]) == (5, 10), config
    assert config_of(whole, "in.a=4", config=mapping)["in"] == {"a": 4, "b": 5}
    assert isinstance(ConfigSpec.from_function(whole, Model).resolve().arguments["config"], Model)
    with pytest.raises(ConfigError, match="the width has to be above 0"):
        config_of(whole, "hidden=-1", config=Data)


def test_a_field_of_a_given_object_that_was_set_in_code_is_not_computed() -> None:
    def function(run: Any, optimizer: Optimizer = Optimizer(lr=1.0, lr_min=0.5)) -> None: ...

    assert config_of(function, "epochs=10", functions=(lambda: {"epochs": 3},))["optimizer"]["lr_min"] == 0.5


def test_computed_values_are_converted_and_checked_as_any_other() -> None:
    def whole(run: Any, hidden: int = 4, half: int = computed(lambda hidden: hidden / 2)) -> None: ...

    assert config_of(whole)["half"] == 2
    assert isinstance(config_of(whole)["half"], int)
    with pytest.raises(BadConfigValue, match=r"'half' takes a whole number, not 1\.5 \(in computed from hidden\)"):
        config_of(whole, "hidden=3")

    def unhinted(hidden=4, half=computed(lambda hidden: hidden / 2)):  # type: ignore[no-untyped-def]
        ...

    assert config_of(unhinted, "hidden=3")["half"] == 1.5

    def said(hidden: int) -> int:
        return hidden

    with pytest.raises(BadConfigValue, match="'half' takes a whole number"):
        config_of(lambda run, hidden=1, half=computed(said): None, "half=x")


def test_a_computed_structure_can_be_changed_inside() -> None:
    def function(lr: float = 2.0, optimizer: Optimizer = computed(lambda lr: Optimizer(lr))) -> None: ...

    assert config_of(function, "optimizer.lr_min=9", "lr=3", "optimizer.schedule.warmup=1")["optimizer"] == {
        "lr": 3.0,
        "lr_min": 9.0,
        "schedule": {"warmup": 1, "low": 0.03},
    }


def test_a_config_function_gives_new_entries_and_other_defaults() -> None:
    def derived(hidden: int, epochs: int) -> dict[str, Any]:
        return {"total": hidden * epochs, "names": {"a": hidden}, "hidden_twice": computed(lambda hidden: 2 * hidden)}

    def function(run: Any, hidden: int = 8, epochs: int = 10, note: str = "") -> None: ...

    assert config_of(function, functions=(derived,)) == {
        "hidden": 8,
        "epochs": 10,
        "note": "",
        "total": 80,
        "names": {"a": 8},
        "hidden_twice": 16,
    }
    changed = config_of(function, "hidden=1", "total=5", "names.a=7", functions=(derived,))
    assert (changed["total"], changed["names"], changed["hidden_twice"]) == (5, {"a": 7}, 2)
    assert config_of(function, functions=(lambda hidden: {"note": f"{hidden} wide"},))["note"] == "8 wide"
    assert config_of(function, "note=mine", functions=(lambda hidden: {"note": f"{hidden} wide"},))["note"] == "mine"
    with pytest.raises(
        BadConfigValue, match=r"'epochs' takes a whole number, not 'x' \(in what <lambda>\(\) returns\)"
    ):
        config_of(function, functions=(lambda: {"epochs": "x"},))


def test_config_functions_are_called_in_the_order_of_need_whatever_the_order_of_their_definition() -> None:
    def last(middle: int) -> dict[str, int]:
        return {"last": middle + 1}

    def middle(first: int) -> dict[str, int]:
        return {"middle": first + 1}

    def first(hidden: int) -> dict[str, int]:
        return {"first": hidden + 1}

    def function(run: Any, hidden: int = 0) -> None: ...

    for functions in ((last, middle, first), (first, last, middle)):
        config = config_of(function, "hidden=10", functions=functions)
        assert (config["first"], config["middle"], config["last"]) == (11, 12, 13)


def test_many_functions_of_which_none_can_be_called_are_not_tried_in_every_order() -> None:
    functions = tuple(sum_of(index, ["nowhere"], f"e{index}") for index in range(60))
    with pytest.raises(UnknownConfigKey, match="no config key 'nowhere'"):
        config_of(lambda run, lr=1: None, functions=functions)


def test_a_default_that_a_config_function_changes_is_not_read_before() -> None:
    def function(
        run: Any, lr: float = 0.1, model: str = "small", low: float = computed(lambda lr: lr / 10)
    ) -> None: ...

    def reading(lr: float) -> dict[str, float]:
        return {"high": lr * 10}

    def tuned(model: str) -> dict[str, float]:
        return {"lr": 0.5} if model == "big" else {}

    assert config_of(function, functions=(reading, tuned)) == {"lr": 0.1, "model": "small", "low": 0.01, "high": 1.0}
    big = config_of(function, "model=big", functions=(reading, tuned))
    assert (big["lr"], big["low"], big["high"]) == (0.5, 0.05, 5.0)
    assert config_of(function, "model=big", "lr=1", functions=(reading, tuned))["high"] == 10.0


def test_a_config_function_may_build_on_the_value_below_its_own() -> None:
    def function(run: Any, lr: float = 0.1) -> None: ...

    def scaled(lr: float) -> dict[str, float]:
        return {"lr": lr * 4}

    assert config_of(function, functions=(scaled,)) == {"lr": 0.4}
    assert config_of(function, "lr=1", functions=(scaled,)) == {"lr": 1.0}


def test_an_entry_that_only_some_configs_have_can_be_overridden_where_there_is_one() -> None:
    def function(run: Any, kind: str = "plain") -> None: ...

    def more(kind: str) -> dict[str, Any]:
        return {"extra": 1, "flag": False} if kind == "rich" else {}

    assert config_of(function, "kind=rich", "--extra", "5", functions=(more,))["extra"] == 5
    with pytest.raises(UnknownConfigKey, match="no config key 'extra'"):
        config_of(function, "extra=5", functions=(more,))
    with pytest.raises(UnknownConfigKey, match=r"no config key 'extr'\. Did you mean 'extra'"):
        config_of(function, "kind=rich", "extr=5", functions=(more,))


def test_an_ingredients_entries_are_read_as_its_namespace() -> None:
    data = ConfigSpec.of_ingredient("data", {"batch": 4, "path": "x", "inner": {"a": 1}})
    data.config_functions.append(lambda batch: {"twice": 2 * batch})

    def function(run: Any, data: Any, steps: int = computed(lambda data: data.twice + data["batch"])) -> None: ...

    spec = ConfigSpec.from_function(function)
    spec.ingredients["data"] = data
    spec.config_functions.append(lambda data: {"rows": data.inner["a"]})
    resolved = spec.resolve(argv=["data.batch=5", "data.inner.a=9"])
    assert resolved.config == {
        "steps": 15,
        "rows": 9,
        "data": {"batch": 5, "path": "x", "inner": {"a": 9}, "twice": 10},
    }
    assert isinstance(resolved.arguments["data"], Namespace)
    assert resolved.arguments["data"].twice == 10
    assert resolved.namespace.data["path"] == "x"
    assert spec.resolve(argv=["data.twice=1"]).config["steps"] == 5
    with pytest.raises(AttributeError, match="no config entry 'bath' here; there is batch, path"):
        _ = resolved.namespace.data.bath


def test_an_ingredient_reads_another_ingredient_and_not_the_experiment() -> None:
    def function(run: Any, lr: float = 0.1) -> None: ...

    spec = ConfigSpec.from_function(function)
    spec.ingredients["paths"] = ConfigSpec.of_ingredient("paths", {"root": "/data"})
    spec.ingredients["data.files"] = ConfigSpec.of_ingredient("data.files", {"count": 2})
    spec.ingredients["data"] = data = ConfigSpec.of_ingredient("data")
    data.config_functions.append(lambda paths, files: {"file": f"{paths.root}/{files.count}.csv"})
    resolved = spec.resolve(argv=["paths.root=/x", "data.files.count=3"])
    assert resolved.config["data"] == {"files": {"count": 3}, "file": "/x/3.csv"}
    assert resolved.namespace.data.files.count == 3
    data.config_functions.append(lambda lr: {"lr": lr})
    with pytest.raises(UnknownConfigKey, match=r"no config key 'lr' \(in the arguments of <lambda>"):
        spec.resolve()


def circle(
    run: Any, a: int = computed(lambda b: b), b: int = computed(lambda c: c), c: int = computed(lambda a: a)
) -> None: ...


def unknown(
    run: Any, lr: float = 1, low: float = computed(lambda lrr: lrr), lower: float = computed(lambda low: low)
) -> None: ...


def missing(
    run: Any, lr: float, low: float = computed(lambda lr: lr), lower: float = computed(lambda low: low)
) -> None: ...


def failing(
    run: Any, n: int = 0, part: float = computed(lambda n: 1 / n), half: float = computed(lambda part: part)
) -> None: ...


def plain(run: Any, lr: float = 0.1) -> None: ...


def tuned(run: Any, lr: float = 0.1, low: float = computed(lambda lr: lr / 10)) -> None: ...


def gives_lr(low: float) -> dict[str, float]:
    return {"lr": low * 10}


def gives_y(x: float) -> dict[str, float]:
    return {"y": x}


def gives_x(y: float) -> dict[str, float]:
    return {"x": y}


def gives_data() -> dict[str, Any]:
    return {"data": {}}


@pytest.mark.parametrize(
    ("function", "functions", "kind", "message"),
    [
        (circle, (), CyclicConfig, "round in a circle: a needs b, b needs c, c needs a. Set one of them."),
        (unknown, (), UnknownConfigKey, "no config key 'lrr' (in the arguments of low). Did you mean 'lr'?"),
        (missing, (), MissingConfigValue, "'lr' has no default and no value, and low needs it. Give it: lr=..."),
        (failing, (), UncomputableConfig, "part cannot be computed from n=0: ZeroDivisionError: division by zero."),
        (plain, (gives_y, gives_x), UnknownConfigKey, "no config key 'x' (in the arguments of gives_y())"),
        (tuned, (gives_lr,), CyclicConfig, "gives_lr() needs low, low needs gives_lr(). Set one of them."),
        (plain, (lambda lr: None,), UncomputableConfig, "<lambda>() returned None. It has to return a mapping"),
        (plain, (lambda lr: [lr],), UncomputableConfig, "<lambda>() returned [0.1]"),
        (plain, (gives_data,), UncomputableConfig, "gives_data() gives 'data', which is an ingredient"),
        (plain, (lambda *lr: {},), UncomputableConfig, "takes config entries by name, and cannot give '*lr'"),
    ],
    ids=["circle", "unknown", "missing", "failing", "functions", "cycle", "none", "list", "ingredient", "star"],
)
def test_what_cannot_be_computed_is_explained_with_who_needs_it(
    function: Any, functions: tuple[Any, ...], kind: type[ConfigError], message: str
) -> None:
    spec = ConfigSpec.from_function(function)
    spec.ingredients["data"] = ConfigSpec.of_ingredient("data", {"batch": 1})
    spec.config_functions.extend(functions)
    with pytest.raises(kind) as caught:
        spec.resolve()
    assert message in str(caught.value)


@given(st.data())
def test_any_net_of_entries_has_the_values_that_follow_from_its_overrides(data: st.DataObject) -> None:
    """Each entry is a constant and the sum of some entries before it; how it is said, and in which order, is drawn."""
    count = data.draw(st.integers(1, 8))
    needs = [
        data.draw(st.sets(st.integers(0, index - 1), max_size=3) if index else st.just(set())) for index in range(count)
    ]
    kinds = data.draw(st.lists(st.sampled_from(["computed", "function", "nested"]), min_size=count, max_size=count))
    set_by = data.draw(st.dictionaries(st.integers(0, count - 1), st.integers(100, 999), max_size=3))
    order = data.draw(st.permutations(range(count)))
    config: dict[str, Any] = {"inner": {}}
    functions = []
    for index in order:
        function = sum_of(
            index, [f"e{need}" for need in needs[index]], f"e{index}" if kinds[index] == "function" else None
        )
        if kinds[index] == "function":
            functions.append(function)
        elif kinds[index] == "nested" and not any(index in needed for needed in needs):
            config["inner"][f"e{index}"] = computed(function)
        else:
            config[f"e{index}"] = computed(function)
    paths = {index: f"inner.e{index}" if f"e{index}" in config["inner"] else f"e{index}" for index in range(count)}
    expected: dict[int, int] = {}
    for index in range(count):
        expected[index] = set_by.get(index, 1000 * index + sum(expected[need] for need in needs[index]))

    words = [f"{paths[index]}={value}" for index, value in set_by.items()]
    settled = config_of(lambda run, config: None, *words, config=config, functions=tuple(functions))

    assert {index: settled["inner"].get(f"e{index}", settled.get(f"e{index}")) for index in range(count)} == expected


def sum_of(index: int, names: list[str], gives: str | None) -> Any:
    """A function whose arguments have these names, as if it had been written so."""

    def function(**values: int) -> Any:
        value = 1000 * index + sum(values.values())
        return value if gives is None else {gives: value}

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def test_a_circle_is_opened_by_an_override() -> None:
    assert config_of(circle, "b=3") == {"a": 3, "b": 3, "c": 3}


def test_a_function_that_takes_more_than_names_is_refused_where_it_is_written() -> None:
    with pytest.raises(UncomputableConfig, match=r"cannot give '\*\*entries'"):
        computed(lambda **entries: 1)
    assert config_of(lambda run, a=1, b=computed(lambda a, scale=3: a * scale): None) == {"a": 1, "b": 3}


def test_the_help_says_what_is_computed_from_what() -> None:
    spec = ConfigSpec.from_function(train)

    def derived(hidden: int) -> dict[str, int]:
        """What follows.

        Args:
            total: all of it
        """
        return {"total": hidden}

    spec.config_functions.append(derived)
    with pytest.raises(HelpWanted) as wanted:
        spec.resolve(argv=["--help"])
    text = str(wanted.value)
    assert "  width: int = 16  (computed from hidden)\n" in text
    assert "  optimizer.schedule.warmup: int = 5  (computed from epochs)\n" in text
    assert "  total: int | float = 8  (computed by derived())\n        all of it\n" in text


def test_of_a_run_that_goes_on_computed_entries_follow_again_unless_they_had_been_set() -> None:
    spec = ConfigSpec.from_function(train)
    spec.config_functions.append(lambda hidden: {"total": hidden})
    first = spec.resolve(argv=["hidden=10", "depth=99", "optimizer.lr=5"]).config
    assert spec.resolve(kept=first).config == first
    again = spec.resolve(argv=["hidden=20"], kept=first).config
    assert (again["width"], again["depth"], again["total"]) == (40, 99, 20)
    assert again["optimizer"] == first["optimizer"]
    set_before = spec.resolve(argv=["total=7"]).config
    assert spec.resolve(argv=["hidden=20"], kept=set_before).config["total"] == 7


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["layers.0=5"], [5, 32]),
        (["layers.1=5", "layers.0=4"], [4, 5]),
        (["--layers.1", "7"], [64, 7]),
        (["layers=1,2,3", "layers.2=9"], [1, 2, 9]),
    ],
    ids=str,
)
def test_one_item_of_a_list_can_be_set(words: list[str], expected: list[int]) -> None:
    def function(run: Any, layers: list[int] = [64, 32]) -> None: ...  # noqa: B006

    assert config_of(function, *words) == {"layers": expected}


def test_what_is_told_of_a_changed_item_is_its_list() -> None:
    def function(run: Any, layers: list[int] = [64, 32], stages: Any = [{"lr": 1}]) -> None: ...  # noqa: B006

    resolved = ConfigSpec.from_function(function).resolve(argv=["layers.1=5", "stages.0.lr=3"])
    assert resolved.overrides == {"layers": [64, 5], "stages.0.lr": 3}
    assert resolved.meta["config_updates"]["layers"] == [64, 5]
    assert {change.key for change in resolved.changes} == {"layers", "stages"}


def test_functions_that_give_other_entries_at_each_call_are_refused() -> None:
    names = [f"e{index}" for index in range(80)]
    entries = iter(reversed(names))

    def restless() -> dict[str, int]:
        return {next(entries): 1}

    with pytest.raises(
        UncomputableConfig, match=r"function\(\), restless\(\) give other entries each time they are called"
    ):
        config_of(
            lambda run, config: None,
            config=dict.fromkeys(names, 0),
            functions=(sum_of(0, names, "sum"), restless),
        )


def test_items_have_types_and_an_end() -> None:
    def function(
        run: Any,
        pair: tuple[int, str] = (1, "a"),
        stages: Any = [{"lr": 1}, {"lr": 2}],  # noqa: B006
        layers: list[int] = [1],  # noqa: B006
        maybe: list[int] | None = None,
        lr: float = 0.1,
    ) -> None: ...

    assert config_of(function, "pair.1=7", "pair.0=7")["pair"] == [7, "7"]
    assert config_of(function, "stages.1.lr=5")["stages"] == [{"lr": 1}, {"lr": 5}]
    with pytest.raises(BadConfigValue, match=r"'layers\.0' takes a whole number"):
        config_of(function, "layers.0=x")
    with pytest.raises(UnknownConfigKey, match=r"no config key 'layers\.1'. Did you mean 'layers\.0'"):
        config_of(function, "layers.1=3")
    with pytest.raises(UnknownConfigKey, match=r"no config key 'maybe\.0'. It has none"):
        config_of(function, "maybe.0=3")
    with pytest.raises(UnknownConfigKey, match=r"'lr\.0'"):
        config_of(function, "lr.0=3")
