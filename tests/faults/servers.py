"""MongoDB servers that a fault may kill, freeze, step down, start late, or have fail in chosen commands."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
from cloister.observer.embedded import find_mongod
from cloister.observer.settings import load_settings
from pymongo.errors import OperationFailure, PyMongoError

START_SECONDS = 60.0
_OPTIONS = (
    *("--bind_ip", "127.0.0.1", "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25", "--noscripting"),
    *("--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false"),
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A mongod on a port and data of its own, started, ended and started again."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.uri = f"mongodb://{self.address}/?directConnection=true"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *, wait: bool = True) -> None:
        """Start it, as a member of the replica set "rs0"; a set of one is made of it where `wait`."""
        command = [str(find_mongod(load_settings())), "--dbpath", str(self.folder), "--port", str(self.port)]
        with (self.folder / "mongod.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *_OPTIONS, "--replSet", "rs0"], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        if wait:
            initiate(self, [self])

    def ensure_running(self) -> None:
        if self._process is None:
            self.start()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(30)
            self._process = None

    def freeze(self) -> None:
        """Have it take connections and answer nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)

    def step_down(self, seconds: float) -> None:
        """Have it be no primary for some seconds."""
        with contextlib.suppress(PyMongoError):  # an older server closes the connection over it
            self.command("replSetStepDown", max(1, round(seconds)), force=True)

    def command(self, name: str, value: Any = 1, **more: Any) -> dict[str, Any]:
        with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=5000) as client:
            return dict(client.admin.command(name, value, **more))

    def wait_until_it_answers(self) -> None:
        with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=int(START_SECONDS * 1000)) as client:
            client.admin.command("ping")

    def is_primary(self) -> bool:
        try:
            return bool(self.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    @contextmanager
    def failing(self, mode: Any, **data: Any) -> Iterator[None]:
        """While the block runs, some commands fail as `data` says; see MongoDB's fail point `failCommand`."""
        with failing_commands(self.uri, mode, **data):
            yield


@contextmanager
def failing_commands(uri: str, mode: Any, **data: Any) -> Iterator[None]:
    """While the block runs, commands of the server fail as `data` says; see MongoDB's fail point `failCommand`."""
    with pymongo.MongoClient(uri) as client:
        client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
    try:
        yield
    finally:
        with pymongo.MongoClient(uri) as client:
            client.admin.command("configureFailPoint", "failCommand", mode="off")


@contextmanager
def a_server(folder: Path, port: int | None = None) -> Iterator[Server]:
    """A server that runs, on new data; killed at the end."""
    server = Server(folder, port)
    try:
        server.start()
        yield server
    finally:
        server.thaw()
        server.kill()


@contextmanager
def a_replica_set(folder: Path, members: int = 3) -> Iterator[list[Server]]:
    """Servers that elect a primary among them."""
    servers = [Server(folder / str(number)) for number in range(members)]
    try:
        for server in servers:
            server.start(wait=False)
        initiate(servers[0], servers)
        yield servers
    finally:
        for server in servers:
            server.thaw()
            server.kill()


def set_uri(servers: list[Server]) -> str:
    return "mongodb://" + ",".join(server.address for server in servers) + "/?replicaSet=rs0"


def primary_of(servers: list[Server]) -> Server:
    """The set's primary, waiting for an election."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        for server in servers:
            if server.is_primary():
                return server
        assert time.monotonic() < deadline, "the replica set has elected no primary"
        time.sleep(0.1)


def initiate(first: Server, servers: list[Server]) -> None:
    """Make a replica set of servers, unless their data know one already, and wait for its primary."""
    members = [{"_id": number, "host": server.address} for number, server in enumerate(servers)]
    # Short, so that a test need not wait for an election as long as a site would.
    settings = {"electionTimeoutMillis": 500 if len(servers) == 1 else 2000, "heartbeatIntervalMillis": 500}
    for server in servers:
        server.wait_until_it_answers()
    with contextlib.suppress(OperationFailure):  # the data know a set already
        first.command("replSetInitiate", {"_id": "rs0", "members": members, "settings": settings})
    primary_of(servers)
