"""A mongod that a test may kill and start again on the same port and data."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
from cloister.observer.embedded import find_mongod
from cloister.observer.settings import load_settings
from pymongo.errors import PyMongoError

_SERVERS: dict[int, subprocess.Popen[bytes]] = {}


@contextmanager
def started_mongod(folder: Path, port: int, *, fresh: bool, replica_set: bool = True) -> Iterator[str]:
    """A mongod on `port`; one that runs there already is killed first, as by `kill -9`. Yields its URI."""
    kill_mongod(port)
    command = [str(find_mongod(load_settings())), "--dbpath", str(folder), "--port", str(port)]
    command += ["--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"]
    command += ["--replSet", "rs0"] if replica_set else []
    with (folder / "mongod.log").open("ab") as log:
        _SERVERS[port] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
    try:
        _wait_until_writable(uri, port, initiate=fresh and replica_set)
        yield uri
    finally:
        kill_mongod(port)


def kill_mongod(port: int) -> None:
    server = _SERVERS.pop(port, None)
    if server is not None:
        server.kill()
        server.wait(30)


def _wait_until_writable(uri: str, port: int, *, initiate: bool) -> None:
    deadline = time.monotonic() + 60
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=30_000) as client:
        if initiate:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
        while time.monotonic() < deadline:
            try:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return
            except PyMongoError:
                pass
            time.sleep(0.05)
    raise AssertionError("the test's mongod did not become writable")
