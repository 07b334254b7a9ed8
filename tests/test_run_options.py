"""What can be said of a run beside its config: options, resources, info, statuses, output filters, clean code."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cloister.decorators.dependencies_report import print_dependencies
from cloister.decorators.run_options import (
    RUN_OPTIONS,
    BadRunOption,
    RunOptions,
    split_run_options,
    usage_lines,
)
from cloister.decorators.run_start import RunPlan
from cloister.observer.settings import BadSetting, load_settings
from recorded_script import RecordedScript
from rich.console import Console


def test_the_options_of_a_run_are_taken_out_of_a_command_line() -> None:
    words = ["lr=3", "-c", "try it", "--priority=3.5", "-q", "--enforce_clean", "--tag", "a", "--tag", "b", "--", "-q"]

    options, rest = split_run_options(words)

    assert rest == ["lr=3", "--", "-q"]
    assert options == RunOptions(comment="try it", priority=3.5, queue=True, enforce_clean=True, tags=("a", "b"))
    assert options.as_meta() == {
        "--comment": "try it", "--priority": 3.5, "--queue": True, "--enforce-clean": True, "--tag": ["a", "b"],
    }  # fmt: skip


def test_a_config_entry_of_the_same_name_wins_over_an_option() -> None:
    options, rest = split_run_options(["--name", "big", "--beat-interval=3"], {"name", "beat_interval"}.__contains__)

    assert (options, rest) == (RunOptions(), ["--name", "big", "--beat-interval=3"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--comment"], "The option --comment needs a value. Write --comment TEXT, or --comment=TEXT."),
        (["-c", "--queue"], "The option -c needs a value. Write -c TEXT, or -c=TEXT."),
        (["--queue=yes"], "The option --queue takes no value. Write --queue alone."),
        (["-P", "high"], "The option -P cannot be used: 'high' is not a number."),
        (["-P", "nan"], "The option -P cannot be used: 'nan' is not a number."),
        (["-b", "0"], "The option -b cannot be used: '0' is not a number of seconds above 0."),
        (["-C", "tee"], "The option -C cannot be used: 'tee' is not one of sys, fd, none."),
        (["-l", "loud"], "The option -l cannot be used: 'loud' is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    ],
)
def test_an_option_that_makes_no_sense_is_explained(words: list[str], message: str) -> None:
    with pytest.raises(BadRunOption) as refused:
        split_run_options(words)

    assert str(refused.value) == message


def test_options_win_over_what_the_code_says_and_tags_are_added() -> None:
    plan = RunPlan("train", "train", {}, {}, project="code", tags=("a",), comment="of the code")

    changed = RunOptions(comment="of the line", tags=("b", "a"), priority=0.0).over(plan)

    assert (changed.project, changed.comment, changed.tags) == ("code", "of the line", ("a", "b"))
    assert changed.options == {"--comment": "of the line", "--tag": ["b", "a"]}


def test_every_option_stands_in_the_help() -> None:
    text = "\n".join(usage_lines())

    assert [flag for option in RUN_OPTIONS for flag in option.flags if flag not in text] == []


@pytest.mark.parametrize(("asked", "kept"), [(0.01, 1.0), (7, 7.0), (60, 20.0)])
def test_signs_of_life_come_often_enough_to_be_believed(asked: float, kept: float) -> None:
    assert load_settings(beat_interval=asked).beat_interval == kept


def test_a_beat_interval_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_BEAT_INTERVAL", "often")

    with pytest.raises(BadSetting, match="CLOISTER_BEAT_INTERVAL sets beat_interval to 'often'"):
        load_settings()


# ---- in a run


@pytest.fixture(autouse=True)
def _couriers_are_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a process for each run."""
    monkeypatch.setenv("CLOISTER_COURIER", "thread")


SCRIPT = """
    import cloister

    class OutOfBudget(cloister.Interruption):
        status = "OUT_OF_BUDGET"

    with open("data.csv", "w") as file:
        file.write("a,b")
    with cloister.start_run(comment="does it help?", notes="said before", hardware=False,
                            console_filter=lambda text: text.replace("secret", "***")) as run:
        run.info["found"] = {"b.c": [1, 2]}
        run.info["metrics"] = "taken"
        print("a secret")
        with run.open_resource("data.csv") as file:
            assert file.read() == "a,b"
        run.add_resource("data.csv")
        run.add_resource("none.csv")
        with open("data.csv", "w") as file:
            file.write("changed since")
        run.log({"loss": 1.0})
        raise OutOfBudget("spent")
"""


