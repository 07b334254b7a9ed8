"""A config file that is wrong says where and why; one that is hostile costs nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from cloister.decorators.config import BadConfigFile, plain_config

YAML_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "config"),
    [
        ("a.yaml", "lr: 1e-3\nepochs: 5\nname: no\nx: 010\n", {"lr": 1e-3, "epochs": 5, "name": "no", "x": 10}),
        ("a.yml", b"\xef\xbb\xbflr: 1\r\n", {"lr": 1}),
        ("a.yaml", "", {}),
        ("a.yaml", "# nothing\n", {}),
        (
            "a.yaml",
            "a: [1, 'x', null, true, .inf, 2024-01-01]\n",
            {"a": [1, "x", None, True, float("inf"), "2024-01-01"]},
        ),
        (
            "a.yaml",
            "base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\n",
            {"base": {"x": 1, "y": 2}, "more": {"x": 1, "y": 3}},
        ),
        ("a.yaml", "a.b: 1\na: {b: 2}\n1: x\n", {"a.b": 1, "a": {"b": 2}, "1": "x"}),
        ("a.yaml", "a: !!str 5\nb: |\n  two\n  lines\n", {"a": "5", "b": "two\nlines\n"}),
        ("a.json", '{"lr": 1e-3, "n": 5, "big": 12345678901234567890, "t": "5", "l": [null, true]}', None),
        ("a.json", b'\xef\xbb\xbf{"lr": 1}', {"lr": 1}),
        (
            "a.toml",
            'lr = 1e-3\nx = inf\n[optimizer]\nname = "a"\n',
            {"lr": 1e-3, "x": float("inf"), "optimizer": {"name": "a"}},
        ),
        ("a.TOML", "lr = 1\n", {"lr": 1}),
    ],
)
def test_a_file_gives_its_values(tmp_path: Path, name: str, content: str | bytes, config: Any) -> None:
    expected = config or {"lr": 1e-3, "n": 5, "big": 12345678901234567890, "t": "5", "l": [None, True]}
    assert plain_config(written(tmp_path, name, content)) == (expected if content.strip() and content[0] != "#" else {})


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.yaml", "lr: 1\nlr: 2\n", 2, "the key 'lr' stands twice"),
        ("a.yaml", "lr: 1\n  x: [\n", 2, "it is not YAML: mapping values are not allowed here"),
        (
            "a.yaml",
            "a: 1\nb: !!python/object/apply:os.system [ls]\n",
            2,
            "the tag !!python/object/apply:os.system is refused",
        ),
        ("a.yaml", "a: !mine 5\n", 1, "the tag !mine is refused"),
        ("a.yaml", "a: !!binary aGk=\n", 1, "the tag !!binary is refused"),
        ("a.yaml", "? [a, b]\n: 1\n", 1, "a list or a mapping cannot be a key"),
        ("a.yaml", "a: &a [*a]\n", 1, "an alias contains itself"),
        ("a.yaml", "a: {<<: 5}\n", 1, "<< takes a mapping"),
        ("a.yaml", "a: *nope\n", 1, "found undefined alias"),
        ("a.yaml", "a: 1\n---\nb: 2\n", 2, "but found another document"),
        ("a.yaml", YAML_BOMB, None, "holds more than 100,000 values"),
        ("a.yaml", "a: " + "[" * 200 + "]" * 200, 1, "nested deeper than 100 levels"),
        ("a.yaml", "a: " + "[" * 50_000, None, "nested deeper than 100 levels"),
        ("a.yaml", "a: \x07\n", None, "it is not YAML: unacceptable character"),
        ("a.yaml", "- 1\n", None, "its top level has to be a mapping"),
        ("a.yaml", "just text", None, "its top level has to be a mapping"),
        ("a.yaml", b"lr: 1\nname: \xff\n", 2, "it is not UTF-8"),
        ("a.json", '{"lr": 1,\n "lr": 2}', None, "the key 'lr' stands twice"),
        ("a.json", '{"lr": 1,\n x}', 2, "it is not JSON: "),
        ("a.json", "", 1, "it is not JSON: Expecting value"),
        ("a.json", '{"a": ' + "[" * 200_000, None, "nested too deeply"),
        ("a.json", "[1]", None, "its top level has to be a mapping"),
        ("a.toml", "lr = 1\nlr = 2\n", 2, "it is not TOML: Cannot overwrite a value"),
        ("a.toml", "lr = \n", 1, "it is not TOML: Invalid value"),
        ("a.txt", "lr = 1", None, "its name has to end in one of .yaml, .yml, .json, .toml"),
        ("a.yaml", "a: " + "x" * 5_000_000, None, "larger than 4 MiB"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_a_wrong_file_is_refused_with_its_line_and_the_reason(
    tmp_path: Path, name: str, content: str | bytes, line: int | None, reason: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(BadConfigFile, match=re.escape(reason)) as caught:
        plain_config(path)
    assert str(path) in str(caught.value)
    assert line is None or (caught.value.line == line and f"line {line}" in str(caught.value))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name, reason in (
        ("nothing.yaml", f"there is no such file in {tmp_path}"),
        ("folder.yaml", "not a regular file"),
        ("pipe.yaml", "not a regular file"),
        ("zero.yaml", "not a regular file"),
    ):
        with pytest.raises(BadConfigFile, match=re.escape(reason)):
            plain_config(tmp_path / name)


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.toml"])
def test_a_number_too_large_is_refused_by_its_key(tmp_path: Path, name: str) -> None:
    content = {"a.yaml": "lr: 1e400", "a.json": '{"lr": 1e400}', "a.toml": "lr = 1e400"}[name]
    with pytest.raises(ValueError, match="'lr' takes a number within the range of its type"):
        plain_config(written(tmp_path, name, content))
