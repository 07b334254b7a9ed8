"""A function under @experiment, run as a script: what is recorded, and that the script does not notice."""

from __future__ import annotations

import re
import signal
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from recorded_script import RecordedScript, wait_for

TRAIN = """
    from cloister import experiment

    @experiment(project="digits", tags=["baseline"])
    def train(run, lr: float = 1e-3, epochs: int = 3):
        '''Train a model.

        Args:
            lr: learning rate of the optimiser.
        '''
        for epoch in range(epochs):
            run.log({"train/loss": 1 / (epoch + 1)}, step=epoch)
            print("epoch", epoch)
        return {"best": 0.5}

    if __name__ == "__main__":
        train()
"""

WAITING = """
    import sys, time
    from cloister import experiment

    @experiment(project="digits")
    def train(run):
        run.log({"loss": 1.0}, step=0)
        print("ready", flush=True)
        time.sleep(600)

    train()
"""


def test_a_call_is_a_completed_run_with_its_config_points_console_and_result(script: RecordedScript) -> None:
    finished = script.run(TRAIN, "lr=0.01")

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "epoch 0\nepoch 1\nepoch 2\n"
    assert finished.stderr == ""
    run = script.only_run()
    assert run.status == "completed"
    assert run.project == "digits"
    assert run.tags == ("baseline",)
    assert run.config == {"lr": 0.01, "epochs": 3}
    assert run.config_defaults == {"lr": 0.001, "epochs": 3}
    assert run.result == {"best": 0.5}
    assert run.argv[1:] == ("lr=0.01",)
    assert run.exit == {"code": 0}
    assert run.lost == {"points": 0, "lines": 0, "bytes": 0}
    points = script.store.load_points(run.id, "train/loss")
    assert points.steps.tolist() == [0, 1, 2]
    assert points.values.tolist() == [1.0, 1 / 2, 1 / 3]
    assert "".join(piece.text for piece in script.store.load_console(run.id).pieces) == finished.stdout


def test_an_exception_is_recorded_and_leaves_traceback_and_exit_code_as_they_are(script: RecordedScript) -> None:
    source = """
        from cloister import experiment

        @experiment
        def train():
            raise ValueError("the loss is not finite")

        train()
    """
    finished = script.run(source)

    assert finished.returncode == 1
    assert finished.stderr.rstrip().endswith("ValueError: the loss is not finite")
    run = script.only_run()
    assert run.status == "failed"
    assert run.fail_trace[-1] == "ValueError: the loss is not finite\n"
    assert run.exit == {"code": 1}


@pytest.mark.parametrize(
    ("code", "status"), [("0", "completed"), ("3", "failed"), ("None", "completed"), ("'no'", "failed")]
)
def test_sys_exit_keeps_its_code_and_decides_the_status(script: RecordedScript, code: str, status: str) -> None:
    source = f"""
        import sys
        from cloister import experiment

        @experiment
        def train():
            sys.exit({code})

        train()
    """
    finished = script.run(source)

    assert finished.returncode == {"0": 0, "3": 3, "None": 0, "'no'": 1}[code]
    assert script.only_run().status == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_the_run_and_ends_the_process_as_ever(
    script: RecordedScript, number: signal.Signals
) -> None:
    process = script.start(WAITING)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert process.returncode == -number, err
    script.wait_until_shipped()
    run = script.only_run()
    assert run.status == "interrupted"
    assert run.exit == {"signal": int(number)}
    assert script.store.load_points(run.id, "loss").values.tolist() == [1.0]


