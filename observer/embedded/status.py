"""How the embedded database is doing, for `cloister db status` and `cloister doctor`. Starts nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ..settings import Settings
from .server import EmbeddedServer

ANSWER_TIMEOUT_MS = 2000
BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system uses


@dataclass(frozen=True)
class EmbeddedStatus:
    """What is known of the embedded database from outside."""

    folder: Path
    size_bytes: int  # 0 before the first start
    pid: int | None  # None: it does not run
    port: int | None
    uptime_seconds: float | None
    version: str | None  # None: it does not run, or does not answer


def embedded_status(settings: Settings) -> EmbeddedStatus:
    """Look at the process, the folder and, if it runs, the server itself.

    Raises:
        ForeignDataFolder, DataFolderUnusable: the folder cannot be looked at.
    """
    server = EmbeddedServer(settings)
    running = server.running()
    return EmbeddedStatus(
        folder=server.folder.path,
        size_bytes=size_on_disk(server.folder.path),
        pid=running.pid if running else None,
        port=running.port if running else None,
        uptime_seconds=_uptime(running.pid) if running else None,
        version=_version(server) if running else None,
    )


def size_on_disk(folder: Path) -> int:
    """The bytes that a folder takes on its disk: sparse files count what they hold, vanished ones nothing."""
    total = 0
    for file in folder.rglob("*"):
        try:
            if file.is_file():
                total += file.stat().st_blocks * BLOCK_BYTES
        except OSError:
            continue
    return total


def _uptime(pid: int) -> float | None:
    import psutil  # see process.recognise

    try:
        return max(0.0, time.time() - psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _version(server: EmbeddedServer) -> str | None:
    from pymongo.errors import PyMongoError

    from ..mongo import client_for

    uri = server.uri()
    if uri is None:
        return None
    with client_for(uri, timeout_ms=ANSWER_TIMEOUT_MS) as client:
        try:
            return str(client.server_info()["version"])
        except PyMongoError:
            return None
