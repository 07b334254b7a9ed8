"""A real viewer on a free port of this machine, in a thread, and runs to look at."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from cloister.observer.run_record import RunId, new_run_document
from cloister.observer.runs import RunStore
from cloister.observer.settings import AsyncDriver
from cloister.viewer.app import create_app
from cloister.viewer.async_client import open_async_client
from cloister.viewer.server import ViewerServer, listen
from flask import Flask
from pymongo.database import Database


@contextmanager
def running_viewer(
    store: RunStore,
    *,
    uri: str | Callable[[], str] | None = None,
    driver: AsyncDriver = "pymongo",
    app: Flask | None = None,
    allowed_hosts: Collection[str] = (),
    **server_options: Any,
) -> Iterator[int]:
    """Serves `store` until the block ends; yields the port.

    With `uri` changes are streamed, else polled; where it is a function, each attempt to open the stream asks it.
    `server_options` are the server's: `tls`, `proxies`.
    """
    app = app or create_app(store, allowed_hosts=allowed_hosts)

    def open_client() -> Any:
        return open_async_client(uri() if callable(uri) else str(uri), driver)

    opener = None if uri is None else open_client
    server = ViewerServer(app, listen("127.0.0.1", 0), open_client=opener, **server_options)
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.run(ready.set)))
    thread.start()
    try:
        assert ready.wait(10)
        yield server.port
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive(), "the viewer did not stop"


def ask(
    port: int, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        with closing(connection.getresponse()) as response:
            return response, response.read()
    finally:
        connection.close()


def send_raw(port: int, text: bytes) -> bytes:
    """What comes back for these exact bytes until the server closes, or is silent for a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(text)
        connection.settimeout(1)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return answer


def insert_run(database: Database[dict[str, Any]], run_id: RunId, *, project: str = "digits", **fields: Any) -> None:
    """A run that started a minute ago, as the courier writes it; `fields` overwrite the document's."""
    started = datetime.now(timezone.utc) - timedelta(minutes=1)
    header = {
        "experiment": project,
        "project": project,
        "name": f"{project}-{run_id}",
        "uid": f"uid-{run_id}",
        "start_time": started,
        "config": {"lr": 0.1},
    }
    document = {**new_run_document(header, run_id), "heartbeat": datetime.now(timezone.utc)}
    document["cloister"]["updated_at"] = datetime.now(timezone.utc)
    for path, value in fields.items():
        document[path] = value
    database["runs"].insert_one(document)


def touch_run(database: Database[dict[str, Any]], run_id: Any, *, collection: str = "runs") -> None:
    """What the courier does after each delivery."""
    now = datetime.now(timezone.utc)
    database[collection].update_one({"_id": run_id}, {"$set": {"cloister.updated_at": now, "heartbeat": now}})