def test_a_run_says_at_the_level_info_that_it_is_recorded_and_how_it_ended(script: RecordedScript) -> None:
    source = """
        import logging
        import cloister

        logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
        cloister.start_run(project="digits", name="one", hardware=False).finish()
    """
    said = script.run(source).stderr.splitlines()
    assert said == [
        "cloister Run 'one' of project 'digits' is being recorded.",
        "cloister Run 'one' of project 'digits' has ended: COMPLETED.",
    ]


def test_what_a_script_says_of_its_run_is_in_the_document_as_sacred_has_it(script: RecordedScript) -> None:
    finished = script.run(SCRIPT)

    assert finished.returncode == 1
    assert "OutOfBudget: spent" in finished.stderr
    assert "Resource 'none.csv' is not recorded: No such file or directory." in finished.stderr
    assert "run.info['metrics'] is not stored" in finished.stderr
    [run] = script.store.database["runs"].find()
    assert run["status"] == "OUT_OF_BUDGET"
    assert run["cloister"]["exit"] == {"code": 1, "reason": "spent"}
    assert run["fail_trace"] == []
    assert run["captured_out"].startswith("a ***\n")
    assert run["meta"]["comment"] == "does it help?"
    assert run["cloister"]["notes"] == "does it help?\n\nsaid before"
    assert [metric["name"] for metric in run["info"]["metrics"]] == ["loss"]
    assert script.only_run().info["found"] == {"b.c": [1, 2]}
    path = str(script.folder / "data.csv")
    assert run["resources"] == [[path, "b345e1dc09f20fdefdea469f09167892"]]
    [resource] = run["cloister"]["resources"]
    assert resource["path"] == path
    assert script.store.open_blob(resource["file_id"]).read() == b"a,b"


def test_info_is_stored_while_the_run_goes_on(script: RecordedScript) -> None:
    finished = script.run(
        """
        import time
        import cloister

        run = cloister.start_run(beat_interval=1, hardware=False)
        run.info["phase"] = "one"
        run.info["gone"] = 1
        with run.store() as store:
            def stored():
                found = store.database["runs"].find_one({"cloister.uid": run.uid}) or {}
                return found.get("info", {})
            deadline = time.monotonic() + 30
            while stored().get("phase") != "one":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        run.info["phase"] = "two"
        del run.info["gone"]
        run.finish("OUT_OF_DATA")
        """
    )

    assert finished.returncode == 0, finished.stderr
    run = script.only_run()
    assert {name: value for name, value in run.info.items() if name != "metrics"} == {"phase": "two", "gone": None}
    assert script.store.database["runs"].distinct("status") == ["OUT_OF_DATA"]


def test_exceptions_of_others_can_be_given_a_status(script: RecordedScript) -> None:
    script.run(
        """
        import cloister

        for error in (MemoryError("no"), KeyError("other"), cloister.OutOfTime("late")):
            try:
                with cloister.start_run(interruptions={MemoryError: "OUT_OF_MEMORY"}, hardware=False):
                    raise error
            except type(error):
                pass
        """
    )

    statuses = [run["status"] for run in script.store.database["runs"].find().sort("_id", 1)]
    assert statuses == ["OUT_OF_MEMORY", "FAILED", "TIMEOUT"]


def test_a_status_that_means_something_else_is_refused(home: Path) -> None:
    from cloister import start_run

    for status in ("COMPLETED", "out of budget", ""):
        with pytest.raises(ValueError, match="cannot be the status of an interrupted run"):
            start_run(interruptions={MemoryError: status}, unobserved=True)


def test_an_output_filter_that_fails_costs_only_itself(script: RecordedScript) -> None:
    finished = script.run(
        """
        import cloister

        def console_filter(text):
            if "2" in text:
                raise ValueError("not this")
            return text.upper()

        with cloister.start_run(console_filter=console_filter, hardware=False):
            for number in range(4):
                print("line", number)
        """
    )

    assert finished.returncode == 0
    assert finished.stdout == "line 0\nline 1\nline 2\nline 3\n"
    text = "".join(piece["text"] for piece in script.store.database["console"].find({"stream": "stdout"}).sort("n", 1))
    assert text == "LINE 0\nLINE 1\nline 2\nline 3\n"
    assert "ValueError: not this" in finished.stderr