def test_a_killed_run_keeps_what_it_logged_and_is_lost_once_its_heartbeat_is_late(script: RecordedScript) -> None:
    process = script.start(WAITING)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.communicate()
    script.wait_until_shipped()

    run = script.only_run()
    assert run.status == "running"  # the last heartbeat is seconds old
    late = datetime.now(timezone.utc) - timedelta(seconds=60)
    script.store.database["runs"].update_one({"_id": run.id}, {"$set": {"heartbeat": late}})
    assert script.only_run().status == "lost"
    assert script.store.load_points(run.id, "loss").values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lrr=1"], "Did you mean 'lr'?"),
        (["lr=fast"], "lr"),
        (["--epochs", "1.5"], "epochs"),
        (["@missing.yaml"], "missing.yaml"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2_and_no_run(
    script: RecordedScript, arguments: list[str], message: str
) -> None:
    finished = script.run(TRAIN, *arguments)

    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
    assert script.runs() == []


def test_help_lists_parameters_with_defaults_and_docstring_and_records_nothing(script: RecordedScript) -> None:
    finished = script.run(TRAIN, "--help")

    assert finished.returncode == 0
    assert "learning rate of the optimiser." in finished.stdout
    assert "0.001" in finished.stdout
    assert script.runs() == []


def test_start_run_needs_no_function_and_ends_with_its_script(script: RecordedScript) -> None:
    source = """
        import cloister

        run = cloister.start_run(project="plain", config={"lr": 0.1, "optimizer": {"name": "adam"}}, name="first")
        cloister.log({"loss": 0.5})
        cloister.log({"loss": 0.25})
        assert cloister.current_run() is run
    """
    finished = script.run(source)

    assert finished.returncode == 0, finished.stderr
    run = script.only_run()
    assert (run.project, run.name, run.experiment, run.status) == ("plain", "first", "train", "completed")
    assert run.config == {"lr": 0.1, "optimizer": {"name": "adam"}}
    assert script.store.load_points(run.id, "loss").steps.tolist() == [0, 1]


def test_an_uncaught_exception_after_start_run_fails_the_run(script: RecordedScript) -> None:
    source = """
        import cloister

        run = cloister.start_run(project="plain")
        raise RuntimeError("out of luck")
    """
    finished = script.run(source)

    assert finished.returncode == 1
    run = script.only_run()
    assert run.status == "failed"
    assert run.fail_trace[-1] == "RuntimeError: out of luck\n"


def test_runs_in_one_script_are_separate_and_a_nested_one_is_the_current_one(script: RecordedScript) -> None:
    source = """
        import cloister

        with cloister.start_run(name="outer"):
            cloister.log({"place": 1})
            with cloister.start_run(name="inner"):
                cloister.log({"place": 2})
            cloister.log({"place": 3})
    """
    finished = script.run(source)

    assert finished.returncode == 0, finished.stderr
    logged = {run.name: script.store.load_points(run.id, "place").values.tolist() for run in script.runs()}
    assert logged == {"outer": [1.0, 3.0], "inner": [2.0]}


def test_a_log_without_a_run_says_what_to_do(script: RecordedScript) -> None:
    finished = script.run("import cloister\ncloister.log({'loss': 1})\n")

    assert finished.returncode == 1
    assert "No run is active. Call this in a function under @experiment" in finished.stderr


def test_the_seed_makes_two_runs_equal(script: RecordedScript) -> None:
    source = """
        import random
        import numpy
        from cloister import experiment

        @experiment
        def train(seed: int = 7):
            return [random.random(), float(numpy.random.rand())]

        train()
    """
    assert script.run(source).returncode == 0
    assert script.run(source).returncode == 0
    assert script.run(source, "seed=8").returncode == 0

    first, second, third = (run.result for run in script.runs())
    assert first == second
    assert first != third


def test_sources_packages_and_machine_are_recorded(script: RecordedScript) -> None:
    script.write("WIDTH = 64\n", "model.py")
    source = "import model\n" + "import cloister\nwith cloister.start_run():\n    import late\n"
    script.write("LATE = True\n", "late.py")
    finished = script.run(source)

    assert finished.returncode == 0, finished.stderr
    run = script.only_run()
    assert {entry.path for entry in run.sources} == {"train.py", "model.py", "late.py"}
    model = next(entry for entry in run.sources if entry.path == "model.py")
    assert script.store.open_blob(model.file_id).read() == b"WIDTH = 64\n"
    assert any(package.startswith("pymongo==") for package in run.environment["distributions"])
    assert run.environment["cpu"]
    assert run.host
    assert run.git["state"] == "none"
    assert run.system["memory.used"].last > 1_000_000


def test_a_git_repository_is_recorded_with_its_uncommitted_diff(script: RecordedScript) -> None:
    script.write("WIDTH = 64\n", "model.py")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *command], cwd=script.folder, check=True)
    script.write("WIDTH = 128\n", "model.py")
    assert script.run("import cloister\nwith cloister.start_run():\n    pass\n").returncode == 0

    run = script.only_run()
    assert run.git["state"] == "repository"
    assert run.git["branch"] == "main"
    assert run.git["dirty"] is True
    diff = script.store.open_blob(run.git["diff_file"]).read().decode()
    assert "-WIDTH = 64\n+WIDTH = 128\n" in diff
    assert "+import cloister\n" in diff  # train.py is untracked


def test_a_courier_works_beside_a_run_and_goes_after_it(script: RecordedScript, home: Path) -> None:
    def couriers() -> list[str]:
        pattern = f"observer.courier_process.*{re.escape(str(home))}"
        return subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False).stdout.split()

    process = script.start(WAITING)
    wait_for(couriers, "a courier is at work")
    process.kill()
    process.communicate()

    wait_for(lambda: not couriers(), "the courier is gone")
