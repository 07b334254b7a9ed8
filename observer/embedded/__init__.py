"""The embedded MongoDB: a private mongod of this user, started on demand and shared by all of the user's processes."""

from __future__ import annotations

from .binary import find_mongod
from .server import EmbeddedServer, embedded_uri, ensure_running

__all__ = ["EmbeddedServer", "embedded_uri", "ensure_running", "find_mongod"]
