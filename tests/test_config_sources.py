"""A config comes from a signature, a dataclass, a model, a mapping, a file or a parser, and calls override it."""

from __future__ import annotations

import argparse
import enum
import functools
from collections import OrderedDict
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import pydantic
import pytest
from cloister.decorators.config import (
    BadConfigSource,
    BadConfigValue,
    CallMismatch,
    ConfigClash,
    ConfigSpec,
    MissingConfigValue,
    RefusedConfig,
    UnknownConfigKey,
    computed,
    plain_config,
)

if TYPE_CHECKING:
    from somewhere import DefinedBelow, NeverImported


@dataclass
class Optimizer:
    lr: float = 1e-3
    momentum: float = 0.9


@dataclass
class Config:
    lr: float = 1e-3
    layers: list[int] = field(default_factory=lambda: [64, 32])
    optimizer: Optimizer = field(default_factory=Optimizer)
    data: Optional[Path] = None  # noqa: UP045 - both spellings are read


@dataclass
class Needy:
    data: Path
    epochs: int = 3


class Model(pydantic.BaseModel):
    lr: float = pydantic.Field(1e-3, gt=0, description="the learning rate")
    width: int = pydantic.Field(8, alias="hidden-width")
    timeout: pydantic.NonNegativeInt = 3
    optimizer: Optimizer = Optimizer()


def train(run: Any, lr: float = 1e-3, epochs: int = 20, optimizer: Optimizer = Optimizer()) -> None:  # noqa: B008
    """Nothing is trained here."""


def call(function: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
    """The arguments that the function would get."""
    return ConfigSpec.from_function(function, config).resolve(args, kwargs).arguments


def test_the_signature_is_the_config() -> None:
    resolved = ConfigSpec.from_function(train).resolve()
    assert resolved.config == {"lr": 1e-3, "epochs": 20, "optimizer": {"lr": 1e-3, "momentum": 0.9}}
    assert resolved.defaults == resolved.config
    assert resolved.overrides == {}
    assert resolved.arguments["optimizer"] == Optimizer()


def test_a_call_overrides_by_name_and_by_position_with_run_left_out() -> None:
    resolved = ConfigSpec.from_function(train).resolve((0.1,), {"epochs": 5.0})
    assert resolved.arguments["lr"] == 0.1
    assert resolved.config["epochs"] == 5
    assert resolved.defaults["epochs"] == 20
    assert resolved.overrides == {"lr": 0.1, "epochs": 5}


def test_run_is_put_where_the_function_has_it() -> None:
    def first(run: Any, a: int, /, b: int, *rest: int, c: int = 3, **further: int) -> Any:
        return run, a, b, rest, c, further

    def middle(a: int, run: Any, b: int = 2) -> Any:
        return a, run, b

    bound = ConfigSpec.from_function(first).resolve((1, 2, 3, 4), {"d": 5}).bind("the run")
    assert first(*bound.args, **bound.kwargs) == ("the run", 1, 2, (3, 4), 3, {"d": 5})
    bound = ConfigSpec.from_function(middle).resolve((1, 9)).bind("the run")
    assert middle(*bound.args, **bound.kwargs) == (1, "the run", 9)


def test_positional_rest_and_further_keys_are_recorded() -> None:
    def function(*files: str, **further: int) -> None: ...

    resolved = ConfigSpec.from_function(function).resolve(("a", "b"), {"n": 5})
    assert resolved.config == {"files": ["a", "b"], "n": 5}


def test_a_call_with_a_wrong_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownConfigKey, match=r"'epoch'\. Did you mean 'epochs'\?"):
        call(train, epoch=3)
    with pytest.raises(UnknownConfigKey, match=r"'weight'\. It has "):
        call(train, weight=3)


def test_a_call_with_a_wrong_value_or_too_many_is_refused() -> None:
    with pytest.raises(BadConfigValue, match=r"'epochs' takes a whole number, not 1\.5"):
        call(train, epochs=1.5)
    with pytest.raises(CallMismatch, match="too many positional"):
        call(train, 1, 2, Optimizer(), 4)
    with pytest.raises(CallMismatch, match="gets its 'run' from Cloister"):
        call(train, run=3)


