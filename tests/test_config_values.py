"""Text and values become what the type hints ask for, or a message that says what would have fitted."""

# ruff: noqa: UP007, UP045 - both spellings of a union are read
from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Union

import numpy as np
import pytest
from cloister.decorators.config import (
    BadConfigValue,
    ConfigError,
    ConfigSpec,
    MissingConfigValue,
    RefusedConfig,
    UnknownConfigKey,
)
from cloister.decorators.config.convert import convert
from cloister.decorators.config.free_values import Where
from cloister.decorators.config.literals import Scalar, quote
from hypothesis import given, settings
from hypothesis import strategies as st


class Activation(enum.Enum):
    RELU = "relu"
    TANH = "tanh"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@dataclass
class Optimizer:
    name: Literal["adam", "sgd"] = "adam"
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class Schedule:
    steps: int
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=3.0))
    warmup: int = 0

    def __post_init__(self) -> None:
        if self.warmup > self.steps:
            raise ValueError(f"warmup {self.warmup} is longer than {self.steps} steps")


Seconds = typing.NewType("Seconds", float)


def from_word(text: str, hint: Any) -> Any:
    return convert(Scalar.from_argument(text), hint, Where("key"))


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("5", int, 5),
        ("-5", int, -5),
        ("1_000_000", int, 1_000_000),
        ("1e3", int, 1000),
        ("20.0", int, 20),
        ("0x10", int, 16),
        ("5", float, 5.0),
        ("-0.1", float, -0.1),
        ("1e-3", float, 1e-3),
        (".5", float, 0.5),
        ("inf", float, math.inf),
        ("-.inf", float, -math.inf),
        ("yes", bool, True),
        ("OFF", bool, False),
        ("1", bool, True),
        ("5", str, "5"),
        ("", str, ""),
        ("a=b c", str, "a=b c"),
        ("'5'", str, "5"),
        ('"it\'s"', str, "it's"),
        ("'a' and 'b'", str, "'a' and 'b'"),
        ("none", Optional[str], None),
        ("'none'", Optional[str], "none"),
        ("null", Optional[int], None),
        ("7", Optional[int], 7),
        ("/data/x", Path, Path("/data/x")),
        ("adam", Literal["adam", "sgd"], "adam"),
        ("2", Literal[1, 2], 2),
        ("none", Literal["a", None], None),
        ("relu", Activation, Activation.RELU),
        ("TANH", Activation, Activation.TANH),
        ("high", Level, Level.HIGH),
        ("2", Union[int, str], 2),
        ("2", Union[str, int], 2),
        ("two", Union[int, str], "two"),
        ("2.0", Union[int, float], 2.0),
        ("true", Union[bool, int], True),
        ("1", Union[bool, int], 1),
        ("a,b", Union[str, list[str]], "a,b"),
        ("[a, b]", Union[str, list[str]], ["a", "b"]),
        ("64,32", list[int], [64, 32]),
        ("[64, 32]", list[int], [64, 32]),
        ("64", list[int], [64]),
        ("[]", list[int], []),
        ("", list[int], []),
        ("a, 'b,c'", list[str], ["a", "b,c"]),
        ("[1, yes, null]", list[str], ["1", "yes", "null"]),
        ("[1, null, 'null']", list[Optional[str]], ["1", None, "null"]),
        ("(1, 2)", tuple[int, ...], (1, 2)),
        ("1,a", tuple[int, str], (1, "a")),
        ("1,2,2", set[int], {1, 2}),
        ("[[1,2],[3]]", list[list[int]], [[1, 2], [3]]),
        ("1,2", Sequence[float], [1.0, 2.0]),
        ("1,2", Iterable[int], [1, 2]),
        ("[1, a]", list, [1, "a"]),
        ("{a: 1, b: 2.5}", dict[str, float], {"a": 1.0, "b": 2.5}),
        ("{1: x}", Mapping[int, str], {1: "x"}),
        ("{lr: 1, name: sgd}", Optimizer, Optimizer(name="sgd", lr=1.0)),
        ("1.5", Seconds, 1.5),
        ("1.5", typing.Annotated[float, "s"], 1.5),
        ("1+2j", complex, 1 + 2j),
        ("0.10", decimal.Decimal, decimal.Decimal("0.10")),
        ("2026-01-02", datetime.date, datetime.date(2026, 1, 2)),
        ("3", Any, 3),
        ("1e-3", Any, 1e-3),
        ("true", Any, True),
        ("no", Any, "no"),
        ("'3'", Any, "3"),
        ("[1, {a: b}]", Any, [1, {"a": "b"}]),
        ("[draft] second try", Any, "[draft] second try"),
        ("1:30", Any, "1:30"),
        ("größe 🙂", str, "größe 🙂"),
    ],
)
def test_a_word_becomes_what_its_hint_says(text: str, hint: Any, value: Any) -> None:
    read = from_word(text, hint)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("abc", int, "takes a whole number, not 'abc'"),
        ("1.5", int, "takes a whole number"),
        ("٣", int, "takes a whole number"),
        ("", float, "takes a number, not ''"),
        ("1e400", float, "takes a number within the range of its type"),
        ("1e400", Any, "put it in quotes if it is text"),
        ("9" * 5000, int, "takes a whole number within the range"),
        ("9" * 5000, Any, "within the range"),
        ("maybe", bool, "takes true or false"),
        ("2", bool, "takes true or false"),
        ("rmsprop", Literal["adam", "sgd"], "takes one of 'adam', 'sgd'"),
        ("gelu", Activation, "takes one of relu, tanh"),
        ("x", Optional[int], "takes a whole number or None"),
        ("x", Union[int, float], "takes a whole number or a number"),
        ("1,x", list[int], r"key\[1\]' takes a whole number, not 'x'"),
        ("[1, 2", list[int], "each item a whole number; it is not YAML"),
        ("1,2,3", tuple[float, float], r"takes 2 values \(a number, a number\)"),
        ("5", dict[str, int], "takes a mapping"),
        ("{a: x}", dict[str, int], "key.a' takes a whole number"),
        ("adam", Optimizer, "takes the fields of Optimizer"),
        ("", Path, "takes a path"),
        ("x", type(None), "takes None"),
        ("x", np.ndarray, "cannot be written as text: set it in code"),
        ("{a: !!python/object:os.system x}", dict[str, str], "tag .* is refused"),
        ("[" * 5000, list, "nested deeper"),
    ],
)
def test_a_word_that_does_not_fit_is_refused_with_what_would(text: str, hint: Any, expected: str) -> None:
    with pytest.raises(BadConfigValue, match=expected):
        from_word(text, hint)


