"""What a config has other than its defaults: found, said, shown, saved, and kept with the run."""

from __future__ import annotations

import io
import json
import logging
import math
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cloister.decorators.config import (
    BadConfigFile,
    BadConfigValue,
    ConfigChange,
    ConfigSpec,
    UnknownConfigKey,
    computed,
    log_changes,
)
from cloister.decorators.config.commands import CONFIG_COMMANDS
from hypothesis import given
from hypothesis import strategies as st
from recorded_script import RecordedScript
from rich.console import Console


def train(
    run: Any,
    lr: float = 0.1,
    epochs: int = 10,
    note: Any = "",
    limit: Any = None,
    layers: list[int] = [64],  # noqa: B006
    low: float = computed(lambda lr: lr / 10),
) -> None:
    """Trains.

    Args:
        lr: how far a step goes
    """


@pytest.fixture
def spec() -> ConfigSpec:
    spec = ConfigSpec.from_function(train)

    def odd() -> dict[str, Any]:
        """Sets a note that is a number."""
        return {"note": 3, "limit": 5, "epochs": 20}

    spec.presets.add("odd", odd)
    spec.config_functions.append(lambda epochs: {"total": epochs * 2})
    spec.ingredients["data"] = ConfigSpec.of_ingredient("data", {"batch": 32})
    return spec


def changes_of(spec: ConfigSpec, *words: str, **options: Any) -> dict[str, ConfigChange]:
    return {change.key: change for change in spec.resolve(argv=words, **options).changes}


def test_nothing_has_changed_in_a_config_of_defaults(spec: ConfigSpec) -> None:
    assert changes_of(spec) == {}
    assert changes_of(spec, "lr=0.1", "data.batch=32") == {}