def test_a_nested_value_is_overridden_by_its_dotted_name_in_a_call_too() -> None:
    assert call(train, **{"optimizer.lr": 7})["optimizer"] == Optimizer(lr=7.0)


def test_all_missing_values_are_named_at_once() -> None:
    def function(run: Any, data: Path, needy: Needy, n: int, m: int = 2) -> None: ...

    with pytest.raises(MissingConfigValue, match=r"'data', 'needy\.data', 'n' have no default.*data=\.\.\.") as caught:
        call(function)
    assert isinstance(caught.value, TypeError)
    assert ConfigSpec.from_function(function).resolve(("x", {"data": "y"}, 1)).config == {
        "data": "x",
        "needy": {"data": "y", "epochs": 3},
        "n": 1,
        "m": 2,
    }


def test_none_is_a_value_where_it_is_the_default() -> None:
    def function(run: Any, seed: int = None, size: int = 3) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert call(function, seed=None)["seed"] is None
    assert call(function, seed=4)["seed"] == 4
    with pytest.raises(BadConfigValue, match="takes a whole number, not None"):
        call(function, size=None)


def test_a_parameter_without_a_hint_takes_what_code_gives() -> None:
    def function(run, act=len, checkpoint="last", layers=[1]): ...  # type: ignore[no-untyped-def]  # noqa: B006

    assert call(function, act=max, checkpoint=None, layers="all") == {
        "act": max,
        "checkpoint": None,
        "layers": "all",
    }


def test_a_hint_that_cannot_be_resolved_falls_back_to_the_default() -> None:
    def function(run: NeverImported, epochs: int = 3, thing: NeverImported = 0.5) -> None: ...  # type: ignore[assignment]

    spec = ConfigSpec.from_function(function)
    assert spec.resolve(argv=["thing=2", "epochs=4"]).config == {"epochs": 4, "thing": 2.0}
    with pytest.raises(BadConfigValue, match="'thing' takes a number"):
        spec.resolve(argv=["thing=x"])


def test_a_class_defined_beside_the_function_is_known_as_a_hint() -> None:
    class Colour(enum.Enum):
        RED = 1

    def function(run: Any, colour: Colour = Colour.RED) -> Any:
        return Colour

    assert call(function, colour="RED")["colour"] is Colour.RED
    assert ConfigSpec.from_function(function).resolve().config == {"colour": "RED"}


def test_a_wrapped_function_shows_its_own_parameters() -> None:
    @functools.wraps(train)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert call(wrapper, lr=2)["lr"] == 2.0


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"lr": 0.5, "optimizer": {"lr": 2}}, id="dict"),
        pytest.param(OrderedDict(lr="0.5", optimizer={"lr": 2}), id="mapping"),
        pytest.param(argparse.Namespace(lr=0.5, optimizer={"lr": 2}, verbose=True), id="namespace"),
    ],
)
def test_a_given_config_sets_the_defaults_of_the_parameters_that_it_names(config: Any) -> None:
    resolved = ConfigSpec.from_function(train, config).resolve((), {"epochs": 1})
    assert resolved.arguments["lr"] == 0.5
    assert resolved.arguments["optimizer"] == Optimizer(lr=2.0)
    assert resolved.defaults["lr"] == 0.5
    assert resolved.config["optimizer"] == {"lr": 2.0, "momentum": 0.9}
    assert call(train, config=config, lr=9)["lr"] == 9.0


def test_a_parser_may_know_more_than_the_function_takes_and_it_is_recorded() -> None:
    resolved = ConfigSpec.from_function(train, argparse.Namespace(lr=0.5, verbose=True)).resolve()
    assert resolved.config["verbose"] is True
    bound = resolved.bind(None)
    train(*bound.args, **bound.kwargs)


def test_a_mapping_with_a_name_that_no_parameter_has_is_refused() -> None:
    with pytest.raises(UnknownConfigKey, match=r"'epoch'.*Did you mean 'epochs'\?"):
        call(train, config={"epoch": 3})