def test_a_dataclass_in_brackets_names_the_field_that_is_wrong() -> None:
    with pytest.raises(UnknownConfigKey, match=r"'key\.lrr'.*Did you mean 'key\.lr'\?"):
        from_word("{lrr: 1}", Optimizer)
    with pytest.raises(BadConfigValue, match=r"'key\.lr' takes a number, not 'x'"):
        from_word("{lr: x}", Optional[Optimizer])
    with pytest.raises(MissingConfigValue, match=r"'key\.steps'"):
        from_word("{warmup: 1}", Schedule)
    with pytest.raises(RefusedConfig, match="warmup 5 is longer than 3 steps"):
        from_word("{warmup: 5, steps: 3}", Schedule)


@pytest.mark.parametrize(
    ("value", "hint", "converted"),
    [
        (1, float, 1.0),
        (3.0, int, 3),
        ("5", int, 5),
        (np.float32(0.5), float, 0.5),
        (np.int64(3), int, 3),
        (np.bool_(True), bool, True),
        ([1, 2], tuple[int, ...], (1, 2)),
        ((1, 2), list[float], [1.0, 2.0]),
        ("relu", Activation, Activation.RELU),
        ("a/b", Path, Path("a/b")),
        ({"lr": 1}, Optimizer, Optimizer(lr=1.0)),
        (1, Union[bool, int], 1),
        (True, Union[bool, int], True),
    ],
)
def test_a_value_given_in_code_is_converted(value: Any, hint: Any, converted: Any) -> None:
    read = convert(value, hint, Where("key"))
    assert read == converted
    assert type(read) is type(converted)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1.5, int),
        (True, int),
        (True, float),
        (None, int),
        (5, str),
        (2, bool),
        (5, list[int]),
        ({1, 2}, list[int]),
        ([1], dict[str, int]),
        ("1", Literal[2]),
        (10**400, float),
        (1j, float),
        ([[]], set[Any]),
        (5, Optimizer),
    ],
)
def test_a_value_given_in_code_that_does_not_fit_is_refused(value: Any, hint: Any) -> None:
    with pytest.raises(BadConfigValue):
        convert(value, hint, Where("key"))


def test_an_object_that_no_file_could_hold_is_passed_on_as_it_is() -> None:
    array = np.zeros(3)
    assert convert(array, list[float], Where("key")) is array
    assert convert(array, Optimizer, Where("key")) is array


@dataclass
class Everything:
    number: float = 0.0
    whole: int = 0
    flag: bool = False
    text: str = ""
    path: Path = Path("x")
    maybe: Optional[str] = None
    words: list[str] = field(default_factory=list)
    numbers: tuple[float, ...] = ()
    table: dict[str, int] = field(default_factory=dict)
    choice: Activation = Activation.RELU


# What a word of the command line can hold: no NUL. Lone surrogates stand for bytes that are not UTF-8.
words = st.text(st.characters(exclude_characters="\0"))


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.builds(
        Everything,
        number=st.floats(allow_nan=False),
        text=words,
        path=words.filter(bool).map(Path),
        maybe=st.none() | words,
        words=st.lists(words),
        numbers=st.lists(st.floats(allow_nan=False)).map(tuple),
        table=st.dictionaries(words, st.integers()),
    )
)
def test_any_value_survives_the_command_line(config: Everything) -> None:
    def train(run: Any, config: Everything) -> None: ...

    spec = ConfigSpec.from_function(train, Everything)
    argv = [f"{name}={quote(value)}" for name, value in vars(config).items() if name not in ("choice", "path")]
    argv += [f"--choice={config.choice.value}", "--path", quote(str(config.path))]
    if argv[-1].startswith("--"):
        argv[-2:] = [f"--path={argv[-1]}"]
    assert spec.resolve(argv=argv).arguments["config"] == config


@settings(deadline=None)
@given(words)
def test_no_word_does_worse_than_a_clear_refusal(text: str) -> None:
    for hint in (Any, int, list[int], dict[str, float], Optional[Optimizer], Union[bool, float, list[str]]):
        with contextlib.suppress(ConfigError):
            from_word(text, hint)
