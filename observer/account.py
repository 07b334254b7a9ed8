"""Who runs a training, and on which machine: what a run's first record says of both."""

from __future__ import annotations

import getpass
import os
import platform
import socket


def host_name() -> str:
    """This machine's name as it calls itself."""
    try:
        return socket.gethostname()
    except OSError:
        return platform.node() or "unknown"


def login_name() -> str:
    """Who runs this: the login name, or `uid 1000` where the account has none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
