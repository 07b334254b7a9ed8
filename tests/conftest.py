"""What all tests share: one real mongod for the session, and for each test a database and a data folder."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloister
import hypothesis
import pymongo
import pytest
from cloister.observer import journal_places
from cloister.observer.embedded import find_mongod
from cloister.observer.indexes import ensure_indexes
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from cloister.viewer.app import ViewerApp
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from pymongo.database import Database
from pymongo.errors import OperationFailure
from recorded_script import RecordedScript
from watched_browser import started_chromium

# No test is timed: on a busy machine one example of hundreds may take long.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from runs_to_read import RunsToRead
    from signing_in import Served

# Files that take minutes come first: at the end, workers share what is left more evenly.
LONG_FILES = (
    "test_tour_browser.py",
    "test_accessibility.py",
    "test_omniboard.py",
    "test_faults_database.py",
    "test_courier_faults.py",
    "test_incense.py",
    "test_worker.py",
    "test_faults_disk.py",
    "test_embedded.py",
    "test_sacred_observer.py",
    "test_sacred_observer_faults.py",
    "test_faults_killing.py",
    "test_faults_journal.py",
    "test_shipping.py",
    "test_adopt.py",
    "test_adopt_folders.py",
    "test_tabs_browser.py",
    "test_sacred_outages.py",
    "test_faults_soak.py",
    "test_benchmarks.py",
    "test_web_security_browser.py",
    "test_encryption_recording.py",
    "test_access.py",
    "test_no_way_out.py",
    "test_access_oracle.py",
    "test_accounts.py",
    "test_resume.py",
    "test_serve_command.py",
    "test_web_security.py",
    "test_access_matrix.py",
)

StartRun = Callable[..., "cloister.Run"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    last = len(LONG_FILES)
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path.name, last))  # stable: the others keep their order


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_mongod(
    folder: Path, *options: str, port: int | None = None, end_with: signal.Signals = signal.SIGTERM
) -> Iterator[str]:
    """A mongod without accounts, as a one-member replica set, on new data or its own; yields its URI."""
    port = port or free_port()
    command = [
        str(find_mongod(load_settings())),
        "--dbpath",
        str(folder),
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
    ]
    command += ["--replSet", "rs0", "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.25", "--noscripting"]
    command += ["--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false"]
    with (folder / "mongod.log").open("wb") as log:
        server = subprocess.Popen([*command, *options], stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    try:
        _become_primary(uri, port)
        yield uri
    finally:
        server.send_signal(end_with)
        server.wait(30)


def _become_primary(uri: str, port: int) -> None:
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=30_000) as client:
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        quick = {"electionTimeoutMillis": 500}  # a restarted member waits this long before it votes for itself
        with contextlib.suppress(OperationFailure):  # the data folder knows its replica set already
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members, "settings": quick})
        deadline = time.monotonic() + 30
        while not client.admin.command("hello").get("isWritablePrimary"):
            assert time.monotonic() < deadline, "the test's mongod did not become primary"
            time.sleep(0.05)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Settings of whoever runs the tests must not reach them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("CLOISTER_")]:
            patch.delenv(name)
        yield


class _CompiledTemplates(BytecodeCache):
    """Templates as code, kept in memory."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def _templates_are_compiled_once() -> Iterator[None]:
    """Hundreds of tests make a viewer and look at one page: compiling its templates was half of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ViewerApp.jinja_options, "bytecode_cache", _CompiledTemplates())
        yield


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What `--loglevel` and Sacred do to Python's logging ends with the test, as it would with the script."""
    loggers = [logging.getLogger(name) for name in (None, "cloister")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (level, propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate


class LeftTheMachine(AssertionError):
    """Something in the test process connected to another machine."""


@pytest.fixture(scope="session", autouse=True)
def _nothing_leaves_the_machine() -> None:
    """Refuse connections to other machines, so that our own process cannot phone out unnoticed."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple):  # a unix socket's address is text
            host = str(arguments[1][0])
            if not (host in ("localhost", "::1") or host.startswith("127.")):
                raise LeftTheMachine(f"a connection to {arguments[1]}")

    sys.addaudithook(refuse)  # cannot be taken back, which is what is wanted: it holds to the end of the session


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real server on a loopback port of its own, for the whole session."""
    with running_mongod(tmp_path_factory.mktemp("mongod")) as uri:
        yield uri


@pytest.fixture(scope="session")
def runs_to_read(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunsToRead]:
    """Runs of ours of every kind for the programs of others to read, one of which goes on. 15 s to record."""
    from runs_to_read import recorded_runs

    with recorded_runs(mongod, tmp_path_factory.mktemp("readers")) as runs:
        yield runs


@pytest.fixture(scope="session")
def sacreds(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database that the installed Sacred wrote, to be read only; see `sacred_writes.py`."""
    pytest.importorskip("jsonpickle", reason="needs sacred")
    name = f"test_sacred_{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("sacred")
    script = folder / "sacred_writes.py"
    script.write_text((Path(__file__).parent / "sacred_writes.py").read_text())
    command = [sys.executable, str(script), mongod, name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return name


@pytest.fixture(scope="session")
def _drop_later(mongod: str) -> Iterator[Callable[[str], object]]:
    """Drops a database while the next test goes on: the server takes a tenth of a second for it, mostly to wait."""
    with pymongo.MongoClient(mongod) as client, ThreadPoolExecutor(1) as thread:
        yield lambda name: thread.submit(client.drop_database, name)


@pytest.fixture
def database_uri(mongod: str, _drop_later: Callable[[str], object]) -> Iterator[str]:
    """The URI of an empty database, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield mongod.replace("/?", f"/{name}?")
    _drop_later(name)


@pytest.fixture
def database(database_uri: str) -> Iterator[Database[dict[str, Any]]]:
    """An empty database with our indexes."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(database_uri, tz_aware=True)
    with client:
        database = client.get_default_database()
        ensure_indexes(database)
        yield database


@pytest.fixture
def store(database: Database[dict[str, Any]]) -> RunStore:
    return RunStore(database)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh data folder that every Cloister process of the test uses."""
    folder = tmp_path / "cloister-home"
    monkeypatch.setenv("CLOISTER_HOME", str(folder))
    monkeypatch.setenv("CLOISTER_COURIER_IDLE", "0.5")  # a courier for each test, gone soon after it
    return folder


@pytest.fixture
def start(home: Path, database_uri: str, monkeypatch: pytest.MonkeyPatch) -> StartRun:
    """Starts runs that record nothing but what the test logs, shipped by a thread of this process."""
    monkeypatch.setenv("CLOISTER_COURIER", "thread")

    def start_quietly(**options: Any) -> cloister.Run:
        return cloister.start_run(**{"uri": database_uri, "capture": "none", "hardware": False, **options})

    return start_quietly


@pytest.fixture
def own_places(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`home`, with temporary folder and shared memory of its own: no journal of another test is in sight."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(journal_places, "SHARED_MEMORY", tmp_path / "shared-memory")
    return home


@pytest.fixture(scope="module")
def served() -> Served:
    """One viewer for all tests of a file that sign in to one."""
    from signing_in import Served

    return Served()


@pytest.fixture(scope="module")
def one_database(mongod: str) -> Iterator[Database[dict[str, Any]]]:
    """One database for all tests of a file, which empty it themselves."""
    from signing_in import accounts_database

    with accounts_database(mongod) as database:
        yield database


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[pymongo.MongoClient[Any], int]]:
    """A mongod with accounts: a client of its root, and its port."""
    port = free_port()
    data = tmp_path / "guarded"
    data.mkdir()
    key = tmp_path / "key"
    key.write_text("c2VjcmV0" * 8)
    key.chmod(0o600)
    with running_mongod(data, "--keyFile", str(key), port=port) as uri:
        with pymongo.MongoClient(uri) as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        with pymongo.MongoClient(uri, username="root", password="root", tz_aware=True) as client:
            yield client, port


@pytest.fixture
def script(tmp_path: Path, home: Path, database_uri: str, store: RunStore) -> RecordedScript:
    """A training script to be written and run; its runs go to `store`."""
    return RecordedScript(tmp_path / "project", database_uri, store)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A chromium that reaches nothing but this machine."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright")
    # For a module, not the session: while Playwright stands open, no other test could use asyncio.run in this thread.
    with started_chromium() as browser:
        yield browser
