"""`cloister serve` as people run it: a process, its words, its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.embedded import embedded_uri
from cloister.observer.runs import RunStore
from cloister.observer.settings import Settings
from cloister.viewer.serve_command import address_for_browsers, is_loopback
from cloister.viewer.store_access import ServedDatabase, StoreAccess, bind_databases, bound_databases
from conftest import free_port
from pymongo.database import Database
from running_viewer import ask, insert_run
from test_viewer_live import LiveReader


def serve_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cloister", "serve", *arguments]


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A viewer process that has said where it is, and its port."""
    process = subprocess.Popen(
        serve_command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Cloister is at http://"), process.stderr.read() if process.stderr else ""
        yield process, int(line.rstrip().rstrip("/").rsplit(":", 1)[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(*arguments: str) -> str:
    """What a viewer that does not start says, without its traceback, for there is none."""
    done = subprocess.run(serve_command(*arguments), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_at_once_with_streams_open(
    database_uri: str, database: Database[dict[str, Any]], number: signal.Signals
) -> None:
    insert_run(database, 1)
    with serving("--port", "0", "--uri", database_uri) as (process, port):
        assert ask(port, "/api/v1/runs/1")[0].status == 200
        readers = [LiveReader(port) for _ in range(3)]
        started = time.monotonic()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert time.monotonic() - started < 5  # not the 15 s of a heartbeat, not the 20 s of an idle connection
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        for reader in readers:
            reader.close()


def test_it_stays_up_without_a_database_and_ends_at_once_then_too() -> None:
    uri = f"mongodb://ana:secret@127.0.0.1:{free_port()}/cloister"
    with serving("--port", "0", "--uri", uri) as (process, port):
        response, body = ask(port, "/")
        assert response.status == 503
        assert b"secret" not in body
        assert ask(port, "/healthz")[0].status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert "secret" not in process.stderr.read()


def test_the_embedded_database_is_started_and_found_again_after_a_kill(home: Path) -> None:
    try:
        with serving("--port", "0") as (_, port):
            assert ask(port, "/readyz")[0].status == 200
            uri = embedded_uri(Settings(home=home))
            assert uri is not None
            [pid] = [int(text) for text in _pids_listening_on(int(uri.rpartition("@")[2].split("/")[0].split(":")[1]))]
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 60
            statuses = set()
            while time.monotonic() < deadline:
                status = ask(port, "/")[0].status
                statuses.add(status)
                if status == 200 and 503 in statuses:
                    break
            assert statuses == {200, 503} or statuses == {200}
            assert ask(port, "/readyz")[0].status == 200
    finally:
        subprocess.run([sys.executable, "-m", "cloister", "db", "stop"], check=True, capture_output=True)


def _pids_listening_on(port: int) -> list[int]:
    import psutil

    return [
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_it_does_not_listen_beyond_this_machine_without_being_told_twice(host: str) -> None:
    message = refused("--host", host)
    assert f"--host {host} would show every run" in message
    assert "ssh -L 6390:127.0.0.1:6390" in message
    assert "--insecure-no-login" in message


def test_told_twice_it_listens_on_all_addresses(database_uri: str) -> None:
    arguments = ("--host", "0.0.0.0", "--port", "0", "--insecure-no-login", "--allowed-host", "tracker.lab:80")
    with serving(*arguments, "--uri", database_uri) as (_, port):
        for name, status in [("10.1.2.3:80", 200), ("tracker.lab", 200), ("evil.example", 421)]:
            assert ask(port, "/healthz", headers={"Host": name})[0].status == status


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        message = refused("--port", str(port))
    assert f"Port {port} of 127.0.0.1 is in use" in message
    assert "--port 0" in message


def test_an_address_of_another_machine_is_named_with_what_to_do() -> None:
    message = refused("--host", "192.0.2.1", "--port", "0", "--insecure-no-login")
    assert "cannot listen on '192.0.2.1'" in message
    assert "Pass an address of this machine" in message


def test_a_uri_that_is_none_is_refused_without_its_password() -> None:
    message = refused("--port", "0", "--uri", "mongo://ana:secret@host")
    assert "is not a MongoDB URI" in message
    assert "secret" not in message


@pytest.mark.parametrize("name", ["http://tracker.lab", "a b", "tracker.lab/x"])
def test_an_allowed_host_that_is_no_name_is_refused(name: str) -> None:
    assert f"--allowed-host {name!r} is not a host name" in refused("--port", "0", "--allowed-host", name)


def test_motor_that_is_asked_for_is_used(database_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_ASYNC_DRIVER", "motor")
    with serving("--port", "0", "--uri", database_uri) as (process, port):
        assert ask(port, "/readyz")[0].status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("127.evil.example", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_count_as_such(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_printed_address_can_be_opened() -> None:
    assert address_for_browsers("::1", 80) == "http://[::1]:80/"
    assert address_for_browsers("0.0.0.0", 80) == "http://127.0.0.1:80/"


def test_a_store_may_be_exchanged_while_the_viewer_runs(store: RunStore) -> None:
    extensions: dict[str, Any] = {}
    stores = [store]
    bind_databases(extensions, [ServedDatabase("first", StoreAccess(lambda: stores[-1]))])
    stores.append(RunStore(store.database.client["another"]))
    assert bound_databases(extensions)[0].access.get().database.name == "another"


def test_help_needs_neither_flask_nor_a_database() -> None:
    script = (
        "import sys, click.testing\n"
        "from cloister.viewer.serve_command import serve\n"
        "assert click.testing.CliRunner().invoke(serve, ['--help']).exit_code == 0\n"
        "assert not {'flask', 'bokeh', 'pymongo', 'tornado'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
