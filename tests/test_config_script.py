"""Which calls read the command line, and what a script that is started with a wrong one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = '''
import logging
from functools import partial
import cloister

logging.basicConfig(level="WARNING", format="%(message)s")
experiment = partial(cloister.experiment, unobserved=True)


@experiment()
def train(run, lr: float = 0.1, epochs: int = 2):
    """Trains a little."""
    print("trained", lr, epochs)
'''
MAIN = '\nif __name__ == "__main__":\n    train()\n'


def started(folder: Path, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN + MAIN)
    return tmp_path


def test_a_script_reads_its_command_line(folder: Path) -> None:
    assert started(folder, "train.py").stdout == "trained 0.1 2\n"
    assert started(folder, "train.py", "lr=0.5", "--epochs", "3").stdout == "trained 0.5 3\n"
    assert started(folder, str(folder / "train.py"), "lr=0.5").stdout == "trained 0.5 2\n"
    assert started(folder, "-m", "train", "lr=0.5").stdout == "trained 0.5 2\n"
    (folder / "moved.py").write_text(TRAIN + "\nimport os\nos.chdir('/')\ntrain()\n")
    assert started(folder, "moved.py", "lr=0.5").stdout == "trained 0.5 2\n"
    code = "import runpy, sys; sys.argv[:] = ['train.py', 'lr=0.5']; runpy.run_path('train.py', run_name='__main__')"
    assert started(folder, "-c", code).stdout == "trained 0.5 2\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lrr=1"], "train.py: This experiment has no config key 'lrr'. Did you mean 'lr'?\n"),
        (["lr=x"], "train.py: Config key 'lr' takes a number, not 'x'.\n"),
        (["epochs=1.5"], "train.py: Config key 'epochs' takes a whole number, not '1.5'.\n"),
        (["@no.yaml"], "train.py: Config file no.yaml: there is no such file in "),
        (["fast"], "train.py: 'fast' is neither an override (name=value) nor a command. There are train,"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(folder: Path, words: list[str], sentence: str) -> None:
    ended = started(folder, "train.py", *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(sentence)
    assert "Traceback" not in ended.stderr


def test_help_goes_to_stdout_with_exit_code_0(folder: Path) -> None:
    ended = started(folder, "train.py", "-h")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Usage: train.py [command] [name=value" in ended.stdout
    assert "Trains a little." in ended.stdout
    assert "lr: float = 0.1" in ended.stdout
    assert "trained" not in ended.stdout


def test_a_required_value_that_nobody_gave_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN.replace("lr: float = 0.1", "lr: float") + MAIN)
    ended = started(tmp_path, "train.py")
    assert ended.returncode == 2
    assert ended.stderr == "train.py: Config key 'lr' has no default and no value. Give it: lr=...\n"


def test_a_call_with_arguments_is_taken_at_its_word(tmp_path: Path) -> None:
    main = (
        "def main():\n    train()\n    train(lr=7)\n    train(8, epochs=1)\n\nif __name__ == '__main__':\n    main()\n"
    )
    (tmp_path / "train.py").write_text(TRAIN + main)
    ended = started(tmp_path, "train.py", "epochs=5")
    assert ended.stdout == "trained 0.1 5\ntrained 7.0 2\ntrained 8.0 1\n"
    assert "the command line (epochs=5) is not read" in ended.stderr


def test_a_script_with_a_parser_of_its_own_is_left_alone(tmp_path: Path) -> None:
    parser = (
        "\nimport argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--rate', dest='lr', type=float)\n"
        "args = parser.parse_args()\n"
    )
    for call in ("train(lr=args.lr)", "train(**vars(args))", "experiment(config=args)(lambda run, lr: print(lr))()"):
        (tmp_path / "train.py").write_text(f"{TRAIN}{parser}{call}\n")
        ended = started(tmp_path, "train.py", "--rate", "3")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "3.0" in ended.stdout
    (tmp_path / "train.py").write_text(
        TRAIN.replace("@experiment()\n", "@experiment(command_line=False)\n") + parser + "train()\n"
    )
    assert started(tmp_path, "train.py", "--rate", "3").stdout == "trained 0.1 2\n"


def test_a_script_may_want_both_call_and_command_line(tmp_path: Path) -> None:
    source = TRAIN.replace("@experiment()\n", "@experiment(command_line=True)\n") + "\ntrain(lr=3)\n"
    (tmp_path / "train.py").write_text(source)
    assert started(tmp_path, "train.py", "epochs=5").stdout == "trained 3.0 5\n"
    ended = started(tmp_path, "train.py", "lr=5")
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "train.py: Config key 'lr' is given by the call in the script and by the command line."
    )


def test_a_program_that_imports_the_experiment_keeps_its_command_line(folder: Path) -> None:
    (folder / "sweep.py").write_text("import train\ntrain.train()\n")
    assert started(folder, "sweep.py", "--whatever", "x").stdout == "trained 0.1 2\n"
    (folder / "test_it.py").write_text("import train\ndef test_it():\n    train.train()\n")
    ended = started(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "test_it.py")
    assert "1 passed" in ended.stdout
    assert started(folder, "-c", TRAIN + "\ntrain()", "lr=5").stdout == "trained 0.1 2\n"
    assert "trained 0.1 2" in started(folder, "-", "lr=5", stdin=TRAIN + "\ntrain()\n").stdout


def test_at_a_prompt_the_command_line_is_not_read(folder: Path) -> None:
    # After `python -i train.py lr=5` somebody types: the first line is the script's, the second is theirs.
    ended = started(folder, "-i", "train.py", "lr=5", stdin="train()\n")
    assert ended.stdout.splitlines()[0] == "trained 5.0 2"
    assert "trained 0.1 2" in ended.stdout


def test_a_spawned_worker_does_not_read_the_command_line(tmp_path: Path) -> None:
    main = (
        "\nif __name__ == '__main__':\n    import multiprocessing\n"
        "    worker = multiprocessing.get_context('spawn').Process(target=train)\n    worker.start(); worker.join()\n"
    )
    (tmp_path / "train.py").write_text(TRAIN + main)
    assert started(tmp_path, "train.py", "lr=5").stdout == "trained 0.1 2\n"


def test_importing_config_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; import cloister.decorators.config, cloister.decorators.seeds; "
        "print(sorted({'yaml', 'pydantic', 'numpy', 'pymongo', 'json', 'tomllib'} & set(sys.modules)))"
    )
    assert started(tmp_path, "-c", code).stdout == "[]\n"
