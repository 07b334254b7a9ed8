"""An embedded database in a folder of its own for a measurement, gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloister.observer.embedded import EmbeddedServer
from cloister.observer.settings import load_settings


@contextmanager
def private_database() -> Iterator[Path]:
    """Runs of this process and its children go to a fresh embedded database; yields its data folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a courier may still write its log
        os.environ["CLOISTER_HOME"] = folder
        os.environ["CLOISTER_COURIER_IDLE"] = "1"
        os.environ.pop("CLOISTER_URI", None)
        server = EmbeddedServer(load_settings())
        server.ensure_running()
        try:
            yield Path(folder)
        finally:
            server.stop()
