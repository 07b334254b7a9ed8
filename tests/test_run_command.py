"""`cloister run script.py`: an unchanged script is recorded and does not notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from cloister.decorators.run_command import config_from_arguments
from recorded_script import RecordedScript

SCRIPT = """
    import argparse, sys
    import neighbour

    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--boom", action="store_true")
    options = parser.parse_args()
    print("lr", options.lr, __name__, neighbour.NAME, flush=True)
    if options.boom:
        raise ValueError("boom")
"""


def command(script: RecordedScript, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cloister", "run", *arguments],
        cwd=script.folder,
        env={**os.environ, "CLOISTER_URI": script.uri},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_unchanged_script_is_recorded_with_arguments_console_and_sources(script: RecordedScript) -> None:
    script.write(SCRIPT)
    script.write("NAME = 'next door'\n", "neighbour.py")
    process = command(script, "--project", "plain", "--tag", "first", "train.py", "--lr", "0.5")
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out, err) == (0, "lr 0.5 __main__ next door\n", "")
    run = script.only_run()
    assert (run.project, run.experiment, run.status, run.tags) == ("plain", "train", "completed", ("first",))
    assert run.config == {"lr": 0.5}
    assert run.argv == ("train.py", "--lr", "0.5")
    assert {entry.path for entry in run.sources} == {"train.py", "neighbour.py"}
    assert script.store.load_console(run.id).pieces[0].text == out


def test_a_failing_script_prints_its_own_traceback_and_no_frame_of_ours(script: RecordedScript) -> None:
    script.write(SCRIPT)
    script.write("NAME = 'next door'\n", "neighbour.py")
    process = command(script, "train.py", "--boom")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert err.endswith("ValueError: boom\n")
    assert "cloister" not in err
    run = script.only_run()
    assert run.status == "failed"
    assert run.config == {"boom": True}


def test_ctrl_c_interrupts_the_script_as_python_would(script: RecordedScript) -> None:
    script.write("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    process = command(script, "train.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == -signal.SIGINT
    assert err.endswith("KeyboardInterrupt\n")
    assert script.only_run().status == "interrupted"


def test_a_misspelled_option_is_told_with_the_one_that_was_meant(script: RecordedScript) -> None:
    script.write(SCRIPT)
    process = command(script, "--reusme", "1", "train.py")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "No such option '--reusme'" in err
    assert "Did you mean '--resume'?" in err


def test_a_missing_script_is_one_sentence(script: RecordedScript) -> None:
    process = command(script, "trian.py")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "There is no script 'trian.py'" in err
    assert "Traceback" not in err
    assert script.runs() == []


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (["--lr", "0.1", "--epochs=5"], {"lr": 0.1, "epochs": 5}),
        (["lr=1e-3", "name=adam"], {"lr": 1e-3, "name": "adam"}),
        (["--use-amp", "--seed", "7"], {"use_amp": True, "seed": 7}),
        (["train", "-v", "x.yaml"], {}),
        (["--offset", "-0.5"], {"offset": -0.5}),
    ],
)
def test_arguments_become_config_as_far_as_their_form_tells(words: list[str], config: dict[str, object]) -> None:
    assert config_from_arguments(tuple(words)) == config
