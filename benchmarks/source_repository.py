"""A git repository as a project has it, for what recording its state costs."""

from __future__ import annotations

import subprocess
from pathlib import Path

FOLDERS = 40


def make_repository(folder: Path, files: int) -> None:
    """A repository at `folder` with `files` Python files of some lines, committed, two of them changed since."""
    for number in range(files):
        path = folder / f"package_{number % FOLDERS:02d}" / f"module_{number:04d}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Module {number}."""\n\n' + f"def function_{number}():\n    return {number}\n" * 10)
    _git(folder, "init", "--quiet")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "--message", "All of it")
    for path in sorted(folder.glob("package_00/*.py"))[:2]:
        path.write_text(path.read_text() + "\nCHANGED = True\n")


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
