"""Sacred's own tests, asked of our observer against a real MongoDB.

Those of its MongoObserver and its queue, from a checkout that the environment variable SACRED_SOURCES names, are run
with our class in place of Sacred's; those of its runs and experiments with our observer attached to each run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.journal_places import journal_places, run_folders
from cloister.observer.settings import load_settings
from peer_installs import installed
from pymongo.database import Database
from recorded_script import wait_for
from sacred_scripts import need_sacred

SACRED = "0.8.7"
# Its tests of its observer are in no distribution on PyPI; whoever has a checkout names it here.
CHECKOUT = "SACRED_SOURCES"
TESTS_OF_RUNS = ("test_run.py", "test_experiment.py", "test_stdout_capturing.py")
FILES = ("test_mongo_observer.py", "test_queue_mongo_observer.py")
# Sacred skips its own tests on all Pythons that there are now, because of the mock that ours do not use.
OWN_SKIP = re.compile(r"sys\.version_info >= \(3, 10\)")
# In some versions a part of one test is of a class that was never released: metrics with units.
UNITS = re.compile(r"\n    # Attempt to insert a metric with units.*?(?=\n\n\n)", re.DOTALL)


def find_tests_of_the_observer() -> Path:
    """The folder of a checkout that has them; skips where none is named."""
    named = os.environ.get(CHECKOUT)
    if not named:
        pytest.skip(
            f"Sacred's tests of its observer are not on PyPI: set {CHECKOUT} to a checkout of Sacred {SACRED} "
            "to run them. test_sacred_events.py asks the same"
        )
    folder = Path(named) / "tests" / "test_observers"
    missing = [name for name in FILES if not (folder / name).is_file()]
    assert not missing, f"{CHECKOUT}={named!r} is no checkout of Sacred {SACRED}: {folder} has no {', '.join(missing)}"
    return folder


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder with Sacred's tests, as they are but for what they skip and what they mock."""
    source = find_tests_of_the_observer()
    folder = tmp_path / "suite" / "test_observers"
    folder.mkdir(parents=True)
    for name in FILES:
        text = (source / name).read_text(encoding="utf-8")
        text = UNITS.sub("", OWN_SKIP.sub("False", text)).replace("import pint\n", "")
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "__init__.py").touch()
    clients = "from mongomock import MongoClient as FailingMongoClient\nReconnectingMongoClient = FailingMongoClient\n"
    (folder / "failing_mongo_mock.py").write_text(clients)
    (folder.parent / "setup.py").write_text("# what the tests store as an artifact\n")
    return folder.parent


@pytest.fixture(autouse=True)
def _sacred() -> None:
    need_sacred()


def run_suite(folder: Path, mongod: str, *tests: str, **environment: str) -> dict[str, int]:
    """Run Sacred's tests under the plugin; gives how many did what."""
    known = {"SACRED_SUITE_SERVER": mongod.partition("/?")[0], "CLOISTER_COURIER_IDLE": "1"}
    path = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    plugins = ["-p", "sacred_suite_plugin", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    options = [*plugins, "-W", "ignore", "-rs", "-q", "--rootdir=."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-c", os.devnull, *tests],
        cwd=folder,
        env={**os.environ, **known, **environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|skipped|failed)", done.stdout)}


def test_sacreds_own_tests_of_its_observer_pass_with_ours(suite: Path, mongod: str) -> None:
    counts = run_suite(suite, mongod, "test_observers")

    assert counts["passed"] >= 25
    assert counts["skipped"] == 2  # named in the plugin, with their reasons


def test_sacreds_own_tests_of_runs_pass_with_our_observer_on_each_run(
    mongod: str, database_uri: str, database: Database[dict[str, Any]], home: Path
) -> None:
    folder = installed(f"sacred-{SACRED}-source", fetch_source)
    counts = run_suite(folder, mongod, *TESTS_OF_RUNS, SACRED_SUITE_ATTACHED="1", CLOISTER_URI=database_uri)
    wait_for(lambda: not run_folders(journal_places(load_settings(uri=database_uri))), "all runs are stored")

    assert counts["passed"] >= 50
    assert counts.get("skipped", 0) <= 1  # one that Sacred skips, as it fails at random
    stored = {run["status"] for run in database["runs"].find()}
    assert database["runs"].count_documents({}) >= 40
    assert {"COMPLETED", "FAILED", "INTERRUPTED", "TIMEOUT"} <= stored
    assert "RUNNING" not in stored
    assert database["runs"].count_documents({"cloister.observer.notes": {"$ne": []}}) == 0


def fetch_source(folder: Path) -> None:
    """Sacred's source distribution from PyPI, with the tests that are in it."""
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    command += ["--no-build-isolation", "--disable-pip-version-check", f"--dest={folder}", f"sacred=={SACRED}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    archives = list(folder.glob("*.tar.gz"))
    if not archives:
        pytest.skip(f"Sacred's source distribution cannot be fetched: {done.stderr.strip()[-200:]}")
    with tarfile.open(archives[0]) as archive:
        for name in TESTS_OF_RUNS:
            content = archive.extractfile(f"sacred-{SACRED}/tests/{name}")
            assert content is not None
            text = content.read().decode().replace("import mock\n", "from unittest import mock\n")
            (folder / name).write_text(text, encoding="utf-8")
