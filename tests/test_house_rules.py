"""The house in order: rooms import as drawn, trainings load little, everything that users can name is in the docs."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest
from cloister.__main__ import COMMANDS
from cloister.observer.settings import ENVIRONMENT_PREFIX, Settings
from cloister.viewer.api import ROUTES
from cloister.viewer.api.openapi import PREFIX, openapi_path
from recorded_script import RecordedScript

ROOT = Path(__file__).parent.parent
# A room and the rooms that it may import from.
ARROWS = {"observer": {"observer"}, "decorators": {"decorators", "observer"}, "viewer": {"viewer", "observer"}}
FOR_THE_VIEWER_ONLY = {"flask", "werkzeug", "jinja2", "bokeh", "tornado", "pandas", "motor", "pygments", "htmx"}
# Where a DataFrame is asked for, and only then: it is named in annotations, and imported by the one that makes it.
GIVES_DATA_FRAMES = {("pandas", name) for name in ("history.py", "runs.py", "run.py", "stored_runs.py")}
GIVES_CHARTS = {("bokeh", "notebook_charts.py")}
HEAVY = FOR_THE_VIEWER_ONLY | {
    "pymongo",
    "bson",
    "numpy",
    "tsdownsample",
    "git",
    "psutil",
    "pynvml",
    "rich",
    "click",
    "yaml",
}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module by its full name, with the line; the root package is called `cloister`."""
    package = ("cloister", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_from_where_its_arrows_lead(room: str) -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(room)
        for name, line in imports_of(path)
        if name.startswith("cloister.") and name.split(".")[1] not in ARROWS[room] | {"__version__"}
    ]
    assert strays == []


@pytest.mark.parametrize("room", ARROWS)
def test_parts_import_each_other_by_relative_name(room: str) -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules(room)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "cloister"
    ]
    assert strays == []


@pytest.mark.parametrize("room", ["observer", "decorators"])
def test_nothing_that_a_training_runs_imports_what_only_the_viewer_has(room: str) -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(room)
        for name, line in imports_of(path)
        if name.split(".")[0] in FOR_THE_VIEWER_ONLY
        and (name, path.name) not in GIVES_DATA_FRAMES
        and (name.split(".")[0], path.name) not in GIVES_CHARTS
    ]
    assert strays == []


def test_the_root_names_the_viewer_only_in_the_table_of_commands() -> None:
    assert not [
        name for path in ROOT.glob("*.py") for name, _ in imports_of(path) if name.startswith("cloister.viewer")
    ]
    commands = {"serve_command", "accounts.token_command", "accounts.user_command"}
    assert {module for module, _ in COMMANDS.values() if ".viewer." in module} == {
        f"cloister.viewer.{name}" for name in commands
    }


def test_importing_cloister_loads_nothing_but_its_names() -> None:
    code = "import sys; before = set(sys.modules); import cloister; print(*(set(sys.modules) - before))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert {name for name in loaded if name.startswith("cloister")} == {"cloister"}


def test_every_module_can_be_imported_alone_and_opens_nothing() -> None:
    names = [
        ".".join(("cloister", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for room in ARROWS
        for path in modules(room)
    ]
    code = """
import importlib, os, sys, threading

def opened():
    paths = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return {os.readlink(path) for path in paths if os.path.exists(path)}

before = opened()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(threading.active_count(), *(opened() - before), sep="|")
"""
    result = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().split("|") == ["1"]


def test_a_training_never_loads_flask_bokeh_or_pandas(script: RecordedScript) -> None:
    result = script.run(
        """
        import atexit, json, sys
        from cloister import experiment

        atexit.register(lambda: print("MODULES", json.dumps(sorted({name.split(".")[0] for name in sys.modules}))))

        @experiment(project="lean")
        def train(run, lr: float = 0.1):
            print("hello")
            run.log({"loss": 0.5})
            run.log_artifact(__file__)
            assert run.id

        train()
        """
    )
    assert result.returncode == 0, result.stderr
    [listed] = [line for line in result.stdout.splitlines() if line.startswith("MODULES ")]
    assert not set(json.loads(listed.removeprefix("MODULES "))) & FOR_THE_VIEWER_ONLY
    assert script.only_run().status == "completed"


def docs() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))


def commands() -> Iterator[tuple[str, click.Command]]:
    def below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        yield name, command
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                yield from below(f"{name} {inner.name}", inner)

    for name, (module, attribute) in COMMANDS.items():
        yield from below(f"cloister {name}", getattr(importlib.import_module(module), attribute))


def test_every_command_is_in_the_docs() -> None:
    text = docs()
    assert [name for name, _ in commands() if name not in text] == []


def test_every_option_is_in_the_docs() -> None:
    text = docs()
    missing = [
        f"{name} {parameter.opts[-1]}"
        for name, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.opts[-1] not in text
    ]
    assert missing == []


def test_every_setting_is_in_the_docs() -> None:
    text = docs()
    names = [field.name for field in fields(Settings)]
    assert [name for name in names if f"`{ENVIRONMENT_PREFIX}{name.upper()}` | `{name}` |" not in text] == []


def test_every_route_of_the_api_is_in_the_docs() -> None:
    text = docs()
    assert [route.path for route in ROUTES if f"`{PREFIX}{openapi_path(route.path)}`" not in text] == []


def test_every_module_says_what_it_is() -> None:
    paths = [*ROOT.glob("*.py"), *(path for room in ARROWS for path in modules(room))]
    silent = [str(path) for path in paths if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []
