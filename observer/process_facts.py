"""Which process records a run, so that anybody can tell later whether it still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAME_SPACE = Path("/proc/self/ns/pid")


def this_process() -> dict[str, Any]:
    """This process, BSON-ready: enough to recognise it on its own machine, until that is started anew."""
    return describe_process(os.getpid())


def describe_process(pid: int) -> dict[str, Any]:
    """A process of this machine; what it does not tell is None.

    A process id alone would not do: ids are used again, after a reboot at once, and each container has its own.
    """
    return {"host": socket.gethostname(), "pid": pid, "started": _start_ticks(pid), "machine": _machine()}


def is_ancestor(process: Mapping[str, Any]) -> bool:
    """Whether this process was started by that one, directly or through others."""
    if is_alive(process) is not True:
        return False
    pid = os.getppid()
    while pid > 1:
        if pid == process["pid"]:
            return True
        pid = _parent(pid)
    return False


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Whether the process that `this_process` described still runs; None where this machine cannot tell."""
    machine, pid = process.get("machine"), process.get("pid")
    if not machine or machine != _machine() or not isinstance(pid, int):
        return None
    ticks = _start_ticks(pid)
    return ticks is not None and ticks == process.get("started")


def is_this_process(process: Mapping[str, Any]) -> bool:
    return process.get("pid") == os.getpid() and is_alive(process) is True


def _machine() -> str | None:
    """This start of this machine and this name space of process ids, None where /proc does not tell."""
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()} {_NAME_SPACE.readlink()}"
    except OSError:
        return None


def _parent(pid: int) -> int:
    words = _stat(pid)
    return int(words[1]) if words else 0


def _start_ticks(pid: int) -> int | None:
    """When a process was started, in clock ticks since the machine's start; None if there is none, or only a zombie."""
    words = _stat(pid)
    return None if not words or words[0] in "ZX" else int(words[19])


def _stat(pid: int) -> list[str]:
    """State, parent and so on of a process; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
