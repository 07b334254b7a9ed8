"""The benchmarks go on working: their figures are no test, but that they run is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PROGRAMS = sorted(
    path.name for path in BENCHMARKS.glob("*.py") if re.search(r"python benchmarks/", path.read_text().split('"""')[1])
)
# What all others are made of: works in processes of their own, a backlog, what is stored, many runs at once.
RUN_WHOLE = ("drain.py", "many_recorders.py", "storage.py")


def test_every_program_is_in_the_readme() -> None:
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert [name for name in PROGRAMS if f"`{name}`" not in readme] == []


# One process for all: most of what each of them loads is the same.
HELP_OF_ALL = """
import runpy, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        runpy.run_path(name, run_name="__main__")
    except SystemExit as end:
        assert not end.code, (name, end.code)
    else:
        raise AssertionError(f"{name} --help went on")
"""


def test_every_program_can_be_loaded() -> None:
    programs = [name for name in PROGRAMS if takes_options(name)]
    command = [sys.executable, "-c", HELP_OF_ALL, *programs]
    done = subprocess.run(
        command, env=with_path(str(BENCHMARKS)), cwd=BENCHMARKS, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().count("usage:") == len(programs)


def test_a_program_runs_without_its_peers(tmp_path: Path) -> None:
    outputs = {name: tmp_path / f"{name}.txt" for name in RUN_WHOLE}
    alone = {name: [] if name == "many_recorders.py" else ["--no-peers"] for name in RUN_WHOLE}
    # At once: each has a database of its own, and most of their time is waiting.
    programs = [start(name, "--quick", *alone[name], output=outputs[name]) for name in RUN_WHOLE]
    for program, output in zip(programs, outputs.values(), strict=True):
        assert program.wait(120) == 0, output.read_text(encoding="utf-8")
        assert "load before" in output.read_text(encoding="utf-8")


def takes_options(name: str) -> bool:
    return "read_options(" in (BENCHMARKS / name).read_text(encoding="utf-8")


def start(name: str, *arguments: str, output: Path | None = None) -> subprocess.Popen[bytes]:
    """A program of the benchmarks, with our own interpreter and what that can import."""
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    with output.open("wb") if output else Path(os.devnull).open("wb") as written:
        return subprocess.Popen(
            command, env=with_path(), cwd=BENCHMARKS, stdin=subprocess.DEVNULL, stdout=written, stderr=written
        )


def with_path(*more: str) -> dict[str, str]:
    """Our own environment, and what our own interpreter can import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*more, *(path for path in sys.path if path)])}
