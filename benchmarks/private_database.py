"""An embedded database in a folder of its own for a measurement, gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from cloister.observer.embedded import EmbeddedServer
from cloister.observer.embedded.replica_set import system_client
from cloister.observer.settings import load_settings


@dataclass(frozen=True)
class PrivateDatabase:
    """The server that runs of this process and its children go to."""

    home: Path  # CLOISTER_HOME: journals and the database's own files
    uri: str
    pid: int
    server: EmbeddedServer
    port: int

    def cpu_seconds(self) -> float:
        """What mongod has spent since it started."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def checkpoint(self) -> None:
        """Have all that was written lie in the database's files, as it does within a minute by itself."""
        with system_client(self.server.folder, self.port) as client:  # our own account may not
            client.admin.command("fsync")


@contextmanager
def private_database() -> Iterator[PrivateDatabase]:
    """Runs of this process and its children go to a fresh embedded database; couriers leave soon after their work."""
    with tempfile.TemporaryDirectory(prefix="cloister-benchmark-", ignore_cleanup_errors=True) as folder:
        for name in [name for name in os.environ if name.startswith("CLOISTER_") and "BENCHMARKS" not in name]:
            del os.environ[name]  # settings of whoever runs this would be measured too
        # As installed packages have it. Without this, some containers would have every process compile all of ours.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["CLOISTER_HOME"] = folder
        os.environ["CLOISTER_COURIER_IDLE"] = "0.5"
        server = EmbeddedServer(load_settings())
        uri = server.ensure_running()
        running = server.running()
        assert running is not None, "the embedded database has just answered"
        try:
            yield PrivateDatabase(Path(folder), uri, running.pid, server, running.port)
        finally:
            server.stop()
