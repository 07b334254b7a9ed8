"""`cloister serve` as a process of its own, and a small HTTP client that many users can be made of."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import psutil

START_SECONDS = 60


@dataclass(frozen=True)
class ServedViewer:
    """A viewer that listens on this machine."""

    port: int
    process: psutil.Process

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def megabytes(self) -> float:
        return float(self.process.memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served_viewer(uri: str) -> Iterator[ServedViewer]:
    """Serves the database at `uri` until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "cloister", "serve", "--uri", uri, "--port", str(port), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/healthz", process)
            yield ServedViewer(port, psutil.Process(process.pid))
        finally:
            process.terminate()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("The viewer did not start.")
        time.sleep(0.1)


class User:
    """One connection that is kept open, as a browser keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> tuple[int, int]:
        """Status and length of the answer."""
        for attempt in (1, 2):  # the viewer closes what was idle for long
            try:
                return await self._get(path)
            except (ConnectionError, asyncio.IncompleteReadError):
                self.close()
                if attempt == 2:
                    raise
        raise AssertionError

    async def _get(self, path: str) -> tuple[int, int]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAccept: */*\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        return int(head[0].split()[1]), await self._read_body(reader, headers)

    @staticmethod
    async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> int:
        if "content-length" in headers:
            return len(await reader.readexactly(int(headers["content-length"])))
        length = 0
        while headers.get("transfer-encoding") == "chunked":
            size = int(await reader.readline(), 16)
            await reader.readexactly(size + 2)
            if not size:
                return length
            length += size
        return length

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


@asynccontextmanager
async def live_stream(port: int, query: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """A tab's live stream; what is read are lines of server-sent events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /api/v1/live{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        status = await reader.readline()
        assert b" 200 " in status, status
        await reader.readuntil(b"\r\n\r\n")
        yield reader
    finally:
        writer.close()
