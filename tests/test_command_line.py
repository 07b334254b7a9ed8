"""The `cloister` command itself: wrong turns end in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cloister.__main__ import COMMANDS


def cloister(*arguments: str, python: tuple[str, ...] = ("-m", "cloister")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *python, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_a_mistyped_command_names_the_nearest() -> None:
    done = cloister("srve")
    assert done.returncode == 2
    assert "There is no command 'srve'. Did you mean 'serve'?" in done.stderr


def test_an_unknown_command_names_those_that_there_are() -> None:
    assert f"There are {', '.join(COMMANDS)}." in cloister("xyzzy").stderr


def test_help_lists_every_command() -> None:
    done = cloister("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout


def test_the_dashboard_without_its_packages_says_what_to_install(tmp_path: Path) -> None:
    # As on a training node: flask cannot be found.
    program = "import sys; sys.modules['flask'] = None; from cloister.__main__ import main; main(prog_name='cloister')"
    done = cloister("serve", python=("-c", program))
    assert done.returncode == 1
    assert done.stderr == (
        "Error: The dashboard needs flask, which is not installed here. Install the part that shows runs: "
        "pip install 'cloister[viewer]'\n"
    )


def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cloister.toml").write_text("projct = 'digits'\n")
    done = subprocess.run(
        [sys.executable, "-m", "cloister", "db", "status"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "has an unknown setting 'projct'" in done.stderr.replace("\n", " ")