def test_further_keys_of_a_given_config_go_to_keyword_arguments() -> None:
    def function(run: Any, lr: float = 1, **further: Any) -> Any:
        return further

    spec = ConfigSpec.from_function(function, {"lr": 2, "note": "x", "n": {"a": 1}})
    resolved = spec.resolve(argv=["n.a=5"])
    bound = resolved.bind(None)
    assert function(*bound.args, **bound.kwargs) == {"note": "x", "n": {"a": 5}}
    with pytest.raises(UnknownConfigKey, match="Did you mean 'note'"):
        spec.resolve(argv=["notes=x"])


def test_a_function_of_the_run_alone_reads_its_config_from_the_run() -> None:
    def function(run: Any) -> None: ...

    for config in ({"lr": 0.1, "optimizer": {"lr": 1}}, Config(lr=0.1), Config, Model(lr=0.1), None):
        resolved = ConfigSpec.from_function(function, config).resolve()
        assert resolved.arguments == {}
        assert resolved.config == plain_config(config)
    changed = ConfigSpec.from_function(function, Config).resolve(argv=["optimizer.lr=3"])
    assert changed.config["optimizer"] == {"lr": 3.0, "momentum": 0.9}
    assert changed.overrides == {"optimizer.lr": 3.0}
    with pytest.raises(RefusedConfig, match="lr: Input should be greater than 0"):
        ConfigSpec.from_function(function, Model).resolve(argv=["lr=-1"])


@pytest.mark.parametrize("config", [Config, Config(), Config(lr=1e-3)], ids=["class", "instance", "changed"])
def test_a_dataclass_is_passed_whole_and_its_fields_are_the_keys(config: Any) -> None:
    def by_hint(run: Any, cfg: Config) -> None: ...

    def by_name(config, run): ...  # type: ignore[no-untyped-def]

    for function, name in ((by_hint, "cfg"), (by_name, "config")):
        spec = ConfigSpec.from_function(function, config)
        resolved = spec.resolve(argv=["lr=0.5", "layers=1,2", "optimizer.momentum=0", "data=/x"])
        assert resolved.arguments == {name: Config(0.5, [1, 2], Optimizer(momentum=0.0), Path("/x"))}
        assert resolved.config == {
            "lr": 0.5,
            "layers": [1, 2],
            "optimizer": {"lr": 1e-3, "momentum": 0.0},
            "data": "/x",
        }
        assert resolved.defaults["lr"] == 1e-3
        assert spec.resolve((), {name: Config(lr=4.0)}).config["lr"] == 4.0
        assert spec.resolve((), {"lr": 4}).arguments[name].lr == 4.0


def test_a_whole_config_stands_beside_other_parameters() -> None:
    def function(run: Any, cfg: Config, epochs: int = 3) -> None: ...

    resolved = ConfigSpec.from_function(function, Config).resolve(argv=["lr=2", "epochs=4"])
    assert resolved.arguments["cfg"].lr == 2.0
    assert resolved.config["epochs"] == 4
    assert resolved.config["lr"] == 2.0

    def clashing(run: Any, cfg: Config, lr: float = 3) -> None: ...

    with pytest.raises(ConfigClash, match="'lr' is given by the parameters of clashing"):
        call(clashing, config=Config)


def test_required_fields_of_a_class_may_come_from_the_command_line() -> None:
    def function(run: Any, cfg: Needy) -> None: ...

    spec = ConfigSpec.from_function(function, Needy)
    assert spec.resolve(argv=["data=/x"]).arguments["cfg"] == Needy(Path("/x"))
    assert spec.resolve(argv=["data=/x"]).defaults == {"epochs": 3}
    with pytest.raises(MissingConfigValue, match="'data' has no default"):
        spec.resolve()
    assert ConfigSpec.from_function(function).resolve(argv=["cfg.data=/x"]).config == {
        "cfg": {"data": "/x", "epochs": 3}
    }


