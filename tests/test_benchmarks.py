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


def test_every_program_can_be_loaded() -> None:
    programs = [start(name, "--help") for name in PROGRAMS if takes_options(name)]
    assert [program.args for program in programs if program.wait(60)] == []


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
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    with output.open("wb") if output else Path(os.devnull).open("wb") as written:
        return subprocess.Popen(
            command, env=environment, cwd=BENCHMARKS, stdin=subprocess.DEVNULL, stdout=written, stderr=written
        )