def test_an_unobserved_run_leaves_nothing_and_works(script: RecordedScript, home: Path) -> None:
    finished = script.run(
        """
        import cloister
        from cloister.observer.silent_recorder import NothingRecorded

        with cloister.start_run(unobserved=True) as run:
            run.log({"loss": 1.0})
            run.log_artifact(__file__)
            run.info["a"] = 1
            print(run.id, run.next_step)
            try:
                run.points("loss")
            except NothingRecorded as error:
                print(error)
        """
    )

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("None 1\nThis run is unobserved: nothing of it is recorded")
    assert not home.exists()
    assert script.store.database["runs"].count_documents({}) == 0


# ---- --enforce-clean


def _git(folder: Path, *words: str) -> None:
    options = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)


CLEAN = """
    import cloister

    def late():
        import helper

    with cloister.start_run(enforce_clean=True, hardware=False):
        pass
"""


@pytest.fixture
def repository(script: RecordedScript) -> RecordedScript:
    script.write(CLEAN)
    script.write("", "helper.py")
    script.write("", "notes.txt")
    _git(script.folder, "init")
    _git(script.folder, "add", "train.py")
    _git(script.folder, "commit", "-m", "first")
    return script


def _refusal(script: RecordedScript) -> str:
    finished = script.run(CLEAN)
    assert finished.returncode == 1
    assert script.store.database["runs"].count_documents({}) == 0
    return finished.stderr.strip().splitlines()[-1]


def test_clean_code_is_run(repository: RecordedScript) -> None:
    _git(repository.folder, "add", "helper.py")
    _git(repository.folder, "commit", "-m", "second")

    assert repository.run(CLEAN).returncode == 0  # notes.txt is in no commit, and is no code
    assert repository.only_run().status == "completed"


def test_code_that_differs_from_its_commit_is_refused(repository: RecordedScript) -> None:
    _git(repository.folder, "add", "helper.py")
    _git(repository.folder, "commit", "-m", "second")
    repository.write("changed = True", "helper.py")

    refusal = _refusal(repository)
    assert "differs from commit" in refusal
    assert "(helper.py)" in refusal


@pytest.mark.parametrize("ignored", [False, True])
def test_code_that_git_does_not_know_is_refused_also_where_it_is_imported_later(
    repository: RecordedScript, ignored: bool
) -> None:
    if ignored:
        repository.write("helper.py", ".gitignore")

    refusal = _refusal(repository)
    assert "code that it imports is not in git repository" in refusal
    assert "(helper.py)" in refusal


def test_code_outside_any_repository_is_refused(script: RecordedScript) -> None:
    assert "is in no git repository" in _refusal(script)


def test_code_without_a_first_commit_is_refused(script: RecordedScript) -> None:
    _git(script.folder, "init")

    assert "has no commit yet" in _refusal(script)


# ---- print_dependencies


def test_what_a_script_runs_with_is_printed_without_running_it(repository: RecordedScript) -> None:
    repository.write(
        """
        import json
        import numpy as np
        import there_is_none

        raise SystemExit("never run")
        """,
        "helper.py",
    )
    said = io.StringIO()

    print_dependencies(repository.folder / "train.py", Console(file=said, width=200))

    text = said.getvalue()
    assert re.search(rf"numpy\s+│ {re.escape(np.__version__)}", text)
    assert re.search(r"there_is_none\s+│ not installed", text)
    assert "json" not in text
    digest = hashlib.sha256((repository.folder / "helper.py").read_bytes()).hexdigest()
    assert re.search(rf"helper.py\s+│\s+\d+ B │ {digest[:16]} │ untracked", text)
    assert "notes.txt" not in text.partition("git")[0]
    assert "files not as in the commit" in text


def test_the_command_of_a_script_prints_what_it_runs_with(script: RecordedScript) -> None:
    done = script.run(
        """
        import cloister

        @cloister.experiment
        def train(lr=0.1):
            raise SystemExit("never run")

        train()
        """,
        "print_dependencies",
    )

    assert done.returncode == 0, done.stderr
    assert "train.py" in done.stdout
    assert "is in no git repository" in done.stdout
    assert script.store.database["runs"].count_documents({}) == 0