def test_a_model_checks_itself_and_its_refusal_is_one_sentence() -> None:
    def function(run: Any, model: Model) -> None: ...

    spec = ConfigSpec.from_function(function, Model())
    resolved = spec.resolve(argv=["lr=0.5", "width=16", "optimizer.lr=3", "timeout=7"])
    model = resolved.arguments["model"]
    assert (model.lr, model.width, model.timeout, model.optimizer) == (0.5, 16, 7, Optimizer(lr=3.0))
    assert resolved.config == {"lr": 0.5, "width": 16, "timeout": 7, "optimizer": {"lr": 3.0, "momentum": 0.9}}
    with pytest.raises(
        RefusedConfig, match=r"^Model refused its values: lr: Input should be greater than 0 \(it was -1"
    ):
        spec.resolve(argv=["lr=-1"])
    with pytest.raises(RefusedConfig, match="timeout: Input should be greater than or equal to 0"):
        spec.resolve(argv=["timeout=-1"])
    with pytest.raises(UnknownConfigKey, match="Did you mean 'width'"):
        spec.resolve(argv=["widht=3"])
    with pytest.raises(RefusedConfig, match="width: Input should be a valid integer"):
        spec.resolve(argv=["width=abc"])


def test_fields_are_checked_together_only_once_all_are_set() -> None:
    @dataclass
    class Range:
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low >= self.high:
                raise ValueError(f"{self.low} is not below {self.high}")

    spec = ConfigSpec.from_function(lambda run, config: None, Range())
    assert spec.resolve(argv=["low=5", "high=9"]).arguments["config"] == Range(5, 9)
    with pytest.raises(RefusedConfig, match="5 is not below 1"):
        spec.resolve(argv=["low=5"])


def test_a_class_that_wants_more_than_its_fields_is_refused_and_not_crashed() -> None:
    @dataclass
    class Odd:
        seed: InitVar[int]
        lr: float = 1

    with pytest.raises(RefusedConfig, match="Odd"):
        call(lambda run, config: None, config=Odd)


