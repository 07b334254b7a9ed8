"""Sacred's own tests of its MongoObserver and its queue, asked of ours, against a real MongoDB."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from peer_installs import installed

SACRED = "0.8.7"
# They are not in the distribution on PyPI, and no part of this repository; the tag has them.
ARCHIVE = f"https://github.com/IDSIA/sacred/archive/refs/tags/{SACRED}.tar.gz"
FILES = ("test_mongo_observer.py", "test_queue_mongo_observer.py")
# Sacred skips its own tests on all Pythons that there are now, because of the mock that ours do not use.
OWN_SKIP = re.compile(r"sys\.version_info >= \(3, 10\)")
# In some versions a part of one test is of a class that was never released: metrics with units.
UNITS = re.compile(r"\n    # Attempt to insert a metric with units.*?(?=\n\n\n)", re.DOTALL)


def fetch_tests(folder: Path) -> None:
    """Sacred's sources at its tag, through pip as for any package; skips where they are out of reach."""
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", "--retries=0"]
    command += ["--timeout=5", "--disable-pip-version-check", f"--dest={folder}", ARCHIVE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    archives = list(folder.glob("*.tar.gz")) + list(folder.glob("*.zip"))
    if not archives:
        reason = done.stderr.strip().splitlines()[-1:] or ["no archive came"]
        pytest.skip(f"Sacred's tests are not at hand: its tag {SACRED} cannot be fetched ({reason[0][:200]})")
    with tarfile.open(archives[0]) as archive:
        members = [member for member in archive.getmembers() if "/tests/test_observers/" in member.name]
        for member in members:
            content = archive.extractfile(member)
            if content is not None:
                (folder / Path(member.name).name).write_bytes(content.read())


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A folder with Sacred's tests, as they are but for what they skip and what they mock."""
    source = installed(f"sacred-{SACRED}-tests", fetch_tests)
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


def test_sacreds_own_tests_pass_with_our_observer(suite: Path, mongod: str) -> None:
    pytest.importorskip("pkg_resources", reason="Sacred needs setuptools below 81", exc_type=ImportError)
    pytest.importorskip("sacred", reason="Sacred is not installed")
    environment = {
        **os.environ,
        "SACRED_SUITE_SERVER": mongod.partition("/?")[0],
        "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))),
    }
    options = ["-p", "sacred_suite_plugin", "-p", "no:cacheprovider", "-W", "ignore", "-rs", "-q", "--rootdir=."]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-c", os.devnull, "test_observers"],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|skipped|failed)", done.stdout)}
    assert counts["passed"] >= 25
    assert counts["skipped"] == 2  # named in the plugin, with their reasons
