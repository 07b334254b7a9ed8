"""Presets: named sets of values, by decorator, mapping or file; in which order they count, and what wrong ones get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cloister.decorators.config import (
    BadConfigFile,
    BadConfigValue,
    BadOverride,
    BadPreset,
    ConfigClash,
    ConfigError,
    ConfigSpec,
    HelpWanted,
    UncomputableConfig,
    UnknownConfigKey,
    UnknownPreset,
    computed,
)
from cloister.decorators.config.command_word import split_command_line


@dataclass
class Optimizer:
    lr: float = 0.1
    name: str = "adam"


def train(
    run: Any,
    hidden: int = 64,
    epochs: int = 10,
    note: str = "",
    optimizer: Optimizer = Optimizer(),  # noqa: B008
    amp: bool = False,
    layers: list[int] = [64],  # noqa: B006
) -> None:
    """Nothing is trained here."""


def fast() -> dict[str, Any]:
    """For a look at whether it runs."""
    return {"epochs": 1, "optimizer": {"lr": 1}}


def wide(epochs: int) -> dict[str, Any]:
    return {"hidden": 100 * epochs}


@dataclass
class Careful:
    """Small steps, and many of them."""

    epochs: int = 1000
    note: str = "careful"


@pytest.fixture
def spec(tmp_path: Path) -> ConfigSpec:
    spec = ConfigSpec.from_function(train)
    spec.presets.add("fast", fast)
    spec.presets.add("wide", wide)
    spec.presets.add("careful", Careful)
    spec.presets.add("noted", {"note": "a mapping", "optimizer.name": "sgd"})
    (tmp_path / "deep.yaml").write_text("layers: [64, 32, 16]\noptimizer: {lr: 1e-4}\n")
    spec.presets.add("deep", tmp_path / "deep.yaml")
    data = spec.ingredients["data"] = ConfigSpec.of_ingredient("data", {"batch": 32, "path": "x.csv"})
    data.presets.add("small", {"batch": 2})
    data.presets.add("twice", lambda batch: {"batch": 2 * batch})
    return spec


def test_a_preset_sets_its_values_and_leaves_the_others(spec: ConfigSpec) -> None:
    assert spec.resolve(argv=["@fast"]).config == {
        "hidden": 64,
        "epochs": 1,
        "note": "",
        "optimizer": {"lr": 1.0, "name": "adam"},
        "amp": False,
        "layers": [64],
        "data": {"batch": 32, "path": "x.csv"},
    }


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["@careful"], {"epochs": 1000, "note": "careful"}),
        (["@noted"], {"note": "a mapping", "optimizer.name": "sgd"}),
        (["@deep"], {"layers": [64, 32, 16], "optimizer.lr": 1e-4}),
        (["@data.small"], {"data.batch": 2}),
        (["@data.small", "@data.twice"], {"data.batch": 4}),
        (["@data.twice", "data.batch=5"], {"data.batch": 5}),
        (["@fast", "@careful"], {"epochs": 1000, "note": "careful", "optimizer.lr": 1.0}),
        (["@careful", "@fast"], {"epochs": 1, "note": "careful", "optimizer.lr": 1.0}),
        (["with", "careful", "fast"], {"epochs": 1, "note": "careful", "optimizer.lr": 1.0}),
        (["with", "fast", "hidden=5", "data.small"], {"epochs": 1, "optimizer.lr": 1.0, "hidden": 5, "data.batch": 2}),
        (["epochs=7", "@fast"], {"epochs": 7, "optimizer.lr": 1.0}),
        (["@fast", "optimizer.name=sgd"], {"epochs": 1, "optimizer.lr": 1.0, "optimizer.name": "sgd"}),
        (["@wide"], {"hidden": 1000}),
        (["@wide", "epochs=3"], {"hidden": 300, "epochs": 3}),
        (["@fast", "@wide"], {"hidden": 100, "epochs": 1, "optimizer.lr": 1.0}),
        (["@wide", "@fast"], {"hidden": 1000, "epochs": 1, "optimizer.lr": 1.0}),
        (["with", "fast", "--amp"], {"epochs": 1, "optimizer.lr": 1.0, "amp": True}),
        (["with"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_later_presets_win_and_single_values_win_over_all(
    spec: ConfigSpec, words: list[str], changed: dict[str, Any]
) -> None:
    resolved = spec.resolve(argv=words)
    assert {change.key: change.after for change in resolved.changes} == changed


def test_files_and_presets_count_in_the_order_of_the_words(
    spec: ConfigSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.json").write_text('{"epochs": 5, "data": {"batch": 9}}')
    assert spec.resolve(argv=["with", "fast", "own.json"]).config["epochs"] == 5
    resolved = spec.resolve(argv=["with", "own.json", "fast", "./own.json", "data.small"])
    assert resolved.config["epochs"] == 5
    assert resolved.config["data"]["batch"] == 2
    assert resolved.presets == ("own.json", "fast", "./own.json", "data.small")


def test_code_asks_for_presets_by_name_path_or_mapping(spec: ConfigSpec, tmp_path: Path) -> None:
    resolved = spec.resolve(presets=["fast", tmp_path / "deep.yaml", {"note": "x", "data": {"batch": 3}}])
    assert resolved.config["epochs"] == 1
    assert resolved.config["optimizer"]["lr"] == 1e-4
    assert resolved.config["note"] == "x"
    assert resolved.config["data"] == {"batch": 3, "path": "x.csv"}
    updated = spec.resolve(presets=["fast"], updates={"epochs": 3, "data.batch": 4, "optimizer": {"name": "sgd"}})
    assert updated.config["epochs"] == 3
    assert updated.config["data"]["batch"] == 4
    assert updated.config["optimizer"] == {"lr": 1.0, "name": "sgd"}
    assert updated.meta == {
        "named_configs": ["fast"],
        "config_updates": {"epochs": 3, "data": {"batch": 4}, "optimizer": {"lr": 1.0, "name": "sgd"}},
    }


def test_what_sacreds_readers_look_for_says_which_presets_and_single_values_there_were(spec: ConfigSpec) -> None:
    meta = spec.resolve(argv=["with", "fast", "data.small", "note=x", "optimizer.lr=3", "layers.0=5"]).meta
    assert meta["named_configs"] == ["fast", "data.small"]
    assert meta["config_updates"] == {"note": "x", "optimizer": {"lr": 3.0}, "layers": [5]}
    assert spec.resolve().meta == {"named_configs": [], "config_updates": {}}


def test_a_call_and_a_preset_of_the_command_line_do_not_clash_the_call_wins(spec: ConfigSpec) -> None:
    assert spec.resolve((), {"epochs": 4}, ["@fast"]).config["epochs"] == 4
    with pytest.raises(ConfigClash, match="'epochs' is given by the call"):
        spec.resolve((), {"epochs": 4}, ["@fast", "epochs=5"])


def test_a_preset_wins_over_a_computed_entry() -> None:
    def function(run: Any, hidden: int = 4, width: int = computed(lambda hidden: hidden * 2)) -> None: ...

    spec = ConfigSpec.from_function(function)
    spec.presets.add("narrow", {"width": 1})
    spec.presets.add("as_wide", lambda width: {"hidden": width})
    assert spec.resolve(argv=["@narrow", "hidden=9"]).config == {"hidden": 9, "width": 1}
    assert spec.resolve(argv=["@as-wide"]).config == {"hidden": 8, "width": 16}


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["@fats"], UnknownPreset, "no preset 'fats'. Did you mean 'fast'?"),
        (["with", "data.smal"], UnknownPreset, "Did you mean 'data.small'?"),
        (["@nothing"], UnknownPreset, "It has careful, data.small, data.twice, deep, fast, noted, wide."),
        (["fast"], BadOverride, "'fast' is a preset or a file: write @fast, or 'with fast'"),
        (["own.yaml"], BadOverride, "write @own.yaml"),
        (["@missing.yaml"], BadConfigFile, "there is no such file"),
        (["@"], BadOverride, "names no file and no preset"),
        (["@bad_key"], UnknownConfigKey, "no config key 'epoch' (in preset 'bad_key'). Did you mean 'epochs'?"),
        (["@bad_inner"], UnknownConfigKey, "'optimizer.lrr' (in preset 'bad_inner'). Did you mean 'optimizer.lr'?"),
        (["@bad_value"], BadConfigValue, "'epochs' takes a whole number, not 'many' (in preset 'bad_value')"),
        (["@silent"], BadPreset, "'silent' returned None. Its function has to return the values: return {'lr': 0.1}"),
        (["@number"], BadPreset, "gave 3, which is no mapping"),
        (["@asking"], UnknownConfigKey, "no config key 'hiden' (in the arguments of preset 'asking')"),
        (["@failing"], UncomputableConfig, "from hidden=64: ZeroDivisionError: division by zero"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_preset_is_explained(spec: ConfigSpec, words: list[str], kind: type[ConfigError], message: str) -> None:
    plain = ConfigSpec.from_function(train, None)
    plain.presets.known.update(spec.presets.known)
    plain.ingredients.update(spec.ingredients)
    wrong: dict[str, Any] = {
        "bad_key": {"epoch": 1},
        "bad_inner": {"optimizer": {"lrr": 1}},
        "bad_value": {"epochs": "many"},
        "silent": lambda: None,
        "number": lambda: 3,
        "asking": lambda hiden: {"epochs": hiden},
        "failing": lambda hidden: {"epochs": hidden / 0},
    }
    for name, source in wrong.items():
        if words == [f"@{name}"]:
            plain.presets.add(name, source)
    with pytest.raises(kind) as caught:
        plain.resolve(argv=words)
    assert message in str(caught.value)


@pytest.mark.parametrize("source", [3, None, int, [1]], ids=repr)
def test_what_is_no_preset_is_refused_where_it_is_written(spec: ConfigSpec, source: Any) -> None:
    with pytest.raises(BadPreset, match="cannot be read from"):
        spec.presets.add("wrong", source)
    with pytest.raises(BadPreset, match="a name that a command line cannot say"):
        spec.presets.add("a b", {})


def test_an_experiment_without_presets_says_so_and_how_files_are_named() -> None:
    spec = ConfigSpec.from_function(train)
    with pytest.raises(
        UnknownPreset, match=r"so .fast. is none\. A config file is named with its ending, as in @fast\.yaml"
    ):
        spec.resolve(argv=["@fast"])


def test_the_help_lists_presets_with_their_texts(spec: ConfigSpec) -> None:
    with pytest.raises(HelpWanted) as wanted:
        spec.resolve(argv=["--help"])
    text = str(wanted.value)
    assert "  @fast        For a look at whether it runs.\n" in text
    assert "  @careful     Small steps, and many of them.\n" in text
    assert "  @noted       note=a mapping, optimizer.name=sgd\n" in text
    assert "  @data.small  batch=2\n" in text


COMMANDS = ("evaluate", "export_all", "data.stats", "print_config")


@pytest.mark.parametrize(
    ("words", "command", "left"),
    [
        ([], None, []),
        (["epochs=1"], None, ["epochs=1"]),
        (["evaluate"], "evaluate", []),
        (["evaluate", "epochs=1", "--note", "x"], "evaluate", ["epochs=1", "--note", "x"]),
        (["export-all"], "export_all", []),
        (["data.stats", "with", "fast"], "data.stats", ["with", "fast"]),
        (["with", "evaluate"], None, ["with", "evaluate"]),
        (["--note", "evaluate"], None, ["--note", "evaluate"]),
        (["--note", "evaluate", "evaluate"], "evaluate", ["--note", "evaluate"]),
        (["--note=evaluate", "evaluate"], "evaluate", ["--note=evaluate"]),
        (["--amp", "evaluate"], "evaluate", ["--amp"]),
        (["--amp", "no", "evaluate"], "evaluate", ["--amp", "no"]),
        (["--layers", "1", "2", "evaluate"], "evaluate", ["--layers", "1", "2"]),
        (["--layers", "1", "2", "with", "fast"], None, ["--layers", "1", "2", "with", "fast"]),
        (["-u", "evaluate"], "evaluate", ["-u"]),
        (["--comment", "evaluate", "evaluate"], "evaluate", ["--comment", "evaluate"]),
        (["@fast", "evaluate"], "evaluate", ["@fast"]),
        (["evaluate", "evaluate=1"], "evaluate", ["evaluate=1"]),
        (["--checkpoint", "best.pt", "evaluate"], "evaluate", ["--checkpoint", "best.pt"]),
        (["--", "evaluate"], None, ["--", "evaluate"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_command_is_the_first_bare_word_that_is_no_value(
    spec: ConfigSpec, words: list[str], command: str | None, left: list[str]
) -> None:
    parsed = split_command_line(words, COMMANDS, spec)
    assert (parsed.command, list(parsed.words)) == (command, left)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evalaute"], "'evalaute' is neither an override (name=value) nor a command. Did you mean 'evaluate'?"),
        (["zzz"], "There are evaluate, export_all, data.stats, print_config."),
        (["fast"], "is a preset or a file, and no command: write @fast, or 'with fast'"),
    ],
    ids=" ".join,
)
def test_a_word_that_is_no_command_is_refused(spec: ConfigSpec, words: list[str], message: str) -> None:
    with pytest.raises(BadOverride) as caught:
        split_command_line(words, COMMANDS, spec)
    assert message in str(caught.value)


def test_whether_help_is_wanted_is_known_before_the_config_is(spec: ConfigSpec) -> None:
    assert split_command_line(["evaluate", "--help"], COMMANDS, spec).wants_help
    assert not split_command_line(["evaluate", "--", "--help"], COMMANDS, spec).wants_help


def evaluate(run: Any, hidden: int, checkpoint: str = "best.pt", config: Any = None) -> None: ...


def statistics(run: Any, batch: int, bins: int = 10) -> None: ...


def test_a_command_takes_the_entries_that_it_names_and_adds_its_own(spec: ConfigSpec) -> None:
    resolved = spec.for_command(evaluate).resolve(argv=["hidden=3", "checkpoint=x", "@fast"])
    assert {name: resolved.arguments[name] for name in ("hidden", "checkpoint")} == {"hidden": 3, "checkpoint": "x"}
    assert resolved.config["epochs"] == 1
    assert resolved.config["checkpoint"] == "x"
    called = spec.for_command(statistics, "data").resolve(argv=["data.batch=5", "data.bins=3"])
    assert called.arguments == {"batch": 5, "bins": 3}
    assert called.config["data"] == {"batch": 5, "path": "x.csv", "bins": 3}
    assert spec.for_command(evaluate).resolve((7,)).arguments["hidden"] == 7


def test_a_command_does_not_need_what_only_the_experiment_needs() -> None:
    def function(run: Any, data: Path, lr: float = 0.1) -> None: ...

    def show(lr: float) -> None: ...

    def read(data: Path) -> None: ...

    spec = ConfigSpec.from_function(function)
    assert spec.for_command(show).resolve().arguments == {"lr": 0.1}
    for command in (function, read):
        called: Callable[..., Any] = command
        with pytest.raises(ConfigError, match="'data' has no default and no value"):
            spec.for_command(called).resolve()


def test_an_ingredients_config_may_be_a_function_a_class_or_a_file(tmp_path: Path) -> None:
    def entries(batch: int = 4, path: str = "x", twice: int = computed(lambda batch: 2 * batch)) -> None:
        """Rows.

        Args:
            batch: how many at once
        """

    (tmp_path / "data.toml").write_text('batch = 4\npath = "x"\n')
    for config in (entries, Careful, Careful(), tmp_path / "data.toml"):
        spec = ConfigSpec.from_function(train)
        spec.ingredients["data"] = ConfigSpec.of_ingredient("data", config)
        name = "epochs" if config not in (entries, tmp_path / "data.toml") else "batch"
        resolved = spec.resolve(argv=[f"data.{name}=7"])
        assert resolved.config["data"][name] == 7
        assert [change.key for change in resolved.changes if not change.is_computed] == [f"data.{name}"]
        with pytest.raises(BadConfigValue, match=rf"'data\.{name}' takes a"):
            spec.resolve(argv=[f"data.{name}=x"])
        with pytest.raises(UnknownConfigKey, match=rf"no config key 'data\.{name}s'. Did you mean 'data\.{name}'"):
            spec.resolve(argv=[f"data.{name}s=x"])
        assert f"  data.{name}: int" in spec.usage()
    spec.ingredients["data"] = ConfigSpec.of_ingredient("data", entries)
    assert spec.resolve(argv=["data.batch=5"]).config["data"] == {"batch": 5, "path": "x", "twice": 10}
    assert "  data.bins: int = 10\n" in spec.for_command(statistics, "data").usage()


def test_an_ingredient_and_an_entry_of_one_name_clash(spec: ConfigSpec) -> None:
    clashing = ConfigSpec.from_function(lambda run, config: None, {"data": 1})
    clashing.ingredients["data"] = ConfigSpec.of_ingredient("data", {"batch": 1})
    with pytest.raises(ConfigClash, match="'data' is given by the config and by an ingredient of that name"):
        clashing.resolve()


def test_a_run_that_goes_on_keeps_the_entries_of_its_ingredients(spec: ConfigSpec) -> None:
    spec.ingredients["data.files"] = ConfigSpec.of_ingredient("data.files", {"count": 1})
    first = spec.resolve(argv=["@fast", "data.batch=5", "data.files.count=3"]).config
    again = spec.resolve(argv=["hidden=9"], kept=first)
    assert again.config == {**first, "hidden": 9}
    assert {change.source for change in again.changes} == {"resumed run", "command line"}
    assert spec.resolve(argv=["data={batch: 6, files: {count: 4}}"]).config["data"]["files"] == {"count": 4}


def test_a_run_that_goes_on_keeps_what_was_added_for_whoever_asks_for_it() -> None:
    spec = ConfigSpec(train, taken_elsewhere=frozenset({"checkpoint"}))
    spec.config_functions.append(lambda hidden: {"names": {"a": hidden, "b": 1}})
    spec.ingredients["data"] = ConfigSpec(lambda: None, taken_elsewhere=frozenset({"rows"}))
    first = spec.resolve(argv=["checkpoint=x", "data.rows=3", "+note2=y", "names.a=5"]).config
    again = spec.resolve(argv=["hidden=9"], kept=first).config
    assert again == {**{key: value for key, value in first.items() if key != "note2"}, "hidden": 9}

    def function(run: Any, lr: float = 1, **further: Any) -> None: ...

    open_spec = ConfigSpec.from_function(function)
    assert open_spec.resolve(kept={"lr": 2.0, "x": [1]}).arguments == {"lr": 2.0, "x": [1]}


def test_a_call_may_give_an_ingredients_entries() -> None:
    def function(run: Any, data: Any = None) -> None: ...

    spec = ConfigSpec.from_function(function)
    spec.ingredients["data"] = ConfigSpec.of_ingredient("data", {"batch": 1, "path": "x"})
    resolved = spec.resolve((), {"data": {"batch": 5}})
    assert resolved.arguments["data"] == {"batch": 5, "path": "x"}
    with pytest.raises(BadConfigValue, match="'data' takes a mapping of its entries, not 3"):
        spec.resolve((), {"data": 3})
    with pytest.raises(BadConfigValue, match="'data' takes a mapping of its entries, such as"):
        spec.resolve(argv=["data=3"])
    assert spec.resolve(argv=["data={batch: 8}"]).config["data"] == {"batch": 8, "path": "x"}


def test_an_entry_that_a_captured_function_asks_for_may_be_set_although_nobody_has_it() -> None:
    spec = ConfigSpec(train, taken_elsewhere=frozenset({"checkpoint", "model", "_seed", "run"}))
    spec.config_functions.append(lambda model="small": {"size": len(model)})
    spec.ingredients["data"] = ConfigSpec(lambda: None, taken_elsewhere=frozenset({"rows"}))
    assert "checkpoint" not in spec.resolve().config
    resolved = spec.resolve(argv=["checkpoint=x", "--data.rows", "3", "model=enormous"])
    assert resolved.config["checkpoint"] == "x"
    assert resolved.config["data"] == {"rows": 3}
    assert (resolved.config["model"], resolved.config["size"]) == ("enormous", 8)
    assert {change.key for change in resolved.changes if change.kind == "added"} == {"checkpoint", "model", "data.rows"}
    with pytest.raises(UnknownConfigKey, match=r"no config key 'rows'. Did you mean 'data\.rows'"):
        spec.resolve(argv=["rows=3"])
    with pytest.raises(UnknownConfigKey, match=r"no config key 'chekpoint'\. Did you mean 'checkpoint'"):
        spec.resolve(argv=["chekpoint=3"])
    with pytest.raises(UnknownConfigKey, match="no config key '_seed'"):
        spec.resolve(argv=["_seed=3"])
    spec.presets.add("late", {"checkpoint": {"path": "y"}})
    assert spec.resolve(argv=["@late", "checkpoint.path=z"]).config["checkpoint"] == {"path": "z"}


def test_a_preset_may_have_computed_values() -> None:
    spec = ConfigSpec.from_function(train)
    spec.presets.add(
        "tied", {"hidden": computed(lambda epochs: epochs * 2), "optimizer": {"lr": computed(lambda name: len(name))}}
    )
    resolved = spec.resolve(argv=["@tied", "epochs=4", "optimizer.name=sgd"])
    assert (resolved.config["hidden"], resolved.config["optimizer"]["lr"]) == (8, 3.0)
    assert spec.resolve(argv=["@tied", "hidden=1"]).config["hidden"] == 1


def test_a_call_may_give_a_config_that_has_computed_entries() -> None:
    @dataclass
    class Whole:
        lr: float = 0.1
        low: float = computed(lambda lr: lr / 10)

    def function(run: Any, config: Whole) -> None: ...

    spec = ConfigSpec.from_function(function, Whole)
    assert spec.resolve((Whole(lr=3.0),)).arguments == {"config": Whole(3.0, 0.3)}
    assert spec.resolve((), {"config": {"lr": 5, "low": 1}}).arguments == {"config": Whole(5.0, 1.0)}


def test_a_file_may_have_what_only_the_experiments_further_keywords_take(tmp_path: Path) -> None:
    def function(run: Any, lr: float = 1, **further: Any) -> None: ...

    (tmp_path / "own.yaml").write_text("extra: 3\n")
    spec = ConfigSpec.from_function(function)
    assert spec.resolve(argv=[f"@{tmp_path / 'own.yaml'}"]).arguments == {"lr": 1, "extra": 3}
    assert spec.for_command(statistics).resolve(argv=[f"@{tmp_path / 'own.yaml'}", "batch=1"]).config["extra"] == 3