@pytest.mark.parametrize(
    ("suffix", "text"), [("yaml", "lr: 0.5\noptimizer: {lr: 2}"), ("toml", "lr = 0.5\noptimizer.lr = 2")]
)
def test_a_file_is_a_config(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"config.{suffix}"
    path.write_text(text)

    def by_class(run: Any, cfg: Config) -> None: ...

    def by_name(run: Any, config: Any) -> None: ...

    assert call(train, config=path)["optimizer"] == Optimizer(lr=2.0)
    assert call(train, config=str(path))["lr"] == 0.5
    assert call(by_class, config=path)["cfg"] == Config(lr=0.5, optimizer=Optimizer(lr=2.0))
    assert call(by_name, config=path)["config"] == {"lr": 0.5, "optimizer": {"lr": 2}}
    assert plain_config(path) == {"lr": 0.5, "optimizer": {"lr": 2}}


def test_the_hint_decides_what_a_file_means(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("version: 1.10\ncountry: no\nlr: 1e-3\n")

    def function(run: Any, version: str, country: str, lr: float, free: Any = None) -> None: ...

    assert call(function, config=path) == {"version": "1.10", "country": "no", "lr": 1e-3, "free": None}


def test_a_changed_config_does_not_reach_the_next_call() -> None:
    spec = ConfigSpec.from_function(lambda run, config: None, {"layers": [1]})
    spec.resolve().arguments["config"]["layers"].append(2)
    assert spec.resolve().arguments["config"] == {"layers": [1]}


def test_keys_with_dots_are_not_taken_apart() -> None:
    config = {"a.b": 1, "a": {"b": 2, "b.c": {"d": 3}}, 5: {"x": 1}, "": 7}

    def function(run: Any) -> None: ...

    spec = ConfigSpec.from_function(function, config)
    resolved = spec.resolve(argv=["a.b=10", "a.b.c.d=30", "5.x=11"])
    assert resolved.config == {"a.b": 10, "a": {"b": 2, "b.c": {"d": 30}}, "5": {"x": 11}, "": 7}


def test_anything_that_is_no_config_is_refused_by_name() -> None:
    for thing in (5, [1], object, SimpleNamespace(a=1)):
        with pytest.raises(BadConfigSource, match="Give a dataclass"):
            plain_config(thing)
        with pytest.raises(BadConfigSource, match="Give a dataclass"):
            ConfigSpec.from_function(train, thing)


def test_a_hint_may_name_a_class_that_stands_further_down() -> None:
    def function(run: Any, later: DefinedBelow = None) -> None: ...  # type: ignore[assignment]

    globals().pop("DefinedBelow", None)
    spec = ConfigSpec.from_function(function)
    globals()["DefinedBelow"] = Optimizer
    assert spec.resolve(argv=["later.lr=2"]).arguments["later"] == Optimizer(lr=2.0)
    del globals()["DefinedBelow"]


def test_a_seed_that_no_generator_takes_is_refused_before_the_run() -> None:
    def function(run: Any, seed: int | None = None) -> None: ...

    assert call(function, seed=2**32 - 1) == {"seed": 2**32 - 1}
    assert call(function) == {"seed": None}
    for seed in (-1, 2**32):
        with pytest.raises(BadConfigValue, match="'seed' takes a whole number from 0 to 4294967295"):
            call(function, seed=seed)


def test_plain_values_are_what_is_recorded() -> None:
    looped: dict[str, Any] = {"x": 1}
    looped["self"] = looped
    marker = object()
    plain = plain_config(
        {
            "path": Path("/x"),
            "enum": enum.Enum("Colour", "RED").RED,
            "set": {3, 1},
            "tuple": (1, (2,)),
            "numpy": np.float32(0.5),
            "object": marker,
            "looped": looped,
            1: "int",
            "1": "text",
            (1, 2): None,
        }
    )
    assert plain == {
        "path": "/x",
        "enum": "RED",
        "set": [1, 3],
        "tuple": [1, [2]],
        "numpy": 0.5,
        "object": marker,
        "looped": {"x": 1, "self": "<contains itself>"},
        "1": "int",
        "1 (2)": "text",
        "(1, 2)": None,
    }
    assert type(plain["numpy"]) is float
    assert plain_config(Needy) == {"epochs": 3}
    assert plain_config(Model())["optimizer"] == {"lr": 1e-3, "momentum": 0.9}
    assert ConfigSpec.from_function(lambda run, config: None, looped).resolve().config["x"] == 1


def test_an_attrs_class_is_a_config_with_its_converters_validators_and_private_fields() -> None:
    attr = pytest.importorskip("attr", reason="needs attrs")
    attrs = pytest.importorskip("attrs", reason="needs attrs")

    @attrs.define
    class Inner:
        depth: int = 2

    @attrs.define
    class Settings:
        data: Path
        lr: float = attrs.field(default=0.1, validator=attrs.validators.gt(0), metadata={"help": "how far a step goes"})
        names: list[str] = attrs.Factory(list)
        _rate: int = attrs.field(default="3", converter=int)
        inner: Inner = attrs.Factory(Inner)
        width: int = attrs.Factory(lambda self: self.inner.depth * 2, takes_self=True)
        low: float = computed(lambda lr: lr / 10)
        steps: int = attrs.field(init=False, default=0)

    def function(run: Any, config: Settings) -> None: ...

    spec = ConfigSpec.from_function(function, Settings)
    resolved = spec.resolve(argv=["data=/x", "lr=1", "names=a,b", "_rate=7", "inner.depth=5"])
    assert resolved.arguments["config"] == Settings(Path("/x"), 1.0, ["a", "b"], 7, Inner(5), 10, 0.1)
    assert resolved.config["_rate"] == 7
    assert "lr: float = 0.1\n        how far a step goes\n" in spec.usage()
    with pytest.raises(MissingConfigValue, match="'data'"):
        spec.resolve()
    with pytest.raises(RefusedConfig, match="'lr' must be > 0"):
        spec.resolve(argv=["data=/x", "lr=-1"])
    with pytest.raises(BadConfigValue, match=r"'inner\.depth' takes a whole number"):
        spec.resolve(argv=["data=/x", "inner.depth=x"])
    given = ConfigSpec.from_function(function, Settings("/y", width=4)).resolve(argv=["lr=2"])
    assert given.config["width"] == 4
    assert attr.asdict(given.arguments["config"])["low"] == 0.2
