"""Every form of override that the command line knows, and what wrong ones get."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest
from cloister.decorators.config import (
    BadConfigValue,
    BadOverride,
    ConfigClash,
    ConfigError,
    ConfigSpec,
    HelpWanted,
    UnknownConfigKey,
)


@dataclass
class Optimizer:
    lr: float = 1e-3
    name: Literal["adam", "sgd"] = "adam"


@dataclass
class Adam:
    beta: float = 0.9


def train(
    run: Any,
    lr: float = 1e-3,
    batch_size: int = 32,
    amp: bool = False,
    precision: Union[bool, str] = False,  # noqa: UP007
    no_cuda: bool = False,
    layers: list[int] = [64],  # noqa: B006
    names: tuple[str, ...] = (),
    note: str = "",
    seed: Optional[int] = 1,  # noqa: UP045
    data: Path = Path("data"),
    optimizer: Optimizer = Optimizer(),  # noqa: B008
    adam: Optional[Adam] = None,  # noqa: UP045
    weights: dict[str, float] = {},  # noqa: B006
    stages: dict = {"warm": {"steps": 5}},  # type: ignore[type-arg]  # noqa: B006
) -> None:
    """Nothing is trained here."""


def overridden(*argv: str) -> dict[str, Any]:
    return ConfigSpec.from_function(train).resolve(argv=argv).overrides


@pytest.mark.parametrize(
    ("line", "overrides"),
    [
        (["lr=0.01"], {"lr": 0.01}),
        (["--lr", "0.01"], {"lr": 0.01}),
        (["--lr=0.01"], {"lr": 0.01}),
        (["--lr", "-0.1"], {"lr": -0.1}),
        (["lr=-1e-3"], {"lr": -1e-3}),
        (["--batch-size", "1_000"], {"batch_size": 1000}),
        (["--batch_size=64"], {"batch_size": 64}),
        (["batch-size=64"], {"batch_size": 64}),
        (["--amp"], {"amp": True}),
        (["--no-amp"], {"amp": False}),
        (["--amp", "false"], {"amp": False}),
        (["--amp=no"], {"amp": False}),
        (["--amp", "lr=1"], {"amp": True, "lr": 1.0}),
        (["--no-cuda"], {"no_cuda": True}),
        (["--no-no-cuda"], {"no_cuda": False}),
        (["--precision"], {"precision": True}),
        (["--precision", "bf16"], {"precision": "bf16"}),
        (["--precision", "--amp"], {"precision": True, "amp": True}),
        (["layers=[64,32]"], {"layers": [64, 32]}),
        (["layers=64,32"], {"layers": [64, 32]}),
        (["--layers", "64", "32", "-1", "lr=1"], {"layers": [64, 32, -1], "lr": 1.0}),
        (["--names", "a", "b c", "--amp"], {"names": ["a", "b c"], "amp": True}),
        (["note=a=b=c"], {"note": "a=b=c"}),
        (["note=with spaces"], {"note": "with spaces"}),
        (["--note", "k=v"], {"note": "k=v"}),
        (["--note", "@home"], {"note": "@home"}),
        (["--note=--dashes"], {"note": "--dashes"}),
        (["note="], {"note": ""}),
        (["note=naïve 🙂"], {"note": "naïve 🙂"}),
        (["note='quoted'"], {"note": "quoted"}),
        (["seed=None"], {"seed": None}),
        (["--seed", "null"], {"seed": None}),
        (["data=/tmp/x y"], {"data": "/tmp/x y"}),
        (["optimizer.lr=0.1"], {"optimizer.lr": 0.1}),
        (["--optimizer.lr", "0.1"], {"optimizer.lr": 0.1}),
        (["optimizer={lr: 5}"], {"optimizer": {"lr": 5.0, "name": "adam"}}),
        (
            ["optimizer={lr: 5}", "optimizer.name=sgd"],
            {"optimizer": {"lr": 5.0, "name": "sgd"}, "optimizer.name": "sgd"},
        ),
        (["adam.beta=1"], {"adam.beta": 1.0}),
        (["adam={}"], {"adam": {"beta": 0.9}}),
        (["weights.a.b=2"], {"weights.a.b": 2.0}),
        (["weights={a: 1}", "weights.b=2"], {"weights": {"a": 1.0, "b": 2.0}, "weights.b": 2.0}),
        (["stages.warm.steps=6"], {"stages.warm.steps": 6}),
        (["lr=1", "lr=2"], {"lr": 2.0}),
        (["lr=1", "--", "lr=2", "--whatever"], {"lr": 1.0}),
        (["--", "-h"], {}),
        ([], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_override_in_any_form_is_understood(line: list[str], overrides: dict[str, Any]) -> None:
    assert overridden(*line) == overrides


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        (["lrr=1"], UnknownConfigKey, "no config key 'lrr'. Did you mean 'lr'"),
        (["--bach-size", "3"], UnknownConfigKey, "Did you mean 'batch_size'"),
        (["optimizer.lrr=1"], UnknownConfigKey, "Did you mean 'optimizer.lr'"),
        (["beta=1"], UnknownConfigKey, "'beta'"),
        (["optimizer={lrr: 1}"], UnknownConfigKey, "'optimizer.lrr'. Did you mean 'optimizer.lr'"),
        (["stages.warm.stepps=1"], UnknownConfigKey, "Did you mean 'stages.warm.steps'"),
        (["lr.x=1"], UnknownConfigKey, "'lr.x'"),
        (["run=1"], UnknownConfigKey, "'run'. It has "),
        (["--no-lr"], UnknownConfigKey, "'no-lr'"),
        (["--=5"], UnknownConfigKey, "''"),
        (["--commment", "why"], UnknownConfigKey, "no config key 'commment'. Did you mean the option --comment?"),
        (["-m", "lab:27017:sacred"], BadOverride, "'-m' is an option of Sacred's that is not needed here: there is no"),
        (["with", "lr", "=", "0.5"], BadOverride, "'lr' is a config key. Write lr=VALUE, without spaces"),
        (["--file-storage=runs"], BadOverride, "'--file_storage' is an option of Sacred's"),
        (["--file_storage=runs"], BadOverride, "'--file_storage' is an option of Sacred's"),
        (["lr=1", "--id", "7"], BadOverride, "the number comes from the database; --name names a run"),
        (["--lr"], BadOverride, "'--lr' needs a value"),
        (["--lr", "--amp"], BadOverride, "'--lr' needs a value"),
        (["-lr", "1"], BadOverride, "Options have two dashes: --lr"),
        (["foo"], BadOverride, "'foo' is no override. Write name=value"),
        (["=5"], BadOverride, "'=5' is no override"),
        (["-"], BadOverride, "'-' is no override"),
        ([""], BadOverride, "'' is no override"),
        (["@"], BadOverride, "names no file"),
        (["amp=maybe"], BadConfigValue, "'amp' takes true or false, not 'maybe'"),
        (["lr=abc"], BadConfigValue, "'lr' takes a number, not 'abc'"),
        (["batch_size=1.5"], BadConfigValue, "'batch_size' takes a whole number, not '1.5'"),
        (["optimizer.name=lion"], BadConfigValue, "'optimizer.name' takes one of 'adam', 'sgd', not 'lion'"),
        (["--layers", "1", "x"], BadConfigValue, r"'layers\[1\]' takes a whole number, not 'x'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_refused_with_what_to_do(line: list[str], kind: type[ConfigError], message: str) -> None:
    with pytest.raises(kind, match=message):
        overridden(*line)


def test_files_come_in_their_order_and_single_values_last(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("lr: 1\noptimizer: {lr: 2, name: sgd}\nlayers: [1, 2]\n")
    (tmp_path / "b.json").write_text('{"optimizer": {"lr": 3}, "batch_size": 1e2}')
    (tmp_path / "c.toml").write_text('note = "from c"\noptimizer.name = "adam"\n')
    files = [f"@{tmp_path / name}" for name in ("a.yaml", "b.json", "c.toml")]
    config = ConfigSpec.from_function(train).resolve(argv=["lr=9", *files]).config
    assert (config["lr"], config["layers"], config["batch_size"], config["note"]) == (9.0, [1, 2], 100, "from c")
    assert config["optimizer"] == {"lr": 3.0, "name": "adam"}


def test_a_file_says_where_its_wrong_value_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("lr: 1\nbatch_size: many\n")
    with pytest.raises(BadConfigValue, match=r"'batch_size' takes a whole number, not 'many' \(in .*a\.yaml, line 2\)"):
        overridden(f"@{path}")
    path.write_text("optimizer: {lrr: 1}\n")
    with pytest.raises(UnknownConfigKey, match=r"'optimizer\.lrr' \(in .*a\.yaml\)\. Did you mean"):
        overridden(f"@{path}")


def test_further_keys_may_come_from_a_file_but_not_from_a_slip_of_the_fingers(tmp_path: Path) -> None:
    def function(run: Any, lr: float = 1, **further: Any) -> None: ...

    path = tmp_path / "a.yaml"
    path.write_text("note: hello\n")
    spec = ConfigSpec.from_function(function)
    assert spec.resolve(argv=[f"@{path}", "lr=2"]).arguments == {"lr": 2.0, "note": "hello"}
    with pytest.raises(UnknownConfigKey):
        spec.resolve(argv=["notes=x"])


def test_a_key_that_the_call_and_the_command_line_both_give_is_refused() -> None:
    spec = ConfigSpec.from_function(train)
    assert spec.resolve((), {"lr": 1}, ["batch_size=2"]).overrides == {"lr": 1.0, "batch_size": 2}
    for word in ("lr=2", "optimizer.lr=3"):
        with pytest.raises(ConfigClash, match="by the call in the script and by the command line"):
            spec.resolve((), {"lr": 1, "optimizer": Optimizer()}, [word])


def test_a_key_that_holds_an_equals_sign_can_be_overridden() -> None:
    spec = ConfigSpec.from_function(lambda run: None, {"a=b": 1})
    assert spec.resolve(argv=["a=b=2"]).config == {"a=b": 2}


def test_numbers_without_a_hint_stay_numbers() -> None:
    def function(run, weight_decay=0, ratio=0.5, free=None): ...  # type: ignore[no-untyped-def]

    spec = ConfigSpec.from_function(function)
    assert spec.resolve(argv=["weight_decay=1e-4", "ratio=1", "free=1e-3"]).config == {
        "weight_decay": 1e-4,
        "ratio": 1.0,
        "free": 1e-3,
    }
    with pytest.raises(BadConfigValue, match="takes a whole number or a number"):
        spec.resolve(argv=["weight_decay=none"])


def help_of(function: Any, config: Any = None) -> str:
    with pytest.raises(HelpWanted) as caught:
        ConfigSpec.from_function(function, config).resolve(argv=["lr=1", "--help"])
    return str(caught.value)


def test_help_lists_every_key_with_type_default_and_text() -> None:
    text = help_of(train)
    for line in (
        "Nothing is trained here.",
        "  lr: float = 0.001\n",
        "  precision: bool | str = False\n",
        "  seed: int | None = 1\n",
        "  optimizer.name: {adam,sgd} = adam\n",
        "  stages.warm.steps: int | float = 5\n",
        "  @config.yaml",
        "--no-flag",
    ):
        assert line in text


def google(run: Any, lr: float, width: int = 3) -> None:
    """Trains.

    More of it.

    Args:
        run: given
        lr (float): how far a step goes,
            on a second line

        width: how wide
            the layers are: this much.

    Returns:
        width: not this one
    """


def numpy_style(run: Any, lr: float, width: int = 3) -> None:
    """
    Trains.

    Parameters
    ----------
    run
    lr : float
        how far a step goes,
        on a second line
    width : int, optional
        how wide the layers are: this much.

    Returns
    -------
    width : int
        not this one
    """


def sphinx(run: Any, lr: float, width: int = 3) -> None:
    """Trains.

    :param float lr: how far a step goes,
        on a second line
    :param width: how wide the layers are: this much.
    :returns: nothing
    """


@pytest.mark.parametrize("function", [google, numpy_style, sphinx])
def test_help_reads_the_docstring_in_its_style(function: Any) -> None:
    text = help_of(function)
    assert "\n\nTrains.\n\n" in text
    assert "  lr: float  (required)\n        how far a step goes, on a second line\n" in text
    assert "  width: int = 3\n        how wide the layers are: this much.\n" in text
    assert "not this one" not in text
    assert "\n  run:" not in text


def test_help_of_a_dataclass_is_its_fields() -> None:
    @dataclass
    class Config:
        """What can be set.

        Attributes:
            lr: how far a step goes
        """

        lr: float = 0.5

    assert "  lr: float = 0.5\n        how far a step goes\n" in help_of(lambda run, config: None, Config)
    assert "  lr: float = 0.5\n        how far a step goes\n" in help_of(lambda run, config: None, Config())