def test_each_change_says_what_it_was_and_who_made_it(spec: ConfigSpec, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("data: {batch: 8}\n")
    changes = changes_of(spec, "@odd", f"@{tmp_path / 'own.yaml'}", "lr=1", "layers.0=3", updates={"epochs": 30})
    assert {key: (change.before, change.after, change.source) for key, change in changes.items()} == {
        "lr": (0.1, 1.0, "command line"),
        "epochs": (10, 30, "code"),
        "note": ("", 3, "preset odd"),
        "limit": (None, 5, "preset odd"),
        "layers": ([64], [3], "command line"),
        "low": (0.01, 0.1, "computed"),
        "total": (20, 60, "<lambda>()"),
        "data.batch": (32, 8, str(tmp_path / "own.yaml")),
    }
    assert {key: change.types for key, change in changes.items() if change.types} == {"note": ("str", "int")}
    called = spec.resolve((2.0,)).changes
    assert [(change.key, change.source) for change in called] == [("lr", "the call"), ("low", "computed")]


def test_a_number_of_another_kind_and_a_value_for_none_are_no_other_type(spec: ConfigSpec) -> None:
    def function(run: Any, count=1, maybe=None, flag=True, nothing=1): ...  # type: ignore[no-untyped-def]

    function_spec = ConfigSpec.from_function(function)
    resolved = function_spec.resolve((), {"count": 1.5, "maybe": "x", "flag": 1, "nothing": None})
    assert {change.key: change.types for change in resolved.changes} == {
        "count": None,
        "maybe": None,
        "flag": ("bool", "int"),
        "nothing": None,
    }


def test_an_entry_that_nobody_knows_is_refused_unless_it_is_said_to_be_new(spec: ConfigSpec) -> None:
    with pytest.raises(UnknownConfigKey, match="Did you mean 'epochs'"):
        spec.resolve(argv=["epoch=1"])
    for words in (["+epoch=1"], ["--force", "epoch=1"], ["-f", "--epoch", "1"]):
        resolved = spec.resolve(argv=words)
        assert resolved.config["epoch"] == 1
        assert [change.as_record() for change in resolved.changes] == [
            {"key": "epoch", "kind": "added", "source": "command line"}
        ]
    assert spec.resolve(argv=["+data.note=x", "+a.b.c=[1, 2]"]).config["data"] == {"batch": 32, "note": "x"}
    assert spec.resolve(argv=["+a.b.c=[1, 2]"]).config["a"] == {"b.c": [1, 2]}
    assert spec.resolve(argv=["+lr=3"]).config["lr"] == 3.0
    with pytest.raises(UnknownConfigKey):
        spec.resolve(argv=["+epoch=1", "epoc=2"])
    with pytest.raises(UnknownConfigKey):
        spec.resolve(argv=["+lr.x=2"])


def test_what_has_no_default_is_set_and_not_added() -> None:
    def function(run: Any, data: Path, size: int = computed(lambda data: len(data.name))) -> None: ...

    spec = ConfigSpec.from_function(function)
    changes = spec.resolve(argv=["data=/x/abc", "+new=1"]).changes
    assert [(change.key, change.kind, str(change)) for change in changes] == [
        ("data", "set", "data = /x/abc (command line)"),
        ("size", "set", "size = 3 (computed)"),
        ("new", "added", "new = 1 (command line)"),
    ]
    assert "data = /x/abc  (set, command line)" in shown(spec, "print_config", "data=/x/abc")


def test_new_entries_reach_a_function_that_takes_any() -> None:
    def function(run: Any, lr: float = 1, **further: Any) -> None: ...

    assert ConfigSpec.from_function(function).resolve(argv=["+x=2"]).arguments == {"lr": 1.0, "x": 2}


def test_print_presets_shows_a_files_values_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("hidden: 999\nnote: '12'\nsizes: [1, 2]\n", encoding="utf-8")
    spec = ConfigSpec.from_function(lambda run, hidden=1, note="", sizes=(1,): None)
    spec.presets.add("large", tmp_path / "large.yaml")
    assert "hidden=999, note='12', sizes=[1, 2]" in shown(spec, "print_presets")


def test_the_log_tells_changes_in_one_line_and_warns_of_other_types(
    spec: ConfigSpec, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="cloister")
    log_changes(spec.resolve().changes)
    assert caplog.messages == []
    log_changes(spec.resolve(argv=["lr=1", "+new=text"]).changes)
    assert caplog.messages == [
        "Config: lr 0.1 -> 1.0 (command line); low 0.01 -> 0.1 (computed); new = text (command line)"
    ]
    caplog.clear()
    log_changes(spec.resolve(argv=["@odd"]).changes)
    assert caplog.records[-1].levelname == "WARNING"
    assert caplog.messages[-1] == (
        "A config entry is of another type than by default: note '' -> 3 (preset odd, str -> int)"
    )
    caplog.clear()
    log_changes([ConfigChange(f"k{index}", "changed", 0, 1, "code") for index in range(40)])
    assert caplog.messages[0].endswith("k11 0 -> 1 (code); and 28 more")


def shown(spec: ConfigSpec, name: str, *words: str) -> str:
    command = CONFIG_COMMANDS[name]
    out = io.StringIO()
    called = spec.for_command(command.function)
    command.act(called, called.resolve(argv=words), out)
    return out.getvalue()


def test_print_config_marks_what_changed_and_tells_what_entries_are(spec: ConfigSpec) -> None:
    text = shown(spec, "print_config", "@odd", "lr=1", "+new=2")
    assert text.splitlines() == [
        "Config of train (changed, added, another type, computed, what it is)",
        "presets and files: odd",
        "├── lr = 1.0  (changed, command line; default 0.1)  # how far a step goes",
        "├── epochs = 20  (changed, preset odd; default 10)",
        "├── note = 3  (changed, preset odd; default '', str -> int)",
        "├── limit = 5  (changed, preset odd; default None)",
        "├── layers = [64]",
        "├── low = 0.1  (changed, computed; default 0.01)",
        "├── total = 40  (changed, <lambda>(); default 20)",
        "├── new = 2  (added, command line)",
        "└── data",
        "    └── batch = 32",
    ]
    plain = shown(spec, "print_config")
    assert "low = 0.01  (computed from lr)" in plain
    assert "total = 20  (computed by <lambda>())" in plain


def test_print_config_has_colours_on_a_terminal_and_survives_any_value(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ConfigSpec.from_function(lambda run, data, text="[bold]\n\x1b[31m" + "x" * 500, lr=0.1: None)
    assert "data  (required, and not given)" in shown(spec, "print_config")
    assert "\x1b" not in shown(spec, "print_config")
    monkeypatch.setattr(Console, "is_terminal", True)
    monkeypatch.setenv("TERM", "xterm")
    coloured = shown(spec, "print_config", "lr=2")
    assert "\x1b[34m2.0" in coloured  # blue, as Sacred has it


def test_print_presets_tells_what_each_sets(spec: ConfigSpec) -> None:
    spec.presets.add("wide", lambda epochs: {"epochs": epochs * 2})
    spec.presets.add("lost", "nowhere.yaml")
    lines = shown(spec, "print_named_configs").splitlines()
    assert lines[1:3] == [f"  {'odd':20}  Sets a note that is a number.", f"  {'':20}  note=3, limit=5, epochs=20"]
    assert lines[4] == f"  {'':20}  epochs=20"
    assert "there is no such file" in lines[6]
    assert "no presets" in shown(ConfigSpec.from_function(train), "print_presets")


@dataclass
class Everything:
    text: str = ""
    number: float = 0.0
    count: int = 0
    flag: bool = False
    maybe: int | None = None
    words: tuple[str, ...] = ()
    table: dict[str, str] = None  # type: ignore[assignment]
    when: date = date(2024, 1, 2)
    price: Decimal = Decimal("1.50")
    path: Path = Path("x")
    raw: bytes = b"abc"


def whole(run: Any, config: Everything) -> None: ...


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@pytest.mark.parametrize("ending", ["json", "yaml", "toml"])
def test_a_saved_config_is_read_back_as_it_was(ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("saved")

    @given(
        st.builds(
            Everything,
            text=TEXTS,
            number=st.floats(allow_nan=False),
            count=st.integers(-(2**62), 2**62),
            flag=st.booleans(),
            maybe=st.none() | st.integers(0, 9),
            words=st.lists(TEXTS, max_size=3).map(tuple),
            table=st.dictionaries(TEXTS, TEXTS, max_size=3),
        )
    )
    def saved_and_read(config: Everything) -> None:
        path = folder / f"saved.{ending}"
        command = CONFIG_COMMANDS["save_config"]
        spec = ConfigSpec.from_function(whole, config).for_command(command.function)
        command.act(spec, spec.resolve(argv=[f"config_filename={path}"]), io.StringIO())
        assert ConfigSpec.from_function(whole, Everything).resolve(argv=[f"@{path}"]).arguments["config"] == config

    saved_and_read()


@pytest.mark.parametrize("text", ["no", "1e-3", "1.10", "~", "none", "1:30", "0x1f", "- a", "a: b", "#x", "2024-01-02"])
def test_text_stays_text_where_no_hint_says_so(text: str, tmp_path: Path) -> None:
    for ending in ("json", "yaml", "toml"):
        path = tmp_path / f"x.{ending}"
        spec = ConfigSpec.from_function(lambda run, config: None, {"a": text, "in": {text: [text]}})
        shown(spec, "save_config", f"config_filename={path}")
        assert ConfigSpec.from_function(lambda run, config: None, path).resolve().config == {
            "a": text,
            "in": {text: [text]},
        }


def test_what_a_file_cannot_hold_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    spec = ConfigSpec.from_function(lambda run, config: None, {"a": 1, "f": print, "raw": b"\xff", "n": None, "x": 1})
    text = shown(spec, "save_config", f"config_filename={path}")
    assert "Not in it: f, an object that no file can hold." in text
    assert "Not in it: raw" in text
    assert path.read_text() == "a = 1\nx = 1\n"
    with pytest.raises(BadConfigFile, match=r"TOML has no None, which 'y' is\. Take a \.yaml or \.json file"):
        shown(spec, "save_config", f"config_filename={path}", "+y=null")
    with pytest.raises(BadConfigFile, match=r"its name has to end in one of \.json, \.yaml, \.yml, \.toml"):
        shown(spec, "save_config", "config_filename=x.ini")
    with pytest.raises(BadConfigFile, match="it cannot be written: No such file or directory"):
        shown(spec, "save_config", f"config_filename={tmp_path / 'none' / 'x.json'}")
    ill = ConfigSpec.from_function(lambda run, config: None, {"a": "\ud800"})
    with pytest.raises(BadConfigFile, match=r"a value is no valid text: '\\ud800'"):
        shown(ill, "save_config", f"config_filename={tmp_path / 'x.json'}")


def test_infinity_and_nan_are_saved_in_each_kind_of_file(tmp_path: Path) -> None:
    for ending in ("json", "yaml", "toml"):
        path = tmp_path / f"x.{ending}"
        spec = ConfigSpec.from_function(lambda run, a=math.inf, b=math.nan, c=-math.inf: None)
        shown(spec, "save_config", f"config_filename={path}")
        config = spec.resolve(argv=[f"@{path}"]).config
        assert (config["a"], config["c"]) == (math.inf, -math.inf)
        assert math.isnan(config["b"])


def test_a_value_in_code_is_taken_at_its_word_where_no_hint_speaks_against_it(spec: ConfigSpec) -> None:
    assert spec.resolve(presets=[{"note": {"a": 1}}]).config["note"] == {"a": 1}
    with pytest.raises(BadConfigValue, match="'epochs' takes a whole number"):
        spec.resolve(presets=[{"epochs": "many"}])


SCRIPT = """
    from cloister import computed, experiment

    @experiment(project="digits", presets={"big": {"hidden": 512}})
    def train(run, lr: float = 0.1, hidden: int = 64, width: int = computed(lambda hidden: hidden * 2), note=""):
        '''Train.

        Args:
            hidden: how many units
        '''
        print("width", width)

    @train.preset
    def odd():
        '''A number as a note.'''
        return {"note": 3}

    if __name__ == "__main__":
        train()
"""


def test_a_run_keeps_its_presets_its_single_values_and_what_changed(script: RecordedScript) -> None:
    finished = script.run(SCRIPT, "with", "big", "odd", "lr=1")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "width 1024\n"
    assert "note '' -> 3 (preset odd, str -> int)" in finished.stderr
    run = script.only_run()
    assert run.name == "train-big-odd-lr1.0"
    assert run.config == {"lr": 1.0, "hidden": 512, "width": 1024, "note": 3}
    assert run.config_defaults == {"lr": 0.1, "hidden": 64, "width": 128, "note": ""}
    assert run.meta["named_configs"] == ["big", "odd"]
    assert run.meta["config_updates"] == {"lr": 1.0}
    assert run.config_changes == (
        {"key": "lr", "kind": "changed", "source": "command line", "before": 0.1},
        {"key": "hidden", "kind": "changed", "source": "preset big", "before": 64},
        {"key": "width", "kind": "changed", "source": "computed", "before": 128},
        {"key": "note", "kind": "changed", "source": "preset odd", "before": "", "types": ["str", "int"]},
    )


def test_the_commands_of_a_script_show_and_save_its_config_and_record_nothing(script: RecordedScript) -> None:
    shown = script.run(SCRIPT, "print_config", "with", "big")
    assert "├── hidden = 512  (changed, preset big; default 64)  # how many units\n" in shown.stdout, shown.stderr
    saved = script.run(SCRIPT, "save_config", "config_filename=own.json", "@big", "lr=2")
    assert saved.returncode == 0, saved.stderr
    assert json.loads((script.folder / "own.json").read_text()) == {
        "lr": 2.0,
        "hidden": 512,
        "width": 1024,
        "note": "",
    }
    listed = script.run(SCRIPT, "print_presets")
    assert "A number as a note." in listed.stdout
    assert script.store.list_projects() == ()
    assert script.run(SCRIPT, "@own.json").stdout == "width 1024\n"
    assert script.only_run().config["lr"] == 2.0
